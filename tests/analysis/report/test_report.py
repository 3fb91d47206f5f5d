import os
import re
import runpy
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from analysis.__main__ import main
from analysis.charts import registry
from analysis.reading import results
from analysis.report.build import render
from analysis.report.execute import Kernel, notebooks
from analysis.study import REPORT_VARIABLE, RUN_VARIABLE, STUDY_VARIABLE, hand_over, open_study, study
from bench.model.errors import UserError
from tests.analysis.report_page import Page
from tests.fixtures.make_recycling import STORIES, Story, generation, make_recycling
from tests.notebooks import left_out

# The charts of a run without open loops.
CLOSED = {
    "ratios", "throughput", "throughput_by_concurrency", "latency_by_throughput", "percentiles", "over_time",
    "cpu_per_request", "memory",
}  # fmt: skip

NO_PICTURE = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def without_notebooks():
    """For what the notebooks have no part in, and need not be waited for."""
    with left_out():
        yield


@pytest.fixture(scope="module")
def rendered(small):
    told = []
    return render(small, lambda *part: told.append(part)), told


@pytest.fixture
def executed(run_folder, small, request, tmp_path):
    """Where the notebooks were executed on a run: those of the synthetic one, for its report."""
    if run_folder == small:
        return request.getfixturevalue("rendered")[0].html.parent
    with Kernel() as kernel:
        kernel.take(study(run_folder))
        kernel.execute(run_folder.resolve(), tmp_path, lambda _: None)
    return tmp_path


def test_the_pipeline_runs_on_every_run_there_is(executed):
    for notebook in notebooks():
        read = nbformat.read(executed / f"{notebook.stem}.ipynb", as_version=4)
        nbformat.validate(read)
        code = [cell for cell in read.cells if cell.cell_type == "code"]
        assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
        # Every cell but the one that opens the study shows something.
        assert all(cell.outputs for cell in code[1:])
    assert {path.stem for path in executed.glob("*.png")} >= {"throughput", "percentiles", "memory"}
    assert {path.stem for path in executed.glob("*.svg")} == {path.stem for path in executed.glob("*.png")}
    assert len(pd.read_csv(executed / "ranking.csv")) >= 1


@pytest.mark.parametrize("notebook", notebooks(), ids=lambda path: path.stem)
def test_a_notebook_stands_alone_and_holds_no_logic(notebook, small, monkeypatch):
    """It has what it defines itself, as with somebody who reads along: no report is made.

    Every chart is composed, and none becomes a picture: those of this very run are in its report.
    """
    monkeypatch.setattr("analysis.charts.drawing.style.png", lambda _: NO_PICTURE)
    monkeypatch.setenv(RUN_VARIABLE, str(small))
    monkeypatch.delenv(REPORT_VARIABLE, raising=False)
    runpy.run_path(str(notebook))
    assert not re.search(r"^\s*(def|class|for|if|while|with|lambda)\b", notebook.read_text(), re.MULTILINE)


def test_there_are_notebooks_in_order():
    assert [path.name[:2] for path in notebooks()] == ["01", "02", "03", "04", "05", "06", "07"]


def test_the_report_opens_with_the_finding_and_contains_everything(rendered, small):
    report, told = rendered
    page = Page(report.html.read_text(encoding="utf-8"))
    assert report.html == small / "report" / "report.html"
    assert report.finding in page.text
    before = page.text[: page.text.index(report.finding)]
    assert "Ranking" not in before and "Note" not in before
    for table in report.ranking:
        for row in table.rows:
            for text in row.texts():
                assert text in page.text
    for finding in report.findings:
        assert finding.message in page.text and finding.advice in page.text
    for fact in ("Imagined CPU", "server on CPU 0, generator on CPU 1", "seed 1", "sanic 25.12.1"):
        assert fact in page.text
    assert "uvicorn app:app --workers 1" in page.text and "loop uvloop" in page.text
    assert "no Python 3.9 here" in page.text and "install Python 3.9" in page.text
    parts = [text for text, _ in told]
    assert parts[0] == "reading the run" and parts[-1] == "writing the page"
    executed = [each for each in parts if each.startswith("notebook")]
    assert executed == [f"notebook {path.name}" for path in notebooks()]
    shares = [share for _, share in told]
    assert shares == sorted(shares) and shares[0] == 0 and 0.9 < shares[-1] < 1


