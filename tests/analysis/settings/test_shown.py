"""How settings are shown: table, picture, page, files."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.charts import registry, settings
from analysis.charts.drawing import style
from analysis.documents import pages
from analysis.report import exports
from analysis.report.build import _tables
from analysis.report.page import SETTINGS, TOGETHER, page
from analysis.settings.table import tables
from analysis.study import study
from analysis.words import MISSING
from bench.model.plans.settings import COMBINED
from tests.analysis.report_page import Page, draw
from tests.analysis.settings.test_reading import FATES
from tests.fixtures.make_settings import SETTINGS as SPEC
from tests.fixtures.make_settings import SOURCE, VARIED, facts, make_settings


def test_a_table_for_each_server_with_the_measures_that_are_known(tried):
    sanic, uvicorn = tables(tried.settings)
    assert (sanic.title, uvicorn.title) == ("sanic: 3 settings", "uvicorn: 5 settings")
    assert uvicorn.columns == (
        "configuration", "fate", "requests/s", "CPU/request", "p99", "PSS", "notes",
    )  # fmt: skip
    rows = {row.texts()[0]: dict(zip(uvicorn.columns, row.texts(), strict=True)) for row in uvicorn.rows}
    log = rows["uvicorn-access-log"]
    assert log["fate"] == "costs"
    assert log["requests/s"].startswith("0.667x\N{NO-BREAK SPACE}±")
    assert (
        log["notes"]
        == "access log: without --no-access-log; “Access logs cost next to nothing”: does not hold"
    )
    assert "“" not in rows["uvicorn-cache"]["notes"]  # of which nobody says anything
    assert "worse in PSS" in rows["uvicorn-cache"]["notes"]
    assert rows["uvicorn-limit"]["requests/s"] == MISSING and "failed" in rows["uvicorn-limit"]["notes"]
    assert f"there are {tried.settings.compared}, which widens none" in sanic.basis
    assert uvicorn.basis == "Read it like the table before."


def test_figures_have_a_sign_where_they_are_certainly_better_or_worse(tried):
    _, uvicorn = tables(tried.settings)
    cells = {row.judged.name: dict(zip(uvicorn.columns, row.cells(), strict=True)) for row in uvicorn.rows}
    assert cells["uvicorn-cache"]["requests/s"].verdict == "good"
    assert cells["uvicorn-cache"]["PSS"].verdict == "bad"
    assert cells["uvicorn-keep-alive-5"]["requests/s"].verdict == ""


def test_the_csv_has_every_measure_of_every_variant(tried, tmp_path):
    exports.settings(tried).to_csv(tmp_path / "settings.csv", index=False)
    kept = pd.read_csv(tmp_path / "settings.csv")
    assert kept.columns.tolist() == [
        "variant", "parent", "measure", "ratio", "ratio_low", "ratio_high", "fate",
    ]  # fmt: skip
    assert len(kept) == len(tried.settings.rows) and set(kept["parent"]) == {"sanic", "uvicorn"}
    assert np.isfinite(kept["ratio"]).all()


def test_the_fates_are_kept_with_claim_and_source(tried):
    fates = exports.fates(tried).set_index("variant")
    assert fates["fate"].to_dict() == FATES
    assert fates.loc["uvicorn-access-log", "claim"] == VARIED["uvicorn-access-log"]["claim"]
    assert fates.loc["uvicorn-access-log", ["today", "source"]].tolist() == ["does not hold", SOURCE]
    assert pd.isna(fates.loc["uvicorn-cache", "claim"])


def rows_of(axis):
    return [label.get_text() for label in axis.get_yticklabels()]


def test_the_first_picture_has_a_panel_for_each_server_with_what_is_decided(tried):
    figure = settings.settings_decided(tried)
    assert figure.get_label() == tried.settings.finding
    sanic, uvicorn = figure.axes
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["sanic", "uvicorn"]
    assert [each.partition("\n")[0] for each in rows_of(sanic)] == ["preload", "access-log"]
    told = dict(each.split("\n") for each in rows_of(uvicorn))
    assert list(told) == ["c-parser", "cache", "access-log", "limit"]
    assert told["limit"] == "does not serve"
    assert told["access-log"].startswith("p99 1.8")  # of what it costs the most
    places = {
        line.get_ydata()[0]: line.get_xdata()[0] for line in uvicorn.get_lines() if len(line.get_xdata()) == 1
    }
    assert places[0] > 1 > places[2] and 3 not in places  # better to the right, and no mark without a figure
    assert any("2 settings of which neither is shown" in text.get_text() for text in figure.texts)


def test_without_anything_decided_every_measure_comes_first(tmp_path):
    few = replace(
        SPEC, configurations=("uvicorn",), variants={"uvicorn-keep-alive-5": VARIED["uvicorn-keep-alive-5"]},
        aliases={}, open={},
    )  # fmt: skip
    told = study(make_settings(tmp_path / "settings", few))
    assert settings.settings_decided(told) is None
    draw(told, tmp_path, settings.settings_decided, settings.settings)
    assert registry.leading(registry.read(tmp_path)).name == "settings"


def test_the_picture_has_a_panel_for_each_measure_and_a_row_for_each_setting(tried):
    figure = settings.settings(tried)
    assert figure.get_label() == tried.settings.finding
    assert [axis.get_title() or axis.get_title(loc="left") for axis in figure.axes] == [
        "requests/s", "CPU/\nrequest", "p99", "PSS",
    ]  # fmt: skip
    first, *others = figure.axes
    assert [label.get_text() for label in first.get_yticklabels()] == list(FATES)
    assert all(len(axis.get_yticks()) == 0 for axis in others)
    assert [text.get_text() for text in others[-1].texts] == list(FATES.values())
    looks = style.looks(tried.results.configurations)
    drawn = {line.get_color() for line in first.get_lines() if line.get_marker() not in ("None", None, "")}
    assert drawn == {looks[name].colour for name in FATES if name != "uvicorn-limit"}


def test_points_lie_at_their_ratios_and_bars_at_their_intervals(tried):
    axis = settings.settings(tried).axes[0]
    points = sorted(
        float(line.get_xdata()[0]) for line in axis.get_lines() if line.get_marker() not in ("None", None, "")
    )
    found = [each.ratio for each in tried.settings.rows if each.measure == "throughput"]
    assert points == pytest.approx(sorted(each.ratio for each in found))
    bars = {tuple(np.round(part[:, 0], 6)) for each in axis.collections for part in segments(each)}
    assert {(round(each.low, 6), round(each.high, 6)) for each in found} <= bars


def segments(collection):
    return getattr(collection, "get_segments", list)()


def test_what_lies_beyond_the_axis_is_an_arrow_at_its_end(tried):
    (each,) = [one for one in tried.settings.judged if one.name == "uvicorn-access-log"]
    with style.styled():
        _, ((axis,),) = style.panels(1)
        settings._frame(axis, "throughput", each.measured)
        axis.set_xlim(0.9, 1.1)
        settings._row(axis, each, "throughput", 0.0, style.looks([each.name])[each.name])
    (point,) = [line for line in axis.get_lines() if line.get_marker() == "<"]
    assert point.get_xdata()[0] == pytest.approx(0.9)


def test_the_page_opens_with_the_answer_its_picture_and_the_tables(tried, tmp_path):
    draw(tried, tmp_path, settings.settings_decided, settings.settings)
    assert registry.leading(registry.read(tmp_path)).name == "settings_decided"
    told = Page(page(tried, tmp_path))
    (head,) = told.all("h1")
    assert head.text == tried.settings.finding
    titles = [each.text for each in told.all("h2")]
    assert titles[:2] == ["Summary", SETTINGS]  # and no verdict: the run does not ask which configuration
    for table in tables(tried.settings):
        assert table.title in told.text and all(row.texts()[0] in told.text for row in table.rows)


def test_the_page_has_the_second_run_and_leads_to_it(tmp_path):
    few = replace(
        SPEC, configurations=("uvicorn",), variants={"uvicorn-c-parser": VARIED["uvicorn-c-parser"]},
        aliases={}, repeats=3,
    )  # fmt: skip
    folder = make_settings(tmp_path / "settings", few)
    assert study(folder).together is None
    make_settings(folder / "combined" / "second", few)
    told = study(folder)
    draw(told, tmp_path, settings.settings)
    shown = Page(page(told, tmp_path))
    assert [each.text for each in shown.all("h2")][1:3] == [TOGETHER, SETTINGS]
    assert "../combined/second/" in shown.values("href")
    (uvicorn,) = tables(told.together.settings)
    assert shown.text.count(uvicorn.finding) >= 2  # of the first run, and of the second
    assert "uvicorn with all that is worth it, together: worth it (--http c: " in shown.text


def test_the_page_leads_with_the_whole_gain(tmp_path):
    few = {
        "uvicorn-c-parser": facts("uvicorn", COMBINED, "--http c", "", "better"),
        "uvicorn-access-log": facts("uvicorn", "all that is stated", "", "", "") | {"default": True},
    }
    spec = replace(SPEC, configurations=("uvicorn",), variants=few, aliases={}, repeats=3, open={})
    folder = make_settings(
        tmp_path / "settings", replace(spec, variants={"uvicorn-cache": VARIED["uvicorn-cache"]})
    )
    make_settings(folder / "combined" / "second", spec)
    told = study(folder)
    draw(told, tmp_path, settings.settings)
    text = Page(page(told, tmp_path)).text
    gain = "The whole gain: uvicorn-c-parser has 1.88x"
    assert text.index(gain) < text.index("Summary") and "of uvicorn-access-log, the plain default" in text
    assert text.count("with all that is worth it, together") == 1  # and none of the default itself


def test_a_run_about_more_shows_settings_after_its_rankings(tmp_path, tried):
    study_of_more = study(tried.results.directory)
    study_of_more.settings = tried.settings.__class__(tried.settings.judged, alone=False)
    draw(study_of_more, tmp_path, settings.settings, settings.settings_beside)
    assert [each.name for each in registry.read(tmp_path)] == ["settings_beside"]
    titles = [each.text for each in Page(page(study_of_more, tmp_path)).all("h2")]
    assert titles.index("Ranking") < titles.index(SETTINGS)
    assert titles.index("What each setting is worth") < titles.index("Ranking")


def test_the_terminal_has_the_tables_of_settings_alone(tried):
    assert [table.title for table in _tables(tried)] == ["sanic: 3 settings", "uvicorn: 5 settings"]


def test_without_variants_there_is_no_picture_no_part_and_an_empty_file(run, tmp_path):
    plain = study(run(repeats=1))
    for chart in (settings.settings_decided, settings.settings, settings.settings_beside):
        assert chart(plain) is None
    assert exports.settings(plain).empty and exports.fates(plain).empty
    assert exports.settings_opening(plain) == exports.NO_VARIANTS
    assert SETTINGS not in Page(page(plain, tmp_path)).text


def test_the_project_has_the_tables_of_both_runs(tmp_path, folder):
    run = tmp_path / "settings"
    for place in (run, run / "combined" / "second"):
        shutil.copytree(folder, place)
    page_of_settings = tmp_path / pages.PAGES[pages.SETTINGS]
    page_of_settings.parent.mkdir()
    page_of_settings.write_text("before\n<!-- measured: settings -->\n<!-- /measured -->\nafter\n")
    pages.rewrite(study(run), tmp_path)
    text = page_of_settings.read_text(encoding="utf-8")
    assert text.startswith("before\n") and text.endswith("after\n")
    assert text.count("| configuration | fate |") == 2
    assert text.count("Measured on") == text.count("By the second run of the same command, in ") == 1
    log = "| uvicorn-access-log | costs | requests/s 0.667x\N{NO-BREAK SPACE}±"
    (line,) = {line for line in text.splitlines() if line.startswith(log)}
    # Of CPU time throughput says the same.
    assert "; p99 1.8" in line and not any(head in line for head in ("CPU/request", "PSS"))
    assert line.endswith(" | does not hold |")
    assert "| uvicorn-c-parser | worth it |" in text
    assert "| not shown |" not in text and "\nNot shown: " in text
