import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import poisson

from analysis.recycling.limits import NEAR_S
from analysis.recycling.requests import nearest, rate
from analysis.study import study
from tests.fixtures.make_recycling import Life, Lost, Story, generation, make_recycling

# A worker for two seconds each, from a second before the window.
WORKERS = generation(6, 2.0, gap_s=0.1)
FAR = ("no", "started", "finished")


def lost(told, *losses, **changes):
    return told(Story("gunicorn-uvicorn", WORKERS, lost=losses, **changes)).recycling


def test_every_loss_is_told_with_its_id_and_how_far_its_handler_came(told):
    found = lost(
        told,
        Lost(0.9, "refused"),
        Lost(3.05, "reset_mid_response", "started", 1001),
        Lost(3.06, "timeout", "finished", 1001),
    ).losses
    assert found["kind"].tolist() == ["refused", "reset_mid_response", "timeout"]
    assert found["handled"].tolist() == list(FAR)
    assert found["pid"].isna().tolist() == [True, False, False] and found["pid"].iloc[1] == 1001
    # A request every 10 ms, and the first was due a second before the window.
    assert found["id"].tolist() == ["0-191", "0-406", "0-407"]
    assert not found["in_probe"].any()


def test_the_ids_are_those_of_failures_csv(told):
    analysed = told(Story("sanic", WORKERS, lost=(Lost(0.9), Lost(3.0, far="started", pid=1001))))
    assert set(analysed.recycling.losses["id"]) == set(analysed.results.failures["id"])


def test_losses_of_the_warm_up_do_not_count(told):
    found = lost(told, Lost(-0.5), Lost(0.5))
    assert len(found.losses) == 1 and found.cells["lost"].tolist() == [1]


def test_a_loss_belongs_to_the_replacement_of_its_worker_whenever_it_came(told):
    # Workers end at 1.0, 3.1, 5.2, ...; 1001's request is lost four seconds after its end.
    found = lost(told, Lost(7.0, far="started", pid=1001), Lost(7.0, far="no"))
    assert found.losses["replacement"].tolist() == [2, 4]
    assert found.replacements["lost"].tolist() == [0, 1, 0, 1, 0]


def test_a_handler_of_a_worker_that_lives_on_says_nothing(told):
    # 1005 is not replaced; its lost request is near the end of 1004, at 9.4.
    found = lost(told, Lost(9.6, far="started", pid=1005))
    assert found.losses["replacement"].tolist() == [5]


def test_what_is_lost_away_from_all_replacements_belongs_to_none(tmp_path):
    story = Story(
        "sanic", [Life(1, -2, -1, died=2.0), Life(2, 2, 2.5)], lost=(Lost(1.01), Lost(0.9), Lost(3.6))
    )
    found = study(make_recycling(tmp_path / "run", [story])).recycling
    assert found.losses["replacement"].tolist() == [pd.NA, 1, pd.NA]
    row = found.cells.iloc[0]
    assert (row["lost"], row["lost_elsewhere"], row["per_replacement"]) == (3, 2, 3.0)


def test_losses_are_counted_by_stage(told):
    row = lost(
        told, *(Lost(3 + i / 100, far=FAR[min(i, 2)], pid=1001 if i else None) for i in range(5))
    ).cells
    row = row.iloc[0]
    assert row[["lost_not_handled", "lost_started", "lost_finished"]].tolist() == [1, 1, 3]
    assert row["lost"] == 5 and row["requests"] == 1000
    assert row["per_replacement"] == 1.0 and row["per_1000"] == 1000.0


def test_an_idle_close_is_no_loss(told):
    row = told(Story("sanic", WORKERS, idle_closes=40)).recycling.cells.iloc[0]
    assert (row["idle_closes"], row["lost"]) == (40, 0)


def test_requests_that_had_not_ended_when_the_cell_did_are_neither_lost_nor_served(told, tmp_path):
    analysed = told(Story("sanic", [Life(1, -2, -1)], slow={9.5: 5.0}))
    assert len(analysed.results.trace) == 1099
    assert analysed.recycling.lives["served"].tolist() == [1099]
    assert analysed.recycling.cells["lost"].tolist() == [0]


intervals = st.lists(st.tuples(st.floats(0, 60), st.floats(0, 8)), min_size=1, max_size=9)


