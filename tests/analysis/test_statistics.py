import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from analysis import results, statistics
from tests.fixtures.make_run import SERVERS

histograms = st.dictionaries(st.integers(1, 10**6).map(lambda ns: ns / 1000), st.integers(1, 60), max_size=40)


def arrays(histogram):
    edges = sorted(histogram)
    return np.array(edges), np.array([histogram[edge] for edge in edges], dtype=int)


@given(histograms, st.sampled_from([0.5, 0.9, 0.99, 0.999]))
def test_a_quantile_is_that_of_the_samples_in_the_buckets(histogram, q):
    edges, counts = arrays(histogram)
    samples = np.repeat(edges, counts)
    got = statistics.quantile(edges, counts, q)
    rank = max(1, math.ceil(round(q * len(samples), 6)))
    if len(samples) - rank < 10:
        assert math.isnan(got)
    else:
        assert got == np.quantile(samples, rank / len(samples), method="inverted_cdf") == samples[rank - 1]


@given(st.lists(histograms, min_size=1, max_size=5))
def test_merged_histograms_are_the_histogram_of_everything(parts):
    rows = [
        {"cell": 0, "second": i, "kind": "service", "bucket_us": edge, "count": count}
        for i, part in enumerate(parts)
        for edge, count in part.items()
    ]
    rows.append({"cell": 0, "second": 0, "kind": "from_schedule", "bucket_us": 9e9, "count": 100})
    merged = statistics.merge(pd.DataFrame(rows), ["cell"])
    everything = sorted(edge for part in parts for edge, count in part.items() for _ in range(count))
    assert np.repeat(merged["bucket_us"], merged["count"]).tolist() == everything


def test_ten_samples_must_lie_beyond_a_percentile():
    edges = np.arange(1.0, 1001.0)
    counts = np.ones(1000, dtype=int)
    assert statistics.quantile(edges, counts, 0.99) == 990
    assert math.isnan(statistics.quantile(edges, counts, 0.999))
    # 999 samples: the 990th is the 99th percentile, and nine lie beyond it.
    assert math.isnan(statistics.quantile(edges[:999], counts[:999], 0.99))
    assert statistics.quantile(edges[:999], counts[:999], 0.9) == 900
    assert math.isnan(statistics.quantile([], [], 0.5))


def test_percentiles_and_mean_of_a_known_distribution(run):
    """The fixture's latencies are log-normal, so the percentiles follow from the normal ones."""
    folder = run(configurations=("sanic",), repeats=1, noise=0)
    summary = statistics.summarise(results.load(folder)).iloc[0]
    mean_us = 64 / summary["throughput"] * 1e6
    median_us = mean_us * math.exp(-(0.35**2) / 2)
    for name, q in statistics.QUANTILES.items():
        expected = median_us * math.exp(0.35 * scipy.stats.norm.ppf(q))
        assert summary[name] == pytest.approx(expected, rel=0.01), name
    assert summary["mean_us"] == pytest.approx(mean_us, rel=0.002)
    assert summary["max_us"] > summary["p999_us"]


def test_throughput_errors_and_cpu_are_exact(run):
    folder = run(configurations=("sanic", "gunicorn-asgi"), repeats=1, noise=0)
    summary = statistics.summarise(results.load(folder)).set_index("configuration")
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
    summary = statistics.summarise(results.load(run(repeats=1))).set_index("configuration")
    assert summary.loc["uvicorn", "pss_bytes"] == 30 * 2**20
    assert summary.loc["uvicorn", "rss_bytes"] == 39 * 2**20


def test_memory_with_an_unknown_part_is_unknown():
    processes = pd.DataFrame(
        {
            "cell": 0,
            "time": [1.0, 1.001, 2.0, 2.001],
            "role": ["manager", "worker", "manager", "worker"],
            "pss_bytes": [1.0, 2.0, 3.0, np.nan],
            "rss_bytes": [10.0, 20.0, 30.0, 40.0],
        }
    )
    memory = statistics.server_memory(processes)
    assert memory["time"].tolist() == [1.0, 2.0]
    assert memory["rss_bytes"].tolist() == [30, 70]
    assert memory["pss_bytes"].iloc[0] == 3 and math.isnan(memory["pss_bytes"].iloc[1])


def test_growth_interpolates_between_samples():
    times, values = np.array([0.0, 1.0, 2.0]), np.array([10.0, 11.0, 13.0])
    assert statistics.growth(times, values, 0.5, 1.5) == pytest.approx(1.5)


def test_growth_continues_a_little_beyond_the_samples_and_no_further():
    times, values = np.array([0.0, 1.0, 2.0]), np.array([10.0, 11.0, 13.0])
    assert statistics.growth(times, values, -0.5, 2.5) == pytest.approx(0.5 + 3 + 1)
    assert math.isnan(statistics.growth(times, values, -1.6, 2.0))
    assert math.isnan(statistics.growth(times, values, 0.0, 3.6))
    assert math.isnan(statistics.growth(times[:1], values[:1], 0.0, 1.0))


