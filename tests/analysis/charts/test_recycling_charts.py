import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from rich.console import Console

from analysis.charts import lanes, memory, probes, registry
from analysis.charts import recycling as charts
from analysis.charts.drawing import style
from analysis.report import exports
from analysis.report.build import Rendered
from analysis.report.page import page as page_of
from analysis.study import study
from analysis.words import MISSING
from bench.cli import terminal
from bench.cli.results import report as report_command
from tests.analysis.recycling_frames import CATALOGUE, PAIRS, Ways, broken, imagined
from tests.analysis.report_page import Page, coarse, draw
from tests.fixtures.make_recycling import STORIES, make_recycling

FAST = PAIRS[:2]
NOTHING = SimpleNamespace(recycling=None, results=None, proxied=None)


@pytest.fixture(scope="module")
def shown():
    """Three ways to recycle, and a server that cannot."""
    return imagined(["sanic", "sanic-single", "uvicorn", "hypercorn"], scenarios=FAST, seconds=8)


@pytest.fixture(scope="module")
def every(shown):
    """Each figure of a run, by its name in the report."""
    named = lanes.figures(shown) | memory.figures(shown) | charts.prices(shown)
    return named | {"requests_per_life": charts.requests_per_life(shown), "probes": probes.probes(shown)}


def texts(axis):
    return [text.get_text() for text in axis.texts if text.get_text()]


def title(figure):
    return figure.texts[0].get_text().replace("\n", " ")


def one(ways, **changes):
    """A run of uvicorn alone that recycles in some way."""
    fields = {"scenarios": FAST[:1], "workers": (1,), "seconds": 6, "probes": False} | changes
    return imagined(["uvicorn"], catalogue={"uvicorn": ways}, **fields)


def test_every_figure_has_its_place_on_the_page(shown, every):
    drawn = [chart.draw for section in registry.BEFORE for chart in registry.charts(section)]
    assert {lanes.figures, memory.figures, charts.prices, charts.requests_per_life, probes.probes} <= {*drawn}
    assert len(drawn) == len(set(drawn))
    assert set(every) == {
        "lanes_sanic", "lanes_uvicorn", "lanes_hypercorn", "memory_recycled_w1", "memory_recycled_w2",
        "price_index", "requests_per_life", "probes",
    }  # fmt: skip


def test_every_figure_says_something_and_where_it_comes_from(every, tmp_path):
    for name, figure in every.items():
        heading, reading, foot = [text.get_text() for text in figure.texts]
        assert heading.endswith(".") and reading.endswith(".")
        assert "launcher: processes · synthetic (Imagined CPU, 2 CPUs)" in foot
        assert figure.axes[-1].get_xlabel()
        style.save(coarse(figure), tmp_path, name)
        assert ElementTree.parse(tmp_path / f"{name}.svg").getroot().tag.endswith("svg")


def test_figures_are_reproducible(shown):
    for chart in (lambda: lanes.lanes(shown, "sanic"), lambda: charts.requests_per_life(shown)):
        assert style.png(coarse(chart())) == style.png(coarse(chart()))


def test_a_run_without_recycling_shows_nothing():
    assert lanes.figures(NOTHING) == charts.prices(NOTHING) == memory.figures(NOTHING) == {}
    assert charts.requests_per_life(NOTHING) is None and probes.probes(NOTHING) is None
    assert exports.opening(NOTHING) == exports.NONE_HERE
    assert exports.recycling(NOTHING).empty and exports.recycling_evidence(NOTHING).empty


# Lanes


def births(*rows):
    return pd.DataFrame(rows, columns=["pid", "born", "ready", "died"], dtype=float)


def test_a_successor_takes_the_lane_of_the_worker_it_replaces():
    # Two workers; the second ends first, and its successor is there before that.
    lives = births((1, 0, 1, 9), (2, 0, 1, 5), (3, 4, 4.5, np.nan), (4, 8, 8.5, np.nan))
    assert list(lanes.slots(lives, {3: 2, 4: 1}, 20)) == [0, 1, 1, 0]


def test_a_worker_that_succeeds_nobody_takes_a_free_lane_or_one_of_its_own():
    lives = births((1, 0, 1, 3), (2, 0, 1, np.nan), (3, 3.1, 3.5, np.nan), (4, 5, 6, np.nan))
    assert list(lanes.slots(lives, {}, 20)) == [0, 1, 0, 2]


def test_a_worker_that_is_ready_at_the_end_of_the_window_is_about_to_succeed_the_oldest():
    lives = births((1, 0, 1, np.nan), (2, 0.5, 1, np.nan), (3, 18, 19.5, np.nan), (4, 19, np.nan, np.nan))
    assert list(lanes.slots(lives, {}, 20)) == [0, 1, 0, 1]


