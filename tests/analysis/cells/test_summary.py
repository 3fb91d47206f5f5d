import math

import pandas as pd
import pytest
import scipy.stats

from analysis.cells.summary import IDENTITY, LATENCIES, closed_loads, open_loads, summarise
from analysis.reading import results
from bench.stats.histograms import QUANTILES
from tests.fixtures.make_run import SERVERS, Open, Search


def test_percentiles_and_mean_of_a_known_distribution(run):
    """The fixture's latencies are log-normal, so the percentiles follow from the normal ones."""
    folder = run(configurations=("sanic",), repeats=1, noise=0)
    summary = summarise(results.load(folder)).iloc[0]
    mean_us = 64 / summary["throughput"] * 1e6
    median_us = mean_us * math.exp(-(0.35**2) / 2)
    for name, q in QUANTILES.items():
        expected = median_us * math.exp(0.35 * scipy.stats.norm.ppf(q))
        assert summary[name] == pytest.approx(expected, rel=0.01), name
    assert summary["mean_us"] == pytest.approx(mean_us, rel=0.002)
    assert summary["max_us"] > summary["p999_us"]


def test_throughput_errors_and_cpu_are_exact(run):
    folder = run(configurations=("sanic", "gunicorn-asgi"), repeats=1, noise=0)
    summary = summarise(results.load(folder)).set_index("configuration")
    assert summary.loc["sanic", "throughput"] == round(0.985e6 / 35)
    per_second = round(0.985e6 / 60)
    failed = round(per_second * 0.004)
    assert summary.loc["gunicorn-asgi", "failures"] == 2 * failed
    assert summary.loc["gunicorn-asgi", "requests"] == 2 * (per_second - failed)
    assert summary.loc["gunicorn-asgi", "error_rate"] == pytest.approx(failed / per_second)
    for name in summary.index:
        assert summary.loc[name, "cpu_us"] == pytest.approx(SERVERS[name].cpu_us, rel=1e-6)
    assert summary.loc["sanic", "busy"] == pytest.approx(round(0.985e6 / 35) * 35e-6, rel=1e-6)


def test_memory_is_the_sum_over_the_server_without_the_meter(run):
    summary = summarise(results.load(run(repeats=1))).set_index("configuration")
    assert summary.loc["uvicorn", "pss_bytes"] == 30 * 2**20
    assert summary.loc["uvicorn", "rss_bytes"] == 39 * 2**20


def test_loads_merge_the_repeats(analysed):
    loads = analysed.loads.set_index(["configuration", "scenario", "users"])
    sanic = loads.loc[("sanic", "index", 64)]
    repeats = analysed.summary.query("configuration == 'sanic' and scenario == 'index' and users == 64")
    assert sanic["repeats"] == 3
    assert sanic["throughput"] == pytest.approx(scipy.stats.gmean(repeats["throughput"]))
    assert sanic["throughput_low"] < sanic["throughput"] < sanic["throughput_high"]
    assert repeats["p99_us"].min() <= sanic["merged_p99_us"] <= repeats["p99_us"].max()


def test_an_open_loop_is_told_from_its_schedule(run):
    """Below the server's capacity everything is achieved; the generator's lateness is a known log-normal."""
    folder = run(scenarios={}, open={"index": (Open((2000,), "poisson"),)}, repeats=1, noise=0, seconds=4)
    summary = summarise(results.load(folder)).set_index("configuration")
    sanic = summary.loc["sanic"]
    assert (sanic["load_kind"], sanic["arrivals"], sanic["rate_per_s"]) == ("open", "poisson", 2000)
    assert (sanic["offered"], sanic["achieved"]) == (pytest.approx(2000), pytest.approx(1))
    spare = 1 - 2000 / (0.985e6 / 35)
    assert sanic["schedule_p50_us"] == pytest.approx(1.6 * 35 / spare, rel=0.01)
    late = {name: 20 * math.exp(0.35 * scipy.stats.norm.ppf(q)) for name, q in QUANTILES.items()}
    assert sanic["late_p50_us"] == pytest.approx(late["p50_us"], rel=0.01)
    assert sanic["late_p99_us"] == pytest.approx(late["p99_us"], rel=0.01)
    assert sanic["late_max_us"] > sanic["late_p99_us"]
    assert math.isnan(sanic["little"])


def test_overload_is_not_achieved_and_shows_in_the_schedule_only(run):
    rate = 1.25 * 0.985e6 / 35
    folder = run(
        configurations=("sanic",), scenarios={}, open={"index": (Open((rate,)),)}, repeats=1, noise=0
    )
    (row,) = summarise(results.load(folder)).to_dict("records")
    assert row["achieved"] == pytest.approx(0.8, rel=0.001)
    # After the warm-up of 1 s the queue is a quarter of a second long, and grows by as much each second.
    assert 250_000 < row["schedule_p50_us"] < 750_000 and row["schedule_max_us"] > 700_000
    assert row["p99_us"] < 100_000


