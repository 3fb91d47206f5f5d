"""What is said of a soak whose truth is known, and of one that is damaged."""

import json
import math
import shutil

import pandas as pd
import pytest
from hypothesis import given

from analysis.findings.soak import check
from analysis.reading import results
from analysis.report.build import render
from analysis.soak.judging import judge
from analysis.soak.reading import load
from analysis.soak.table import FRAME, Lasting
from analysis.words import figures
from bench.model.errors import UserError
from tests.damage import damaged, damaged_json, damaged_table, examples
from tests.fixtures.make_soak import MIB, RATE, Served, filling, leaking, make_soak

LEAK = 500.0
SERVED = (
    Served("sanic"),
    Served("uvicorn", leaking(LEAK)),
    Served("uvicorn", leaking(LEAK), max_requests=100_000, loses=1),
    Served("granian", filling(30 * MIB, LEAK), noise=0.05 * MIB, holds=lambda requests: 20 + requests / 1000),
    Served("hypercorn", leaking(LEAK), legs_h=(1.2, 0.8), reasons=("the server ended by itself", None)),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_soak(tmp_path_factory.mktemp("soak") / "20261130-200000-soak", *SERVED)


@pytest.fixture(scope="module")
def verdicts(folder):
    return {
        (each.lane.record.configuration, each.lane.record.max_requests): each for each in judge(load(folder))
    }


def test_a_leak_is_found_with_its_size_and_nothing_where_there_is_none(verdicts):
    leaks, steady = verdicts["uvicorn", None], verdicts["sanic", None]
    assert leaks.memory.growth.kind == "grows"
    per = leaks.per_request(leaks.memory)
    assert per.mean == pytest.approx(LEAK, rel=0.02) and per.low < LEAK < per.high
    assert steady.memory.growth.kind == "steady" and math.isnan(steady.per_request(steady.memory).mean)
    assert not steady.leaks and all(math.isnan(each.reached_h.mean) for each in steady.measures.values())


def test_it_is_told_when_the_limit_is_reached(verdicts):
    leaks = verdicts["uvicorn", None]
    hours = (500e6 - 60 * MIB) / (LEAK * RATE * 3600)
    reached = leaks.memory.reached_h
    assert reached.mean == pytest.approx(hours, rel=0.03) and reached.low < hours < reached.high
    files = verdicts["granian", None].measures["descriptors"]
    assert files.growth.kind == "grows"
    assert files.reached_h.mean == pytest.approx((1024 - 20) * 1000 / RATE / 3600, rel=0.05)


def test_recycling_bounds_it_and_its_saw_tooth_is_told(verdicts):
    recycled = verdicts["uvicorn", 100_000]
    assert recycled.memory.growth.kind == "bounded" and not recycled.leaks
    low, high = recycled.swing_bytes
    assert high - low == pytest.approx(0.9 * LEAK * 100_000, rel=0.1)
    assert recycled.lane.replaced == 3 and recycled.lost_per_million == pytest.approx(1e6 / 501, rel=0.01)


def test_the_largest_n_below_the_allowance_is_recommended(verdicts):
    n = verdicts["uvicorn", None].keeps_below
    fresh = 60 * MIB
    needed = fresh * 1.8 + LEAK * 1.1 * n  # a successor of 0.8 of it is there as well
    assert n is not None and 495e6 < needed < 500e6, "it leaked nothing before it served"
    assert verdicts["sanic", None].keeps_below is None, "what does not leak needs none"
    assert verdicts["uvicorn", 100_000].keeps_below is None


def test_a_cache_that_fills_is_no_leak(verdicts):
    assert verdicts["granian", None].memory.growth.kind == "filling"


def test_a_gap_is_no_growth_and_is_told(folder, verdicts):
    twice = verdicts["hypercorn", None]
    assert twice.memory.growth.kind == "grows"
    assert twice.per_request(twice.memory).mean == pytest.approx(LEAK, rel=0.03)
    (gap,) = [each for each in check(load(folder), judge(load(folder))) if each.kind == "soak-gap"]
    assert "hypercorn was started 2 times: the server ended by itself" in gap.message


def test_findings_name_the_leak_and_what_to_do(folder):
    soak = load(folder)
    found = check(soak, judge(soak))
    leaks = [each for each in found if each.kind == "soak-leak"]
    assert {name for each in leaks for name in each.configurations} == {"uvicorn", "granian", "hypercorn"}
    assert found[: len(leaks)] == leaks and all(each.severity == "warning" for each in leaks)
    assert any("replace workers after N = " in each.advice for each in leaks)


def test_before_workers_were_replaced_nothing_is_said_of_recycling(tmp_path):
    soon = load(make_soak(tmp_path / "soon", Served("uvicorn", leaking(LEAK), max_requests=10**9)))
    (verdict,) = judge(soon)
    assert verdict.memory.growth.kind == "undecided" and not verdict.leaks
    both = [Served("uvicorn", leaking(LEAK)), Served("uvicorn", leaking(LEAK), max_requests=10**9)]
    beside = load(make_soak(tmp_path / "beside", *both))
    headline = Lasting(beside, judge(beside)).headline
    assert headline.endswith("with workers replaced of 1 it cannot be told yet.")


def test_where_no_leak_was_shown_it_is_said_how_large_one_may_be(tmp_path):
    slowly = Served("sanic", leaking(3), noise=0.5 * MIB)
    soak = load(make_soak(tmp_path / "slowly", slowly, Served("uvicorn", leaking(LEAK))))
    verdict, _ = judge(soak)
    lasting = Lasting(soak, judge(soak))
    most = verdict.at_most(verdict.memory)
    assert verdict.memory.growth.kind == "unshown" and 3 < most < 30
    soonest = 2 + (500e6 - 60 * MIB) / (most * RATE * 3600)
    assert verdict.memory.soonest_h == pytest.approx(soonest, rel=0.03)
    assert f"1 would have shown one above {figures(most)} B a request" in lasting.headline
    said = f"sanic shows no leak: one would be below {figures(most)} B a request, and at 500 MB after "
    assert said in lasting.finding and lasting.finding.endswith(" days at the soonest.")
    row = lasting.frame.set_index(["configuration", "measure"]).loc["sanic", "memory"]
    assert row["per_request_high"] == most and row["reached_low_h"] == verdict.memory.soonest_h
    assert math.isnan(row["per_request"]) and math.isnan(row["reached_h"])
    shown = dict(zip(lasting.columns, lasting.rows[0].cells(), strict=True))
    assert shown["memory"].shown == "no leak shown"
    assert shown["bytes per request"].shown == f"below {figures(most)} B"
    assert shown["limit reached after"].shown.startswith("not before ")


def test_a_server_that_answers_badly_is_told_of(tmp_path):
    bad = load(make_soak(tmp_path / "bad", Served("sanic", legs_h=(0.5,), loses=50)))
    (found,) = [each for each in check(bad, judge(bad)) if each.kind == "soak-unanswered"]
    assert found.message == "9% of the requests to sanic had no good answer"


def test_the_report_says_it_in_a_sentence_a_table_a_picture_and_numbers(folder, tmp_path):
    own = tmp_path / folder.name
    shutil.copytree(folder, own)
    rendered = render(own)
    assert "uvicorn leaks " in rendered.finding and " B a request (" in rendered.finding
    assert "sanic" in rendered.finding and "not grow for ever" in rendered.finding
    page = rendered.html.read_text()
    headline = Lasting(load(own), judge(load(own))).headline
    assert (
        headline.startswith("3 of 4 servers leak, most of all ")
        and "with workers replaced none does" in headline
    )
    assert headline in page
    assert rendered.finding.split(".")[0] in page and "soak.svg" in page and "Traceback" not in page
    frame = pd.read_csv(own / "report" / "soak.csv")
    assert list(frame.columns) == list(FRAME) and len(frame) == 5 * len(SERVED)
    assert {path.name for path in (own / "report").iterdir()} >= {"soak.png", "soak.svg", "soak.csv"}
    lasting = Lasting(load(own), judge(load(own)))
    assert [len(row.cells()) for row in lasting.rows] == [len(lasting.columns)] * len(SERVED)
    assert not list(results.finished(tmp_path)), "no other command takes it for a run with cells"
    with pytest.raises(UserError, match="is a soak, which has no cells: make report RUN="):
        results.load(own)


def test_one_that_has_just_begun_says_that_it_is_too_early(tmp_path):
    young = make_soak(tmp_path / "young", Served("sanic", leaking(LEAK), legs_h=(0.02,)), allowance=None)
    rendered = render(young)
    assert rendered.finding == "Of sanic it cannot be told yet."
    interval = next(young.glob("*/*/*/*/intervals.csv"))
    interval.unlink()
    with pytest.raises(UserError, match="no interval of its soak yet"):
        load(young)


def edited(folder, tmp_path, name, change):
    """A copy of the soak in which one file is another."""
    own = tmp_path / "own"
    shutil.rmtree(own, ignore_errors=True)
    shutil.copytree(folder, own)
    path = sorted(own.glob(f"uvicorn/*/*/*/{name}"))[0]
    path.write_bytes(change(path.read_bytes()))
    return own, path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:-40], "line"),
        (lambda text: text.replace(b":450", b":-450", 1), "latency: no bucket:count"),
        (lambda text: text.replace(b":450", b":" + b"9" * 40, 1), "latency: a bucket that cannot be"),
        (lambda text: b"start,span_s\n1,2\n", "has no column leg"),
        (lambda text: b"", "is empty"),
    ],
)
def test_a_damaged_file_is_named(folder, tmp_path, change, message):
    own, path = edited(folder, tmp_path, "intervals.csv", change)
    with pytest.raises(UserError, match=message) as raised:
        load(own)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("name", ["intervals.csv", "lane.json"])
