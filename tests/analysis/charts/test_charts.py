import io
import math
import xml.etree.ElementTree as ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from analysis.charts import beside, timelines
from analysis.charts import closed_loop as charts
from analysis.charts.drawing import style
from analysis.study import study
from tests.analysis.report_page import coarse
from tests.fixtures.make_run import SERVERS

CHARTS = [
    beside.ratios,
    charts.throughput,
    charts.throughput_by_concurrency,
    charts.latency_by_throughput,
    charts.percentiles,
    charts.cpu_per_request,
    timelines.over_time,
    timelines.memory,
]


def texts(figure):
    return [text.get_text() for text in figure.texts]


def colours(axis):
    """Colours of the markers drawn on an axis."""
    return {line.get_color() for line in axis.get_lines() if line.get_marker() not in ("None", None, "|")}


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.__name__)
def test_every_chart_says_something_is_reproducible_and_leaves_no_trace(analysed, chart, tmp_path):
    before = dict(mpl.rcParams)
    figure = chart(analysed)
    title, reading, foot = texts(figure)
    assert title.endswith(".") and any(name in title for name in ("sanic", "servers", "steady"))
    assert reading
    assert "launcher: processes · synthetic (Imagined CPU, 2 CPUs) · 2026-09-21" in foot
    for axis in figure.axes:
        assert axis.get_xlabel() or axis.get_subplotspec().rowspan.start == 0
    picture = style.save(coarse(figure), tmp_path, "chart")
    assert picture == (tmp_path / "chart.png").read_bytes() and picture.startswith(b"\x89PNG")
    assert b"Title" in picture
    assert ElementTree.parse(tmp_path / "chart.svg").getroot().tag.endswith("svg")
    assert picture == style.save(coarse(chart(analysed)), tmp_path, "again")
    assert (tmp_path / "chart.svg").read_bytes() == (tmp_path / "again.svg").read_bytes()
    assert dict(mpl.rcParams) == before


def test_a_title_names_a_single_configuration_once(run):
    alone = study(run(configurations=("sanic",)))
    drawn = [figure for figure in (chart(alone) for chart in CHARTS) if figure is not None]
    assert len(drawn) == len(CHARTS) - 1  # it has one load, and throughput no line
    for figure in drawn:
        assert texts(figure)[0].count("sanic") <= 1, texts(figure)[0]


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.__name__)
def test_nothing_is_drawn_for_what_was_not_measured(analysed, chart):
    looks = style.looks(analysed.results.configurations)
    measured = {looks[name].colour for name in ("sanic", "uvicorn", "gunicorn-uvicorn-worker")}
    for axis in chart(analysed).axes:
        assert colours(axis) == measured
        assert "gunicorn-sanic" not in [label.get_text() for label in axis.get_yticklabels()]


def test_a_configuration_looks_the_same_whatever_else_was_measured(run):
    one = study(run(configurations=("uvicorn",)))
    looks = style.looks(one.results.configurations)
    assert looks["uvicorn"].colour == style.COLOURS[2] and looks["uvicorn"].marker == style.MARKERS[2]
    assert colours(charts.throughput(one).axes[0]) == {style.COLOURS[2]}


def test_looks_tell_every_configuration_apart():
    many = [f"configuration-{i}" for i in range(20)]
    looks = style.looks(many)
    assert len({(look.colour, look.marker, look.line) for look in looks.values()}) == 20
    nine = style.looks(list(SERVERS))
    assert len({look.colour for look in nine.values()}) == len({look.marker for look in nine.values()}) == 9


def test_unsaturated_servers_are_hollow(analysed):
    index, sleep = charts.throughput(analysed).axes

    def filled(axis):
        return {
            line.get_markerfacecolor() != "white" for line in axis.get_lines() if line.get_marker() in "os^D"
        }

    assert filled(index) == {True} and filled(sleep) == {False}


def test_intervals_are_drawn(analysed, run):
    def bars(chart, studied):
        return [
            segment
            for axis in chart(studied).axes
            for container in axis.containers
            for collection in container[2]
            for segment in collection.get_segments()
        ]

    loads = analysed.loads.query("scenario == 'index' and users == 64").set_index("configuration")
    ends = {tuple(np.round(segment[:, 0], 6)) for segment in bars(charts.throughput, analysed)}
    row = loads.loc["sanic"]
    assert tuple(np.round([row["throughput_low"], row["throughput_high"]], 6)) in ends
    assert bars(charts.throughput, study(run(repeats=1))) == []


