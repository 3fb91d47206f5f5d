"""The images are what the checkout says, and no step is taken twice that need not be."""

import json

from tests.compose.real.checkout import cells
from tests.compose.real.engine import TAG, built_steps, label

IMAGES = [f"whichworker-{name}:{TAG}" for name in ("current", "sanic-21.12", "suite")]


def when(image, part):
    """When the copying step that has this in its command was built."""
    (time,) = {time for time, command in built_steps(image) if "COPY" in command and part in command}
    return time


def test_a_run_builds_what_it_needs(built):
    said, results = built
    assert all(label(image, "whichworker.sources") not in ("", "unknown") for image in IMAGES), said
    (run,) = (json.loads(path.read_text()) for path in results.glob("*/run.json"))
    assert (run["launcher"], run["status"], run["unavailable"]) == ("compose", "finished", [])
    assert run["stacks"]["sanic-21.12"]["packages"]["sanic"] == "21.12.2"
    assert run["stacks"]["current"]["packages"]["sanic"].startswith("25.")
    assert {cell["status"] for cell in cells(results)} == {"finished"}
    assert {cell["launcher"] for cell in cells(results)} == {"compose"}


def test_an_image_of_other_code_is_built_anew_with_what_was_installed(checkout, built, results):
    image = IMAGES[0]
    sources, installed, code = (
        label(image, "whichworker.sources"),
        when(image, "/opt/stack"),
        when(image, "targets"),
    )
    with checkout.changed("targets/app.py", lambda text: text + "\n# changed\n"):
        checkout.run_bench(results, "--plan", checkout.plan("both-stacks"), "--configurations", "uvicorn")
        assert label(image, "whichworker.sources") != sources
        assert when(image, "targets") != code
        # Installed anew, files would have other times in their bytecode, and this step would be another.
        assert when(image, "/opt/stack") == installed


def test_a_build_that_fails_says_why(checkout, results):
    with checkout.changed("targets/stacks/current.txt", lambda text: text + "what is this\n"):
        said = checkout.run_bench(results, "--plan", checkout.plan("both-stacks"), status=1)
    assert "whichworker-current" in said
    assert "Invalid requirement: 'what is this'" in said
    assert "Traceback" not in said
    assert not cells(results)