def test_links_out_of_its_folder_are_not_read(folder, tmp_path, name):
    own, path = edited(folder, tmp_path, name, lambda content: content)
    secret = tmp_path / "secret"
    path.rename(secret)
    path.symlink_to(secret)
    with pytest.raises(UserError, match=rf"{name} leads to .*secret, out of "):
        load(own)


def test_legs_between_which_the_clock_was_set_back_can_be_read(folder, tmp_path):
    def back(text):
        record = json.loads(text)
        return json.dumps(record | {"legs": [*record["legs"], record["legs"][0] | {"started": 1.0}]}).encode()

    own, _ = edited(folder, tmp_path, "lane.json", back)
    assert sorted(len(lane.record.legs) for lane in load(own).lanes) == [1, 1, 1, 2, 2]


def test_a_configuration_that_nobody_knows_is_named(folder, tmp_path):
    unknown = lambda text: json.dumps(json.loads(text) | {"configuration": "nobody"}).encode()  # noqa: E731
    own, path = edited(folder, tmp_path, "lane.json", unknown)
    with pytest.raises(UserError, match=r"run\.json knows no 'nobody'") as raised:
        load(own)
    assert str(path) in str(raised.value)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make_soak(
        tmp_path_factory.mktemp("small") / "soak", Served("uvicorn", leaking(LEAK), legs_h=(0.2,))
    )


@pytest.mark.parametrize(("name", "of_kind"), [("intervals.csv", damaged_table), ("lane.json", damaged_json)])
def test_a_fuzzed_file_is_refused_in_a_line_or_read(small, tmp_path, name, of_kind):
    path = next(small.glob(f"*/*/*/*/{name}"))
    content = path.read_bytes()

    @examples(15)
    @given(of_kind(content) | damaged(content))
    def tried(damage):
        path.write_bytes(damage)
        try:
            soak = load(small)
            judge(soak)
        except UserError as error:
            assert len(str(error)) < 1500 and "\n" not in str(error)

    try:
        tried()
    finally:
        path.write_bytes(content)
