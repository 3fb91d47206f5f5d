"""What a proxy costs, from cells whose figures are known."""

import pandas as pd
import pytest

from analysis.proxy.cost import FRAME, proxy_cost
from analysis.words import MISSING


def cells(throughput, p99_us, cpu_us=50.0, configuration="sanic", **changes):
    """A cell for each sitting, by its throughput."""
    known = {"scenario": "index", "workers": 1, "users": 64, "rotated": True} | changes
    rows = pd.DataFrame({"repeat": range(1, len(throughput) + 1), "throughput": throughput})
    return rows.assign(p99_us=p99_us, cpu_us=cpu_us, configuration=configuration, **known)


DIRECT = pd.concat([cells([1000.0, 2000.0], 1000.0), cells([500.0, 500.0], 2000.0, configuration="uvicorn")])
BEHIND = pd.concat(
    [
        cells([800.0, 1600.0], 1500.0, 55.0),
        cells([450.0, 400.0], 3000.0, configuration="uvicorn"),
        cells([1.0, 1.0], 1.0, configuration="granian"),
    ]
)


def test_ratios_are_those_of_the_two_ways_within_a_sitting():
    found = proxy_cost("nginx", BEHIND, DIRECT, ["uvicorn", "sanic", "granian"])
    assert found.title == "What nginx costs"
    assert [row.configuration for row in found.rows] == ["uvicorn", "sanic"]
    uvicorn, sanic = found.rows
    # Sittings differ twofold, and both ways alike.
    assert (sanic.throughput.low, sanic.throughput.mean) == (pytest.approx(0.8), pytest.approx(0.8))
    assert sanic.p99.mean == pytest.approx(1.5) and sanic.cpu.mean == pytest.approx(1.1)
    assert uvicorn.throughput.low < uvicorn.throughput.mean < uvicorn.throughput.high
    assert list(found.frame) == FRAME and list(found.frame["sittings"]) == [2, 2]
    last = found.frame.iloc[1]
    means = last["throughput_direct"], last["throughput_behind"]
    assert means == pytest.approx((2**0.5 * 1000, 2**0.5 * 800))
    assert len(sanic.texts()) == len(found.columns)
    assert found.finding == (
        "Behind nginx to past it: index: 0.824x (0.800 with sanic to 0.849 with uvicorn) the requests per "
        "second, 1.50x the p99, 1.05x (1.00 to 1.10) the server's CPU time per request."
    )


def test_without_a_good_slice_nothing_is_known():
    broken = BEHIND.assign(throughput=float("nan"))
    found = proxy_cost("nginx", broken, DIRECT, ["sanic", "uvicorn", "granian"])
    assert found.finding.startswith("What nginx costs is not known") and MISSING in found.rows[0].texts()
    partly = pd.concat([broken.assign(scenario="index-close"), BEHIND])
    both = pd.concat([DIRECT.assign(scenario="index-close"), DIRECT])
    told = proxy_cost("nginx", partly, both, ["sanic", "uvicorn"]).finding
    assert "index: 0.824x (0.800 with sanic" in told and "index-close" not in told


def test_what_did_not_rotate_on_both_ways_is_not_compared():
    assert proxy_cost("nginx", BEHIND, DIRECT.iloc[:0], ["sanic", "uvicorn"]) is None
    blocks = DIRECT.assign(rotated=False)
    assert proxy_cost("nginx", BEHIND, blocks, ["sanic", "uvicorn"]) is None
