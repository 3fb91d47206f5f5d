"""Nothing that came from outside can be more than text: names, reasons, logs, commands, versions, plans."""

import json
import re
import xml.etree.ElementTree as ElementTree

import pytest

from analysis.report.build import render
from bench.model.files import plain
from tests import notebooks
from tests.analysis.report_page import Page
from tests.fixtures import imagined
from tests.fixtures.make_recycling import STORIES, Story, generation, make_recycling
from tests.fixtures.spoil import TRACEBACK, raise_in

# It closes every element and attribute, runs in every context, colours a terminal, turns the writing
# round, breaks JSON's text in half and is no formula.
EVIL = (
    "</pre></style></script></title>--><img src=x onerror=alert(1)><script>alert(2)</script>"
    "\" onload='alert(3)' {{ 7 * 7 }} &lt; \x1b[31m \u202e \ud800 $\\frac{$"
)
# What a folder can be called.
NAME = "<b onclick=alert(4)>&\"'$\\frac{$ {% x %}"
# Keys whose values are read by the analysis, and others that would not be that run.
STRUCTURE = {
    "schema", "status", "kind", "arrivals", "configuration", "scenario", "configurations", "scenarios",
    "aliases", "thresholds", "recycle", "engine", "machine_id", "url", "treatment",
}  # fmt: skip
TAGS = {
    "html", "head", "meta", "title", "style", "body", "a", "header", "p", "h1", "div", "nav", "ol", "li",
    "main",
    "section", "h2", "h3", "dl", "dt", "dd", "ul", "span", "table", "caption", "strong", "thead", "tbody",
    "tr", "th", "td", "details", "summary", "figure", "img", "pre", "footer", "script",
}  # fmt: skip


def poisoned(value, key=""):
    """`value` with every text in it hostile, but for what the run would not be one without."""
    if isinstance(value, dict):
        packages = key in ("packages", "versions")
        return {
            (f"{name}{EVIL}" if packages else name): each if name in STRUCTURE else poisoned(each, name)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [poisoned(each, key) for each in value]
    return f"{value}{EVIL}" if isinstance(value, str) else value


def poison(folder):
    """Make every text of a run hostile, in JSON and in CSV."""
    for path in [folder / "run.json", *folder.rglob("cell.json")]:
        document = json.loads(path.read_text())
        about = document.get("configurations", [])
        document = poisoned(document)
        if about:
            document["configurations"] = [
                each | {key: f"{each[key]}{EVIL}" for key in ("summary", "stack")} for each in about
            ]
            document["unavailable"] = [each | {"configuration": NAME} for each in document["unavailable"]]
        path.write_text(json.dumps(document))
    for path in folder.rglob("failures.csv"):
        text = path.read_text().replace("closed_unanswered", '"<i onclick=alert(5)>"')
        path.write_text(text.replace("reset", "<u>").replace("imagined", "<u>"))
    for path in folder.glob("*/*/*/*/latency.csv"):
        raised = [(2, f"raised{EVIL}", TRACEBACK.replace("load.py", NAME)), (1, EVIL * 900, EVIL)]
        raise_in(path.parent, [[str(each).replace("\ud800", "") for each in row] for row in raised])


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    from tests.fixtures.make_run import Spec, make_run

    def speed():
        patch = pytest.MonkeyPatch()
        patch.setitem(imagined.WAITS, NAME, 0.0)
        spec = Spec(
            configurations=("sanic", "gunicorn-asgi", "gunicorn-sanic", "uvicorn"),
            aliases={NAME: "sanic"},
            scenarios={NAME: (8, 64), "index": (64,)},
            ceilings={NAME: 160_000.0},
            thresholds={"all": ["p99_ms < 0.001"]},
            failed=frozenset({("uvicorn", "index")}),
            repeats=2,
            status="interrupted",
        )
        try:
            return make_run(tmp_path_factory.mktemp("results") / "speed", spec)
        finally:
            patch.undo()

    def recycling():
        broken = Story("hypercorn", generation(2, 1.0), failed=f"it died\n{EVIL}\nlast words")
        folder = make_recycling(tmp_path_factory.mktemp("results") / "recycle", [*STORIES, broken])
        (folder / broken.folder / "server.log").write_text(EVIL, encoding="utf-8", errors="replace")
        return folder

    def nothing():
        everything = frozenset({("sanic", "index")})
        spec = Spec(configurations=("sanic",), scenarios={"index": (8,)}, failed=everything)
        return make_run(tmp_path_factory.mktemp("results") / "nothing", spec)

    return {"speed": speed, "recycling": recycling, "nothing": nothing}


@pytest.fixture(scope="module", params=["speed", "recycling", "nothing"])
def page(make, request):
    """The name of a kind of run, and the whole report of one in which every text is hostile."""
    folder = make[request.param]()
    poison(folder)
    with notebooks.here():
        return request.param, render(folder).html


def test_no_text_becomes_an_element_or_an_attribute(page):
    _, html = page
    found = Page(html.read_text(encoding="utf-8"))
    assert {element.tag for element in found.elements} <= TAGS
    assert [element.tag for element in found.elements].count("script") == 1
    names = {key for element in found.elements for key in element.attributes}
    assert not {name for name in names if name.startswith("on")} and "style" not in names
    assert all(image["src"].startswith("data:image/png;base64,") for image in found.images)
    for address in found.addresses:
        assert address.startswith(("#", "../", "data:image/png;base64,")) or address.endswith(".svg")
        assert not re.search(r"[<>\"'\s]", address.removesuffix(".svg")) or address.startswith("#")


def test_hostile_texts_are_shown_as_they_are(page):
    kind, html = page
    text = Page(html.read_text(encoding="utf-8")).text
    shown = plain(EVIL)
    for start in ("synthetic", "Imagined CPU", "Linux 6.1", "processes", "locust", "2.47.0", "3.11.7"):
        assert f"{start}{shown}" in text
    if kind == "speed":
        assert f"no Python 3.9 here{shown}" in text and f"install Python 3.9{shown}" in text
        assert f"the server ended by itself (exit status 1){shown}" in text
        assert f"sanic, as imagined.{shown}" in text and f"loop uvloop{shown}" in text
        assert NAME in text and "<i onclick=alert(5)>" in text
        assert f"“raised{shown[:80]}" in text
    if kind == "recycling":
        assert "it died" in text and shown in text
    if kind == "nothing":
        assert f"the server ended by itself (exit status 1){shown}" in text


def test_nothing_is_left_that_a_browser_obeys(page):
    source = page[1].read_text(encoding="utf-8")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", source)


def test_drawings_are_drawings(page):
    kind, html = page
    drawings = list(html.parent.glob("*.svg"))
    assert bool(drawings) == (kind != "nothing")
    for path in drawings:
        tags = {element.tag.rpartition("}")[2] for element in ElementTree.parse(path).iter()}
        assert not tags & {"script", "a", "image", "foreignObject", "b", "img"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two\r\nlines\tapart", "two\nlines\tapart"),
        ("\x1b[31mred\x07", "�[31mred�"),
        ("\u202eabc\u2066\x85", "�abc��"),
        ("half \ud83d", "half �"),
        ("été 漢字 👍", "été 漢字 👍"),
    ],
)
def test_plain_keeps_what_people_read(text, shown):
    assert plain(text) == shown
