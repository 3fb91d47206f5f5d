"""The verdict at the top of a report: by which runs, what is missing, and that all its places agree."""

import json

import pytest

from analysis import recommend as verdicts
from analysis.documents import answers
from analysis.report.build import render
from analysis.report.page import ANSWER as TITLE
from analysis.report.page import page
from analysis.study import study
from tests import notebooks
from tests.analysis.report_page import Page
from tests.fixtures.make_recycling import Story, generation, make_recycling
from tests.fixtures.make_run import Spec, make_run

NAMES = ("sanic", "sanic-single", "uvicorn")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A run of each kind; sanic replaces its workers without a loss, and so does uvicorn, half as fast."""
    root = tmp_path_factory.mktemp("results")
    make_run(root / "quick", Spec(configurations=NAMES, scenarios={"index": (64,)}))
    stories = [
        Story(name, generation(11, 1.0), scenario=scenario, keep_alive=scenario == "index", repeat=repeat)
        for name in ("sanic", "uvicorn")
        for scenario in ("index", "index-close")
        for repeat in (1, 2)
    ]
    make_recycling(root / "recycle", stories)
    return root


def of_run(folder):
    told = []
    return verdicts.of_run(study(folder), told.append), told


@pytest.fixture(scope="module")
def judged(root):
    return of_run(root / "quick")[0]


def test_both_kinds_of_run_give_the_same_verdict(root, judged):
    other, told = of_run(root / "recycle")
    assert other.json_text() == judged.json_text()
    assert [run.run for run in judged.runs] == ["quick", "recycle"]
    assert told == ["reading quick for the verdict"]


def test_the_page_opens_with_it_and_says_all_that_verdict_json_says(root, judged):
    shown = Page(page(study(root / "quick"), root, judged))
    heads = [head.text for head in shown.all("h2")]
    assert heads[:2] == [TITLE, "Summary"]
    text = shown.text[: shown.text.index("Summary", shown.text.rindex(TITLE))]
    (command,) = judged.commands
    for said in (
        judged.finding, command.line, *command.app_lines, *command.needs, command.settings_text,
        command.versions_text, judged.requirements.text, judged.method, *judged.not_covered, *judged.measure,
        *(run.text for run in judged.runs), *(text for row in judged.rows for text in row.texts()),
    ):  # fmt: skip
        assert said in text
    signs = {cell.text.strip(): cell.attributes.get("class") for cell in shown.all("td")}
    assert (signs["✓ passed"], signs["✗ failed"]) == ("good", "bad")


def test_the_report_keeps_it_beside_the_page(root, judged):
    with notebooks.left_out():
        rendered = render(root / "quick")
    assert rendered.verdict == judged
    assert (root / "quick" / "report" / "verdict.json").read_text(encoding="utf-8") == judged.json_text()
    assert judged.finding in Page(rendered.html.read_text(encoding="utf-8")).text


@pytest.mark.parametrize("kind, missing, remedy", [
    ("quick", "No run of recycling was read", "make recycle"),
    ("recycle", "No run of performance was read", "make bench"),
])  # fmt: skip
def test_a_run_alone_says_what_is_missing(root, tmp_path, kind, missing, remedy):
    (tmp_path / kind).symlink_to(root / kind)
    alone, told = of_run(tmp_path / kind)
    assert [run.run for run in alone.runs] == [kind] and told == []
    assert any(text.startswith(missing) for text in alone.not_covered)
    assert remedy in alone.measure
    assert missing in Page(page(study(tmp_path / kind), tmp_path, alone)).text


def changed(folder, **plan):
    path = folder / "run.json"
    run = json.loads(path.read_text())
    run["plan"] |= plan
    path.write_text(json.dumps(run))


def test_a_run_that_asks_for_no_configuration_has_none(tmp_path):
    folder = make_run(tmp_path / "causes", Spec(configurations=NAMES, scenarios={"index": (64,)}))
    changed(folder, catalogue="causes/configurations.toml")
    assert of_run(folder) == (None, [])
    assert TITLE not in page(study(folder), tmp_path)


def test_the_plan_of_the_run_goes_before_that_of_the_other(root, tmp_path):
    make_run(tmp_path / "quick", Spec(configurations=NAMES, scenarios={"index": (64,)}))
    make_recycling(tmp_path / "recycle", [Story("sanic", generation(11, 1.0))])
    changed(tmp_path / "quick", requirements={"restart": "none", "stall_s": 1.0})
    changed(tmp_path / "recycle", requirements={"restart": "any", "survive_kill": True})
    asked = of_run(tmp_path / "quick")[0].requirements
    assert (asked.restart, asked.stall_s, asked.survive_kill) == ("none", 1.0, True)
    assert of_run(tmp_path / "recycle")[0].requirements.restart == "any"


def test_another_run_that_cannot_be_read_is_told_and_no_more(root, tmp_path):
    (tmp_path / "quick").symlink_to(root / "quick")
    make_recycling(tmp_path / "recycle", [Story("sanic", generation(11, 1.0))])
    for path in tmp_path.glob("recycle/*/*/*/*/latency.csv"):
        path.unlink()
    alone, _ = of_run(tmp_path / "quick")
    assert [run.run for run in alone.runs] == ["quick"]
    assert alone.not_covered[0].startswith("recycle was not read: ")


def test_in_markdown_it_has_the_command_the_reasons_and_the_runs(judged):
    text = "\n".join([*answers.answer(judged, [], {}), *answers.reasons(judged)])
    (command,) = judged.commands
    assert f"```sh\n{command.line}\n```" in text and f"```py\n{command.app_lines[0]}\n" in text
    for row in judged.rows:
        _, name, outcome, _, why = row.texts()
        assert f"| {name} | {outcome} | {why} |" in text
    for run in judged.runs:
        assert f"`{run.run}`" in text
    assert all(f"* {gap}" in text for gap in judged.not_covered)
