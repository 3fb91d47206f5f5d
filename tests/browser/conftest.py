"""The web UI in a real browser: `make test-browser`. It needs Playwright and the system's Chromium.

One web UI serves all tests: each finds it idle. Screenshots of every state are left in `shots/`, which git
ignores.
"""

import os
import shutil
from pathlib import Path

import pytest

from bench.launch import stacks
from targets.catalogue.configurations import load
from tests.bench.studies.cockpit.ui import CATALOGUE, Ui
from tests.patience import LONG_S

HERE = Path(__file__).parent
SHOTS = HERE / "shots"
PATIENCE_MS = LONG_S * 1000
UNAVAILABLE = """
[stack.old]
python = ["2.7"]
requirements = "current.txt"

[configuration.museum]
summary = "Needs a Python that nobody has."
stack = "old"
argv = ["python", "-m", "nothing"]
recycle = "none"
loop = "uvloop"
parser = "sanic"
keep_alive_s = 75
backlog = 100
"""


def pytest_ignore_collect(collection_path, config):
    """Collected only when asked for: other rooms' tests need no browser."""
    asked = [(config.invocation_params.dir / str(each).partition("::")[0]).resolve() for each in config.args]
    return None if any(path.is_relative_to(HERE) for path in asked) else True


@pytest.fixture(scope="session")
def chromium():
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE_MS)

    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program, "no Chromium was found (Debian: apt install chromium)"
    # Chromium's own sandbox does not work for root; what is shown here are our own pages.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def browse(chromium):
    """Opens pages of a web UI; whatever goes wrong in one of them fails the test."""
    contexts, wrong = [], []

    def make(ui, path="/", **options):
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.on("request", lambda asked: elsewhere(asked.url, ui.url, wrong))
        page.goto(ui.url + path)
        return page

    yield make
    for context in contexts:
        context.close()
    assert wrong == []


def elsewhere(asked, url, wrong):
    """Whatever a page loads must come from the web UI itself: it works offline."""
    if not asked.startswith((url, "data:", "blob:")):
        wrong.append(f"another host was asked: {asked}")


@pytest.fixture(scope="session")
def shot():
    """Keeps a screenshot: `shot(page, "name")`."""
    shutil.rmtree(SHOTS, ignore_errors=True)
    SHOTS.mkdir()

    def take(page, name, **options):
        page.screenshot(path=SHOTS / f"{name}.png", full_page=True, **options)

    return take


@pytest.fixture(scope="session")
def open_ui(tmp_path_factory):
    """Opens a web UI with options of its own, which ends with the tests: `open_ui("--login")`."""
    stacks.ensure(load().stacks["current"], print)
    opened = []

    def make(*options, **environment):
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            opened.append(Ui(tmp_path_factory.mktemp("ui") / "results", *options))
        assert opened[-1].url, opened[-1].said
        return opened[-1]

    yield make
    for each in opened:
        each.close()


@pytest.fixture(scope="session")
def cockpit(open_ui, tmp_path_factory):
    """The web UI that most tests share, with a catalogue of their own."""
    catalogue = tmp_path_factory.mktemp("catalogue") / "configurations.toml"
    requirements = load().stacks["current"].requirements
    catalogue.write_text(CATALOGUE + UNAVAILABLE.replace("current.txt", str(requirements)))
    return open_ui("--catalogue", str(catalogue), "--scenarios", "index,sleep,json-document")


@pytest.fixture
def ui(cockpit):
    """The same, when no load runs."""
    return cockpit.idle()
