"""What connections say of a setting: of runs whose connections.csv is known."""

import csv
from dataclasses import replace

import pytest

from analysis.charts.settings import connections as chart
from analysis.settings.table import tables
from analysis.study import study
from bench.model.records.columns import CONNECTIONS
from tests.fixtures.make_settings import SETTINGS, facts, make_settings

VARIED = {
    "uvicorn-keep-alive-5": facts(
        "uvicorn", "keep-alive", "--keep-alive 5", "It loses.", "worse", ("pauses",)
    ),
    "uvicorn-cache": facts("uvicorn", "backlog", "--backlog 9", "It is slow.", "worse", ("bursts",)),
    "uvicorn-c-parser": facts("uvicorn", "limit", "--limit 9", "It is fast.", "better", ("overload",)),
}
SPEC = replace(SETTINGS, configurations=("uvicorn",), variants=VARIED, open={}, aliases={})


def row(load, name, repeat=1, turn=1, connections=300, p99_ms=10.0, **counts):
    of_kind = {c.name: 0 for c in CONNECTIONS.columns if c.kind == "int64"}
    return {
        **of_kind, "configuration": name, "load": load, "workers": 1, "repeat": repeat, "turn": turn,
        "connections": connections, "p99_us": p99_ms * 1000, "slowest_us": p99_ms * 2000, **counts,
    }  # fmt: skip


def pauses(name, lost):
    return row("pause", name, connections=1000, answered=500, closed_in_time=500 - lost, reset=lost)


def bursts(name, p99_ms, timed_out=0):
    return [
        row(
            "burst", name, repeat, turn, size, p99_ms * (1 + repeat / 100), answered=size, timed_out=timed_out
        )
        for size in (300, 1000)
        for repeat in (1, 2, 3)
        for turn in (1, 2)
    ]


def overload(name, p99_ms, turned_away=0):
    of_starts = ((repeat, p99_ms * (1 + repeat / 100)) for repeat in (1, 2, 3))
    return [
        row("overload", name, r, answered=9000, answers_503=turned_away, p99_ms=ms) for r, ms in of_starts
    ]


ROWS = [
    pauses("uvicorn", 0), pauses("uvicorn-keep-alive-5", 20),
    *bursts("uvicorn", 50), *bursts("uvicorn-cache", 500),
    *overload("uvicorn", 20), *overload("uvicorn-c-parser", 10, 400),
]  # fmt: skip


@pytest.fixture
def settings_of(tmp_path):
    def made(rows, spec=SPEC):
        folder = make_settings(tmp_path / "settings", spec)
        with (folder / "connections.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(CONNECTIONS.types))
            writer.writeheader()
            writer.writerows(rows)
        return study(folder)

    return made


def of_connections(found, name):
    (judged,) = [each for each in found.settings.judged if each.name == name]
    every = {each.measure: each for each in judged.measured}
    known = ("lost_pause", "lost_burst", "p99_burst", "p99_overload", "answers_503")
    return judged, {measure: each for measure, each in every.items() if measure in known}


def test_each_variant_is_judged_by_the_connections_that_it_expects(settings_of):
    found = settings_of(ROWS)
    judged, known = of_connections(found, "uvicorn-keep-alive-5")
    assert known.keys() == {"lost_pause"} and known["lost_pause"].ratio.low > 3
    assert (judged.fate, judged.claim) == ("costs", "holds")
    assert "the requests lost per pause around the keep-alive" in judged.figure
    judged, known = of_connections(found, "uvicorn-cache")
    assert known.keys() == {"p99_burst"} and known["p99_burst"].ratio.ratio == pytest.approx(10)
    assert (judged.fate, judged.claim) == ("costs", "holds")


def test_what_is_faster_for_it_turns_requests_away_costs_and_its_claim_holds(settings_of):
    judged, known = of_connections(settings_of(ROWS), "uvicorn-c-parser")
    assert known["p99_overload"].ratio.ratio == pytest.approx(0.5)
    assert {measure: each.fate for measure, each in known.items()} == {
        "p99_overload": "worth it",
        "answers_503": "costs",
    }
    assert (judged.fate, judged.claim) == ("costs", "holds")


def test_what_turns_requests_away_for_nothing_costs_and_no_latency_is_won(settings_of):
    rows = [*overload("uvicorn", 20), *overload("uvicorn-c-parser", 20, 400)]
    judged, known = of_connections(settings_of(rows), "uvicorn-c-parser")
    assert known["answers_503"].fate == "costs" and known["p99_overload"].fate == "makes no difference"
    assert (judged.fate, judged.claim) == ("costs", "does not hold")


def test_a_burst_that_loses_requests_says_so(settings_of):
    found = settings_of([*bursts("uvicorn", 50), *bursts("uvicorn-cache", 50, timed_out=30)])
    _, known = of_connections(found, "uvicorn-cache")
    assert known["lost_burst"].fate == "costs" and known["p99_burst"].fate == "makes no difference"


def test_pauses_that_lose_nothing_leave_it_open(settings_of):
    judged, _ = of_connections(
        settings_of([pauses("uvicorn", 0), pauses("uvicorn-keep-alive-5", 0)]), "uvicorn-keep-alive-5"
    )
    assert judged.fate == judged.claim == "not shown"
    assert "neither lost a request in 1,000 pauses or more" in judged.figure


def test_connections_share_a_column_and_have_a_chart_of_their_own(settings_of):
    found = settings_of(ROWS)
    (table,) = tables(found.settings)
    assert table.columns[-2] == "connections"
    cells = {each.judged.name: each.cells()[-2] for each in table.rows}
    assert (
        cells["uvicorn-cache"].text.startswith("p99 of bursts 10.0x")
        and cells["uvicorn-cache"].verdict == "bad"
    )
    assert cells["uvicorn-c-parser"].text.count(";") == 1
    assert [axis.get_title(loc="left") for axis in chart(found).axes] == [
        "lost/pause", "p99 of\nbursts", "p99 in\noverload", "503 in\noverload",
    ]  # fmt: skip


def test_a_run_without_them_lacks_what_was_expected(settings_of, tmp_path):
    found = study(make_settings(tmp_path / "without", SPEC))
    judged, known = of_connections(found, "uvicorn-cache")
    assert not known and judged.lacking == ["lost/burst", "p99 of bursts"]
    assert chart(found) is None and "connections" not in tables(found.settings)[0].columns
