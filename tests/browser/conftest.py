"""The web UI in a real browser: `make test-browser`. It needs Playwright and the system's Chromium.

Screenshots of every state are left in `shots/`, which git ignores.
"""

import os
import shutil
from pathlib import Path

import pytest

from bench import stacks
from targets.configurations import load
from tests.bench.cockpit.ui import CATALOGUE, Ui

HERE = Path(__file__).parent
SHOTS = HERE / "shots"
PATIENCE_MS = 60_000
"""How long anything may take before a test fails: far more than it needs."""


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
def browse(chromium, ui):
    """Opens pages of the web UI; whatever goes wrong in one of them fails the test."""
    contexts, wrong = [], []

    def make(url, **options):
        context = chromium.new_context(viewport={"width": 1280, "height": 900}, **options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.on("request", lambda asked: elsewhere(asked.url, ui.url, wrong))
        page.goto(url)
        return page

    yield make
    for context in contexts:
        context.close()
    assert wrong == []


def elsewhere(asked, url, wrong):
    """Whatever a page loads must come from the web UI itself: it works offline."""
    if not asked.startswith((url, "data:", "blob:")):
        wrong.append(f"another host was asked: {asked}")


@pytest.fixture
def shot():
    """Keeps a screenshot: `shot(page, "name")`."""
    SHOTS.mkdir(exist_ok=True)

    def take(page, name, **options):
        page.screenshot(path=SHOTS / f"{name}.png", **options)

    return take


@pytest.fixture
def ui(tmp_path):
    stacks.ensure(load().stacks["current"], print)
    catalogue = tmp_path / "configurations.toml"
    catalogue.write_text(CATALOGUE)
    opened = Ui(
        tmp_path / "results", "--catalogue", str(catalogue), "--scenarios", "index,sleep,json-document"
    )
    assert opened.url, opened.said
    yield opened
    opened.close()
