"""The arithmetic of histograms and of Locust's rounded response times."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bench.stats.histograms import quantile
from swarm.engine.recorder import SecondLatencies
from swarm.recording.batch import FROM_SCHEDULE, LATENESS, SERVICE, Batch, FailureRow, TraceRow
from swarm.recording.histogram import Histogram, bucket_edges, locust_bucket, locust_buckets

HOUR_NS = 3_600_000_000_000
latencies = st.integers(min_value=0, max_value=HOUR_NS)


def array(values):
    return np.array(values, dtype=np.int64)


@given(latencies)
@example(0)
@example(1)
@example(2047)
@example(2048)
@example(HOUR_NS)
@example(2**52 + 1)
def test_a_bucket_is_at_most_a_thousandth_wide(latency):
    [edge] = bucket_edges(array([latency])).tolist()
    assert edge <= latency
    assert (latency - edge) * 1000 < max(edge, 1)
    assert bucket_edges(array([edge])).tolist() == [edge]
    if latency < 2048:
        assert edge == latency


@given(latencies, latencies)
def test_buckets_keep_the_order(one, other):
    low, high = bucket_edges(array(sorted((one, other)))).tolist()
    assert low <= high


@given(st.lists(st.lists(latencies, min_size=1), min_size=1, max_size=5))
def test_merging_is_exact(parts):
    merged = Histogram.merged([Histogram.of(array(part)) for part in parts])
    whole = Histogram.of(array([latency for part in parts for latency in part]))
    assert merged.buckets.tolist() == whole.buckets.tolist()
    assert merged.counts.tolist() == whole.counts.tolist()
    assert merged.total == sum(map(len, parts))
    assert merged.counts.dtype == np.int64


@given(st.lists(st.lists(latencies, min_size=1), min_size=1, max_size=5), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_percentile_of_merged_parts_is_that_of_all_within_a_thousandth(parts, q):
    merged = Histogram.merged([Histogram.of(array(part)) for part in parts])
    found = quantile(merged.buckets, merged.counts, q, beyond=0)
    samples = sorted(latency for part in parts for latency in part)
    true = samples[max(0, math.ceil(q * len(samples) - 1e-9) - 1)]
    assert found <= true and (true - found) * 1000 < max(found, 1)


@given(st.lists(latencies, min_size=1), st.lists(latencies))
def test_taking_a_part_away_is_exact(rest, part):
    whole = Histogram.of(array(rest + part))
    left = whole.less(Histogram.of(array(part)))
    expected = Histogram.of(array(rest))
    assert left.buckets.tolist() == expected.buckets.tolist()
    assert left.counts.tolist() == expected.counts.tolist()


@given(st.lists(latencies, min_size=1), st.lists(st.tuples(latencies, latencies)))
def test_from_the_schedule_counts_as_many_as_service(at_once, waited):
    services = at_once + [latency for latency, _ in waited]
    second = SecondLatencies()
    second.add(array(services))
    second.add_arrivals(array([3, 4]), array(services[len(at_once) :]), array([wait for _, wait in waited]))
    kinds = dict(second.histograms(open_loop=True))
    expected = Histogram.of(array(at_once + [latency + wait for latency, wait in waited]))
    assert kinds[FROM_SCHEDULE].buckets.tolist() == expected.buckets.tolist()
    assert kinds[FROM_SCHEDULE].counts.tolist() == expected.counts.tolist()
    assert kinds[FROM_SCHEDULE].total == kinds[SERVICE].total == len(services)
    assert kinds[LATENESS].buckets.tolist() == [3, 4]
    assert set(dict(second.histograms(open_loop=False))) == {SERVICE, LATENESS}


def test_lateness_without_an_answer_is_kept():
    second = SecondLatencies()
    second.add_arrivals(array([7]), array([]), array([]))
    [(kind, histogram)] = second.histograms(open_loop=True)
    assert (kind, histogram.total) == (LATENESS, 1)


@given(st.lists(st.integers(min_value=1, max_value=HOUR_NS), min_size=1))
@example([10_000_000] * 3)
@example([999_499, 999_500, 999_501])
def test_rounding_many_at_once_is_rounding_each(values):
    rounded, counts = locust_buckets(array(values))
    each = Counter(locust_bucket(value / 1e6) for value in values)
    assert sum(counts) == len(values)
    assert len(set(rounded)) == len(rounded)
    together: Counter[float] = Counter()
    for value, count in zip(rounded, counts, strict=True):
        # The two may round a tie to either side; the bucket that they chose is one of the neighbours.
        together[min(each, key=lambda own: abs(own - value))] += count
        assert min(abs(own - value) for own in each) <= value * 0.1
    assert together.total() == each.total()


@given(st.integers(min_value=1, max_value=HOUR_NS))
def test_rounding_keeps_two_digits(latency):
    milliseconds = latency / 1e6
    assert locust_bucket(milliseconds) == float(f"{milliseconds:.1e}")
    [value], _ = locust_buckets(array([latency]))
    assert value == pytest.approx(milliseconds, rel=0.0501)
    assert len(f"{value:.10e}".partition("e")[0].rstrip("0")) <= 3  # "1.2": two digits and a point


def test_no_time_at_all_is_rounded_to_nothing():
    assert locust_bucket(0) == 0


@given(st.lists(latencies, min_size=1), st.text(), st.sampled_from([SERVICE, FROM_SCHEDULE, LATENESS]))
def test_a_batch_survives_the_wire(values, text, kind):
    batch = Batch()
    batch.add_histogram(1_790_000_000, "GET", text, kind, Histogram.of(array(values)))
    batch.failures.append(FailureRow(1.5, "GET", text, "check", None, 0.5, 3, None, 1, "0-1", text))
    batch.generator.append({"time": 1.0, "process": 0})
    batch.trace.append(TraceRow("0-1", "GET", text, 1, 2, 3, None, "check"))
    again = Batch.unpacked(batch.packed())
    assert again.failures == batch.failures
    assert again.generator == batch.generator
    assert again.trace == batch.trace
    [before], [after] = batch.histograms, again.histograms
    assert (after.second, after.method, after.name, after.kind) == (1_790_000_000, "GET", text, kind)
    assert after.histogram.buckets.tolist() == before.histogram.buckets.tolist()
    assert after.histogram.counts.tolist() == before.histogram.counts.tolist()
