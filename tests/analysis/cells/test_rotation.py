"""Rotated cells: which slices count, and what they come to."""

import csv
from dataclasses import replace

import pandas as pd
import pytest

from analysis.cells import rotation
from analysis.cells.summary import closed_loads, summarise
from analysis.reading import results
from bench.stats.comparison import Field, compare
from tests.fixtures.make_run import ROTATED, SERVERS, Spec, make_run

PAIR = replace(
    ROTATED, configurations=("sanic", "uvicorn"), aliases={}, scenarios={"index": (64,)}, repeats=2, noise=0
)


@pytest.fixture
def rotated(tmp_path):
    """A rotated run of two in two sittings, loaded: `rotated(spoiled=2)`."""

    def make(spec: Spec = PAIR, **how):
        changed = {name: how.pop(name) for name in list(how) if name in Spec.__dataclass_fields__}
        spec = replace(spec, rotation=replace(spec.rotation, **how), **changed)
        return results.load(make_run(tmp_path / "rotated", spec))

    return make


def test_figures_are_those_of_the_slices(rotated):
    loaded = rotated()
    summary = summarise(loaded).set_index("configuration")
    for name in ("sanic", "uvicorn"):
        assert summary.loc[name, "throughput"].tolist() == pytest.approx(
            [round(0.985e6 / SERVERS[name].cpu_us * 0.05) / 0.05] * 2, rel=1e-5
        )
        assert summary.loc[name, "cpu_us"].tolist() == pytest.approx([SERVERS[name].cpu_us] * 2)
        assert summary.loc[name, "little"].tolist() == pytest.approx([1, 1], rel=0.001)
        assert summary.loc[name, "others"].tolist() == pytest.approx([0, 0], abs=0.002)
        assert summary.loc[name, "idle_share"].tolist() == pytest.approx([0.001, 0.001])
    assert summary["loaded_s"].tolist() == pytest.approx([12 * 0.05] * 4)
    assert summary["slice_s"].tolist() == pytest.approx([0.05] * 4)
    assert summary["rotated"].all()
    # What an idle neighbour takes of the server's CPU is not there for the server.
    used = summary["cpu_us"] * summary["throughput"] / 1e6
    assert summary["busy"].tolist() == pytest.approx((used / (1 - 0.001)).tolist())


def test_steal_others_and_generator_are_those_of_the_slices(rotated):
    summary = summarise(rotated(steal=0.03, others=0.1))
    assert summary["steal"].tolist() == pytest.approx([0.03] * 4)
    # Neither the servers nor their meters are others, whichever is loaded.
    assert summary["others"].tolist() == pytest.approx([0.1] * 4, abs=0.002)
    assert summary["generator_busy"].tolist() == pytest.approx(
        (summary["throughput"] * 7e-6).tolist(), rel=0.01
    )


def test_a_slice_that_began_with_requests_in_flight_does_not_count(rotated):
    loaded = rotated(spoiled=3)
    assert rotation.spoiled(loaded.slices).sum() == 2 * 2 * 3
    summary = summarise(loaded)
    assert summary["loaded_s"].tolist() == pytest.approx([9 * 0.05] * 4)
    # Latencies are those of all slices, and so is the time in which they were begun.
    assert summary["little"].tolist() == pytest.approx([1] * 4, rel=0.001)


def test_a_slice_that_a_process_of_the_generator_missed_does_not_count(rotated):
    loaded = rotated(missed=3)
    summary = summarise(loaded)
    assert summary["loaded_s"].tolist() == pytest.approx([9 * 0.05] * 4)
    # The latencies here are those of all users in 12 slices, in three of which half of them were absent.
    assert summary["little"].tolist() == pytest.approx([12 / 10.5] * 4, rel=0.001)


def test_in_older_runs_nobody_was_absent(rotated):
    folder = rotated().directory
    for path in folder.rglob("slices.csv"):
        lines = (line.rpartition(",")[0] for line in path.read_text().splitlines())
        path.write_text("\n".join(lines) + "\n")
    loaded = results.load(folder)
    assert not loaded.slices["absent"].any() and loaded.slices["absent"].dtype == "int64"


def test_a_sitting_without_a_good_slice_leaves_its_figures_to_the_others(rotated):
    loaded = rotated()
    first = loaded.slices["cell"] == loaded.slices["cell"].iloc[0]
    loaded.slices.loc[first, "in_flight"] = 1
    summary = summarise(loaded)
    name = summary["configuration"].loc[loaded.slices["cell"].iloc[0]]
    of = closed_loads(loaded, summary).set_index("configuration").loc[name]
    known = summary["throughput"][summary["configuration"] == name].dropna()
    assert (len(known), of["repeats"]) == (1, 2)
    assert of["throughput"] == pytest.approx(known.item())


