"""An app of one's own in containers: the example of docs/own-app.md, where nobody may write.

Its locustfile needs a package here, too, which has an image of its own over the suite's, and does what other
people's do: it prints what looks like an event, has an option that is required, raises in a listener and sets
an exit status. What an import does in a container meets nobody there either.
"""

import json

from tests.compose.real.checkout import cells, reasons

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
ITSELF = "from sanic import Sanic\napp = Sanic('itself')\napp.run(port=9999)\n"


def contents(folder):
    return {
        path: path.is_file() and (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*")
    }


def test_the_example_is_measured(checkout, results, nothing_left):
    folder = checkout.folder / "docs" / "examples" / "notes"
    load = checkout.folder / "load"
    load.mkdir()
    users = (folder / "locustfile.py").read_text()
    (load / "locustfile.py").write_text(users + USERS)
    (load / "itself.py").write_text(ITSELF)
    (load / "requirements.txt").write_text("mistune==3.4.0\n")
    before = contents(folder)
    said = checkout.run_bench(
        results, "--app", "notes.app:create_app", "--app-dir", folder,
        "--requirements", folder / "requirements.txt", "--locustfile", load / "locustfile.py",
        "--locustfile-requirements", load / "requirements.txt", "--scenario-options=--tenant acme",
        "--environment", "NOTES_TOKEN", "--configurations", "sanic,gunicorn-uvicorn",
        "--users", "4", "--repeats", "1", "--duration", "1", NOTES_TOKEN="hush-hush",
    )  # fmt: skip
    assert 'app: notes.app:create_app(), "notes" with 2 routes, in "current"' in said
    assert reasons(results) == {}
    assert {cell["configuration"] for cell in cells(results)} == {"sanic", "gunicorn-uvicorn"}
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
    raised = [path for path in files if path.name == "locust_exceptions.csv"]
    assert len(raised) == 2 and all("LookupError: no accounts" in path.read_text() for path in raised)
    assert "note: a locustfile set the exit status 3" in said
    refused = checkout.run_bench(
        results, "--app", "itself:app", "--app-dir", load, "--locustfile", load / "locustfile.py",
        "--locustfile-requirements", load / "requirements.txt", "--configurations", "sanic", status=1,
    )  # fmt: skip
    assert "the app serves itself when it is imported" in refused and "itself.py" in refused
