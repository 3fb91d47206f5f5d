"""The scenarios of a database check every answer: by whom it was given does not matter to them."""

from __future__ import annotations

import json
from importlib.util import module_from_spec, spec_from_file_location
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.swarm.harness import until
from tests.swarm.processes import ROOT
from tests.swarm.scripted import reply


@pytest.fixture
def scenario():
    """Loads a scenario file anew: `scenario("db")`."""

    def load(stem):
        spec = spec_from_file_location(f"scenario_{stem}", ROOT / "locustfiles" / f"{stem}.py")
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def after(serve, make_swarm):
    """What a user of a class met when it had asked so often: `after(100, user_class, "/db", script)`."""

    def run(count, user_class, path, script):
        server = serve({path: script})
        swarm = make_swarm(user_class, host=server.url).start()
        until(lambda: len(server.asked) > count, f"{count} requests are answered")
        swarm.stop()
        return server, [error.error for error in swarm.stats.errors.values()]

    return run


def answering(rows):
    """A script that answers what `rows` makes of the keys that were asked for."""

    def script(client, asked):
        (ids,) = parse_qs(urlsplit(asked.target).query)["ids"]
        client.send(reply(json.dumps({"items": rows([int(key) for key in ids.split(",")])}).encode()))

    return script


def test_reading_asks_for_a_few_dozen_fixed_things(scenario, after):
    db = scenario("db")
    server, errors = after(
        2 * len(db.QUESTIONS), db.Db, "/db", answering(lambda keys: [db.item(key) for key in keys])
    )
    assert errors == []
    assert len(set(server.targets)) == len(db.QUESTIONS) == len(db.Db.verified) == 48
    for keys in db.QUESTIONS:
        assert len(set(keys)) == 10 and min(keys) >= 1 and max(keys) <= 10_000


@pytest.mark.parametrize(
    "spoil",
    [
        lambda rows: rows[::-1],
        lambda rows: rows[1:],
        lambda rows: [],
        lambda rows: [*rows[1:], {**rows[0], "stock": -1}],
    ],
    ids=["another order", "one less", "none", "another value"],
)
def test_other_rows_than_those_asked_for_are_failures(scenario, after, spoil):
    db = scenario("db")
    script = answering(lambda keys: spoil([db.item(key) for key in keys]))
    _, errors = after(5, db.Db, "/db", script)
    assert errors == ["check: wrong rows"] and db.Db.verified == {}


def test_rows_that_were_right_before_are_looked_at_again(scenario, after):
    db = scenario("db")
    served = []

    def rows(keys):
        served.append(keys)
        late = len(served) > len(db.QUESTIONS)
        return [] if late else [db.item(key) for key in keys]

    _, errors = after(2 * len(db.QUESTIONS), db.Db, "/db", answering(rows))
    assert errors == ["check: wrong rows"]


@pytest.mark.parametrize(
    ("stem", "user_class", "path"), [("db", "Db", "/db"), ("db_write", "DbWrite", "/db/write")]
)
def test_a_database_that_is_gone_fails_as_what_it_is(scenario, after, stem, user_class, path):
    module = scenario(stem)
    gone = reply(b'{"error": "the database cannot be used"}', "503 Service Unavailable")
    _, (error,) = after(5, getattr(module, user_class), path, gone)
    assert error.startswith("http_5xx")


def test_an_order_is_posted_and_its_answer_checked(scenario, after):
    db_write = scenario("db_write")
    answer = reply(b'{"order": 12, "item": 7, "quantity": 2}')
    server, errors = after(5, db_write.DbWrite, "/db/write", answer)
    assert errors == []
    assert {(asked.method, json.loads(asked.body)["item"]) for asked in server.asked} == {("POST", 7)}


@pytest.mark.parametrize(
    "answer",
    [
        {"item": 7, "quantity": 2},
        {"order": None, "item": 7, "quantity": 2},
        {"order": 1, "item": 7, "quantity": 1},
    ],
)
def test_another_answer_to_an_order_is_a_failure(scenario, after, answer):
    db_write = scenario("db_write")
    _, errors = after(5, db_write.DbWrite, "/db/write", reply(json.dumps(answer).encode()))
    assert errors == ["check: the app did not write what was ordered"]