def test_the_report_is_one_file(rendered):
    source = rendered[0].html.read_text(encoding="utf-8")
    page = Page(source)
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.images)
    assert page.links == [] and "url(" not in source and "@import" not in source
    assert {image.parents[-2].attributes["id"] for image in page.all("img")} == CLOSED
    assert all(image["alt"].endswith(".") for image in page.images)


def test_everything_is_kept_beside_the_page(rendered):
    folder = rendered[0].html.parent
    names = {path.name for path in folder.iterdir()}
    assert {f"{name}.{kind}" for name in CLOSED for kind in ("png", "svg")} <= names
    assert {
        "ranking.csv",
        "cells.csv",
        "loads.csv",
        "percentiles.csv",
        "costs.csv",
        "rates.csv",
        "capacity.csv",
        "alike.csv",
    } <= names
    assert {"01_verdict.ipynb", "02_throughput.ipynb", "03_latency.ipynb", "04_cost.ipynb"} <= names
    assert not [path for path in folder.parent.iterdir() if path.name.startswith(".report-")]
    cells = pd.read_csv(folder / "cells.csv")
    assert len(cells) == 27 and cells["throughput"].notna().all()


def test_a_failing_notebook_is_named_and_the_old_report_stays(run, monkeypatch, tmp_path):
    folder = run(repeats=1)
    (folder / "report").mkdir()
    (folder / "report" / "mark").touch()
    broken = tmp_path / "07_broken.py"
    broken.write_text("# %%\nx = 1\n\n# %% [markdown]\n# words\n\n# %%\ny = 2\nx / 0\n")
    monkeypatch.setattr("analysis.report.execute.notebooks", lambda: [broken])
    with pytest.raises(UserError) as caught:
        render(folder)
    assert str(caught.value) == "07_broken.py, cell 2 (x / 0): ZeroDivisionError: division by zero"
    assert (folder / "report" / "mark").exists()
    assert not list(folder.glob(".report-*"))


def test_a_kernel_that_dies_is_said_to_have(run, monkeypatch, tmp_path):
    broken = tmp_path / "07_broken.py"
    broken.write_text("# %%\nimport os\nos._exit(1)\n")
    monkeypatch.setattr("analysis.report.execute.notebooks", lambda: [broken])
    with pytest.raises(UserError, match=r"07_broken\.py, cell 1 \(os\._exit\(1\)\): the kernel died"):
        render(run(repeats=1))


def test_a_second_report_replaces_the_first(run, without_notebooks):
    folder = run(repeats=1)
    stale = render(folder).html.parent / "stale.png"
    stale.touch()
    (killed := folder / ".report-killed").mkdir()
    render(folder)
    assert not stale.exists() and not killed.exists()


def test_a_report_that_cannot_be_written_is_one_message(run, without_notebooks, monkeypatch):
    folder = run(repeats=1)

    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("analysis.report.build.page", full)
    with pytest.raises(UserError, match=r"cannot write the report in .*: No space left on device"):
        render(folder)


def test_the_study_of_the_notebooks_is_the_named_run_or_the_latest(run, small, monkeypatch, tmp_path):
    monkeypatch.setenv(RUN_VARIABLE, str(small))
    assert open_study().results.directory == small
    assert open_study() is open_study()
    monkeypatch.delenv(RUN_VARIABLE)
    folder = run(repeats=1)
    monkeypatch.setattr(results, "latest", lambda: folder)
    assert open_study().results.directory == folder


def test_the_study_of_the_notebooks_is_what_a_report_hands_over(small, monkeypatch, tmp_path):
    analysed = study(small)
    headline = analysed.headline
    hand_over(analysed, tmp_path / "study")
    monkeypatch.setenv(STUDY_VARIABLE, str(tmp_path / "study"))
    assert "verdict" in vars(open_study()) and open_study().headline == headline
    pd.testing.assert_frame_equal(open_study().summary, analysed.summary)


def test_no_place_for_what_is_handed_over_is_one_message(run, monkeypatch):
    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("analysis.report.execute.hand_over", full)
    with pytest.raises(UserError, match=r"cannot write temporary files in .*: No space left on device"):
        render(run(repeats=1))