@given(st.lists(st.floats(-5, 75), max_size=20), intervals)
def test_the_nearest_interval_is_none_further_than_any_other(times, pairs):
    begin = np.array([start for start, _ in pairs])
    end = begin + [length for _, length in pairs]
    for time, place in zip(times, nearest(np.array(times), begin, end), strict=True):
        outside = [max(low - time, time - high, 0.0) for low, high in zip(begin, end, strict=True)]
        if place < 0:
            assert min(outside) > NEAR_S
        else:
            assert outside[place] == min(outside) <= NEAR_S


def test_of_two_that_hold_a_loss_the_one_whose_middle_is_nearest_has_it():
    begin, end = np.array([0.0, 2.0]), np.array([5.0, 6.0])
    assert nearest(np.array([2.5, 3.4, 4.9]), begin, end).tolist() == [0, 1, 1]


def test_without_losses_the_interval_ends_where_a_poisson_count_would_surprise():
    mean, low, high = rate([0] * 20)
    assert (mean, low) == (0.0, 0.0)
    # So high a rate gives no loss in 20 replacements with a chance of 2.5 %.
    assert poisson.pmf(0, 20 * high) == pytest.approx(0.025)


def test_the_interval_of_independent_losses_is_the_exact_one():
    mean, low, high = rate([1, 0, 1, 2, 0, 1, 0, 1])
    assert mean == 0.75
    assert poisson.sf(5, 8 * low) == pytest.approx(0.025)
    assert poisson.cdf(6, 8 * high) == pytest.approx(0.025)


def test_losses_that_come_together_are_less_certain():
    _, low, high = rate([6, 0, 0, 0, 0, 0])
    _, certain_low, certain_high = rate([1, 1, 1, 1, 1, 1])
    assert low < certain_low and high > certain_high


def test_what_was_lost_elsewhere_is_spread_over_all():
    assert rate([0, 0], elsewhere=4)[:2] == (2.0, 2.0)
    assert np.isnan(rate([])).all()


@given(st.lists(st.integers(0, 30), min_size=1, max_size=40), st.integers(0, 10))
def test_an_interval_holds_its_mean(counts, elsewhere):
    mean, low, high = rate(counts, elsewhere)
    assert 0 <= low <= mean < high
    assert mean == pytest.approx((sum(counts) + elsewhere) / len(counts))


drawn_losses = st.tuples(st.integers(0, 999), st.sampled_from(FAR), st.integers(0, 5))


@settings(max_examples=12, deadline=None)
@given(st.lists(drawn_losses, max_size=25, unique_by=lambda loss: loss[0]))
def test_every_loss_is_counted_once(tmp_path_factory, drawn):
    losses = [Lost(at / 100, far=far, pid=None if far == "no" else 1000 + turn) for at, far, turn in drawn]
    folder = tmp_path_factory.mktemp("results") / "run"
    found = study(make_recycling(folder, [Story("sanic", WORKERS, lost=losses)])).recycling
    row = found.cells.iloc[0]
    assert row["lost"] == len(losses) == len(found.losses) == found.losses["id"].nunique()
    assert row["lost"] == row["lost_not_handled"] + row["lost_started"] + row["lost_finished"]
    assert found.replacements["lost"].sum() + row["lost_elsewhere"] == row["lost"]


def test_connections_tell_keep_alive_from_one_for_each_request(told):
    stories = [
        Story("sanic", WORKERS),
        Story("sanic", WORKERS, scenario="index-close", keep_alive=False),
        # One that closes early does not make the scenario another.
        Story("uvicorn", WORKERS, scenario="index", keep_alive=False),
        Story("granian", WORKERS, scenario="index"),
    ]
    cells = told(*stories).recycling.cells
    assert cells.groupby("scenario")["keep_alive"].unique().map(list).to_dict() == {
        "index": [True], "index-close": [False],
    }  # fmt: skip


def test_each_process_of_the_generator_numbers_its_own_connections(tmp_path):
    folder = make_recycling(tmp_path / "run", [Story("sanic", WORKERS, keep_alive=False)])
    (path,) = folder.rglob("trace.csv")
    lines = path.read_text().splitlines()
    # Two processes, each with connections 1, 2, 3 ...
    halves = [line.split(",") for line in lines[1:]]
    for turn, row in enumerate(halves):
        row[0], row[6] = f"{turn % 2}-{turn // 2 + 1}", str(turn // 2 + 1)
    path.write_text("\n".join([lines[0], *map(",".join, halves)]) + "\n")
    assert study(folder).recycling.cells["keep_alive"].tolist() == [False]
    assert json.loads(next(folder.rglob("cell.json")).read_text())["status"] == "finished"