@pytest.mark.parametrize("late_s", [5.0, -5.0])
def test_a_slice_off_the_timetable_does_not_count(rotated, late_s):
    loaded = rotated(late_s=late_s)
    assert rotation.off_timetable(loaded.slices).sum() == 2 * 2
    assert summarise(loaded)["loaded_s"].tolist() == pytest.approx([11 * 0.05] * 4)


@pytest.mark.parametrize(
    ("start", "end", "off"),
    [
        (100.0, 100.05, False),
        (100.02, 100.06, False),  # late by a scheduler's turn: counts are read at the real edges
        (100.0, 100.09, True),  # nearly twice as long
        (100.0, 100.01, True),
        (100.2, 100.25, True),
        (100.05, 100.0, True),
    ],
)
def test_edges_may_be_a_little_late(start, end, off):
    slices = pd.DataFrame({"planned_start": [100.0], "planned_end": [100.05], "start": [start], "end": [end]})
    assert rotation.off_timetable(slices).tolist() == [off]


def test_a_cell_without_a_good_slice_has_no_figures(rotated):
    summary = summarise(rotated(spoiled=12))
    assert summary[["throughput", "cpu_us", "busy", "error_rate", "steal"]].isna().all(axis=None)
    assert summary["requests"].tolist() == [0] * 4


def test_a_clock_that_could_not_be_read_leaves_its_slice_out_of_the_cost(rotated):
    folder = rotated().directory
    path = folder / "sanic" / "index" / "c64-w1" / "r1" / "slices.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows[:4]:
        row["cpu_s"] = ""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    first = summarise(results.load(folder)).query("configuration == 'sanic'").iloc[0]
    assert first["cpu_us"] == pytest.approx(SERVERS["sanic"].cpu_us)
    assert first["throughput"] == pytest.approx(28140, rel=0.01)
    assert first["busy"] == pytest.approx(0.985, rel=0.01)


def test_seconds_of_a_sitting_are_nobodys(rotated):
    assert rotated().seconds.empty


def test_both_manners_are_told_apart(rotated):
    summary = summarise(rotated(manners=("polls", "sleeps"), asleep={"sanic": 0.5})).set_index(
        "configuration"
    )
    sanic, uvicorn = summary.loc["sanic"].iloc[0], summary.loc["uvicorn"].iloc[0]
    assert sanic["throughput_sleeps"] == pytest.approx(sanic["throughput_polls"] / 2, rel=0.01)
    assert sanic["cpu_us_sleeps"] == pytest.approx(2 * sanic["cpu_us_polls"])
    assert uvicorn["throughput_sleeps"] == uvicorn["throughput_polls"]


def test_one_manner_has_no_other_to_be_told_from(rotated):
    summary = summarise(rotated())
    assert summary[["throughput_polls", "throughput_sleeps"]].isna().all(axis=None)


def test_what_holds_in_one_manner_alone_is_not_certain():
    polls = pd.DataFrame({"a": [1.0, 1.01, 0.99], "b": [1.0, 1.0, 1.0], "c": [2.0, 2.02, 1.98]})
    sleeps = pd.DataFrame({"a": [1.5, 1.52, 1.48], "b": [1.0, 1.0, 1.0], "c": [2.0, 2.02, 1.98]})
    versus = Field([polls[["a", "b"]], sleeps[["a", "b"]]]).compare("a", "b")
    assert versus.low == compare(polls["a"], polls["b"]).low
    assert versus.high == compare(sleeps["a"], sleeps["b"]).high
    assert Field(sleeps).rank(higher_is_better=True).tolist() == [2, 3, 1]
    assert Field([polls, sleeps]).rank(higher_is_better=True).tolist() == [2, 2, 1]


def test_a_sitting_without_one_of_the_two_is_left_out_of_their_ratio():
    one = pd.Series({1: 2.0, 2: 2.2, 3: 100.0})
    other = pd.Series({1: 1.0, 2: 1.1, 4: 1.0})
    assert compare(one, other).rounds == 2
    assert compare(one, other).ratio == pytest.approx(2)


def test_a_control_is_compared_by_what_ranks_it(rotated):
    loaded = rotated(ROTATED, configurations=("sanic", "uvicorn"), scenarios={"index": (64,)})
    summary = summarise(loaded)
    aliases = {"uvicorn-again": "uvicorn", "absent": "sanic"}
    for metric in ("throughput", "cpu_us"):
        (control,) = rotation.controls(summary, metric, aliases)
        assert (control.alias, control.original, control.versus.rounds) == ("uvicorn-again", "uvicorn", 6)
        assert control.versus.low < 1 < control.versus.high
        assert not control.different
    by_cost, by_requests = (
        next(rotation.controls(summary, metric, aliases)).versus.ratio for metric in ("cpu_us", "throughput")
    )
    assert by_cost == pytest.approx(by_requests, rel=0.001)
