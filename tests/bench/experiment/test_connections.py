"""Which connections a plan of settings measures, of which servers, and what is kept of it."""

import csv
import random
from dataclasses import replace
from types import SimpleNamespace

import pytest

from bench.experiment import connections
from bench.experiment.connections import ClientsError, arrange
from bench.experiment.results import RunFolder
from bench.experiment.runner import Outcome
from bench.launch.server import ServerError
from bench.model.errors import UsageError
from bench.model.plans import plan
from bench.model.plans.narrowing import narrow
from bench.model.records.columns import CONNECTIONS
from targets.catalogue.configurations import load
from tests.bench.variants import TEXT

NAMES = ["uvicorn", "uvicorn-keep-alive-5", "uvicorn-backlog-100", "uvicorn-limit-concurrency", "uvicorn-h11"]
TABLE = "[connections]\nstarts = 2\npauses = 40\nbursts = [10, 20]\nbursts_each = 2\noverload = 150\n"
NOTHING = dict.fromkeys(("answered", "answers_503", "closed_in_time", "refused", "reset", "timed_out"), 0)


@pytest.fixture
def read(tmp_path):
    def written(text=TEXT + TABLE):
        (tmp_path / "mine.toml").write_text(text)
        return plan.load(str(tmp_path / "mine.toml")).model_copy(update={"configurations": NAMES})

    return written


@pytest.fixture
def available():
    return {name: load().get(name) for name in NAMES}


def loads(found, repeat):
    return found.loads(repeat, random.Random(1))


def test_each_load_is_for_the_variants_that_expect_it_and_their_parent(read, available, tmp_path):
    found = arrange(read(), available, RunFolder(tmp_path))
    assert found.left == (1, 2)
    first, second = loads(found, 1), loads(found, 2)
    bursts = [each for each in first if each.kind == "burst"]
    assert {each.names for each in bursts} == {("uvicorn",), ("uvicorn-backlog-100",)}
    assert [each.connections for each in bursts] == [10] * 4 + [20] * 4
    overloads = {each.names for each in first if each.kind == "overload"}
    assert overloads == {("uvicorn",), ("uvicorn-limit-concurrency",)}
    (pause,) = [each for each in first if each.kind == "pause"]
    assert pause.names == ("uvicorn", "uvicorn-keep-alive-5") and pause.connections == 40
    assert 90 < pause.seconds < 120  # of all servers at once: a fifth more than the longest keep-alive
    # Once is enough for what takes so long.
    assert len(second) == len(first) - 1 and "pause" not in {each.kind for each in second}
    assert found.announcement.startswith("then the connections of 4 servers (burst, overload, pause), about ")


def test_what_nobody_expects_is_not_measured(read, available, tmp_path):
    folder = RunFolder(tmp_path)
    few = {name: available[name] for name in ("uvicorn", "uvicorn-h11")}
    assert arrange(read(), few, folder) is None
    assert arrange(read(TEXT), available, folder) is None
    two = read().model_copy(update={"own_app": SimpleNamespace()})
    assert arrange(two, available, folder) is None
    outside = narrow(plan.load("settings"), {"external": {"url": "http://127.0.0.1:1", "name": "mine"}})
    assert outside.connections is None


def test_connections_belong_to_settings(read):
    with pytest.raises(UsageError, match=r"\[connections\] belong to a plan of settings"):
        read(TEXT.replace("settings = true\n", "") + TABLE)


class Launcher:
    def __init__(self, *refused):
        self.network = {"sysctls": {"net.core.somaxconn": 128}}
        self.refused, self.stopped = refused, []

    def start_all(self, requests):
        return [self._start(each.configuration.name) for each in requests]

    def _start(self, name):
        if name in self.refused:
            return ServerError("no such flag")
        return SimpleNamespace(url=f"http://{name}", failure=lambda: None)

    def stop(self, server):
        self.stopped.append(server.url)

    def settle(self):
        pass


@pytest.fixture
def runner(tmp_path):
    def made(launcher):
        said, failures = [], []
        split = SimpleNamespace(for_workers=lambda _: (0,))
        rig = SimpleNamespace(launcher=launcher, scratch=tmp_path, split=split)
        progress = SimpleNamespace(say=said.append, tell_failure=lambda *words: failures.append(words))
        return SimpleNamespace(
            rig=rig, progress=progress, seed=1, broken={}, outcome=Outcome(), folder=RunFolder(tmp_path),
            said=said, failures=failures,
        )  # fmt: skip

    return made


def test_a_row_for_each_load_and_server_and_a_run_goes_on_after_the_starts_it_has(
    read, available, tmp_path, monkeypatch, runner
):
    asked = []

    def clients(_, words, __):
        asked.append(words)
        urls = [word for word in words if word.startswith("http")]
        return [{**NOTHING, "answered": 10, "p99_us": 1.5, "slowest_us": None} for _ in urls]

    monkeypatch.setattr(connections, "_clients", clients)
    monkeypatch.setattr(connections, "_SETTLE_S", 0)
    launcher = Launcher()
    plan_, running = read(), runner(launcher)
    found = arrange(plan_, available, running.folder)
    replace(found, left=(1,)).run(running)
    with (tmp_path / "connections.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(CONNECTIONS.types)
    # Two sizes, twice, of two servers; an overload of two; pauses of two at once.
    assert len(rows) == 8 + 2 + 2 and len(asked) == 8 + 2 + 1
    (pauses,) = [words for words in asked if words[0] == "pause"]
    assert pauses[-2:] == ["http://uvicorn/index=75", "http://uvicorn-keep-alive-5/index=5"]
    assert {row["slowest_us"] for row in rows} == {""} and {row["repeat"] for row in rows} == {"1"}
    assert len(launcher.stopped) == 4
    note = "note: net.core.somaxconn = 128 caps the backlog of uvicorn"
    assert running.said == [
        note,
        "connections, start 1 of 2: burst: 0 of 80 lost; overload: 0 of 20 lost; pause: 0 of 20 lost",
    ]
    assert arrange(plan_, available, running.folder).left == (2,)
    arrange(plan_, available, running.folder).run(running)
    assert arrange(plan_, available, running.folder) is None


def test_what_cannot_be_measured_is_told_and_has_no_rows(read, available, tmp_path, monkeypatch, runner):
    def clients(_, words, __):
        if words[0] == "overload":
            raise ClientsError("it answers with status 404")
        urls = [word for word in words if word.startswith("http")]
        return [{**NOTHING, "answered": 10, "p99_us": 1.5, "slowest_us": 2.0} for _ in urls]

    monkeypatch.setattr(connections, "_clients", clients)
    monkeypatch.setattr(connections, "_SETTLE_S", 0)
    running = runner(Launcher("uvicorn-backlog-100"))
    arrange(read(), available, running.folder).run(running)
    assert ("uvicorn-backlog-100, connections", "no such flag") in running.failures
    assert ("uvicorn, overload", "it answers with status 404") in running.failures
    # The server is not tried again, each overload is.
    assert running.outcome.failed == 1 + 2 * 2
    with (tmp_path / "connections.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert "uvicorn-backlog-100" not in {row["configuration"] for row in rows}
    assert "overload" not in {row["load"] for row in rows}
