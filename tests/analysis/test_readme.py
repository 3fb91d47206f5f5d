from dataclasses import replace
from pathlib import Path

import pytest

from analysis.errors import AnalysisError
from analysis.readme import BEGIN, BEGIN_RECYCLING, END, FIGURES, ROOT, rewrite
from analysis.study import study
from tests.fixtures.make_recycling import STORIES, make_recycling


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
    for name in FIGURES:
        assert (ROOT / "docs" / "figures" / f"{name}.png").stat().st_size > 10_000


def test_the_command_of_a_narrowed_run_of_recycling_says_to_what(recycled, tmp_path):
    analysed = study(recycled)
    plan = {"name": "recycle", "scenarios": {"index": {}, "slow": {}}, "workers": [1, 2]}
    plan["probes"] = [{"scenario": "index"}, {"scenario": "long"}]
    run = analysed.results.run.model_copy(update={"plan": plan})
    narrowed = replace(analysed, results=replace(analysed.results, run=run))
    path = readme(tmp_path, f"{BEGIN_RECYCLING}\n{END}\n")
    rewrite(path, narrowed, tmp_path / "figures")
    command = "make recycle PLAN=recycle SCENARIOS=index,slow,long WORKERS=1,2"
    assert f"by `{command}`" in path.read_text(encoding="utf-8")
