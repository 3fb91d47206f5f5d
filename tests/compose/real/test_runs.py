"""Whole runs in containers."""

import contextlib
import json
import socket

import pytest

from tests.compose.real.checkout import PORTS, cells, reasons
from tests.patience import CONTAINERS_S

SMOKE_CELLS = 29


def run_json(results):
    (path,) = results.glob("*/run.json")
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def smoke(checkout):
    """The main job as people give it, while others have all ports that the services would publish."""
    results = checkout.folder / "results" / "smoke"
    with contextlib.ExitStack() as taken:
        for port in PORTS.values():
            taken.enter_context(socket.create_server(("127.0.0.1", port)))
        checkout.run("make", "bench", "PLAN=smoke", "LAUNCHER=compose", f"RESULTS={results}")
    return results


def test_the_smoke_plan(checkout, smoke, nothing_left):
    assert reasons(smoke) == {}
    assert len(cells(smoke)) == SMOKE_CELLS
    assert all(cell["measured"]["requests"] > 0 for cell in cells(smoke))
    (report,) = smoke.glob("*/report/report.html")
    assert report.stat().st_size > 0
    owners = {path.stat().st_uid for path in (smoke, *smoke.rglob("*"))}
    assert owners == {checkout.uid}
    assert run_json(smoke)["launcher"] == "compose"
    assert run_json(smoke)["network"]["namespace"] and run_json(smoke)["network"]["steered_to"]


def test_the_database_plan(checkout, results, nothing_left):
    options = ("--plan", "database", "--configurations", "uvicorn", "--repeats", "1", "--duration", "1")
    checkout.run_bench(results, *options)
    assert reasons(results) == {}
    assert sorted((cell["configuration"], cell["scenario"]) for cell in cells(results)) == [
        ("uvicorn", "db"),
        ("uvicorn", "db-write"),
        ("uvicorn-again", "db"),
        ("uvicorn-again", "db-write"),
    ]
    database = run_json(results)["database"]
    assert database["where"] == "compose"
    assert database["version"].startswith("PostgreSQL ")


def test_two_runs_at_once_leave_each_other_alone(checkout, smoke, results, nothing_left):
    plan = checkout.plan("both-stacks")
    options = ("--plan", plan, "--configurations", "uvicorn", "--repeats", "2")
    with (
        checkout.benching(results / "one", *options) as one,
        checkout.benching(results / "two", *options) as two,
    ):
        said = [each.communicate(timeout=CONTAINERS_S)[0] for each in (one, two)]
        assert (one.returncode, two.returncode) == (0, 0), said
    assert len(cells(results)) == 4
    assert reasons(results) == {}
    # Neither has found an image to be of other sources than those that the smoke plan has built.
    assert "building" not in "".join(said)


@pytest.mark.parametrize(
    ("permissions", "words"), [(0o000, "permission"), (None, "engine")], ids=["not allowed", "none there"]
)
def test_an_engine_that_cannot_be_used(checkout, permissions, words):
    """The mistake is told in two lines, and what it would take to do without an engine."""
    place = checkout.home / f"{words}.sock"
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as server:
        if permissions is not None:
            server.bind(str(place))
            server.listen()
            place.chmod(permissions)
        results = checkout.folder / "results" / words
        said = checkout.run_bench(results, "--plan", "smoke", status=1, DOCKER_HOST=f"unix://{place}")
    assert words in said.lower()
    assert "LAUNCHER=processes" in said
    assert len(said.strip().splitlines()) <= 4