def test_a_stall_shows_in_the_schedule_and_hides_in_the_closed_loop(run):
    folder = run(
        configurations=("sanic",), scenarios={"index": (8,)}, open={"index": (Open((2000,)),)}, repeats=1,
        noise=0, seconds=4, stall_at=1, stall_s=0.5,
    )  # fmt: skip
    closed, opened = (row for _, row in summarise(results.load(folder)).sort_values("load_kind").iterrows())
    # An eighth of the arrivals waited for up to 0.5 s: p99 is the 92nd percentile of theirs.
    assert opened["schedule_p99_us"] == pytest.approx(0.92 * 500_000, rel=0.01)
    assert closed["p99_us"] < 2_000 and closed["max_us"] > 500_000


def test_closed_loops_lack_what_only_open_ones_have(analysed):
    only_open = ["arrivals", "rate_per_s", "search_p99_ms", "offered", "achieved"]
    only_open += [f"schedule_{name}" for name in LATENCIES] + ["late_p50_us", "late_p99_us", "late_max_us"]
    assert analysed.summary[only_open].isna().all(axis=None)
    assert list(analysed.summary.columns[: len(IDENTITY)]) == IDENTITY


def test_no_user_idles_in_a_closed_loop_by_littles_law(run):
    folder = run(configurations=("sanic", "gunicorn-asgi"), scenarios={"index": (8, 64), "sleep": (64,)})
    little = summarise(results.load(folder)).set_index("configuration")["little"]
    assert little.loc["sanic"].tolist() == pytest.approx([1] * 9, rel=0.002)
    # Its failures take 0.9 ms each, whatever the load: with 64 users that is less than an answer takes.
    assert little.loc["gunicorn-asgi"].between(0.99, 1.005).all()


def test_failures_of_unknown_duration_fill_no_time(run):
    folder = run(configurations=("gunicorn-asgi",), repeats=1, noise=0)
    before = summarise(results.load(folder))["little"].iloc[0]
    (path,) = folder.rglob("failures.csv")
    path.write_text(path.read_text().replace(",900.0,", ",,"))
    after = summarise(results.load(folder))["little"].iloc[0]
    failed = round(round(0.985e6 / 60) * 0.004)
    assert before - after == pytest.approx(failed * 900e-6 / 64)


def test_the_ceiling_is_that_of_scenario_users_and_processes(run):
    scenarios = {"index": (8, 64), "sleep": (64,)}
    folder = run(scenarios=scenarios, ceilings={"index": 100_000.0}, ceilings_at_least=True, repeats=1)
    summary = summarise(results.load(folder))
    index, sleep = summary[summary["scenario"] == "index"], summary[summary["scenario"] == "sleep"]
    assert (index["ceiling"] == 100_000).all() and index["ceiling_at_least"].all()
    assert (index["ceiling_share"] == index["throughput"] / 100_000).all()
    assert sleep[["ceiling", "ceiling_share"]].isna().all(axis=None) and not sleep["ceiling_at_least"].any()


def test_the_wait_in_the_generators_loop_is_a_mean_over_the_window(run):
    folder = run(configurations=("sanic",), repeats=1, loop_wait_us=5.0)
    (path,) = folder.rglob("generator.csv")
    frame = pd.read_csv(path)
    frame["loop_wait_us"] = [1000.0, 20.0, 40.0, 60.0]
    frame.to_csv(path, index=False)
    # The second that ended with the warm-up is not in the window.
    assert summarise(results.load(folder))["loop_wait_us"].tolist() == [50.0]


def test_open_loads_are_aggregated_apart_and_without_the_steps_of_a_search(run):
    folder = run(
        open={"index": (Open((1000, 4000)), Open((4000,), "poisson"))}, searches={"index": Search(1.0)}
    )
    loaded = results.load(folder)
    summary = summarise(loaded)
    rates = open_loads(loaded, summary).set_index(["configuration", "arrivals", "rate_per_s"])
    assert len(rates) == 2 * 3 and (rates["repeats"] == 3).all()
    row = rates.loc[("uvicorn", "poisson", 4000.0)]
    assert row["merged_schedule_p99_us"] == pytest.approx(row["schedule_p99_us"], rel=0.05)
    assert row["merged_p50_us"] < row["merged_schedule_p99_us"] < row["merged_schedule_max_us"]
    assert row["achieved"] == pytest.approx(1)
    closed = closed_loads(loaded, summary)
    assert closed["users"].tolist() == [64, 64]
    assert closed[["achieved", "merged_schedule_p50_us"]].isna().all(axis=None)


def test_a_run_without_closed_loads_has_an_empty_table_of_them(run):
    loaded = results.load(run(scenarios={}, open={"index": (Open((1000,)),)}, repeats=1))
    loads = closed_loads(loaded, summarise(loaded))
    assert loads.empty and {"throughput", "throughput_low", "merged_p99_us", "users"} <= set(loads.columns)
