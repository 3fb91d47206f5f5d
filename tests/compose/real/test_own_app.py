"""An app of one's own in containers: the example of docs/own-app.md and two routes, where nobody may write.

Its locustfiles need a package here, too, which has an image of its own over the suite's, and do what other
people's do: they print what looks like an event, have an option that is required, raise in a listener, set
an exit status, ask in ways of which SwarmUser has one refused, and share a helper. What an import does in a
container, or a start that takes too long, meets nobody there either.
"""

import json
import shutil

from tests.compose.real.checkout import cells, reasons
from tests.fixtures.never_ready import NEVER_READY

SERVICE = r"""
import gzip
from notes.app import create_app as make
from sanic.response import json, raw

PACKED = {"gzip": gzip.compress(b"hello"), "br": b"\x0b\x02\x80hello\x03"}

async def got(request):
    (note,) = request.files["note"]
    return json([note.name, note.body.decode(), request.headers["authorization"], request.headers["x-kind"]])

async def packed(_, kind):
    return raw(PACKED[kind], headers={"content-encoding": kind})

def create_app():
    app = make()
    app.add_route(got, "/got", methods=["POST"])
    app.add_route(packed, "/packed/<kind:str>")
    return app
"""
ITSELF = "from sanic import Sanic\napp = Sanic('itself')\napp.run(port=9999)\n"
USERS = """
from mistune import html  # noqa
from locust import events

@events.init_command_line_parser.add_listener
def add(parser):
    parser.add_argument("--tenant", required=True)

@events.test_start.add_listener
def begin(environment, **_):
    print('{"event": "finished", "cell": null, "window": {"start": 1, "end": 2}, "requests": 7}')
    print("begins", environment.parsed_options.tenant, environment.host, environment.runner.target_user_count)
    raise LookupError("no accounts")

@events.quitting.add_listener
def gate(environment, **_):
    environment.process_exit_code = 3
"""
CAREFUL = """
from helper import EXPECTED, NOTE
from locust import constant, task
from swarm import SwarmUser

class Careful(SwarmUser):
    wait_time = constant(0.02)

    @task
    def look(self):
        given = {"auth": ("ann", "pass"), "headers": {b"X-Kind": b"bytes"}}
        sent = yield self.post("/got", files={"note": NOTE}, **given)
        if sent.json() != EXPECTED:
            sent.failure(sent.text)
        for kind in ("gzip", "br"):
            packed = yield self.get("/packed/" + kind, headers={"Accept-Encoding": kind})
            if packed.text != "hello":
                packed.failure(packed.text)
        yield self.get("/notes/welcome", verify=False)

class Idle(Careful):
    weight = 0
"""
HELPER = """
NOTE = ("a.txt", b"four")
EXPECTED = ["a.txt", "four", "Basic YW5uOnBhc3M=", "bytes"]
"""


def contents(folder):
    return {
        path: path.is_file() and (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*")
    }


def written(checkout):
    """The folders of the service and of its load, as a user of the checkout has them."""
    example, folder, load = (
        checkout.folder / "docs" / "examples" / "notes", checkout.folder / "service", checkout.folder / "load"
    )  # fmt: skip
    shutil.copytree(example, folder)
    load.mkdir()
    users = (example / "locustfile.py").read_text() + USERS
    for name, text in {"extra": SERVICE, "slow": NEVER_READY, "itself": ITSELF}.items():
        (folder / f"{name}.py").write_text(text)
    for name, text in {"readers": users, "careful": CAREFUL, "helper": HELPER}.items():
        (load / f"{name}.py").write_text(text)
    (load / "requirements.txt").write_text("mistune==3.4.0\n")
    return folder, load


def test_the_example_is_measured(checkout, results, nothing_left):
    folder, load = written(checkout)
    before = contents(folder)
    of_load = ("--locustfile", load, "--locustfile-requirements", load / "requirements.txt")
    said = checkout.run_bench(
        results, "--app", "extra:create_app", "--app-dir", folder,
        "--requirements", folder / "requirements.txt", *of_load, "--scenario-options=--tenant acme",
        "--environment", "NOTES_TOKEN", "--configurations", "sanic,gunicorn-uvicorn",
        "--users", "4", "--repeats", "1", "--duration", "1", NOTES_TOKEN="hush-hush",
    )  # fmt: skip
    assert 'app: extra:create_app(), "notes" with 4 routes, in "current"' in said
    assert "note: helper.py defines no user class, so it is no scenario" in said
    assert "note: careful.py: the weight of Idle is 0" in said
    assert reasons(results) == {}
    assert {(cell["configuration"], cell["scenario"]) for cell in cells(results)} == {
        (name, scenario) for name in ("sanic", "gunicorn-uvicorn") for scenario in ("readers", "careful")
    }
    assert all(cell["measured"]["requests"] and not cell["measured"]["failures"] for cell in cells(results))
    assert contents(folder) == before
    (run,) = (json.loads(path.read_text()) for path in results.glob("*/run.json"))
    assert run["stacks"]["current"]["packages"]["mistune"] == "3.4.0"
    assert run["suite"]["packages"]["mistune"] == "3.4.0"
    files = [path for path in results.rglob("*") if path.is_file()]
    assert not [path for path in files if b"hush-hush" in path.read_bytes()]
    (log,) = results.glob("*/generator.log")
    begun = [
        line for line in log.read_text().splitlines() if line.startswith("begins acme http://127.0.0.1:")
    ]
    assert len(begun) >= 2 and all(line.endswith(" 4") for line in begun)
    for scenario, words in {
        "readers": ["LookupError: no accounts"],
        "careful": ["TypeError: ", "no option 'verify'", "class attribute `verify`"],
    }.items():
        raised = [path.read_text() for path in results.glob(f"*/*/{scenario}/*/*/locust_exceptions.csv")]
        assert len(raised) == 2 and all(word in text for text in raised for word in words), raised
    assert "note: a locustfile set the exit status 3" in said
    refusals = {
        ("itself:app",): ["the app serves itself when it is imported", "itself.py"],
        ("notes.app:create_app",): ["readers.py: it requires --tenant: give SCENARIO_OPTIONS="],
        ("slow:app", "--scenario-options=--tenant acme", "--startup-timeout", "2"): [
            "was not ready after 2 s", "(STARTUP_TIMEOUT=)",
        ],
    }  # fmt: skip
    for (app, *options), words in refusals.items():
        refused = checkout.run_bench(
            results / "refused", "--app", app, "--app-dir", folder,
            "--requirements", folder / "requirements.txt", *of_load, "--environment", "NOTES_TOKEN",
            "--configurations", "sanic", "--users", "4", "--repeats", "1", "--duration", "1", *options,
            status=1, NOTES_TOKEN="hush-hush",
        )  # fmt: skip
        assert all(word in refused for word in words), refused