def test_lanes_do_not_depend_on_the_order_of_the_rows():
    lives = births((1, 0, 1, 9), (2, 0, 1, 5), (3, 4, 4.5, np.nan), (4, 8, 8.5, np.nan))
    shuffled = lanes.slots(lives.iloc[[3, 1, 2, 0]], {3: 2, 4: 1}, 20)
    assert shuffled.index.to_list() == [3, 1, 2, 0] and sorted(shuffled) == [0, 0, 1, 1]
    assert shuffled[1] == shuffled[2] and shuffled[0] == shuffled[3]


def test_losses_at_one_instant_are_one_mark_with_their_number():
    times = np.concatenate([np.full(500, 3.0), [5.0, 5.04, 5.09, 7.0]])
    groups = lanes.clusters(times, 0.1)
    assert [len(group) for group in groups] == [500, 3, 1]
    assert all(group.max() - group.min() <= 0.1 for group in groups)
    study = one(Ways(lost=(0, 0, 0)))
    cell = study.recycling.cells.query("treatment == 'recycled' and scenario == 'index'").index[0]
    losses = [
        {"cell": cell, "time": study.results.cells.loc[cell, "window_start"] + 2, "handled": "no"}
    ] * 1500
    study = SimpleNamespace(
        results=study.results, recycling=replace(study.recycling, losses=pd.DataFrame(losses))
    )
    axis = lanes.lanes(study, "uvicorn").axes[0]
    assert "1,500" in texts(axis)
    assert len([line for line in axis.get_lines() if line.get_marker() == lanes.LOST["no"][1]]) == 1


def test_the_rows_below_the_lanes_say_how_far_the_handlers_came(every):
    def labels(name):
        return {label.get_text() for axis in every[name].axes for label in axis.get_yticklabels()}

    assert labels("lanes_sanic") == {"worker 1", "worker 2", "nothing lost"}
    assert labels("lanes_hypercorn") == {"worker 1", "worker 2", *(text for text, _ in lanes.LOST.values())}


def test_a_panel_shows_the_requests_of_each_life(shown, every):
    lives = shown.recycling.lives
    first = every["lanes_uvicorn"].axes[0]
    drawn = [text for text in texts(first) if text.isdigit() and int(text) > 400]
    cell = shown.recycling.cells.query(
        "configuration == 'uvicorn' and treatment == 'recycled' and workers == 1 and keep_alive"
    ).index[0]
    assert drawn and set(drawn) <= {str(served) for served in lives.loc[lives["cell"] == cell, "served"]}


def test_only_what_is_longer_than_in_the_control_is_a_stall():
    study = one(Ways(stall_s=0.9, down_s=0.9))
    number = study.recycling.cells.query("treatment == 'recycled' and scenario == 'index'").index[0]
    gaps = lanes.gaps(study, number)
    died = study.recycling.replacements.query("cell == @number")["number"].max()
    assert len(gaps) == died and (gaps["end"] - gaps["begin"]).between(0.8, 0.95).all()
    study.recycling.cells.loc[study.recycling.cells["treatment"] == "control", "gap_s"] = 2.0
    assert lanes.gaps(study, number).empty


def test_stalls_are_hatched_and_say_how_long_they_were():
    figure = lanes.lanes(one(Ways(stall_s=0.9, down_s=0.9)), "uvicorn")
    axis = figure.axes[0]
    hatched = [patch for patch in axis.patches if patch.get_hatch()]
    assert hatched and all(0.8 < patch.get_width() < 0.95 for patch in hatched)
    labels = [text for text in texts(axis) if text.endswith("ms")]
    assert len(labels) == len(hatched) and all(890 < int(text.split()[0]) < 920 for text in labels)
    assert "longest time without an answer was 90" in title(figure)


def test_a_server_that_is_broken_is_said_to_be():
    figure = lanes.lanes(one(broken("its workers die after 8 requests")), "uvicorn")
    assert title(figure) == "uvicorn, index (keep-alive), 1 worker: broken: its workers die after 8 requests."


def test_more_lanes_than_there_is_room_for_are_counted():
    figure = lanes.lanes(one(Ways(leaks=True, first=True), seconds=20), "uvicorn")
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels[0].endswith(" workers") and int(labels[0].split()[0]) > lanes.MOST_LANES
    assert figure.get_size_inches()[1] < 9


def test_lanes_are_those_of_the_first_repeat(shown):
    twice = imagined(["sanic"], scenarios=FAST[:1], workers=(1,), repeats=2, probes=False, seconds=4)
    assert len(lanes.lanes(twice, "sanic").axes) == 1
    assert lanes.lanes(shown, "sanic-single") is None


