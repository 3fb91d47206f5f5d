"""Somebody's own app: served by every configuration as it is, in its folder, with what was named for it."""

import json
import os
import re
import socket
import subprocess

import pytest

from tests.interpreters import needs_interpreter
from tests.patience import LONG_S, wait_until
from tests.ports import free_port

from ..conftest import CATALOGUE, PROJECT, stack_python

APP = '''
"""Written for nobody's suite; its own module is found first, and it reads a file beside itself."""

import os
from pathlib import Path

from sanic import Sanic
from sanic.response import json

import helper

def create_app():
    app = Sanic("shop")
    app.ctx.prices = Path("prices.txt").read_text()

    @app.get("/")
    async def about(_):
        return json(
            {
                "prices": app.ctx.prices,
                "help": helper.HELP,
                "folder": os.getcwd(),
                "variables": {name: os.environ.get(name) for name in ("TOKEN", "SECRET", "SANIC_SHOP")},
                "paths": sorted(route.path for route in app.router.routes_all.values()),
                "middleware": len(app.request_middleware) + len(app.response_middleware),
            }
        )

    return app

app = create_app() if os.environ.get("AT_ONCE") else None
number = 7

def needs(what):
    return what
'''
WATCHED = PROJECT / "docs" / "examples" / "collections"
CURRENT = [name for name, each in CATALOGUE.declared.items() if each.stack == "current"]


@pytest.fixture
def shop(tmp_path):
    folder = tmp_path / "my shop"
    folder.mkdir()
    (folder / "shop.py").write_text(APP)
    (folder / "helper.py").write_text("HELP = 'none'\n")
    (folder / "prices.txt").write_text("12.50")
    (folder / "broken.py").write_text("import shop\nraise RuntimeError('no licence')\n")
    (folder / "needy.py").write_text("import not_installed\n")
    (folder / "ending.py").write_text("import sys\nsys.exit('set TOKEN first')\n")
    (folder / "failing.py").write_text(
        "from sanic import Sanic\nfrom sanic.response import empty\napp = Sanic('failing')\n"
        "app.add_route(lambda _: empty(), '/')\n\n@app.before_server_start\nasync def connect(_):\n"
        "    raise ConnectionError('no shop database')\n"
    )
    return folder


