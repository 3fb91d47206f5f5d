"""An app of one's own in containers: the example of docs/own-app.md, where nobody may write.

Its locustfile needs a package here, too, which has an image of its own over the suite's.
"""

import json

from tests.compose.real.checkout import cells, reasons


def contents(folder):
    return {
        path: path.is_file() and (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*")
    }


def test_the_example_is_measured(checkout, results, nothing_left):
    folder = checkout.folder / "docs" / "examples" / "notes"
    load = checkout.folder / "load"
    load.mkdir()
    users = (folder / "locustfile.py").read_text()
    (load / "locustfile.py").write_text(users + "\nfrom mistune import html  # noqa\n")
    (load / "requirements.txt").write_text("mistune==3.4.0\n")
    before = contents(folder)
    said = checkout.run_bench(
        results, "--app", "notes.app:create_app", "--app-dir", folder,
        "--requirements", folder / "requirements.txt", "--locustfile", load / "locustfile.py",
        "--locustfile-requirements", load / "requirements.txt",
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