def test_without_two_loads_there_is_no_chart_of_concurrency(run):
    assert charts.throughput_by_concurrency(study(run(repeats=1))) is None


def test_the_concurrency_title_counts_servers(analysed):
    title = texts(charts.throughput_by_concurrency(analysed))[0]
    assert title == "In index 3 of 3 servers reach 95 % of their best throughput with 8 users."


def test_percentile_curves_end_where_requests_run_out(analysed):
    looks = style.looks(analysed.results.configurations)
    totals = analysed.summary.query("scenario == 'index' and users == 64").groupby("configuration")
    for line in charts.percentiles(analysed).axes[0].get_lines():
        (name,) = [name for name, look in looks.items() if look.colour == line.get_color()]
        requests = totals["requests"].sum()[name]
        beyond, latency = np.array(line.get_xdata()), np.array(line.get_ydata())
        known = ~np.isnan(latency)
        assert np.all(np.diff(latency[known]) >= 0)
        # 1e-9: the number of samples beyond is whole, the share is not.
        assert known.tolist() == (np.floor(beyond * requests + 1e-9) >= 10).tolist()


def test_an_unsteady_run_is_said_to_be(run):
    folder = run(configurations=("sanic",), seconds=4)
    for path in folder.rglob("latency.csv"):
        lines = path.read_text().splitlines()
        last = lines[-1].split(",")[0]
        path.write_text("\n".join(line for line in lines if not line.startswith(last)) + "\n")
    assert "In index throughput swung" in texts(timelines.over_time(study(folder)))[0]


def test_memory_without_pss_says_so(run):
    folder = run(repeats=1)
    for path in folder.rglob("processes.csv"):
        lines = path.read_text().splitlines()
        path.write_text("\n".join([lines[0], *(line.rsplit(",", 1)[0] + "," for line in lines[1:])]) + "\n")
    figure = timelines.memory(study(folder))
    assert "(RSS, at their peak)" in texts(figure)[0].replace("\n", " ")
    pss, rss = figure.axes
    assert [text.get_text() for text in pss.texts] == ["not available on this system"]
    assert not pss.get_lines() and rss.get_lines()


def test_a_load_without_success_is_not_drawn(run):
    folder = run(configurations=("sanic", "uvicorn"))
    for path in (folder / "sanic").rglob("latency.csv"):
        path.write_text("second,method,name,kind,bucket_us,count\n")
    studied = study(folder)
    assert math.isnan(studied.loads.set_index("configuration").loc["sanic", "cpu_us"])
    assert colours(charts.cpu_per_request(studied).axes[0]) == {style.COLOURS[2]}
    assert colours(charts.percentiles(studied).axes[0]) == {style.COLOURS[2]}
    for chart in CHARTS:
        figure = chart(studied)
        if figure is not None:
            figure.draw_without_rendering()


def test_many_panels_wrap(run):
    studied = study(run(scenarios={"index": (8,), "json": (8,), "cpu": (8,), "sleep": (8,)}, workers=(1, 2)))
    figure = timelines.over_time(studied)
    assert len(figure.axes) == 16 and figure.get_size_inches()[0] == style.WIDTH_IN


def test_a_picture_keeps_the_colours_of_what_it_shows(analysed):
    """A palette is smaller; which configuration is which must survive it."""
    with style.styled():
        figure, ((axis,),) = style.panels(1)
        for place, look in enumerate(style.looks([str(number) for number in range(9)]).values()):
            axis.plot([place], [0], linestyle="none", **look.dots() | {"markersize": 5})
        style.finish(figure, "Colours.", "As they are.", "here")
    with Image.open(io.BytesIO(style.png(figure))) as picture:
        assert picture.mode == "P" and picture.width >= 1500
        shown = {colour for _, colour in picture.convert("RGB").getcolors()}
    for colour in style.COLOURS:
        wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        nearest = min(max(abs(a - b) for a, b in zip(each, wanted, strict=True)) for each in shown)
        assert nearest <= 4, colour


def test_what_looks_like_a_formula_is_written_as_it_is(analysed, tmp_path):
    with style.styled():
        figure, ((axis,),) = style.panels(1)
        axis.set_title(r"$\frac{$")
        style.finish(figure, r"It costs $5\nto $6, and $\frac{$.", "Read it.", "here")
    style.save(figure, tmp_path, "chart")
    assert r"$\frac{$." in (tmp_path / "chart.svg").read_text(encoding="utf-8")
