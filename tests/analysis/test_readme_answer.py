"""What the README says by several runs at once: the verdict, other requirements, and the claims."""

import pytest

from analysis import readme, readme_answer
from analysis.claims import said
from analysis.readme import BEGIN, END
from tests.fixtures.make_recycling import Story, generation, make_recycling

ROOT = readme.ROOT


@pytest.fixture
def answered(run, tmp_path, monkeypatch):
    """A project whose README has the marks, and a run of each kind whose reports have their figures."""
    folder = run(configurations=("sanic", "uvicorn", "sanic-single"))
    stories = [
        Story(name, generation(11, 1.0), scenario=scenario, keep_alive=scenario == "index", repeat=repeat)
        for name in ("sanic", "uvicorn")
        for scenario in ("index", "index-close")
        for repeat in (1, 2)
    ]
    priced = make_recycling(folder.parent / "recycle", stories)
    for one, name in ((folder, "throughput"), (priced, "price_index")):
        (one / "report").mkdir()
        (one / "report" / f"{name}.png").write_bytes(name.encode())
    marks = [readme_answer.BEGIN_VERDICT, readme_answer.BEGIN_SITUATIONS, BEGIN, readme_answer.BEGIN_CLAIMS]
    empty = "".join(f"{mark}\n{END}\n" for mark in marks)
    (tmp_path / "README.md").write_text(f"before\n{empty}after\n")
    monkeypatch.setattr(readme, "ROOT", tmp_path)
    return folder, tmp_path / "README.md"


def part(text, begin):
    return text.partition(f"{begin}\n")[2].partition(END)[0]


def test_the_readme_has_the_answers_of_the_run_and_of_the_recycling_beside_it(answered, monkeypatch):
    folder, page = answered
    monkeypatch.setattr("sys.argv", ["readme", str(folder)])
    assert readme.main() == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n") and text.endswith(f"{END}\nafter\n")
    verdict = part(text, readme_answer.BEGIN_VERDICT)
    assert "**Use sanic: it" in verdict and "sanic app:app --workers 1" in verdict
    assert "`run`, by `make bench PLAN=synthetic" in verdict and "`recycle`, by `make recycle" in verdict
    situations = part(text, readme_answer.BEGIN_SITUATIONS).splitlines()
    assert "Use sanic" in situations[2] and situations[2].endswith("|  |")
    assert "No configuration" in situations[3] and "`--survive-kill`" in situations[3]
    assert not any("--p99-ms" in line for line in situations)  # there is no open loop
    for name in ("throughput", "price_index"):
        assert f"](docs/figures/{name}.png)" in part(text, BEGIN)
        assert (page.parent / "docs" / "figures" / f"{name}.png").read_bytes() == name.encode()
    claimed = part(text, readme_answer.BEGIN_CLAIMS)
    assert claimed.count("\n| ") == 1 + len(said._CLAIMS) and "`make replay`" in claimed


def test_without_recycling_beside_it_the_readme_says_so(answered, monkeypatch):
    folder, page = answered
    (folder.parent / "recycle" / "run.json").unlink()
    monkeypatch.setattr("sys.argv", ["readme", str(folder)])
    assert readme.main() == 0
    text = page.read_text(encoding="utf-8")
    assert "No run of recycling was read" in part(text, readme_answer.BEGIN_VERDICT)
    assert "price_index" not in part(text, BEGIN)


def test_the_projects_readme_has_the_answers():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "| configuration | requirements | why |" in part(text, readme_answer.BEGIN_VERDICT)
    for option in ("`--survive-kill`", "`--p99-ms sleep=50`"):
        assert option in part(text, readme_answer.BEGIN_SITUATIONS)
    assert part(text, readme_answer.BEGIN_CLAIMS).count("\n| ") == 1 + len(said._CLAIMS)
