"""Events that a locustfile fires itself are told, as they count with what a server answered.

There are many times the requests then (locustio/locust#2289). Five of five published files that load language
models time the first token of an answer so.
"""

import pytest

from analysis.study import study


def told(folder):
    return [finding for finding in study(folder).findings if finding.kind == "reported"]


@pytest.fixture
def reporting(run):
    """A run in which one cell has what a locustfile fired in every other second."""
    folder = run(repeats=2)
    path = folder / "sanic/index/c64-w1/r1/latency.csv"
    first, *rows = path.read_text().splitlines()
    fired = [row.replace("GET,/index", "METRIC,first token") if int(row[:10]) % 2 else row for row in rows]
    path.write_text("\n".join([first, *fired, ""]))
    return folder


def test_how_many_and_which_are_told_with_what_they_spoil(reporting):
    (finding,) = told(reporting)
    assert finding.severity == "warning" and finding.configurations == ("sanic",)
    assert finding.message.endswith("that the locustfile fired, most of them “METRIC first token”")
    assert 30 < int(finding.message.partition("%")[0]) < 70
    assert "CPU time per request" in finding.spoils


def test_requests_of_http_are_none(run):
    assert told(run(repeats=1)) == []
