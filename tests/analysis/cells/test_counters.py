import math

import numpy as np
import pandas as pd
import pytest

from analysis.cells import counters
from analysis.cells.summary import summarise
from analysis.reading import results


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
    memory = counters.server_memory(processes)
    assert memory["time"].tolist() == [1.0, 2.0]
    assert memory["rss_bytes"].tolist() == [30, 70]
    assert memory["pss_bytes"].iloc[0] == 3 and math.isnan(memory["pss_bytes"].iloc[1])


def test_a_worker_that_is_replaced_in_the_window_counts_both_times(run):
    folder = run(configurations=("sanic",), repeats=1, noise=0, seconds=4)
    (cell,) = [path.parent for path in folder.rglob("cell.json")]
    before = summarise(results.load(folder)).iloc[0]
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
    after = summarise(results.load(folder)).iloc[0]
    # What the old worker used between its last sample and its death is nobody's: at most one interval.
    lost = 0.25 * before["cpu_s"] / 4
    assert before["cpu_s"] - lost <= after["cpu_s"] <= before["cpu_s"] + 1e-9


def test_steal_is_the_share_of_the_cpus_in_use(run):
    summary = summarise(results.load(run(steal=0.25, repeats=1)))
    assert summary["steal"].tolist() == pytest.approx([0.25, 0.25])


def test_others_are_what_is_left_of_the_busy_time(run):
    summary = summarise(results.load(run(others=0.125, repeats=1, scenarios={"sleep": (64,)})))
    assert summary["others"].tolist() == pytest.approx([0.125, 0.125])


@pytest.mark.parametrize(("missing_s", "expected"), [(0.15, 0.0), (0.5, math.nan)])
def test_less_busy_than_the_processes_is_nobody_or_unknown(run, missing_s, expected):
    """Within the error of the bookkeeping (5 % of 2 CPUs for 2 s is 0.2 s) it is zero, beyond it unknown."""
    folder = run(configurations=("sanic",), repeats=1, scenarios={"sleep": (64,)})
    (host,) = folder.rglob("host.csv")
    frame = pd.read_csv(host)
    since = frame["time"] - frame["time"].min()
    frame["idle_s"] += since / 2 * missing_s * (frame["cpu"] == 0)
    frame.to_csv(host, index=False)
    assert summarise(results.load(folder))["others"].tolist() == pytest.approx([expected], nan_ok=True)


@pytest.mark.parametrize("seen", [0.0, 3.0])
def test_ticks_in_step_with_the_load_are_no_other_processes(run, seen):
    """Constant arrivals may keep step with the tick, which then sees a CPU always busy, or never."""
    folder = run(configurations=("sanic",), repeats=1, scenarios={"sleep": (64,)}, others=0.125)
    (host,) = folder.rglob("host.csv")
    frame = pd.read_csv(host)
    frame[["user_s", "system_s", "softirq_s"]] *= seen
    frame.to_csv(host, index=False)
    assert summarise(results.load(folder))["others"].tolist() == pytest.approx([0.125])


def test_a_cpu_that_nobody_watched_is_unknown(run):
    folder = run(configurations=("sanic",), repeats=1, steal=0.25)
    (host,) = folder.rglob("host.csv")
    frame = pd.read_csv(host)
    frame[frame["cpu"] == 0].to_csv(host, index=False)
    summary = summarise(results.load(folder))
    assert summary[["steal", "others"]].isna().all(axis=None)


def test_what_dying_workers_may_have_used_unseen_is_no_other_process(run):
    """From its last sample to its death a worker is not metered; one that no sample saw never is."""
    folder = run(configurations=("sanic",), repeats=1, scenarios={"sleep": (64,)}, others=0.125)
    (cell,) = [path.parent for path in folder.rglob("cell.json")]
    start = results.load(folder).cells.loc[0, "window_start"]
    processes = pd.read_csv(cell / "processes.csv")
    seen = processes[(processes["role"] != "worker") | (processes["time"] <= start + 0.8)]
    seen.to_csv(cell / "processes.csv", index=False)
    last = float(seen.loc[seen["role"] == "worker", "time"].max())
    rows = [(0.0, "died", 101), (0.1, "born", 303), (0.14, "died", 303)]
    (cell / "workers.csv").write_text(
        "time,event,pid,role,exit_status\n"
        + "".join(f"{last + 0.2 + after:.6f},{event},{pid},worker,\n" for after, event, pid in rows)
    )
    loaded = results.load(folder)
    assert counters.unmetered_ends(loaded).tolist() == pytest.approx([0.24], abs=1e-5)
    summary = summarise(loaded).iloc[0]
    busy = 2 * summary["others"] * 2 + 0.24
    known = summary["cpu_s"] + counters.generator_growth(loaded, "cpu_s")[0] + counters.meter_cpu(loaded)[0]
    host = loaded.host.sort_values("time").groupby("cpu")["idle_s"]
    idle = (host.last() - host.first()).sum() * 2 / 3  # of the warm-up and the window, two of three seconds
    assert busy + known == pytest.approx(4 - idle)


def test_cpus_that_server_and_generator_share_are_counted_once(run):
    loaded = results.load(run(configurations=("sanic",), repeats=1, steal=0.25))
    for cell in loaded.cells.index:
        loaded.cells.at[cell, "generator_cpus"] = [0]
    assert counters.steal(loaded).tolist() == pytest.approx([0.25])
