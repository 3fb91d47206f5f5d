"""A run in which every cell failed has a report: it says why, cell by cell."""

import pytest
from typer.testing import CliRunner

from analysis.__main__ import main
from analysis.report.build import render
from bench.cli.main import app
from tests.analysis.report_page import Page
from tests.fixtures.make_recycling import Story, generation, make_recycling

EVERYTHING = frozenset({("sanic", "index"), ("uvicorn", "index")})


@pytest.fixture
def failed(run):
    """The folder of a run in which all four cells failed, one with the server's log."""
    folder = run(repeats=2, failed=EVERYTHING, unavailable=("gunicorn-sanic",))
    first = folder / "sanic" / "index" / "c64-w1" / "r1"
    (first / "server.log").write_text("ImportError: no module\n")
    cell = first / "cell.json"
    words = r"was not ready after 30 s. The last lines of server.log:\nTraceback\nImportError: no module"
    cell.write_text(cell.read_text().replace("the server ended by itself (exit status 1)", words))
    return folder


def test_every_cell_is_there_with_its_reason(failed):
    report = render(failed)
    page = Page(report.html.read_text(encoding="utf-8"))
    assert report.nothing and report.ranking == () and not page.images
    assert (
        page.all("h1")[0].text == report.finding == "Nothing could be measured: 4 cells tried, none finished."
    )
    items = [item.text for item in page.all("li") if item.attributes.get("class") == "warning"]
    for name in ("sanic", "uvicorn"):
        for repeat in (1, 2):
            (told,) = [text for text in items if text.startswith(f"{name}/index/c64-w1/r{repeat}:")]
            assert "not ready" in told if (name, repeat) == ("sanic", 1) else "exit status 1" in told
    assert page.links == ["../sanic/index/c64-w1/r1/server.log"]
    assert (report.html.parent / page.links[0]).read_text().startswith("ImportError")
    assert [pre.text for pre in page.all("pre")] == ["Traceback\nImportError: no module"]


def test_the_summary_has_the_reasons_by_how_often(failed):
    page = Page(render(failed).html.read_text(encoding="utf-8"))
    place = page.text.index
    assert place("3 cells: the server ended by itself") < place("1 cell: was not ready after 30 s")
    assert "Imagined CPU" in page.text and "0 finished of 4 planned" in page.text


def test_it_replaces_an_older_report_and_keeps_what_is_left_out_out(failed):
    (failed / "report").mkdir()
    (failed / "report" / "stale.png").touch()
    report = render(failed)
    assert [path.name for path in report.html.parent.iterdir()] == ["report.html"]
    heads = [head.text for head in Page(report.html.read_text(encoding="utf-8")).all("h2")]
    assert heads == ["Summary", "Cells that failed", "What to do", "How it was measured"]


def test_a_run_of_recycling_is_no_exception(tmp_path):
    story = Story("hypercorn", generation(2, 1.0), failed="it would not die")
    report = render(make_recycling(tmp_path / "run", [story]))
    assert "it would not die" in report.html.read_text(encoding="utf-8")


def test_the_commands_say_so_and_end_with_1(failed, monkeypatch, capsys):
    done = CliRunner().invoke(
        app, ["report", "--results", str(failed.parent), failed.name], env={"COLUMNS": "200"}
    )
    assert done.exit_code == 1
    assert "Nothing could be measured: 4 cells tried" in done.output and "report.html" in done.output
    monkeypatch.setattr("sys.argv", ["analysis", str(failed)])
    assert main() == 1
    assert "Nothing could be measured" in capsys.readouterr().out


def test_a_run_without_any_cell_has_no_report_yet(failed):
    for cell in failed.rglob("cell.json"):
        cell.unlink()
    done = CliRunner().invoke(app, ["report", "--results", str(failed.parent), failed.name])
    assert done.exit_code == 1 and "resume the run first" in " ".join(done.output.split())
