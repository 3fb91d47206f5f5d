import math

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from bench.stats.histograms import describe, merge, quantile

histograms = st.dictionaries(st.integers(1, 10**6).map(lambda ns: ns / 1000), st.integers(1, 60), max_size=40)


def arrays(histogram):
    edges = sorted(histogram)
    return np.array(edges), np.array([histogram[edge] for edge in edges], dtype=int)


@given(histograms, st.sampled_from([0.5, 0.9, 0.99, 0.999]))
def test_a_quantile_is_that_of_the_samples_in_the_buckets(histogram, q):
    edges, counts = arrays(histogram)
    samples = np.repeat(edges, counts)
    got = quantile(edges, counts, q)
    rank = max(1, math.ceil(round(q * len(samples), 6)))
    if len(samples) - rank < 10:
        assert math.isnan(got)
    else:
        # Half a rank lower, or rounding may take rank / len for the next one.
        between = (rank - 0.5) / len(samples)
        assert got == np.quantile(samples, between, method="inverted_cdf") == samples[rank - 1]


@given(st.lists(histograms, min_size=1, max_size=5))
def test_merged_histograms_are_the_histogram_of_everything(parts):
    rows = [
        {"cell": 0, "second": i, "kind": "service", "bucket_us": edge, "count": count}
        for i, part in enumerate(parts)
        for edge, count in part.items()
    ]
    rows.append({"cell": 0, "second": 0, "kind": "from_schedule", "bucket_us": 9e9, "count": 100})
    merged = merge(pd.DataFrame(rows), ["cell"])
    everything = sorted(edge for part in parts for edge, count in part.items() for _ in range(count))
    assert np.repeat(merged["bucket_us"], merged["count"]).tolist() == everything


def test_ten_samples_must_lie_beyond_a_percentile():
    edges = np.arange(1.0, 1001.0)
    counts = np.ones(1000, dtype=int)
    assert quantile(edges, counts, 0.99) == 990
    assert math.isnan(quantile(edges, counts, 0.999))
    # 999 samples: the 990th is the 99th percentile, and nine lie beyond it.
    assert math.isnan(quantile(edges[:999], counts[:999], 0.99))
    assert quantile(edges[:999], counts[:999], 0.9) == 900
    assert math.isnan(quantile([], [], 0.5))


def test_a_kind_of_latency_is_described_by_itself_and_a_missing_rate_leaves_a_row_out():
    rows = [
        {"cell": cell, "rate_per_s": rate, "kind": kind, "bucket_us": float(edge), "count": 10}
        for cell, rate in ((0, math.nan), (1, 1000.0))
        for kind, edge in (("service", 1), ("service", 2), ("from_schedule", 5))
    ]
    frame = pd.DataFrame(rows)
    assert describe(frame, ["cell"], "from_schedule")["mean_us"].tolist() == [5.0, 5.0]
    described = describe(frame, ["rate_per_s"])
    assert described[["rate_per_s", "requests", "mean_us"]].to_numpy().tolist() == [[1000.0, 20, 1.5]]
