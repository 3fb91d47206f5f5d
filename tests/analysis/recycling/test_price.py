"""What a replacement costs, what each N costs by that, and N for a leak, of runs whose answers are known."""

import numpy as np
import pytest

from analysis.charts.price import price_of_n
from analysis.recycling.choice import CROWDED, MB, Choices, Leak, choose
from analysis.recycling.price import GRID, computed
from analysis.report import exports
from analysis.words import MISSING
from tests.fixtures.make_recycling import MIB, Life, Lost, Story, generation

START_S, REQUEST_S = 0.4, 0.0002
STALL_S, RATE = 0.1, 100


def story(name="uvicorn", life_s=1.0, **changes):
    """Workers that serve for so long each; a successor is ready a tenth of a second after the death."""
    known = {"cpu_s": (START_S, REQUEST_S), "max_requests": int(RATE * life_s), "seconds": 11}
    return Story(name, generation(14, life_s, gap_s=STALL_S), **(known | changes))


def control(name="uvicorn", **changes):
    known = {"cpu_s": (START_S, REQUEST_S), "seconds": 11} | changes
    return Story(name, [Life(1000, -2, -1)], "control", **known)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two servers, one of which loses two requests at each replacement; at two N, three repeats."""
    from analysis.study import study
    from tests.fixtures.make_recycling import make_recycling

    lost = [Lost(0.25 + 1.1 * turn + step / 100) for turn in range(10) for step in range(2)]
    cells = [
        each
        for repeat in (1, 2, 3)
        for each in (
            control(repeat=repeat), story(repeat=repeat, lost=lost), story(life_s=2.0, repeat=repeat),
            control("sanic", repeat=repeat), story("sanic", repeat=repeat),
        )
    ]  # fmt: skip
    return study(make_recycling(tmp_path_factory.mktemp("results") / "recycle", cells))


def of(study, name, n):
    (found,) = [each for each in study.prices if (each.configuration, each.max_requests) == (name, n)]
    return found


def test_a_replacement_costs_what_the_start_of_a_worker_takes(study):
    assert [(each.configuration, each.max_requests) for each in study.prices] == [
        ("sanic", 100), ("uvicorn", 100), ("uvicorn", 200),
    ]  # fmt: skip
    for n in (100, 200):
        price = of(study, "uvicorn", n)
        assert price.request_s == pytest.approx(REQUEST_S, rel=0.02)
        assert price.standstill_s.mean == pytest.approx(START_S, rel=0.1)
        assert price.standstill_s.low <= price.standstill_s.mean <= price.standstill_s.high


def test_a_stall_that_is_longer_than_the_work_is_what_a_replacement_costs(told):
    cheap = told(control(cpu_s=(0.01, REQUEST_S)), story(cpu_s=(0.01, REQUEST_S))).prices[0]
    assert cheap.standstill_s.mean == pytest.approx(STALL_S, rel=0.25)
    assert np.isnan(cheap.standstill_s.low)  # one cell has no interval


def test_what_each_n_costs_follows_from_one(study):
    price = of(study, "uvicorn", 100)
    costs = price.standstill_s.mean
    for n in GRID:
        share = price.throughput_share(n)
        assert share.mean == pytest.approx(costs / (costs + n * price.request_s))
        assert share.low <= share.mean <= share.high
        assert price.lost_per_million(n).mean == pytest.approx(1e6 * price.lost.mean / n)
    assert price.lost.mean == pytest.approx(2, rel=0.1)
    # Ten of a hundred requests wait for the next worker, and of ten thousand less than one in a hundred.
    assert 50 < price.p99_added_ms(100) < 110 and price.p99_added_ms(10_000) == 0


def crowded():
    """Of twenty requests to a worker ten wait, as many as arrive in the tenth of a second between two."""
    lives = generation(60, 0.08, gap_s=STALL_S)
    lost = [Lost(0.1 + 0.18 * turn) for turn in range(20)]
    return Story("uvicorn", lives, cpu_s=(START_S, REQUEST_S), max_requests=10, seconds=10, lost=lost)


def test_replacements_that_meet_the_queue_of_the_last_one_tell_nothing_of_other_n(told):
    run = told(control(), crowded(), story(life_s=1.0))
    close, apart = run.prices
    assert (close.max_requests, apart.max_requests) == (10, 100)
    assert not close.apart and apart.apart and computed(run.prices) == [apart]
    # What was measured there is told; elsewhere the price of larger N says it, as far as that reaches.
    assert close.p99_added_ms(close.per_life) > 50 and close.lost_per_million(close.per_life).mean > 0
    assert np.isnan(close.p99_added_ms(10_000)) and np.isnan(close.lost_per_million(10_000).mean)
    assert apart.p99_added_ms(10_000) == 0 and np.isnan(apart.p99_added_ms(15))
    frame = exports.price_of_n(run)
    assert frame.loc[~frame["measured"], "lost_per_million"].eq(0).all()
    (finding,) = run.found("crowded-replacements")
    assert "uvicorn" in finding.message and finding.scenario == "index"


def test_where_all_replacements_are_crowded_no_n_tells_what_clients_meet(told):
    run = told(control(), crowded())
    frame = exports.price_of_n(run)
    computed_rows = frame[~frame["measured"]]
    assert computed_rows["p99_added_ms"].isna().all() and computed_rows["share_throughput"].notna().all()
    assert frame.loc[frame["measured"], "p99_added_ms"].notna().all()
    (choice,) = choose(run.prices, Leak(50_000, 500 * MB))
    cells = [cell.text for cell in choice.cells()]
    assert cells[3] == cells[4] == MISSING and cells[-1] == CROWDED
    assert list(price_of_n(run)) == ["price_of_n_index_w1"]


def test_the_frame_has_what_was_measured_beside_what_was_computed(study):
    frame = exports.price_of_n(study)
    measured = frame[frame["measured"]].set_index(["configuration", "n"])
    assert list(measured.index) == [("sanic", 100), ("uvicorn", 100), ("uvicorn", 200)]
    computed = frame[~frame["measured"] & (frame["configuration"] == "uvicorn")]
    assert computed["n"].tolist() == list(GRID) == computed["requests_per_life"].tolist()
    # The price at one N says what was measured at the other.
    there = measured.loc[("uvicorn", 200)]
    predicted = of(study, "uvicorn", 100).throughput_share(there["requests_per_life"])
    assert there["share_throughput"] == pytest.approx(predicted.mean, rel=0.1)
    assert measured.loc[("sanic", 100), "lost_per_million"] == 0
    assert measured.loc[("sanic", 100), "lost_high"] > 0


def test_the_chart_says_what_an_n_in_the_middle_costs(study):
    (figure,) = price_of_n(study).values()
    heading = figure.texts[0].get_text().replace("\n", " ")
    assert (
        heading.startswith("At N = 10,000 replacing workers costs a saturated server from ")
        and "uvicorn" in heading
    )
    assert figure.axes[0].get_title(loc="left") == "throughput lost (%)"
    assert all(axis.get_xscale() == "log" for axis in figure.axes)


@pytest.mark.parametrize("treatment", ["recycled", "control"])
def test_one_alone_has_no_price(told, treatment):
    study = told(story() if treatment == "recycled" else control())
    assert study.prices == () and exports.price_of_n(study).empty and price_of_n(study) == {}


def test_loads_that_leak_have_no_price(told):
    assert told(control(leak_mib=0.1), story(leak_mib=0.1)).prices == ()


def test_n_for_a_leak_is_the_largest_with_which_memory_stays_below_what_is_allowed(study):
    # A manager of 6 MiB (PSS), a worker of 20, and its successor.
    weighs = 46 * MIB
    leak = Leak(50_000, weighs + 100 * MB)
    chosen = {each.price.configuration: each for each in choose(study.prices, leak)}
    # Of 2,000 requests a tenth are jitter, and some are served while a worker ends.
    assert chosen["sanic"].max_requests == 1800
    assert 0.97 * leak.allowance_bytes < chosen["sanic"].memory_bytes <= leak.allowance_bytes
    assert chosen["sanic"].life_s == pytest.approx(1.1 * 1800 / RATE, rel=0.02)
    slower = choose(study.prices, Leak(50_000, leak.allowance_bytes, rate_per_s=RATE / 10))
    assert slower[0].life_s == pytest.approx(10 * chosen["sanic"].life_s, rel=0.02)


def test_a_leak_that_is_too_large_says_what_it_needs(study):
    (sanic, _) = choose(study.prices, Leak(50_000, 20 * MB))
    assert sanic.max_requests is None and sanic.why.startswith("needs more: with N = 1 it has 4")
    table = Choices(Leak(50_000, 20 * MB), "run", (sanic,))
    assert table.best is None and table.finding == "No configuration has an N for that."


def test_who_counts_no_requests_has_no_n(told):
    granian = {"max_requests": None, "max_requests_jitter": None, "max_rss_mib": 40}
    found = told(control("granian"), story("granian", **granian)).prices
    (choice,) = choose(found, Leak(50_000, 500 * MB))
    assert choice.max_requests is None and "counts no requests" in choice.why


def test_a_run_of_several_n_is_exported_whole(study):
    """Cells of another N are no repeats of each other."""
    told = [
        exports.rates,
        exports.alike,
        exports.settings,
        exports.cells,
        exports.recycling,
        exports.price_of_n,
    ]
    rates, alike, settings, cells, *_ = (export(study) for export in told)
    assert alike.empty and settings.empty
    recycled = rates[rates["treatment"] == "recycled"].set_index("configuration")
    assert recycled["repeats"].to_dict() == {"sanic": 3, "uvicorn": 3}, "of the plan's first N"
    assert set(cells["max_requests"].dropna()) == {100, 200}