def contents(folder):
    return {
        path: path.is_file() and (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*")
    }


@pytest.mark.parametrize("name", CURRENT)
def test_an_app_is_served_as_it_is(serve, shop, name):
    before = contents(shop)
    environment = {"TOKEN": "t", "SANIC_SHOP": "s", "SECRET": "not named", "UVICORN_LIMIT_CONCURRENCY": "1"}
    options = ("--app", "shop:create_app", "--app-folder", str(shop))
    named = ("--variable", "TOKEN", "--variable", "SANIC_SHOP")
    workers = "1" if CATALOGUE.get(name).max_workers == 1 else "2"
    served = serve(name, "--workers", workers, *options, *named, environment=environment).wait_ready()
    whoami = served.server["whoami"]
    assert whoami["app"] == "shop:create_app()"
    configuration = CATALOGUE.get(name)
    assert whoami["loop"] == configuration.loop and whoami["parser"] in configuration.parsers
    assert whoami["pid"] in served.pids() and whoami["versions"]["sanic"] == "25.12.1"
    assert served.get_json("/") == {
        "prices": "12.50",
        "help": "none",
        "folder": str(shop),
        "variables": {"TOKEN": "t", "SECRET": None, "SANIC_SHOP": "s"},
        "paths": [""],
        "middleware": 0,
    }
    assert served.end() == (0, "")
    assert contents(shop) == before


def test_the_worker_of_another_sanic_serves_it_too(serve, shop):
    needs_interpreter(CATALOGUE.stacks[CATALOGUE.get("gunicorn-sanic").stack])
    options = ("--app", "shop:create_app", "--app-folder", str(shop))
    served = serve("gunicorn-sanic", *options).wait_ready()
    assert served.server["whoami"]["parser"] == "sanic"
    assert served.get_json("/")["help"] == "none"


def test_its_workers_are_replaced_by_what_the_app_itself_lacks(serve, shop):
    options = ("--app", "shop:create_app", "--app-folder", str(shop), "--max-requests", "5")
    served = serve("sanic", *options).wait_ready()
    for _ in range(5):
        served.get_json("/")
    wait_until(lambda: len(served.events("ready", "worker")) == 2, "a successor is ready")


@pytest.mark.parametrize("name", ["sanic", "uvicorn"])
def test_the_example_that_watches_collections_tells_of_them(serve, name):
    options = ("--app", "watched:app", "--app-folder", str(WATCHED), "--variable", "FREEZE")
    served = serve(name, *options, environment={"FREEZE": "1"}).wait_ready()
    assert served.request("GET", "/index")[2] == b"Hello, world!"
    assert served.end() == (0, "")
    log = (served.metrics / "server.log").read_text()
    assert re.search(r"^full collection: \d+ ms, [\d,]+ objects$", log, re.MULTILINE)


@pytest.mark.parametrize("name", ["sanic", "uvicorn", "gunicorn-uvicorn", "granian"])
def test_a_startup_listener_that_fails_is_shown(serve, shop, name):
    served = serve(name, "--app", "failing:app", "--app-folder", str(shop))
    status, said = served.wait()
    assert status == 3
    assert "no shop database" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--app-folder", "nowhere"), "there is no folder nowhere"),
        (
            ("--app-folder", ".", "--variable", "GUNICORN_CMD_ARGS"),
            "GUNICORN_CMD_ARGS is a setting of servers",
        ),
    ],
)
def test_what_cannot_be_is_refused(serve, options, message):
    status, said = serve("uvicorn", "--app", "shop:app", *options).wait()
    assert status == 2 and message in said


SLOW = """
import time
from sanic import Sanic
from sanic.response import empty
from sanic.worker.manager import WorkerManager

WorkerManager.THRESHOLD = 5  # of 0.1 s
app = Sanic("slow")
app.add_route(lambda _: empty(), "/")

@app.before_server_start
async def load(_):
    time.sleep(2)
"""


@pytest.mark.parametrize(("limit", "status"), [("30", 3), ("31", None)])
def test_sanics_manager_waits_as_long_as_the_server_may_take(serve, shop, limit, status):
    """It gives its workers up earlier, which only code can change (sanic-org/sanic#2603, #2629)."""
    (shop / "slow.py").write_text(SLOW)
    served = serve("sanic", "--app", "slow:app", "--app-folder", str(shop), "--startup-timeout", limit)
    if status is None:
        served.wait_ready()
    else:
        assert served.wait()[0] == status
        assert "Not all workers acknowledged" in (served.metrics / "server.log").read_text()


# Waits for its database, which is started beside it (python-gino/gino#426).
WAITS = """
import asyncio
from sanic import Sanic
from sanic.response import empty

app = Sanic("waits")
app.add_route(lambda _: empty(), "/")

@app.before_server_start
async def connect(_):
    while True:
        try:
            await asyncio.open_connection("127.0.0.1", {port})
        except OSError as error:
            print("no database yet:", error, flush=True)
            await asyncio.sleep(0.1)
        else:
            return
"""


def test_an_app_may_wait_for_its_database_and_is_told_what_it_waits_for(serve, shop):
    port = free_port()
    (shop / "waits.py").write_text(WAITS.format(port=port))
    options = ("--app", "waits:app", "--app-folder", str(shop))
    # So long that it has been imported, and has said so, on a busy machine as well.
    late = serve("uvicorn", *options, "--startup-timeout", "8")
    served = serve("sanic", *options)
    status, said = late.wait()
    assert status == 3 and "was not ready after 8 s" in said and "STARTUP_TIMEOUT=" in said
    assert "no database yet: [Errno 111]" in said
    with socket.create_server(("127.0.0.1", port)):
        served.wait_ready()


