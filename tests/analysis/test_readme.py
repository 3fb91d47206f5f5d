import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.errors import AnalysisError
from analysis.readme import (
    BEGIN,
    BEGIN_RECYCLING,
    END,
    EXPERIMENTS,
    FIGURES,
    PAGES,
    ROOT,
    begin_of,
    document_of,
    rewrite,
)
from analysis.recycling_shown import each
from analysis.study import study
from tests.fixtures.make_recycling import STORIES, Life, Story, make_recycling


@pytest.fixture
def rendered(run):
    """A run with the two figures that a report would hold."""
    folder = run(configurations=("sanic", "uvicorn"))
    (folder / "report").mkdir()
    for name in FIGURES:
        (folder / "report" / f"{name}.png").write_bytes(name.encode())
    return folder


def readme(folder: Path, text: str) -> Path:
    path = folder / "README.md"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_measured_part_is_replaced_and_the_rest_stays(rendered, tmp_path):
    path = readme(tmp_path, f"before\n{BEGIN}\nold\n{END}\nafter\n")
    rewrite(path, study(rendered), tmp_path / "docs" / "figures")
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{BEGIN}\n") and text.endswith(f"{END}\nafter\n") and "old" not in text
    analysed = study(rendered)
    assert analysed.verdict.finding in text
    for table in analysed.verdict.tables:
        for row in table.rows:
            assert f"| {row.configuration} | {row.texts()[2]} |" in text
    assert "server on CPU 0, generator on CPU 1" in text and "make bench PLAN=" in text
    for name in FIGURES:
        assert (tmp_path / "docs" / "figures" / f"{name}.png").read_bytes() == name.encode()
        assert f"](docs/figures/{name}.png)" in text


def test_twice_is_the_same_as_once(rendered, tmp_path):
    path = readme(tmp_path, f"{BEGIN}\n{END}\n")
    rewrite(path, study(rendered), tmp_path / "figures")
    once = path.read_text(encoding="utf-8")
    rewrite(path, study(rendered), tmp_path / "figures")
    assert path.read_text(encoding="utf-8") == once


def test_a_readme_without_markers_is_left_alone(rendered, tmp_path):
    path = readme(tmp_path, "nothing to replace")
    with pytest.raises(AnalysisError, match="lacks the lines"):
        rewrite(path, study(rendered), tmp_path / "figures")
    assert path.read_text(encoding="utf-8") == "nothing to replace"


def test_a_run_without_a_report_says_what_to_do(run, tmp_path):
    path = readme(tmp_path, f"{BEGIN}\n{END}\n")
    with pytest.raises(AnalysisError, match="make report"):
        rewrite(path, study(run(configurations=("sanic",))), tmp_path / "figures")


@pytest.fixture
def recycled(tmp_path):
    """A run of recycling with one of the figures of a report; its fewest workers leak nothing."""
    folder = make_recycling(tmp_path / "results" / "run", STORIES)
    (folder / "report").mkdir()
    (folder / "report" / "price_index.png").write_bytes(b"price")
    return folder


def test_a_run_of_recycling_goes_between_marks_of_its_own(recycled, tmp_path):
    path = readme(tmp_path, f"{BEGIN}\nof speed\n{END}\nwords\n{BEGIN_RECYCLING}\nold\n{END}\nafter\n")
    analysed = study(recycled)
    rewrite(path, analysed, tmp_path / "figures")
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"{BEGIN}\nof speed\n{END}\nwords\n{BEGIN_RECYCLING}\n") and "old" not in text
    assert text.endswith(f"{END}\nafter\n")
    assert analysed.recycling.finding in text
    for row in analysed.recycling.configurations:
        assert "| " + " | ".join(row.texts()) + " |" in text
    assert "Imagined CPU" in text and "95 % over replacements" in text
    assert "](figures/price_index.png)" in text and "memory_recycled" not in text
    assert (tmp_path / "figures" / "price_index.png").read_bytes() == b"price"


def test_a_run_of_recycling_without_a_report_says_what_to_do(recycled, tmp_path):
    path = readme(tmp_path, f"{BEGIN_RECYCLING}\n{END}\n")
    (recycled / "report").rename(recycled / "elsewhere")
    with pytest.raises(AnalysisError, match="make report RUN=run"):
        rewrite(path, study(recycled), tmp_path / "figures")


