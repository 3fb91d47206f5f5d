"""When the database of the web UI is there, and which servers know of it."""

import json

import pytest

from bench.model.errors import UserError
from bench.studies.cockpit.servers import DatabaseOnDemand
from tests.bench.studies.cockpit.ui import Ui

FACTS = {"where": "private", "version": "PostgreSQL 15", "cpus": [1], "scenarios": ["db"]}


class Launcher:
    def __init__(self):
        self.variables = {"DATABASE_URL": ""}


class Database:
    """Says what was done to it."""

    def __init__(self, launcher, refuses=()):
        self.launcher, self.refuses, self.done, self.dead = launcher, list(refuses), [], None
        self.facts = FACTS

    def __enter__(self):
        if self.refuses:
            raise UserError(self.refuses.pop())
        self.done.append("started")
        self.dead = None
        self.launcher.variables["DATABASE_URL"] = "postgresql://x"
        return self

    def __exit__(self, *_):
        self.done.append("ended")

    def make_tables(self, stack):
        assert self.launcher.variables["DATABASE_URL"] == "postgresql://x"
        self.done.append(stack)

    def failure(self):
        return self.dead


def test_it_is_started_for_the_first_load_that_needs_it_and_known_to_such_loads_only():
    launcher = Launcher()
    database = Database(launcher)
    with DatabaseOnDemand(launcher, database, {"db"}) as demand:
        assert demand.set_up(["index"], "current") is None and database.done == []
        assert demand.set_up(["index", "db"], "current") == FACTS and database.done == ["started"]
        assert launcher.variables["DATABASE_URL"] == "postgresql://x"
        assert demand.set_up(["sleep"], "current") is None and launcher.variables["DATABASE_URL"] == ""
        assert demand.set_up(["db"], "sanic-21.12") == FACTS
        assert database.done == ["started", "sanic-21.12"], "its tables are made for each start"
        assert demand.needed_by(["index"]) is None and demand.needed_by(["db"]) is database
    assert database.done[-1] == "ended"


def test_one_that_does_not_start_is_tried_again_and_one_that_died_is_replaced():
    launcher = Launcher()
    database = Database(launcher, refuses=["it does not start"])
    with DatabaseOnDemand(launcher, database, {"db"}) as demand:
        with pytest.raises(UserError, match="does not start"):
            demand.set_up(["db"], "current")
        assert demand.set_up(["db"], "current") == FACTS
        database.dead = "the database ended by itself"
        assert demand.set_up(["db"], "current") == FACTS
    assert database.done == ["started", "ended", "started", "ended"]


def test_a_load_with_a_private_database(tmp_path, current, catalogue_file):
    ui = Ui(tmp_path / "results", "--catalogue", str(catalogue_file), "--scenarios", "index,db")
    try:
        assert "database: a private PostgreSQL" in ui.said
        started = ui.start(user_classes=["Db"], user_count="1")
        assert started["success"] is True, started
        told = ui.measured()
        assert sum(row[2] or 0 for row in told["seconds"]) == 0, "no request failed"
        ui.stop()
        cell, folder = ui.recorded()
        assert cell["status"] == "finished" and cell["scenario"] == "db" and cell["measured"]["requests"] > 0
        facts = ui.run()["database"]
        assert facts["where"] == "private" and facts["scenarios"] == ["db"]
        assert ui.end() == 0
    finally:
        ui.close()
    assert not list(folder.parents[3].glob(".serve-*"))
    assert json.loads((folder / "cell.json").read_text())["server"]["configuration"] == "single"