# Price


def test_none_lost_is_drawn_with_what_may_still_be_lost(every, shown):
    lost, _ = every["price_index"].axes[:2]
    cells = shown.recycling.cells
    none = cells[(cells["configuration"] == "sanic") & (cells["workers"] == 1) & (cells["per_1000"] == 0)]
    bounds = [text for text in texts(lost) if text.startswith("0 (at most ")]
    assert len(bounds) == len(none[none["scenario"].str.startswith("index")]) == 2
    assert lost.get_xlim()[0] < 0 < none["per_1000_high"].max() < lost.get_xlim()[1]
    assert "sanic lost no request" in title(every["price_index"])


def test_both_kinds_of_connection_are_told_apart(every):
    for axis in every["price_index"].axes[:2]:
        filled = {to_hex(line.get_markerfacecolor()) for line in axis.get_lines() if line.get_marker() == "o"}
        assert filled == {"#ffffff", style.COLOURS[0].lower()}


def test_the_stall_stands_beside_that_without_recycling(shown, every):
    _, stall = every["price_index"].axes[:2]
    strokes = [line for line in stall.get_lines() if line.get_marker() == "|"]
    assert len(strokes) == 6  # three servers that recycle, both kinds of connection
    assert stall.get_xscale() == "log"
    assert "uvicorn" in {label.get_text() for label in every["price_index"].axes[0].get_yticklabels()}
    assert "sanic-single" not in {
        label.get_text() for label in every["price_index"].axes[0].get_yticklabels()
    }


@pytest.mark.parametrize(
    ("ways", "said"),
    [
        (replace(CATALOGUE["uvicorn"], verdict="broken"), "broken"),
        (Ways(served=100_000, verdict="not replaced"), "not replaced, 0 lost"),
    ],
)
def test_a_price_that_buys_no_recycling_is_marked(ways, said):
    figure = charts.prices(one(ways))["price_index"]
    assert any(said in text for text in texts(figure.axes[0]))
    assert title(figure) == "No configuration recycled its workers under index."


def test_the_title_counts_all_replacements_of_a_scenario():
    study = imagined(["sanic", "hypercorn"], scenarios=FAST, workers=(1,), probes=False)
    cells = study.recycling.cells.query("configuration == 'hypercorn' and treatment == 'recycled'")
    fast = cells[cells["scenario"] != "leak-50k"]
    rate = 1000 * fast["lost"].sum() / fast["replaced"].sum()
    assert f"hypercorn {rate:,.0f} per 1,000" in title(charts.prices(study)["price_index"])


# Memory


def test_memory_shows_the_slope_dashed_and_the_saw_tooth_solid(every, shown):
    panel = next(axis for axis in every["memory_recycled_w1"].axes if axis.get_title(loc="left") == "sanic")
    slope, teeth = panel.get_lines()[:2]
    assert (slope.get_linestyle(), teeth.get_linestyle()) == ("--", "-")
    cells = shown.recycling.cells.query(
        "configuration == 'sanic' and workers == 1 and scenario == 'leak-50k'"
    )
    peaks = cells.set_index("treatment")["rss_peak_bytes"] / 2**20
    assert max(slope.get_ydata()) == pytest.approx(peaks["control"])
    assert max(teeth.get_ydata()) == pytest.approx(peaks["recycled"])
    assert (np.diff(teeth.get_ydata()) < -10).sum() > 3
    alone = next(
        axis for axis in every["memory_recycled_w1"].axes if axis.get_title(loc="left") == "sanic-single"
    )
    assert "recycles nothing" in texts(alone)


def test_memory_is_drawn_over_the_requests_that_were_answered(shown):
    samples = memory.leaked(shown)
    last = samples.groupby("cell")["answered"].max()
    for cell, answered in last.items():
        trace = shown.results.trace[shown.results.trace["cell"] == cell]
        ended = trace.loc[trace["kind"].isna(), "ended"]
        assert answered == (ended <= samples.loc[samples["cell"] == cell, "time"].max()).sum()


def test_memory_that_is_unknown_is_said_to_be():
    study = one(Ways())
    study.results.processes[["rss_bytes", "pss_bytes"]] = np.nan
    assert memory.figures(study) == {}
    study = one(Ways(pss=False))
    assert "MiB with recycling" in title(memory.figures(study)["memory_recycled_w1"])


# Requests per life, probes


