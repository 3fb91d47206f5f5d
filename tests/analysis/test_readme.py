from pathlib import Path

import pytest

from analysis.errors import AnalysisError
from analysis.readme import BEGIN, END, FIGURES, ROOT, rewrite
from analysis.study import study


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


def test_the_projects_readme_has_been_filled():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    measured = text.partition(BEGIN)[2].partition(END)[0]
    assert "Measured on" in measured and "| configuration |" in measured
    for name in FIGURES:
        assert (ROOT / "docs" / "figures" / f"{name}.png").stat().st_size > 10_000