def test_the_page_on_recycling_has_the_marks():
    text = (ROOT / "docs" / "recycling.md").read_text(encoding="utf-8")
    assert text.count(BEGIN_RECYCLING) == 1 and END in text.partition(BEGIN_RECYCLING)[2]


def test_the_projects_readme_has_been_filled():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    measured = text.partition(BEGIN)[2].partition(END)[0]
    assert "Measured on" in measured and "| configuration |" in measured
    figures = re.findall(r"\]\((docs/figures/\S+\.png)\)", measured)
    assert len(figures) >= 2
    for figure in figures:
        assert (ROOT / figure).stat().st_size > 10_000


def test_the_command_of_a_narrowed_run_of_recycling_says_to_what(recycled, tmp_path):
    analysed = study(recycled)
    recycling = {"max_requests": 500, "replacements": 8}
    narrowed = of_plan(analysed, {"name": "recycle", "workers": [2], "recycling": recycling})
    path = readme(tmp_path, f"{BEGIN_RECYCLING}\n{END}\n")
    rewrite(path, narrowed, tmp_path / "figures")
    text = path.read_text(encoding="utf-8")
    assert "by `make recycle PLAN=recycle " in text
    assert " WORKERS=2 " in text and " REPLACEMENTS=8` in " in text


def of_plan(analysed, plan):
    """The same run, of another plan."""
    run = analysed.results.run.model_copy(update={"plan": analysed.results.run.plan | plan})
    return replace(analysed, results=replace(analysed.results, run=run))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_goes_between_marks_of_its_own_cell_by_cell(recycled, tmp_path, name):
    begin = f"<!-- measured: {name} -->"
    path = readme(tmp_path, f"{BEGIN_RECYCLING}\nthe table\n{END}\n{begin}\nold\n{END}\nafter\n")
    experiment = of_plan(study(recycled), {"name": name})
    rewrite(path, experiment, tmp_path / "figures")
    text = path.read_text(encoding="utf-8")
    assert f"{BEGIN_RECYCLING}\nthe table\n{END}" in text and text.endswith(f"{END}\nafter\n")
    cells = experiment.recycling.cells
    expected = cells[cells["treatment"] == "recycled"]
    rows = [row for _, group in each.tables(experiment) for row in group]
    assert sorted(row[0] for row in rows) == sorted(expected["configuration"])
    assert sum(int(row[4].replace(",", "")) for row in rows) == expected["lost"].sum() > 0
    for row in rows:
        assert "| " + " | ".join(row) + " |" in text


def test_an_experiment_on_one_configuration_has_marks_of_its_own(recycled):
    plan = {"name": "recycle-busy", "configurations": ["granian"]}
    assert begin_of(of_plan(study(recycled), plan)) == "<!-- measured: recycle-busy granian -->"


def test_a_cell_stands_beside_its_own_control(tmp_path):
    """Stalls of 0.8 s with recycling and 0.3 s without; another configuration's control stalls for longer."""
    lives = (Life(1, -2, -1, died=4), Life(2, 3.5, 4.8))
    alone = (Life(3, -2, -1),)
    stories = [
        Story("uvicorn", lives, max_requests=100),
        Story("uvicorn", alone, treatment="control"),
        Story("granian", (Life(4, -2, -1, died=3), Life(5, 3, 6)), treatment="control"),
    ]
    ((title, (row,)),) = each.tables(study(make_recycling(tmp_path / "run", stories)))
    assert title == "index (keep-alive), 1 worker, 100/s over 64 connections"
    cells = dict(zip(each.COLUMNS, row, strict=True))
    assert cells["longest stall (control)"] == "810 ms (10 ms)"


def test_a_plan_with_a_page_of_its_own_goes_there_with_tables_and_no_charts(rendered, tmp_path):
    record = json.loads((rendered / "run.json").read_text())
    record["plan"]["name"] = "database"
    (rendered / "run.json").write_text(json.dumps(record))
    analysed = study(rendered)
    assert document_of(analysed) == PAGES["database"]
    path = readme(tmp_path, f"{begin_of(analysed)}\nold\n{END}\n")
    rewrite(path, analysed, tmp_path / "figures")
    text = path.read_text(encoding="utf-8")
    assert "| sanic |" in text and "old" not in text and "![" not in text


def test_every_page_has_its_markers():
    for plan, page in PAGES.items():
        text = (ROOT / page).read_text(encoding="utf-8")
        assert f"<!-- measured: {plan} -->" in text and END in text
