"""How a rotation is shown: the picture of its ratios, its table, its network."""

from dataclasses import replace

import pytest

from analysis.charts import beside, closed_loop, registry, timelines
from analysis.report import exports, facts
from analysis.report.digest import digest, noted
from analysis.study import study
from tests.fixtures.make_run import ROTATED, Rotating, make_run

THREE = replace(
    ROTATED,
    configurations=("sanic", "uvicorn", "gunicorn-asgi"),
    scenarios={"index": (64,), "sleep": (64,)},
    rotation=Rotating(idle={"uvicorn": 0.005}, spoiled=1),
    repeats=3,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("results") / "rotated", THREE)


@pytest.fixture(scope="module")
def analysed(folder):
    return study(folder)


def test_the_picture_has_a_row_for_each_configuration_and_for_the_control(analysed):
    figure = beside.ratios(analysed)
    assert figure.get_label() == analysed.verdict.finding
    first, second = figure.axes
    assert [label.get_text() for label in first.get_yticklabels()] == [
        "sanic", "uvicorn", "gunicorn-asgi", "control: uvicorn",
    ]  # fmt: skip
    assert second.get_yticks().tolist() == []
    for axis, table in zip(figure.axes, analysed.verdict.tables, strict=True):
        written = [text.get_text() for text in axis.texts]
        assert axis.get_title(loc="left") == table.title
        assert written[0].startswith("1.00 · ")
        assert written[1].startswith(f"{table.rows[1].ratio.text()} · ")
        assert "not ranked: errors" in written
        assert table.controls[0].text.endswith(written[-1].replace(" (", "x (", 1))
    assert "µs" in second.texts[0].get_text() and "/s" in first.texts[0].get_text()


def test_bars_are_the_intervals_of_the_ratios(analysed):
    figure = beside.ratios(analysed)
    table = analysed.verdict.tables[0]
    drawn = [
        (low, high)
        for collection in figure.axes[0].collections
        for (low, _), (high, _) in getattr(collection, "get_segments", list)()
    ]
    for value in (table.rows[1].ratio, table.controls[0].versus):
        assert any(
            (low, high) == (pytest.approx(value.low), pytest.approx(value.high)) for low, high in drawn
        )


def test_the_picture_opens_the_page(analysed):
    (chart,) = [each for each in registry.charts("How much each configuration serves") if each.lead]
    assert chart.draw is beside.ratios
    glance = [each for each in registry.charts("All rankings beside each other") if each.lead]
    assert glance[0].lead < chart.lead  # of many rankings that is the picture


def test_no_second_is_drawn_that_belongs_to_all(analysed):
    assert timelines.over_time(analysed) is None


def test_the_control_is_in_no_other_chart(analysed):
    figure = closed_loop.throughput(analysed)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["sanic", "uvicorn", "gunicorn-asgi"]
    legend = timelines.memory(analysed).legends[0]
    assert "uvicorn-again" not in [text.get_text() for text in legend.get_texts()]


def test_how_the_rotation_went_is_a_table(analysed):
    kept = exports.sittings(analysed).set_index("configuration")
    assert kept.index.tolist() == ["sanic", "uvicorn", "gunicorn-asgi", "uvicorn-again"]
    assert kept["sittings"].tolist() == [3] * 4
    assert kept["slices"].tolist() == [2 * 3 * 12] * 4
    assert kept["left_out"].tolist() == [2 * 3] * 4
    assert kept.loc["uvicorn", "idle_share"] == pytest.approx(0.005)
    table = analysed.sittings
    assert table.title == "3 sittings of 4 servers side by side"
    assert "slices of 50 ms" in table.finding and "steered to CPU 1" in table.basis
    assert "0.50 %" in table.rows[1].texts()


def test_a_run_of_blocks_has_no_such_table(run):
    blocks = study(run(repeats=1))
    assert blocks.sittings.rows == () and exports.sittings(blocks).empty


def test_the_summary_has_precision_control_and_network(analysed):
    lines = {
        point.label: [line.text for line in point.lines]
        for point in digest(analysed, noted(analysed.findings), "failures")
    }
    sure = " ".join(lines["How sure"])
    assert "3 sittings of each" in sure and "Precision of the ratios to the best: ±" in sure
    assert sure.count("The same server twice") == 2
    assert any("network namespace of the run's own" in line for line in lines["Measured on"])
    assert "CPU 1" in facts.facts(analysed.results.run, analysed.results.cells)["Network"]