def test_requests_per_life_are_those_of_whole_lives_by_count(shown):
    study = imagined(["sanic", "granian"], scenarios=FAST[:1], workers=(1,), probes=False)
    axis = charts.requests_per_life(study).axes[0]
    labels = [label.get_text() for label in axis.get_yticklabels()]
    assert labels == ["sanic"]
    lives = study.recycling.lives.query("configuration == 'sanic' and scenario == 'index' and whole")
    strip = next(line for line in axis.get_lines() if line.get_marker() == "o")
    assert sorted(strip.get_xdata()) == sorted(lives["served"])
    bounds = sorted(line.get_xdata()[0] for line in axis.get_lines() if line.get_linestyle() == ":")
    assert bounds == [500, 550]
    assert charts.requests_per_life(imagined(["granian"], scenarios=FAST[:1], probes=False)) is None


def test_probes_show_what_was_answered_and_what_was_lost(shown, every):
    figure = every["probes"]
    kill = figure.axes[0]
    above, below, _ = (patch.get_data() for patch in kill.patches)
    width = np.diff(below.edges)
    assert (-below.values * width).sum() == pytest.approx(5)
    assert (below.edges[:-1][below.values < 0] >= 0).all()
    cell = shown.recycling.cells.query("configuration == 'sanic' and treatment == 'kill'").index[0]
    trace = shown.results.trace[shown.results.trace["cell"] == cell]
    since = trace.loc[trace["kind"].isna(), "ended"] - shown.results.cells.loc[cell, "probe_time"]
    inside = ((since >= above.edges[0]) & (since < above.edges[-1])).sum()
    assert (above.values * width).sum() == pytest.approx(inside)
    assert "recovers, 5 lost" in kill.get_title(loc="left")
    assert title(figure).startswith("Every server")


def test_a_probe_that_was_not_measured_is_said_to_be(shown):
    cells = shown.recycling.cells
    less = replace(
        shown.recycling, cells=cells[(cells["configuration"] != "sanic") | (cells["treatment"] != "kill")]
    )
    figure = probes.probes(SimpleNamespace(results=shown.results, recycling=less))
    assert "not measured" in texts(figure.axes[0])


def test_a_server_that_fails_a_probe_is_named(shown):
    cells = shown.recycling.cells.copy()
    cells.loc[(cells["configuration"] == "uvicorn") & (cells["treatment"] == "terminate"), "verdict"] = "cuts"
    study = SimpleNamespace(results=shown.results, recycling=replace(shown.recycling, cells=cells))
    assert title(probes.probes(study)).endswith("uvicorn does not do both.")


# The deciding table


def test_the_table_has_an_answer_to_every_question(shown):
    decides = shown.recycling
    assert decides.finding == shown.recycling.finding and decides.columns[0] == "configuration"
    assert all(len(row.texts()) == len(decides.columns) for row in decides.rows)
    frame = exports.recycling(shown)
    assert list(frame.columns) == list(decides.columns) and frame.iloc[0].to_list() == decides.rows[0].texts()


def test_every_answer_keeps_its_evidence(shown):
    evidence = exports.recycling_evidence(shown)
    asked = evidence[evidence["configuration"] == "sanic"]
    answers = shown.recycling.configurations[0].answers
    assert asked["cell"].dropna().to_list() == [path for answer in answers for path in answer.evidence]
    assert asked.loc[asked["cell"].isna(), "verdict"].to_list() == ["unknown"]


def test_names_lead_to_the_lives_where_they_were_drawn(tmp_path):
    recycled = study(make_recycling(tmp_path / "run", STORIES))
    assert "#lanes_sanic" not in page_of(recycled, tmp_path)
    draw(recycled, tmp_path, lanes.figures)
    page = Page(page_of(recycled, tmp_path))
    assert "#lanes_sanic" in page.addresses and "lanes_sanic" in page.values("id")
    path = recycled.recycling.rows[0].cells()[1].evidence[0]
    link = next(each for each in page.all("a") if each.attributes.get("title") == path)
    assert link.attributes["href"] == f"../{path}/" and link.text == "1"


@pytest.mark.parametrize("width", [60, 100, 400])
def test_the_table_is_printed_whole_on_any_terminal(shown, width, monkeypatch, tmp_path):
    console = Console(width=width, highlight=False)
    for each in (report_command, terminal):
        monkeypatch.setattr(each, "console", console)
    decides = shown.recycling
    with console.capture() as capture:
        report_command.show(Rendered(tmp_path / "report.html", decides.finding, (decides,), [], []))
    printed = " ".join(capture.get().split())
    for row in decides.rows:
        asked = [text for text in row.texts() if text != MISSING]
        assert all(word in printed for text in asked for word in text.split())
    assert all(len(line) <= width for line in capture.get().splitlines() if "report.html" not in line)
