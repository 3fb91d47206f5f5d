import json
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pandas as pd
import pytest
from typer.testing import CliRunner

from analysis import findings
from analysis.findings import KINDS, open_loop
from analysis.findings.finding import Load
from analysis.recycling import limits
from analysis.study import study
from bench.cli import listings
from tests.fixtures.make_run import Open, Search


def found(folder, kind):
    return [finding for finding in study(folder).findings if finding.kind == kind]


def rewrite(folder, name, change):
    """Change a CSV file of every cell: `change` gets the frame and returns the new one."""
    for path in folder.rglob(f"{name}.csv"):
        change(pd.read_csv(path)).to_csv(path, index=False)


def test_a_clean_run_has_nothing_to_say(run):
    assert study(run(noise=0.005)).findings == []


def test_a_busy_generator_makes_throughput_a_lower_bound(run):
    folder = run(generator_limit=5000, configurations=("sanic", "uvicorn"))
    assert found(folder, "unsaturated") == []
    (finding,) = found(folder, "generator-bound")
    assert finding.severity == "warning"
    assert finding.configurations == ("sanic", "uvicorn")
    assert "the generator was the limit at 64 users" in finding.message
    assert "sanic 1" in finding.message and "uvicorn 3" in finding.message
    assert "lower bound" in finding.spoils and "more generator processes" in finding.advice
    assert finding.concerns("sanic", "index", Load(1, 64))
    assert not finding.concerns("sanic", "index", Load(1, 8))
    assert not finding.concerns("granian", "index", Load(1, 64))


def test_an_idle_server_with_an_idle_generator_is_another_matter(run):
    folder = run(generator_limit=5000)
    rewrite(folder, "generator", lambda frame: frame.assign(cpu_s=frame["cpu_s"] / 3, spin_s=0))
    # Answers come at once, now and then: the users could ask for more.
    rewrite(folder, "latency", lambda frame: frame.assign(bucket_us=frame["bucket_us"] / 10))
    (finding,) = found(folder, "unsaturated")
    assert "neither was the generator" in finding.message and "waits for" in finding.advice


def test_waiting_for_the_apps_io_is_no_fault(run):
    folder = run(scenarios={"sleep": (64,)})
    assert found(folder, "unsaturated") == []
    (finding,) = found(folder, "waiting")
    assert finding.severity == "note" and finding.scenario == "sleep"
    assert "64 users cannot fill the server" in finding.message


def test_one_user_is_not_expected_to_fill_a_server(run):
    folder = run(scenarios={"index": (1,)})
    assert found(folder, "unsaturated") == []
    assert "1 user cannot" in found(folder, "waiting")[0].message


def test_a_sleep_with_enough_users_saturates(run):
    assert found(run(scenarios={"sleep": (2000,)}), "waiting") == []


