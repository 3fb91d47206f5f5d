"""Two runs of one plan beside each other, whose true ratios are known."""

import json

import pytest

from analysis.documents import beside
from analysis.study import study
from tests.analysis.test_external import unmetered
from tests.fixtures.imagined import SERVERS, Server
from tests.fixtures.make_run import Spec, make_run

NAMES = ("sanic", "uvicorn", "granian")
DOCUMENT, PART = beside.DOCUMENT, beside.PARTS[frozenset({"processes", "compose"})]
BEGIN, END = f"<!-- measured: {PART} -->", "<!-- /measured -->"


def measured(folder, launcher, **changes):
    """A run of three configurations in `folder`, recorded as one of this launcher."""
    fields = {"configurations": NAMES, "scenarios": {"index": (64,)}, "noise": 0.002} | changes
    made = make_run(folder / launcher, Spec(**fields))
    record = json.loads((made / "run.json").read_text())
    (made / "run.json").write_text(json.dumps(record | {"launcher": launcher}))
    return made


@pytest.fixture
def processes(tmp_path):
    return measured(tmp_path, "processes")


@pytest.fixture
def project(tmp_path):
    """A project with the document that is to be written."""
    (tmp_path / DOCUMENT).parent.mkdir(parents=True)
    (tmp_path / DOCUMENT).write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    return tmp_path


def ratio_of(text, name):
    """The ratio of requests per second of a configuration."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
    return float(line.strip("| ").split("|")[1].split()[0])


def test_ratios_are_those_of_the_servers(tmp_path, processes, monkeypatch):
    monkeypatch.setitem(SERVERS, "uvicorn", Server(70 * 1.5, 30, 39))
    compose = measured(tmp_path, "compose", seed=2)
    text = "\n".join(beside.lines(study(processes), study(compose)))
    assert ratio_of(text, "uvicorn") == pytest.approx(1 / 1.5, rel=0.03)
    assert ratio_of(text, "granian") == pytest.approx(1, rel=0.03)
    assert "More than 15% apart: uvicorn; with certainty uvicorn." in text
    assert "No two configurations change places" in text


def test_what_is_not_certain_is_said_not_to_be(tmp_path, processes):
    noisy = measured(tmp_path, "compose", seed=5, noise=0.1)
    text = "\n".join(beside.lines(study(processes), study(noisy)))
    assert "none with certainty, every interval includes 1." in text


def test_an_external_server_stands_beside_what_it_is_with_any_number_of_workers(tmp_path):
    compose = measured(tmp_path, "compose", configurations=("sanic",))
    external = unmetered(
        make_run(tmp_path / "external", Spec(configurations=("sanic",), scenarios={"index": (64,)}))
    )
    text = "\n".join(beside.lines(study(compose), study(external)))
    assert ratio_of(text, "sanic") == pytest.approx(1, rel=0.1)
    assert "change places" not in text


def test_places_that_change_are_named(tmp_path, processes, monkeypatch):
    monkeypatch.setitem(SERVERS, "uvicorn", Server(20, 30, 39))
    compose = measured(tmp_path, "compose", seed=2)
    text = "\n".join(beside.lines(study(processes), study(compose)))
    assert "These change places with certainty: sanic and uvicorn; granian and uvicorn." in text or (
        "These change places with certainty: sanic and uvicorn; uvicorn and granian." in text
    )


def test_the_document_is_written_between_its_markers_twice_as_once(tmp_path, processes, project):
    compose = measured(tmp_path, "compose", seed=2)
    assert beside.main([str(processes), str(compose)], project) == 0
    once = (project / DOCUMENT).read_text()
    assert once.startswith(f"before\n{BEGIN}\nRequests/s") and once.endswith(f"{END}\nafter\n")
    assert "old" not in once
    assert "launcher processes" in once and "launcher compose" in once
    assert beside.main([str(processes), str(compose)], project) == 0
    assert (project / DOCUMENT).read_text() == once


@pytest.mark.parametrize(
    ("changes", "launcher", "words"),
    [
        ({}, "elsewhere", "no document shows"),
        ({"scenarios": {"sleep": (64,)}}, "compose", "no closed-loop scenario in common"),
        ({"scenarios": {"index": (8,)}}, "compose", "64 users in one run, 8 in the other"),
    ],
)
def test_runs_that_do_not_belong_together(tmp_path, processes, project, capsys, changes, launcher, words):
    other = measured(tmp_path, launcher, **changes)
    assert beside.main([str(processes), str(other)], project) == 1
    assert words in capsys.readouterr().err
    assert "old" in (project / DOCUMENT).read_text()


def test_it_says_how_it_is_called(capsys):
    assert beside.main([]) == 2
    assert "RUN_DIR RUN_DIR" in capsys.readouterr().err
