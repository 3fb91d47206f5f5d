"""The routes that ask a database, against a real PostgreSQL, in every configuration."""

import http.client
import json
import os
import re
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from tests.databases import CLIENTS, another, ask, postmaster, prepare, running
from tests.interpreters import needs_interpreter
from tests.patience import wait_until

from .conftest import CATALOGUE, alive, serving, stack_python, workers_of

FIRST = {"id": 1, "name": "Item 1", "price_cents": 137, "stock": 7}
LAST = {"id": 10_000, "name": "Item 10000", "price_cents": 3800, "stock": 0}


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with running(tmp_path_factory.mktemp("database")) as server:
        assert prepare(server.url).returncode == 0
        yield server.url


def answer(serve, method, path, body=None):
    """Status and JSON of a request."""
    status, _, content = serve.request(method, path, None if body is None else json.dumps(body).encode())
    return status, json.loads(content)


def no_clients(url):
    wait_until(lambda: ask(url, CLIENTS) == [], "the connections are closed")


@pytest.fixture(scope="module")
def asking(request, tmp_path_factory, url):
    """A server of each configuration that asks the database; the test that kills its serve comes last."""
    name = request.param
    needs_interpreter(CATALOGUE.stacks[CATALOGUE.get(name).stack])
    no_clients(url)
    options = ("--workers", str(workers_of(name)))
    folder = tmp_path_factory.mktemp("asking")
    with serving(folder, name, *options, environment={"DATABASE_URL": url}) as serve:
        yield serve.wait_ready()


@pytest.mark.parametrize("asking", CATALOGUE.declared, indirect=True, scope="module")
def test_every_configuration_reads_and_writes_through_ten_connections_of_each_worker(asking, url):
    connections = 10 * workers_of(asking.name)
    assert len(ask(url, CLIENTS)) == connections
    assert answer(asking, "GET", "/db?ids=10000,1,10000") == (200, {"items": [LAST, FIRST, LAST]})
    assert answer(asking, "GET", "/db?ids=1,10001,10002") == (404, {"error": "there is no item 10001"})
    order = {"item": 7, "quantity": 2}
    status, written = answer(asking, "POST", "/db/write", order)
    assert status == 200 and written == {**order, "order": written["order"]}
    row = f"SELECT item, quantity FROM whichworker.orders WHERE id = {written['order']}"
    assert ask(url, row) == [[7, 2]]
    assert answer(asking, "POST", "/db/write", {"item": 10_001, "quantity": 1}) == (
        404,
        {"error": "there is no item 10001"},
    )
    assert len(ask(url, CLIENTS)) == connections


@pytest.mark.parametrize("asking", CATALOGUE.declared, indirect=True, scope="module")
def test_neither_processes_nor_connections_survive_when_serve_is_killed(asking, url):
    pids = asking.pids()
    assert len(pids) >= workers_of(asking.name)
    asking.end(signal.SIGKILL)
    wait_until(lambda: not [pid for pid in pids if alive(pid)], "the server ends with serve")
    no_clients(url)


@pytest.fixture(scope="module")
def app(tmp_path_factory, url):
    """A server that stays, with a database of its own: in the other one connections are counted."""
    folder, database = tmp_path_factory.mktemp("app"), another(url, "app")
    assert prepare(database).returncode == 0
    with serving(folder, "sanic-single", environment={"DATABASE_URL": database}) as serve:
        serve.database = database
        yield serve.wait_ready()


@pytest.mark.parametrize(
    "ids", ["", "?ids=", "?ids=a", "?ids=1,", "?ids=0", "?ids=2147483648", "?ids=" + ",".join(["1"] * 101)]
)
def test_keys_that_are_none_are_refused(app, ids):
    status, refused = answer(app, "GET", f"/db{ids}")
    assert status == 400
    assert refused["error"].startswith("ids must be 1 to 100 integers from 1 to 2147483647")


def test_as_many_keys_as_are_allowed_are_answered_in_their_order(app):
    keys = list(range(100, 0, -1))
    status, found = answer(app, "GET", f"/db?ids={','.join(map(str, keys))}")
    assert status == 200 and [item["id"] for item in found["items"]] == keys


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ([], "the body must be a JSON object"),
        ({"quantity": 1}, "item must be an integer from 1 to 2147483647"),
        ({"item": 7}, "quantity must be an integer from 1 to 2147483647"),
        ({"item": "7", "quantity": 1}, "item must be"),
        ({"item": 7, "quantity": 0}, "quantity must be"),
        ({"item": 7, "quantity": True}, "quantity must be"),
        ({"item": 2**31, "quantity": 1}, "item must be"),
    ],
)
def test_an_order_that_is_none_is_refused_and_not_written(app, body, reason):
    count = "SELECT count(*) FROM whichworker.orders"
    status, refused = answer(app, "POST", "/db/write", body)
    assert status == 400 and refused["error"].startswith(reason)
    assert ask(app.database, count) == [[0]]


# By the app, by a process manager, by the server: after a fork of the loaded app, and on Sanic 21.12.
@pytest.mark.parametrize("name", ["sanic", "uvicorn", "gunicorn-uvicorn-preload", "gunicorn-sanic"])
def test_a_worker_that_replaces_another_has_connections_of_its_own(tmp_path, url, name):
    needs_interpreter(CATALOGUE.stacks[CATALOGUE.get(name).stack])
    options = ["--max-requests", "20", "--max-requests-jitter", "0"]
    with serving(tmp_path, name, *options, environment={"DATABASE_URL": url}) as serve:
        serve.wait_ready()
        first = serve.server["whoami"]["pid"]
        seen = set()
        answers = []

        def replaced():
            # While nobody listens there is nobody to answer.
            with suppress(OSError, http.client.HTTPException):
                answers.append(answer(serve, "GET", "/db?ids=1"))
                seen.add(serve.get_json("/whoami")["pid"])
            return seen - {first}

        wait_until(replaced, "another worker serves")
        assert answer(serve, "GET", "/db?ids=1") == (200, {"items": [FIRST]})
        assert {status for status, _ in answers} == {200}
        wait_until(lambda: len(ask(url, CLIENTS)) == 10, "the old worker's connections are closed")
        assert serve.end()[0] == 0
    no_clients(url)


