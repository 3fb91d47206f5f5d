"""Which connections a plan of settings measures, of which servers, and what is kept of it."""

import csv
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from bench.experiment.connections import clients
from bench.experiment.connections.clients import LONGEST, SHORTEST, Pauses, Start, Visit
from bench.experiment.connections.starts import arrange
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


@pytest.fixture
def read(tmp_path):
    def written(text=TEXT + TABLE):
        (tmp_path / "mine.toml").write_text(text)
        return plan.load(str(tmp_path / "mine.toml")).model_copy(update={"configurations": NAMES})

    return written


@pytest.fixture
def available():
    return {name: load().get(name) for name in NAMES}


def test_each_load_is_for_the_variants_that_expect_it_and_their_parent(read, available, tmp_path):
    found = arrange(read(), available, RunFolder(tmp_path))
    assert found.left == (1, 2)
    first, second = found.start(1), found.start(2)
    bursts = [each for each in first.visits if each.kind == "burst"]
    assert {each.name for each in bursts} == {"uvicorn", "uvicorn-backlog-100"}
    assert [each.connections for each in bursts] == [10] * 4 + [20] * 4
    overloads = {each.name for each in first.visits if each.kind == "overload"}
    assert overloads == {"uvicorn", "uvicorn-limit-concurrency"}
    assert first.pauses.keep_alives_s == {"uvicorn": 75.0, "uvicorn-keep-alive-5": 5.0}
    assert first.pauses.connections == 40 and first.most_connections == 150
    assert 90 < first.pauses.seconds < 120  # of all servers at once: a fifth more than the longest keep-alive
    # Once is enough for what takes so long.
    assert len(second.visits) == len(first.visits) and second.pauses is None
    assert found.start(2, seed=1).visits != found.start(2, seed=2).visits
    assert found.announcement.startswith("then the connections of 4 servers (burst, overload, pause), about ")


def test_visits_take_place_while_all_that_pause_rest():
    pauses = Pauses({"a": 75.0, "b": 5.0, "c": 2.0}, connections=10, seed=1)
    since_s, until_s = pauses.rest_s
    assert 5 * LONGEST < since_s < 20 and until_s == 75 * SHORTEST
    visits = [Visit.overload("a", 10, 4.5)] * 3
    # Three visits of 6 s fit into the rest, thirty do not.
    assert Start(visits, pauses).seconds == pauses.seconds
    assert Start(visits * 10, pauses).seconds == pauses.seconds + 180 - (until_s - since_s)
    # Short keep-alives leave none.
    short = Pauses({"b": 5.0, "c": 2.0}, connections=10, seed=1)
    assert Start(visits, short).seconds == short.seconds + 18


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


# In place of the clients: pauses end when told to, visits at once.
PROGRAM = """
import json, pathlib, sys, time
folder, load, *words = sys.argv[1:]
servers = [word for word in words if word.startswith("http")]
log = pathlib.Path(folder, "log")
with log.open("a") as file:
    print(load, *servers, file=file, flush=True)
if load == "overload" and pathlib.Path(folder, "refuse").exists():
    sys.exit("http://a/index answers with status 404")
deadline = time.monotonic() + 10
while load == "pause" and log.read_text().count("\\n") < 11 and time.monotonic() < deadline:
    time.sleep(0.01)
tally = dict.fromkeys(("answers_503", "closed_in_time", "refused", "reset", "timed_out"), 0)
print(json.dumps([{**tally, "answered": 10, "p99_us": 1.5, "slowest_us": None} for _ in servers]))
"""