@pytest.mark.parametrize("share, severity", [(1, "warning"), (10, "note")])
def test_errors_are_counted_by_kind(run, share, severity):
    folder = run(configurations=("gunicorn-asgi",))
    rewrite(folder, "failures", lambda frame: frame.assign(count=frame["count"] // share))
    (finding,) = found(folder, "errors")
    assert finding.severity == severity
    assert "closed_unanswered" in finding.message and finding.message.startswith("gunicorn-asgi: 0.")


def test_steal_is_one_finding_for_the_run(run):
    (finding,) = found(run(steal=0.1), "steal")
    assert "up to 10%" in finding.message and "6 cells above 2%" in finding.message


def test_shared_cpus_spoil_everything(run):
    (finding,) = found(run(trusted=False), "cpu-split")
    assert finding.severity == "warning" and finding.spoils.startswith("every number")


@pytest.mark.parametrize("optimized", [True, None, False])
def test_a_python_without_optimisation_is_told(run, optimized):
    folder = run()
    document = json.loads((folder / "run.json").read_text())
    document["stacks"]["current"]["optimized"] = optimized
    (folder / "run.json").write_text(json.dumps(document))
    if optimized is False:
        (finding,) = found(folder, "unoptimized")
        assert finding.message.startswith("Python 3.11.7 was built without") and not finding.scenario
    else:
        assert found(folder, "unoptimized") == []


def test_a_stall_within_the_window_is_unsteady(run):
    folder = run(configurations=("sanic", "uvicorn"), seconds=4)
    assert found(folder, "unsteady") == []

    def stall(frame):
        late = frame["second"] == frame["second"].max()
        return frame.assign(count=frame["count"].where(~late, frame["count"] // 2))

    for path in (folder / "sanic").rglob("latency.csv"):
        stall(pd.read_csv(path)).to_csv(path, index=False)
    (finding,) = found(folder, "unsteady")
    assert finding.configurations == ("sanic",) and "sanic 4" in finding.message


def test_a_second_without_any_answer_is_unsteady(run):
    folder = run(configurations=("sanic",), seconds=4)
    rewrite(folder, "latency", lambda frame: frame[frame["second"] != frame["second"].max() - 1])
    (finding,) = found(folder, "unsteady")
    assert "sanic 100%" in finding.message


def test_what_is_in_flight_does_not_make_it_unsteady(run):
    """64 users of a slow request finish in lumps; a lump on the other side of a second is no swing."""
    folder = run(configurations=("sanic",), seconds=4, generator_limit=100)

    def lump(frame):
        moved = frame["second"] == frame["second"].max()
        return (
            pd.concat([frame, frame[moved].assign(second=frame["second"].max() - 1, count=0)])
            .assign(count=lambda rows: rows["count"] * (1 + (rows["second"] % 2 == 0) * 0.5))
            .astype({"count": int})
        )

    rewrite(folder, "latency", lump)
    assert found(folder, "unsteady") == []


def test_repeats_that_differ(run):
    folder = run(configurations=("sanic", "uvicorn"))
    assert found(folder, "spread") == []
    path = folder / "sanic" / "index" / "c64-w1" / "r2" / "latency.csv"
    frame = pd.read_csv(path)
    frame.assign(count=(frame["count"] * 2)).to_csv(path, index=False)
    (finding,) = found(folder, "spread")
    assert finding.configurations == ("sanic",) and "x" in finding.message


def test_loop_lag_is_judged_by_the_latency(run):
    folder = run(configurations=("sanic", "hypercorn"), noise=0)
    assert found(folder, "loop-lag") == []
    rewrite(folder, "generator", lambda frame: frame.assign(loop_lag_ms=5.0))
    (finding,) = found(folder, "loop-lag")
    # Sanic's p99 is 5 ms, Hypercorn's 22.
    assert finding.configurations == ("sanic",) and "5.0 ms" in finding.message


def test_failed_cells_and_unavailable_configurations(run, monkeypatch):
    folder = run(
        configurations=("sanic", "uvicorn", "gunicorn-sanic"), failed=frozenset({("uvicorn", "index")})
    )
    (failed,) = found(folder, "failed")
    assert failed.message == "uvicorn: 3 cells failed: the server ended by itself (exit status 1)"
    assert failed.advice == "mend that, then resume the run"
    # What there is to read is named by its path, from where one is if it lies below that.
    monkeypatch.chdir(folder.parent)
    log = folder / "uvicorn" / "index" / "c64-w1" / "r2" / "server.log"
    log.touch()
    (folder / "generator.log").touch()
    (failed,) = found(Path("run"), "failed")
    logs = "run/uvicorn/index/c64-w1/r2/server.log and run/generator.log"
    assert failed.advice == f"read {logs}, then resume the run"
    (failed,) = found(folder, "failed")
    assert failed.advice == f"read {logs}, then resume the run"
    (missing,) = found(folder, "unavailable")
    assert missing.configurations == ("gunicorn-sanic",) and missing.advice == "install Python 3.9"


def test_one_repeat_and_an_incomplete_run(run):
    folder = run(repeats=1, status="interrupted")
    assert found(folder, "one-repeat")[0].severity == "warning"
    assert "not complete (interrupted)" in found(folder, "incomplete")[0].message


def test_cpu_samples_that_miss_the_window_are_said_to(run):
    folder = run(repeats=2)
    rewrite(folder, "processes", lambda frame: frame[frame["time"] < frame["time"].min() + 0.6])
    (finding,) = found(folder, "unmetered")
    assert "4 cells" in finding.message
    assert study(folder).summary["cpu_us"].isna().all()


def test_workers_that_die_unasked(run):
    folder = run(configurations=("sanic", "uvicorn"), workers=(2,))
    for status, cell in zip(["-9", "", "3"], sorted(folder.glob("sanic/*/*/*/cell.json")), strict=True):
        window = json.loads(cell.read_text())["window"]
        rows = [
            f"{window['start'] - 0.4},died,101,worker,{status}",  # in the warm-up
            f"{window['start'] - 0.3},died,102,helper,1",
            f"{window['start'] - 0.2},born,103,worker,",
            f"{window['end'] + 0.1},died,103,worker,0",  # the server is stopped
        ]
        workers = cell.with_name("workers.csv")
        workers.write_text(workers.read_text() + "\n".join(rows) + "\n")
    (finding,) = found(folder, "worker-died")
    assert finding.configurations == ("sanic",) and finding.severity == "warning"
    for end in ("1 by SIGKILL", "1 with an unknown exit status", "1 with exit status 3"):
        assert end in finding.message
    assert f"read {folder}/sanic/index/c64-w2/r1/server.log; " in finding.advice


def test_warnings_come_first_and_read_as_sentences(run):
    folder = run(configurations=("sanic", "gunicorn-asgi", "gunicorn-sanic"), scenarios={"sleep": (64,)})
    findings = study(folder).findings
    severities = [finding.severity for finding in findings]
    assert severities == sorted(severities, reverse=True) and set(severities) == {"warning", "note"}
    assert findings[0].text == (
        "sleep: gunicorn-asgi: 0.39% of the requests failed (150 closed_unanswered). This spoils throughput "
        f"and latency, which count successes only. Read {folder}/gunicorn-asgi/sleep/c64-w1/r1/failures.csv "
        f"and {folder}/gunicorn-asgi/sleep/c64-w1/r1/server.log."
    )


def test_every_kind_of_finding_and_every_threshold_is_listed():
    page = " ".join(CliRunner().invoke(listings.app, ["findings"]).output.split())
    assert all(f"{kind.title}: " in page and kind.why in page for kind in KINDS.values())
    modules = [
        import_module(f"analysis.findings.{module.name}") for module in iter_modules(findings.__path__)
    ]
    known = {
        name: value
        for module in [*modules, limits]
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, int | float)
    }
    assert len(known) > 35
    for name, value in known.items():
        assert f"`{name}` = {value:g}" in page, name


def test_every_module_registers_its_checks():
    some = {"generator-bound", "failed", "errors", "steal", "rate-not-reached", "trace", "drift"}
    assert some <= KINDS.keys()
    assert {kind.group for kind in KINDS.values()} == {"answer", "number", "note"}
    assert all(kind.threshold and kind.why for kind in KINDS.values())


def test_plain_locust_users_are_pointed_out(run):
    folder = run(configurations=("sanic", "uvicorn"), scenarios={"index": (8,), "json": (8,)})
    for path in folder.rglob("index/**/cell.json"):
        path.write_text(path.read_text().replace('"engine": "swarm"', '"engine": "locust"'))
    (finding,) = found(folder, "locust-users")
    assert finding.severity == "note" and finding.scenario == "index"
    assert finding.concerns("uvicorn", "index", Load(1, 8))


def test_a_share_of_the_ceiling_makes_a_cell_generator_bound(run):
    folder = run(generator_limit=12000, configurations=("sanic",), ceilings={"index": 15000.0})
    rewrite(folder, "generator", lambda frame: frame.assign(cpu_s=frame["cpu_s"] / 3, spin_s=0))
    (finding,) = found(folder, "generator-bound")
    assert "80% of its ceiling" in finding.message
    # Where the null server was the limit, nobody knows how far the ceiling is.
    document = (folder / "run.json").read_text()
    (folder / "run.json").write_text(document.replace('"at_least": false', '"at_least": true'))
    assert found(folder, "generator-bound") == []


def test_a_saturated_server_is_never_generator_bound(run):
    assert found(run(ceilings={"index": 20000.0}), "generator-bound") == []


def test_the_generators_waiting_is_told_in_milliseconds(run):
    folder = run(configurations=("sanic", "hypercorn"), noise=0.005, loop_wait_us=400.0)
    (finding,) = found(folder, "loop-wait")
    # Sanic's median is about 2 ms, Hypercorn's 10.
    assert finding.configurations == ("sanic",) and "about 0.400 ms is the generator's" in finding.message


def test_littles_law_finds_users_who_do_not_ask(run):
    folder = run(configurations=("sanic",), noise=0.005)
    assert found(folder, "idle-users") == found(folder, "books") == []
    latency = {path: pd.read_csv(path) for path in folder.rglob("latency.csv")}
    for factor, kind in ((0.7, "idle-users"), (1.3, "books")):
        for path, frame in latency.items():
            frame.assign(bucket_us=frame["bucket_us"] * factor).to_csv(path, index=False)
        (finding,) = found(folder, kind)
        assert "64 users" in finding.message
        assert finding.severity == ("note" if kind == "idle-users" else "warning")


@pytest.mark.parametrize(
    "shape, kind, words",
    [
        ((1, 0.5, 0.7, 1, 1, 1, 1, 1, 1), "warm-up", "its first 2 seconds -40%"),
        ((1, 1, 1, 1, 1, 1.5, 1.5, 1.5, 1.5), "step", "+40% after second 4"),
        ((1, 1, 0.94, 0.88, 0.82, 0.76, 0.7, 0.64, 0.58), "drift", "-53% from start to end"),
        ((1, 1, 1, 1, 0.2, 1, 1, 1, 1), "unsteady", "sanic 78%"),
    ],
)
def test_what_a_window_did_is_named_once(run, shape, kind, words):
    folder = run(configurations=("sanic",), scenarios={"index": (8,)}, seconds=8, shape=shape, noise=0)
    kinds = {finding.kind for finding in study(folder).findings}
    assert kinds & {"warm-up", "step", "drift", "unsteady"} == {kind}
    (finding,) = found(folder, kind)
    assert words in finding.message and finding.severity == "warning"


def test_a_late_warm_up_says_how_long_it_should_have_been(run):
    shape = (0.3, 0.5, 0.7, 1, 1, 1, 1, 1, 1)
    (finding,) = found(run(seconds=8, shape=shape, noise=0), "warm-up")
    assert finding.advice == "add 2 s or more to warmup_s"


def test_other_processes_are_a_finding_of_the_run(run):
    (finding,) = found(run(others=0.2, scenarios={"sleep": (64,)}), "others")
    assert "20%" in finding.message and finding.scenario is None


def test_an_open_loop_beyond_the_server_did_not_reach_its_rate(run):
    folder = run(configurations=("sanic", "uvicorn"), scenarios={}, open={"index": [Open((1000, 18000))]})
    (finding,) = found(folder, "rate-not-reached")
    assert finding.configurations == ("uvicorn",) and "the server was saturated" in finding.message
    assert finding.concerns("uvicorn", "index", Load(1, 256, "constant", 18000.0))
    assert not finding.concerns("uvicorn", "index", Load(1, 256, "constant", 1000.0))


def test_the_steps_of_a_search_may_overshoot(run):
    folder = run(configurations=("sanic",), scenarios={}, searches={"index": Search(5.0)})
    assert found(folder, "rate-not-reached") == []


def causes(**changes):
    row = {"throughput": 900.0, "mean_us": 1000.0, "users": 100, "busy": 0.5, "generator_busy": 0.2}
    row |= {"ceiling_share": 0.1, "ceiling_at_least": False} | changes
    return open_loop.cause(pd.DataFrame([row])).iloc[0]


def test_the_cause_of_a_missed_rate():
    assert causes() == "unknown"
    assert causes(mean_us=105_000.0) == "pool"
    assert causes(generator_busy=0.95, mean_us=105_000.0) == "generator"
    assert causes(ceiling_share=0.7) == "generator"
    assert causes(busy=0.95, generator_busy=0.95) == "server"


def test_a_late_generator_is_a_note(run):
    folder = run(configurations=("sanic",), scenarios={}, open={"index": [Open((4000,))]})

    def late(frame):
        sent = frame["kind"] == "lateness"
        return frame.assign(bucket_us=frame["bucket_us"].where(~sent, 2000.0))

    rewrite(folder, "latency", late)
    (finding,) = found(folder, "generator-late")
    assert finding.severity == "note" and "sanic 2.00 ms" in finding.message
