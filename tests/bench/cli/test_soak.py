"""A soak as people run it: real servers that leak and do not, paused, killed, resumed, and its report."""

import json
import os
import shutil
import signal

import pandas as pd
import psutil
import pytest

from analysis.soak.judging import judge
from analysis.soak.reading import load
from bench.model.files import ROOT
from targets.catalogue.tables import toml
from tests import notebooks
from tests.bench.commands import gone, start_run, told
from tests.patience import LONG_S, wait_until

LEAK, RATE = 20_000, 100
VARIANTS = f"""
over = {toml(str(ROOT / "targets" / "configurations.toml"))}

[variant.leaks]
of = "sanic-single"
varies = "leak"
environment = {{ WHICHWORKER_LEAK = "bytes={LEAK} descriptors=1/10" }}
expects = ["memory"]
"""
PLAN = f"""
summary = "for tests"
configurations = ["leaks", "sanic-single"]
catalogue = "variants.toml"
workers = [1]
repeats = 1
warmup_s = 0.2
measured_s = 2

[soak]
hours = {30 / 3600}
interval_s = 1
allowance = "1GB"

[scenarios.index]
open = [{{ rates_per_s = [{RATE}], users = 4 }}]
"""


def soak_of(folder):
    (run,) = [path.parent for path in folder.glob("*/run.json")]
    return run


def status(folder):
    return json.loads((folder / "run.json").read_text())


def lane(folder, name):
    return json.loads(next(folder.glob(f"{name}/*/*/*/lane.json")).read_text())


def has_intervals(folder):
    return len(list(folder.glob("*/*/*/*/intervals.csv"))) == 2


def below(process):
    return psutil.Process(process.pid).children(recursive=True)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("soak")
    (folder / "variants.toml").write_text(VARIANTS)
    (folder / "plan.toml").write_text(PLAN)
    return folder


@pytest.fixture(scope="module")
def over(files):
    """One soak: killed in its first lap or two, resumed, paused by Ctrl-C, and resumed to its end."""
    results = files / "results"
    asked = ["--results", str(results), "--launcher", "processes"]
    first = start_run(["--plan", str(files / "plan.toml"), *asked])
    wait_until(lambda: list(results.glob("*/run.json")) and has_intervals(soak_of(results)), "a lap")
    folder = soak_of(results)
    children = below(first)
    first.kill()
    first.communicate()
    assert gone(children), "nothing outlives a soak that is killed"
    killed = status(folder)
    # As if it went on. It does not: the rest of it may be over sooner than a report is made.
    with notebooks.here():
        meanwhile = told("report", str(folder))

    second = start_run(["--resume", folder.name, *asked])
    wait_until(lambda: len(lane(folder, "leaks")["legs"]) == 2, "a second leg")
    before = next(folder.glob("leaks/*/*/*/intervals.csv")).stat().st_mtime_ns
    wait_until(lambda: next(folder.glob("leaks/*/*/*/intervals.csv")).stat().st_mtime_ns != before, "a lap")
    children = below(second)
    second.send_signal(signal.SIGINT)
    said, _ = second.communicate(timeout=LONG_S)
    assert second.returncode == 130 and gone(children), said
    paused = status(folder)

    third = told("run", "--resume", folder.name, *asked, "--no-report")
    assert third.exit_code == 0, third.output
    return {"folder": folder, "killed": killed, "meanwhile": meanwhile, "paused": paused}


def test_it_was_killed_paused_and_resumed_to_its_end(over):
    folder = over["folder"]
    assert over["killed"]["status"] == "running" and over["paused"]["status"] == "interrupted"
    ended = status(folder)
    assert ended["status"] == "finished" and ended["load_s"] == pytest.approx(30, abs=3)
    assert 0 < over["paused"]["load_s"] < ended["load_s"]
    for name in ("leaks", "sanic-single"):
        legs = lane(folder, name)["legs"]
        assert len(legs) == 3 and [leg["reason"] for leg in legs] == [None] * 3
        assert legs[0]["ended"] is None, "nobody saw the end of the first"
        assert all(leg["ended"] > leg["started"] for leg in legs[1:])
    assert not list(folder.glob(".serve-*"))


def test_a_leak_of_a_known_size_is_found_and_none_where_there_is_none(over):
    verdicts = {each.lane.record.configuration: each for each in judge(load(over["folder"]))}
    leaks, plain = verdicts["leaks"], verdicts["sanic-single"]
    assert leaks.memory.growth.kind != "steady", "half a minute in three legs is little to be certain of"
    whole = leaks.memory.growth.whole
    assert whole.value / leaks.series.requests_per_hour == pytest.approx(LEAK, rel=0.1)
    assert leaks.measures["descriptors"].most > plain.measures["descriptors"].most + 30
    assert plain.memory.growth.kind != "grows" and not plain.leaks
    assert plain.lane.failures == leaks.lane.failures == 0
    assert 0 < leaks.lane.requests < 1.1 * RATE * leaks.lane.hours * 3600, "laps so short leave much out"


def test_it_is_reported_while_it_goes_on(over):
    said = over["meanwhile"]
    assert said.exit_code == 0 and "What lasts, after" in said.output and "report: " in said.output
    frame = pd.read_csv(over["folder"] / "report" / "soak.csv")
    assert set(frame["configuration"]) == {"leaks", "sanic-single"}


def test_one_that_is_over_measures_nothing_more(over, tmp_path):
    own = tmp_path / "results" / over["folder"].name
    shutil.copytree(over["folder"], own)
    done = told("soak", "--resume", own.name, "--results", str(own.parent), "--no-report")
    assert done.exit_code == 0 and "the soak is over, nothing is left to measure" in done.output


def test_damaged_files_are_named_before_anything_starts(over, tmp_path):
    own = tmp_path / "results" / over["folder"].name
    shutil.copytree(over["folder"], own)
    run = status(own) | {"load_s": 1.0, "status": "interrupted"}
    (own / "run.json").write_text(json.dumps(run))
    path = next(own.glob("leaks/*/*/*/intervals.csv"))
    path.write_text(path.read_text()[:-20])
    done = told("soak", "--resume", own.name, "--results", str(own.parent))
    assert done.exit_code == 1 and f"{path}, line " in done.output.replace("\n", "")
    assert len(lane(own, "leaks")["legs"]) == 3


def test_mistakes_are_a_line_or_two(files):
    plan = str(files / "plan.toml")
    for words, message in (
        (("--configurations", "sanik"), "did you mean"),
        (("--allowance", "lots"), "takes a size"),
        (("--hours", "0"), "0.001"),
        (("--users", "4"), "a soak takes open loads only"),
        (("--plan", "smoke"), "is no soak: it needs [soak]"),
        (("--resume", "x", "--plan", plan), "leave out --plan"),
    ):
        asked = words if "--plan" in words else ("--plan", plan, *words)
        done = told("soak", *asked, "--results", str(files / "none"))
        assert done.exit_code == 2 and message in done.output, done.output
    assert not os.path.exists(files / "none")  # noqa: PTH110