class Launcher:
    def __init__(self, folder, *refused):
        self.network = {"sysctls": {"net.core.somaxconn": 128}}
        self.folder, self.refused, self.stopped = folder, refused, []
        (folder / "program").write_text(PROGRAM)

    def inside(self, path):
        assert path.is_file()
        return str(self.folder / "program")

    def start_program(self, arguments, cpus, **streams):
        program, *words = arguments
        return subprocess.Popen([sys.executable, program, str(self.folder), *words], **streams)

    @property
    def asked(self):
        return (self.folder / "log").read_text().splitlines()

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
        split = SimpleNamespace(for_workers=lambda _: (0,), resting=lambda _: (1,), generator=(1,))
        rig = SimpleNamespace(launcher=launcher, scratch=tmp_path, split=split)
        progress = SimpleNamespace(say=said.append, tell_failure=lambda *words: failures.append(words))
        return SimpleNamespace(
            rig=rig, progress=progress, seed=1, broken={}, outcome=Outcome(), folder=RunFolder(tmp_path),
            said=said, failures=failures,
        )  # fmt: skip

    return made


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(clients, "_SETTLE_S", 0)
    monkeypatch.setattr(Pauses, "rest_s", (0.0, 60.0))


def test_a_row_for_each_load_and_server_and_a_run_goes_on_after_the_starts_it_has(
    read, available, tmp_path, runner, at_once
):
    launcher = Launcher(tmp_path)
    plan_, running = read(), runner(launcher)
    found = arrange(plan_, available, running.folder)
    replace(found, left=(1,)).run(running)
    with (tmp_path / "connections.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(CONNECTIONS.types)
    # Two sizes, twice, of two servers; an overload of two; pauses of two at once, beside all of these.
    assert len(rows) == 8 + 2 + 2 and len(launcher.asked) == 8 + 2 + 1
    assert launcher.asked.count("pause http://uvicorn/index=75 http://uvicorn-keep-alive-5/index=5") == 1
    assert [row["load"] for row in rows] == ["burst"] * 8 + ["overload"] * 2 + ["pause"] * 2
    assert {row["slowest_us"] for row in rows} == {""} and {row["repeat"] for row in rows} == {"1"}
    assert len(launcher.stopped) == 3 + 2  # those that pause are others
    note = "note: net.core.somaxconn = 128 caps the backlog of uvicorn"
    assert running.said == [
        note,
        "connections, start 1 of 2: burst: 0 of 80 lost; overload: 0 of 20 lost; pause: 0 of 20 lost",
    ]
    assert arrange(plan_, available, running.folder).left == (2,)
    arrange(plan_, available, running.folder).run(running)
    assert arrange(plan_, available, running.folder) is None


def test_visits_that_do_not_fit_follow_the_pauses(read, available, tmp_path, runner, at_once, monkeypatch):
    monkeypatch.setattr(Pauses, "rest_s", (0.0, 1.6))
    launcher = Launcher(tmp_path)
    (tmp_path / "log").write_text("\n" * 10)  # pauses end as soon as they have begun
    running = runner(launcher)
    arrange(read(), available, running.folder).run(running)
    with (tmp_path / "connections.csv").open() as file:
        first = [row["load"] for row in csv.DictReader(file) if row["repeat"] == "1"]
    # All that was to be measured is there; the overload cannot take place beside them.
    assert sorted(first) == ["burst"] * 8 + ["overload"] * 2 + ["pause"] * 2
    assert first[-2:] == ["overload"] * 2


def test_what_cannot_be_measured_is_told_and_has_no_rows(read, available, tmp_path, runner, at_once):
    (tmp_path / "refuse").touch()
    running = runner(Launcher(tmp_path, "uvicorn-backlog-100"))
    (tmp_path / "log").write_text("\n" * 10)
    arrange(read(), available, running.folder).run(running)
    assert ("uvicorn-backlog-100, connections", "no such flag") in running.failures
    assert ("uvicorn, overload", "http://a/index answers with status 404") in running.failures
    # The server is not tried again, each overload is.
    assert running.outcome.failed == 1 + 2 * 2
    with (tmp_path / "connections.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert "uvicorn-backlog-100" not in {row["configuration"] for row in rows}
    assert "overload" not in {row["load"] for row in rows}


def test_a_server_that_cannot_be_started_is_told_once(read, available, tmp_path, runner, at_once):
    running = runner(Launcher(tmp_path, "uvicorn"))
    (tmp_path / "log").write_text("\n" * 10)
    arrange(read(), available, running.folder).run(running)
    assert running.failures == [("uvicorn, connections", "no such flag")]