# The kernel ends it while it loads its model (Kludex/uvicorn#711; gunicorn starts such workers on and on:
# tiangolo/uvicorn-gunicorn-fastapi-docker#42), or it is warm only after it has begun to listen
# (benoitc/gunicorn#2503).
LOADS = """
import asyncio, os, signal
from sanic import Sanic
from sanic.response import empty

app = Sanic("loads")
app.ctx.warm = False
app.add_route(lambda request: empty(status=204 if request.app.ctx.warm else 503), "/")

@app.before_server_start
async def load(_):
    if os.environ["MEMORY"] == "little":
        os.kill(os.getpid(), signal.SIGKILL)

@app.after_server_start
async def warm(app):
    await asyncio.sleep(0.5)
    app.ctx.warm = True
"""


@pytest.mark.parametrize("name", ["uvicorn", "gunicorn-uvicorn"])
def test_an_app_that_is_killed_while_it_loads_is_told_so(serve, shop, name):
    (shop / "loads.py").write_text(LOADS)
    options = ("--app", "loads:app", "--app-folder", str(shop), "--variable", "MEMORY")
    status, said = serve(name, *options, environment={"MEMORY": "little"}).wait()
    assert status == 3 and "was killed (SIGKILL, as by the kernel where memory runs out)" in said


@pytest.mark.parametrize("name", ["sanic", "uvicorn"])
def test_a_server_is_ready_when_its_app_is_warm(serve, shop, name):
    (shop / "loads.py").write_text(LOADS)
    options = ("--app", "loads:app", "--app-folder", str(shop), "--variable", "MEMORY")
    served = serve(name, *options, environment={"MEMORY": "enough"}).wait_ready()
    assert served.request("GET", "/")[0] == 204


@pytest.mark.parametrize("name", ["sanic", "uvicorn"])
def test_an_app_that_serves_itself_starts_no_second_server(serve, shop, name):
    (shop / "runs.py").write_text("from shop import create_app\napp = create_app()\napp.run(port=1)\n")
    status, said = serve(name, "--app", "runs:app", "--app-folder", str(shop)).wait()
    assert status == 3 and 'Put that call under `if __name__ == "__main__":`' in said


def check(name, folder, **environment):
    return subprocess.run(
        [
            stack_python("current"),
            "-m",
            "targets.check_app",
            name,
            "--folder",
            folder,
            "--variable",
            "AT_ONCE",
        ],
        cwd=PROJECT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=LONG_S,
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("shap:app", ["there is no module shap in "]),
        ("shop:ap", ["shop has no 'ap'; did you mean 'app'?"]),
        ("shop:number", ["shop:number is no Sanic app and no function that makes one: it is a builtins.int"]),
        ("shop:needs", ["shop:needs needs arguments"]),
        ("helper:HELP.upper", ["helper:HELP.upper() makes no Sanic app: it returned a builtins.str"]),
        ("broken:app", ["broken cannot be imported:", 'broken.py", line 2', "RuntimeError: no licence"]),
        ("needy:app", ["needy cannot be imported:", "No module named 'not_installed'"]),
        ("ending:app", ["it ended the program: SystemExit('set TOKEN first')"]),
        ("shop", ["'shop' names no app: write MODULE:NAME"]),
    ],
)
def test_a_name_that_is_no_app_is_explained(shop, name, words):
    before = contents(shop)
    done = check(name, shop)
    assert done.returncode == 1
    assert all(word in done.stdout for word in words)
    assert "targets/inside/loading.py" not in done.stdout
    assert contents(shop) == before


def test_an_app_is_told_by_its_name_and_routes(shop):
    assert json.loads(check("shop:create_app()", shop).stdout) == {
        "app": "shop:create_app()",
        "title": "shop",
        "routes": 1,
    }
    assert json.loads(check("shop:app", shop, AT_ONCE="1").stdout)["app"] == "shop:app"


def test_a_package_of_the_suites_name_cannot_be_hidden(shop):
    (shop / "targets").mkdir()
    assert "hides the suite's own package targets" in check("shop:create_app", shop).stdout
