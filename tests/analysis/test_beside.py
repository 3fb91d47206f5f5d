"""Two runs of one plan beside each other, whose true ratios are known."""

import json

import pytest

from analysis import beside
from analysis.errors import AnalysisError
from analysis.readme import END, put
from analysis.study import study
from analysis.words import MISSING
from tests.analysis.test_external import unmetered
from tests.fixtures.imagined import SERVERS, Server
from tests.fixtures.make_run import Spec, make_run

NAMES = ("sanic", "uvicorn", "granian")
DOCUMENT, BEGIN = beside.DOCUMENTS[frozenset({"processes", "compose"})]


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
    (tmp_path / "docs").mkdir()
    (tmp_path / DOCUMENT).write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    return tmp_path


def cells_of(text, name):
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_ratios_are_those_of_the_servers(tmp_path, processes, monkeypatch):
    monkeypatch.setitem(SERVERS, "uvicorn", Server(70 * 1.5, 30, 39))
    compose = measured(tmp_path, "compose", seed=2)
    text = "\n".join(beside.lines(study(processes), study(compose)))
    slower, alike = cells_of(text, "uvicorn"), cells_of(text, "granian")
    assert float(slower[6].split()[0]) == pytest.approx(1.5, rel=0.03), "CPU per request"
    assert float(slower[5].split()[0]) == pytest.approx(1 / 1.5, rel=0.03), "requests per second"
    assert float(alike[5].split()[0]) == pytest.approx(1, rel=0.03)
    assert "More than 15% apart: uvicorn; with certainty uvicorn." in text
    assert "The order is the same up to ties" in text


def test_two_runs_of_one_launcher_show_what_chance_does(tmp_path, processes, project):
    (tmp_path / "again").mkdir()
    begin = "<!-- measured: twice -->"
    (project / DOCUMENT).write_text(f"{begin}\n{END}\n")
    again = measured(tmp_path / "again", "processes", seed=2)
    assert beside.main([str(processes), str(again)], project) == 0
    text = (project / DOCUMENT).read_text()
    assert "requests/s, second run / first run (95 %)" in text and "None is more than 15% apart." in text


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
    cells = cells_of(text, "sanic")
    assert float(cells[5].split()[0]) == pytest.approx(1, rel=0.1) and cells[6] == MISSING
    assert "order" not in text


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
    assert once.startswith(f"before\n{BEGIN}\n**index: 64 users") and once.endswith(f"{END}\nafter\n")
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


def test_a_document_without_markers_is_left_alone(tmp_path):
    (tmp_path / "page.md").write_text("nothing")
    with pytest.raises(AnalysisError, match="lacks the lines"):
        put(tmp_path / "page.md", BEGIN, iter(["new"]))
    assert (tmp_path / "page.md").read_text() == "nothing"


def test_it_says_how_it_is_called(capsys):
    assert beside.main([]) == 2
    assert "RUN_DIR RUN_DIR" in capsys.readouterr().err