def test_without_a_database_only_its_routes_say_so(tmp_path):
    with serving(tmp_path, "sanic-single", environment={"DATABASE_URL": ""}) as serve:
        serve.wait_ready()
        missing = (503, {"error": "there is no database: DATABASE_URL is not set"})
        assert answer(serve, "GET", "/db?ids=1") == missing
        assert answer(serve, "POST", "/db/write", {"item": 7, "quantity": 2}) == missing
        assert serve.request("GET", "/index")[0] == 200
        # The driver is not even loaded.
        assert "asyncpg" not in Path(f"/proc/{serve.server['whoami']['pid']}/maps").read_text()


@pytest.mark.parametrize("name", ["sanic-single", "sanic", "uvicorn", "gunicorn-uvicorn", "gunicorn-sanic"])
def test_a_worker_whose_database_cannot_be_reached_does_not_start(tmp_path, name):
    needs_interpreter(CATALOGUE.stacks[CATALOGUE.get(name).stack])
    # Port 1 of this machine: nobody listens there.
    environment = {"DATABASE_URL": "postgresql://ada:secret@127.0.0.1:1/app"}
    with serving(tmp_path, name, "--startup-timeout", "20", environment=environment) as serve:
        status, said = serve.wait()
    assert status == 3
    assert re.search(r"the database of DATABASE_URL cannot be used: \[Errno 111\]", said)
    assert "secret" not in said


def test_a_database_that_ends_while_it_is_used_fails_its_requests_only(tmp_path):
    with running(tmp_path) as server:
        assert prepare(server.url).returncode == 0
        with serving(tmp_path, "sanic-single", environment={"DATABASE_URL": server.url}) as serve:
            serve.wait_ready()
            assert answer(serve, "GET", "/db?ids=1")[0] == 200
            os.kill(postmaster(server.url), signal.SIGKILL)

            def fails():
                status, said = answer(serve, "GET", "/db?ids=1")
                return status == 503 and "the database of DATABASE_URL cannot be used" in said["error"]

            wait_until(fails, "the database is gone")
            assert serve.request("GET", "/index")[0] == 200
            log = (serve.metrics / "server.log").read_text()
            assert "Traceback" not in log
            assert serve.end()[0] == 0


def test_tables_that_are_missing_are_named(tmp_path, url):
    bare = another(url, "bare")
    with serving(tmp_path, "sanic-single", environment={"DATABASE_URL": bare}) as serve:
        serve.wait_ready()
        status, said = answer(serve, "GET", "/db?ids=1")
        assert status == 503 and 'relation "whichworker.items" does not exist' in said["error"]
        assert prepare(bare).returncode == 0
        assert answer(serve, "GET", "/db?ids=1")[0] == 200


@pytest.mark.parametrize("stack", CATALOGUE.pinned)
def test_prepare_makes_the_tables_once_and_empties_the_orders(url, stack):
    needs_interpreter(CATALOGUE.stacks[stack])
    fresh = another(url, "of_" + re.sub(r"\W", "_", stack))
    ask(fresh, "CREATE TABLE public.orders (mine int)")
    ask(fresh, "INSERT INTO public.orders VALUES (1)")
    for _ in range(2):
        done = prepare(fresh, python=stack_python(stack))
        assert (done.returncode, done.stderr) == (0, "")
        assert re.fullmatch(r"PostgreSQL \d+(\.\d+)?\S*\n", done.stdout)
        items = "SELECT count(*), min(id), max(id), count(DISTINCT name) FROM whichworker.items"
        assert ask(fresh, items) == [[10_000, 1, 10_000, 10_000]]
        assert ask(fresh, "SELECT id FROM whichworker.orders") == []
        insert = "INSERT INTO whichworker.orders (item, quantity) VALUES (1, 1) RETURNING id"
        assert ask(fresh, insert) == [[1]]
    # What has the same name elsewhere in that database is not ours.
    assert ask(fresh, "SELECT mine FROM public.orders") == [[1]]


@pytest.mark.parametrize(
    ("url", "status", "reason"),
    [
        ("", 2, "set DATABASE_URL"),
        ("mysql://ada:secret@127.0.0.1/app", 1, "scheme"),
        ("postgresql://ada:secret@127.0.0.1:1/app", 1, "Connect call failed"),
        ("postgresql://ada:secret@127.0.0.1:none/app", 1, "DATABASE_URL cannot be used"),
    ],
)
def test_prepare_says_in_one_line_what_is_wrong(url, status, reason):
    done = prepare(url)
    assert done.returncode == status and done.stdout == ""
    assert reason in done.stderr and done.stderr.count("\n") == 1
    assert "secret" not in done.stderr


def test_a_wrong_password_is_told_without_it(url):
    done = prepare(re.sub(r":\w+@", ":sesame@", url))
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "password authentication failed" in done.stderr and "sesame" not in done.stderr


def test_prepare_is_all_there_is_to_ask_for(url):
    done = prepare(url, "drop")
    assert (done.returncode, done.stderr) == (2, "usage: python -m targets.database prepare\n")