def test_the_command_line_tells_errors_in_one_line(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("sys.argv", ["analysis", str(tmp_path)])
    assert main() == 1
    error = capsys.readouterr().err
    assert "run `make bench` first" in " ".join(error.split()) and "Traceback" not in error
    monkeypatch.setattr("sys.argv", ["analysis"])
    assert main() == 2


def test_partial_runs_are_reported_with_a_note(run, without_notebooks):
    report = render(run(status="interrupted"))
    text = Page(report.html.read_text(encoding="utf-8")).text
    assert "This run is not complete (interrupted)" in text
    assert "under load" not in text  # The time it took is not known yet, and not zero.


def test_the_template_is_found_from_anywhere(run, without_notebooks, monkeypatch, tmp_path):
    folder = run(repeats=1)
    monkeypatch.chdir(tmp_path)
    assert render(Path(os.path.relpath(folder))).html.exists()


LEAKS = [
    Story("sanic", generation(12, 1.0, overlap_s=0.1), treatment, scenario="leak-50k", leak_mib=0.5)
    for treatment in ("recycled", "control")
]


@pytest.fixture(scope="module")
def recycling(tmp_path_factory):
    """The folder of a run that has cells of recycling only, and its report."""
    folder = make_recycling(tmp_path_factory.mktemp("results") / "recycle", [*STORIES, *LEAKS])
    return folder, render(folder)


def test_a_report_of_recycling_opens_with_the_table_that_decides(recycling):
    _, report = recycling
    page = Page(report.html.read_text(encoding="utf-8"))
    table = report.ranking[0]
    assert report.finding == table.finding and report.finding in page.text
    titles = [head.text for head in page.all("h1", "h2")]
    assert titles[:4] == [report.verdict.finding, "Which configuration to use", "Summary", table.title]
    for row in table.rows:
        assert all(text in page.text for text in row.texts())
    for finding in report.findings:
        assert finding.message in page.text


def test_a_report_of_recycling_shows_nothing_of_speed(recycling):
    _, report = recycling
    page = Page(report.html.read_text(encoding="utf-8"))
    assert not [title for title in ("Ranking", *registry.AFTER) if title in page.text]
    drawn = {path.stem for path in report.html.parent.glob("*.png")}
    assert len(page.images) == len(drawn)
    assert {"lanes_sanic", "memory_recycled_w1", "price_index", "requests_per_life"} <= drawn


def test_every_answer_leads_to_the_cells_it_was_read_from(recycling):
    _, report = recycling
    page = Page(report.html.read_text(encoding="utf-8"))
    cells = page.links
    for address in cells:
        assert (report.html.parent / address / "cell.json").exists()
    assert {Path(address).parts[1] for address in cells} == {"sanic", "uvicorn", "gunicorn-uvicorn"}
    evidence = pd.read_csv(report.html.parent / "recycling_evidence.csv")
    assert sorted(cells) == sorted(f"../{path}/" for path in evidence["cell"].dropna())
    assert "#lanes_sanic" in page.addresses and "lanes_sanic" in page.values("id")
    # Printed, the number in brackets leads to the same cell in the list at the end.
    listed = [item.text for item in page.all("li") if item.parents[-1].attributes.get("class") == "evidence"]
    for link in page.all("a"):
        if "title" in link.attributes and link.attributes["href"] in cells:
            assert listed[int(link.text) - 1] == link.attributes["title"]


def test_what_recycling_did_is_kept_beside_the_page(recycling):
    folder, report = recycling
    kept = report.html.parent
    assert pd.read_csv(kept / "recycling.csv").shape[0] == len(report.ranking[0].rows)
    found = study(folder).recycling
    for name in ("lives", "replacements", "losses"):
        assert len(pd.read_csv(kept / f"{name}.csv")) == len(getattr(found, name))
    cells = pd.read_csv(kept / "recycling_cells.csv")
    assert list(cells["verdict"]) == list(found.cells["verdict"]) and cells["path"].notna().all()


def test_a_run_without_recycling_says_so_once_and_draws_nothing_of_it(rendered):
    text = (rendered[0].html.parent / "06_recycling.ipynb").read_text(encoding="utf-8")
    assert text.count("This run has no cells of recycling") == 1
    assert {path.stem for path in rendered[0].html.parent.glob("*.png")} == CLOSED
