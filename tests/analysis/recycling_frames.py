"""Imagined results of a run of recycling, as the frames that the charts read. Nothing here is measured.

Each `Ways` says how a configuration replaces its workers; what follows from it is worked out here, without
the analysis, so that the charts can be tried with cases that no real server shows on demand.
"""

from dataclasses import dataclass, replace
from itertools import product
from types import SimpleNamespace

import numpy as np
import pandas as pd

from analysis.recycling import QUESTIONS, Answer, Recycling, RecyclingRow
from analysis.words import MISSING

EPOCH = 1_790_000_000.0
RATE = 800.0
MIB = 2**20
N, JITTER = 500, 50
HANDLED = ("no", "started", "finished")
PAIRS = (("index", False), ("index-close", True), ("slow", False), ("slow-close", True))


@dataclass(frozen=True)
class Ways:
    """How a configuration recycles: what a life serves beyond N, what a replacement costs.

    `first` says that a successor is ready before the old worker ends; `down_s` is how long a worker is
    missing otherwise; `lost` counts the lost requests of a replacement by how far the handler came, with
    keep-alive, `lost_close` without; `stall_s` is a time without any answer. `leaks` workers never end.
    """

    over: int = 20
    first: bool = False
    down_s: float = 0.3
    lost: tuple[int, int, int] = (0, 0, 0)
    lost_close: tuple[int, int, int] = (0, 0, 0)
    stall_s: float = 0.0
    recycles: bool = True
    served: int = N
    leaks: bool = False
    pss: bool = True
    verdict: str = "recycles"
    reason: str = "20 workers were replaced after 500 to 570 requests."


CATALOGUE = {
    "sanic": Ways(over=40, first=True),
    "sanic-single": Ways(recycles=False),
    "uvicorn": Ways(lost=(3, 0, 1), lost_close=(8, 0, 0), stall_s=0.9, down_s=0.9),
    "gunicorn-uvicorn": Ways(lost=(1, 0, 0), lost_close=(2, 0, 0), stall_s=0.25),
    "gunicorn-asgi": Ways(over=700, lost=(2, 1, 0)),
    "hypercorn": Ways(over=4, lost=(1, 2, 3), lost_close=(0, 4, 1)),
    "granian": Ways(first=True),
}


def imagined(
    configurations=None,
    *,
    workers=(1, 2),
    scenarios=PAIRS,
    seconds=12,
    repeats=1,
    catalogue=None,
    probes=True,
):
    """A `Study` with what the charts of recycling read of it: `results`, `recycling`, `findings`."""
    catalogue = CATALOGUE | (catalogue or {})
    makers = []
    for name in configurations or list(catalogue):
        ways = catalogue[name]
        for (scenario, close), count, repeat in product(scenarios, workers, range(1, repeats + 1)):
            treatments = ["control"] + ["recycled"] * ways.recycles
            makers += [
                _Cell(name, ways, scenario, close, count, repeat, each, seconds) for each in treatments
            ]
        makers += [
            _Cell(name, ways, "leak-50k", False, count, 1, each, seconds, leak=True)
            for count in workers for each in ["control"] + ["recycled"] * ways.recycles
        ]  # fmt: skip
        if probes:
            makers += [
                _Cell(name, ways, scenario, False, max(workers), 1, each, 12, probe=True)
                for scenario, each in (("index", "kill"), ("long", "terminate"))
            ]
    parts = [maker.made(number) for number, maker in enumerate(makers)]
    frames = {
        key: pd.concat([part[key] for part in parts], ignore_index=True)
        for key in ("trace", "processes", "lives", "replacements", "losses", "handled")
    }
    cells = pd.DataFrame([part["cell"] for part in parts]).set_index("cell")
    judged = pd.DataFrame([part["judged"] for part in parts]).set_index("cell")
    judged = judged[judged["treatment"].isin(["control", "recycled", "kill", "terminate"])]
    host = SimpleNamespace(hostname="synthetic", cpu="Imagined CPU", cpus=2)
    run = SimpleNamespace(
        run="20261122-080000-recycle", launcher="processes", started=EPOCH, status="finished", host=host,
        plan={"scenarios": dict.fromkeys([*(name for name, _ in scenarios), "leak-50k"])},
    )  # fmt: skip
    results = SimpleNamespace(
        run=run, cells=cells, finished=cells, configurations=list(catalogue), trace=frames["trace"],
        processes=frames["processes"],
    )  # fmt: skip
    recycling = Recycling(
        lives=frames["lives"], replacements=frames["replacements"], losses=frames["losses"], cells=judged,
        configurations=tuple(answered(name) for name in configurations or catalogue),
        finding="Imagined servers recycle.",
    )  # fmt: skip
    return SimpleNamespace(results=results, recycling=recycling, proxied=None, findings=[], prices=())