def test_growth_knows_births_and_deaths():
    times, values = np.array([1.0, 2.0]), np.array([0.5, 1.5])
    assert statistics.growth(times, values, 0.0, 2.0, born=0.5) == pytest.approx(1.5)
    assert statistics.growth(times, values, 0.0, 9.0, born=0.5, died=2.2) == pytest.approx(1.5)
    assert statistics.growth(times[:1], values[:1], 0.0, 9.0, born=0.5, died=1.5) == pytest.approx(0.5)


def test_a_worker_that_is_replaced_in_the_window_counts_both_times(run):
    folder = run(configurations=("sanic",), repeats=1, noise=0, seconds=4)
    (cell,) = [path.parent for path in folder.rglob("cell.json")]
    before = statistics.summarise(results.load(folder)).iloc[0]
    start = results.load(folder).cells.loc[0, "window_start"]
    swap = start + 2.1
    lines = (cell / "processes.csv").read_text().splitlines()
    base = None
    for i, line in enumerate(lines):
        time, _, role, _, rss, pss = line.split(",")
        if role == "worker" and float(time) > swap:
            rate = before["cpu_s"] * 0.99 / 4
            base = (float(time) - swap) * rate
            lines[i] = f"{time},202,worker,{base},{rss},{pss}"
    assert base is not None
    (cell / "processes.csv").write_text("\n".join(lines) + "\n")
    (cell / "workers.csv").write_text(
        f"time,event,pid,role,exit_status\n{swap},died,101,worker,0\n{swap},born,202,worker,\n"
    )
    after = statistics.summarise(results.load(folder)).iloc[0]
    # What the old worker used between its last sample and its death is nobody's: at most one interval.
    lost = 0.25 * before["cpu_s"] / 4
    assert before["cpu_s"] - lost <= after["cpu_s"] <= before["cpu_s"] + 1e-9


def test_interval_is_students_on_the_logarithms():
    values = [90.0, 100.0, 115.0]
    mean, low, high = statistics.interval(values)
    logs = np.log(values)
    expected = scipy.stats.t.interval(0.95, 2, loc=logs.mean(), scale=scipy.stats.sem(logs))
    assert (low, high) == pytest.approx(tuple(np.exp(expected)))
    assert mean == pytest.approx(scipy.stats.gmean(values))


def test_interval_of_too_little():
    assert statistics.interval([5.0])[0] == 5 and math.isnan(statistics.interval([5.0])[1])
    for values in ([], [1.0, 0.0], [1.0, float("nan")]):
        assert all(math.isnan(part) for part in statistics.interval(values))


def test_pairs_cancel_what_a_round_did_to_all():
    mood = pd.Series([1.0, 2.0, 0.5], index=[1, 2, 3])
    versus = statistics.compare(mood * 1.3 * [1, 1.01, 0.99], mood)
    assert versus.low < 1.3 < versus.high < 1.35
    assert versus.rounds == 3 and not versus.tie
    # Without the pairs the same numbers tell nothing.
    assert statistics.compare(mood * 1.3, mood.set_axis([2, 3, 1])).tie


def test_repeats_only_one_of_them_has_are_left_out():
    one = pd.Series([10.0, 20.0, 30.0], index=[1, 2, 3])
    versus = statistics.compare(one, pd.Series([5.0, 10.0], index=[1, 2]))
    assert (versus.ratio, versus.rounds) == (pytest.approx(2), 2)


@pytest.mark.parametrize("low, high, tie", [(1.03, 1.2, False), (1.01, 1.2, True), (0.5, 0.9, False)])
def test_a_tie_is_an_interval_that_reaches_within_two_percent(low, high, tie):
    assert statistics.Ratio(1.1, low, high, 3).tie is tie
    assert replace(statistics.Ratio(1.1, low, high, 1), low=math.nan, high=math.nan).tie


def test_rank_shares_places_between_ties():
    values = pd.DataFrame(
        {"a": [100, 101, 99], "b": [99, 102, 100], "c": [50, 51, 49.5], "d": [0, 1, 2], "e": [5, None, None]}
    )
    values.index = [1, 2, 3]
    ranks = statistics.rank(values, higher_is_better=True)
    assert ranks.dropna().to_dict() == {"a": 1, "b": 1, "c": 3}
    assert ranks.index.tolist() == ["a", "b", "c", "d", "e"]
    assert statistics.rank(values, higher_is_better=False)["c"] == 1
    assert statistics.rank(values, higher_is_better=False)["a"] == 2


def test_loads_merge_the_repeats(analysed):
    loads = analysed.loads.set_index(["configuration", "scenario", "users"])
    sanic = loads.loc[("sanic", "index", 64)]
    repeats = analysed.summary.query("configuration == 'sanic' and scenario == 'index' and users == 64")
    assert sanic["repeats"] == 3
    assert sanic["throughput"] == pytest.approx(scipy.stats.gmean(repeats["throughput"]))
    assert sanic["throughput_low"] < sanic["throughput"] < sanic["throughput_high"]
    assert repeats["p99_us"].min() <= sanic["merged_p99_us"] <= repeats["p99_us"].max()


def test_steal_is_the_share_of_the_cpus_in_use(run):
    summary = statistics.summarise(results.load(run(steal=0.25, repeats=1)))
    assert summary["steal"].tolist() == pytest.approx([0.25, 0.25])