@dataclass(frozen=True)
class _Cell:
    name: str
    ways: Ways
    scenario: str
    close: bool
    workers: int
    repeat: int
    treatment: str
    seconds: int
    leak: bool = False
    probe: bool = False

    @property
    def rate(self):
        return (10.0 if self.treatment == "terminate" else 200.0) if self.probe else RATE

    def dimensions(self, number):
        return {
            "cell": number, "configuration": self.name, "scenario": self.scenario, "workers": self.workers,
            "load_kind": "open", "arrivals": "constant", "rate_per_s": self.rate, "users": 64,
            "repeat": self.repeat, "treatment": self.treatment,
        }  # fmt: skip

    def made(self, number):
        """Every frame of this cell."""
        self_start = EPOCH + number * 1000
        dimensions = self.dimensions(number)
        lives = self._lives(number) if self.treatment == "recycled" else self._steady(number)
        deaths = [life for life in lives if life["whole"] and life["died"] > self_start]
        per_death = self.ways.lost_close if self.close else self.ways.lost
        losses, stalls = [], []
        for k, life in enumerate(deaths):
            for handled, count in zip(HANDLED, per_death, strict=True):
                losses += [
                    {"time": life["died"] + 0.01 * i, "handled": handled, "kind": "closed_unanswered",
                     "pid": pd.NA if handled == "no" else life["pid"], "replacement": k + 1,
                     "in_probe": False}
                    for i in range(count)
                ]  # fmt: skip
            if self.ways.stall_s and self.workers == 1:
                stalls.append((life["died"], life["died"] + self.ways.stall_s))
        signal = self_start + 3.0
        if self.probe and self.treatment == "kill":
            stalls.append((signal, signal + 0.5))
            losses += [
                {"time": signal + 0.02 * i, "handled": "no", "kind": "refused", "pid": pd.NA,
                 "replacement": pd.NA, "in_probe": True} for i in range(5)
            ]  # fmt: skip
        trace = self._trace(self_start, stalls, losses)
        if self.treatment == "terminate":
            trace = trace[trace["ended"] < signal + 6.0]
        longest = float(np.diff(np.sort(trace["ended"])).max())
        replaced = len(deaths)
        per_1000 = 1000 * len(losses) / replaced if replaced else np.nan
        spread = 1000 * 3.69 / replaced if replaced else np.nan
        replacements = [
            {"number": k + 1, "old_pid": life["pid"], "new_pid": life["next"], "begin": life["died"] - 0.2,
             "end": life["died"] + self.ways.down_s, "lost": sum(per_death),
             "gap_s": self.ways.stall_s or 0.02, "slowest_ms": 40.0}
            for k, life in enumerate(deaths)
        ]  # fmt: skip
        served = [life["served"] for life in deaths]
        n = None if self.name == "granian" or self.treatment != "recycled" else N
        cell = dimensions | {
            "window_start": self_start, "window_end": self_start + self.seconds,
            "path": f"{self.name}/{self.scenario}/w{self.workers}-{self.treatment}",
            "status": "finished", "max_requests": n, "max_requests_jitter": JITTER if n else None,
            "max_rss_mib": 150.0 if self.name == "granian" and self.treatment == "recycled" else None,
            "probe_time": signal if self.probe else np.nan, "probe_pid": 101 if self.probe else np.nan,
            "server_ended": np.nan,
        }  # fmt: skip
        verdicts = {
            "control": "steady",
            "recycled": self.ways.verdict,
            "kill": "recovers",
            "terminate": "finishes",
        }
        memory = self._memory(self_start, lives)
        totals = memory.groupby("time")["rss_bytes"].sum()
        judged = dimensions | {
            "replaced": replaced, "served_low": min(served, default=np.nan),
            "served_median": np.median(served) if served else np.nan,
            "served_high": max(served, default=np.nan), "requests": len(trace), "lost": len(losses),
            "per_replacement": len(losses) / replaced if replaced else np.nan, "per_1000": per_1000,
            "per_1000_low": max(0.0, per_1000 - spread) if replaced else np.nan,
            "per_1000_high": per_1000 + spread, "gap_s": longest, "slowest_ms": longest * 1e3,
            "rss_peak_bytes": totals.max(), "rss_end_bytes": totals.iloc[-1],
            "keep_alive": not self.close, "recovery_s": 0.5 if self.treatment == "kill" else np.nan,
            "verdict": verdicts[self.treatment], "reason": self.ways.reason,
        }  # fmt: skip
        frame = {
            "trace": trace, "processes": memory, "lives": pd.DataFrame(lives),
            "replacements": pd.DataFrame(replacements, columns=REPLACEMENTS),
            "losses": pd.DataFrame(losses, columns=LOSSES), "handled": pd.DataFrame(),
        }  # fmt: skip
        return {key: part.assign(**dimensions) for key, part in frame.items()} | {
            "cell": cell, "judged": judged,
        }  # fmt: skip

    def _steady(self, number):
        start = EPOCH + number * 1000
        return [
            self._life(
                100 + i, start - 2.0, start - 1.2, np.nan, int(self.rate * self.seconds / self.workers)
            )
            for i in range(self.workers)
        ]

    def _life(self, pid, born, ready, died, served, follower=pd.NA):
        return {
            "pid": pid, "born": born, "ready": ready, "died": died, "exit_status": 0.0, "served": served,
            "started": served, "first": ready, "last": died, "whole": bool(died == died),
            "rss_peak_bytes": 6e7, "pss_peak_bytes": 5e7 if self.ways.pss else np.nan, "next": follower,
        }  # fmt: skip

    def _lives(self, number):
        """Each worker's successors, one after the other, through the window."""
        start, end = EPOCH + number * 1000, EPOCH + number * 1000 + self.seconds
        chance = np.random.default_rng(number)
        lives, pid = [], 100
        for slot in range(self.workers):
            born, ready = start - 2.0, start - 1.2
            busy = start - 1.0
            while ready < end:
                served = self.ways.served + self.ways.over + int(chance.integers(0, JITTER + 1))
                died = busy + served / (self.rate / self.workers) * (1 + 0.3 * slot)
                pid += 1
                last = died >= end
                lives.append(self._life(pid, born, ready, np.nan if last else died, served, pid + 1))
                if self.ways.leaks:
                    lives[-1] |= {"died": np.nan, "whole": False}
                if last:
                    break
                ready = died - 0.2 if self.ways.first else died + self.ways.down_s
                born, busy = ready - 0.6, max(ready, died)
                if not self.ways.first:
                    born = died + 0.01
            pid += 1000
        return lives

    def _trace(self, start, stalls, losses):
        due = start - 1 + np.arange(0, self.seconds + 1, 1 / self.rate)
        took = 6.0 if self.scenario == "long" else 0.2 if "slow" in self.scenario else 0.002
        ended = due + took + 0.001 * np.sin(np.arange(len(due)))
        for begin, until in stalls:
            ended = np.where((ended > begin) & (ended < until), until + (ended - begin) * 0.01, ended)
        kind = np.full(len(due), None, dtype=object)
        for loss in losses:
            kind[min(len(due) - 1, np.searchsorted(due, loss["time"]))] = loss["kind"]
        return pd.DataFrame({
            "id": [f"0-{i + 1}" for i in range(len(due))], "due": due, "sent": due, "ended": ended,
            "connection": 1.0, "kind": pd.Categorical(kind, categories=["closed_unanswered", "refused"]),
        })  # fmt: skip

    def _memory(self, start, lives):
        times = np.arange(start - 1, start + self.seconds, 0.25)
        rows = [{"time": t, "pid": 90, "role": "manager", "rss_bytes": 30.0 * MIB} for t in times]
        for life in lives:
            died = life["died"] if life["died"] == life["died"] else start + self.seconds
            alive = times[(times >= life["born"]) & (times < died)]
            each = 50_000 * self.leak * self.rate / self.workers
            grown = np.maximum(0, alive - max(life["ready"], start - 1)) * each
            rows += [
                {"time": t, "pid": life["pid"], "role": "worker", "rss_bytes": 60.0 * MIB + g}
                for t, g in zip(alive, grown, strict=True)
            ]
        frame = pd.DataFrame(rows)
        frame["pss_bytes"] = frame["rss_bytes"] * 0.7 if self.ways.pss else np.nan
        return frame


REPLACEMENTS = ["number", "old_pid", "new_pid", "begin", "end", "lost", "gap_s", "slowest_ms"]
LOSSES = ["time", "id", "kind", "handled", "pid", "replacement", "in_probe"]


def answered(name):
    """A row of the deciding table, with an answer of every kind; the last was not measured."""
    texts = (
        "yes, by its flag", "506 to 611, median 540", "75 (12 to 231; 3 of 40)", "0 (at most 92; 0 of 40)",
        "5.06 s (2 workers)", "yes: 116 MiB, without 576", "replaced after 0.65 s, 5 lost", MISSING,
    )  # fmt: skip
    verdicts = ("good", "good", "bad", "good", "bad", "good", "fair", "unknown")
    paths = [(f"{name}/index/o800-constant-w1-{kind}/r1",) for kind in ("n500", "control")]
    return RecyclingRow(
        name,
        tuple(
            Answer(text, verdict, () if verdict == "unknown" else paths[0] + paths[1] * (verdict == "bad"))
            for _, text, verdict in zip(QUESTIONS, texts, verdicts, strict=True)
        ),
    )


def broken(reason="Workers died after 1 request each, 480 of them in 12 s; N is 500."):
    """A server whose workers die in a loop."""
    return replace(Ways(), served=8, over=0, down_s=0.05, verdict="broken", reason=reason)
