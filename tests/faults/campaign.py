"""Faults at random moments of a run: what is killed, frozen or interrupted must do no harm to results.

`python -m tests.faults.campaign --faults 200` (`make faults FAULTS=200`) prints what each did, and a table.
After each: no process is left, no finished cell is lost or changed, no file is torn, and the run that goes on
is complete. It starts processes of this machine alone, and signals none but those.
"""

import argparse
import ctypes
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from analysis import results
from bench.model.errors import UserError
from bench.model.files import sha256
from tests.bench.commands import start_run
from tests.patience import LONG_S

PLAN = """
summary = "for tests"
configurations = ["sanic-single", "granian"]
workers = [1]
repeats = 2
warmup_s = 0.2
measured_s = 1
[scenarios.slow]
users = [4]
"""
CELLS = 4
# A run takes some ten seconds: faults come from its first moment to its last.
LATEST_S = 10.0
VICTIMS = ("bench", "generator", "serve", "worker")
ACTS = {
    "kill": signal.SIGKILL,
    "terminate": signal.SIGTERM,
    "freeze": signal.SIGSTOP,
    "interrupt": signal.SIGINT,
}
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Fault:
    """What is done to which process, how many seconds into a run; a frozen one goes on after `thaw_s`."""

    victim: str
    act: str
    moment_s: float
    thaw_s: float = 2.0

    @classmethod
    def drawn(cls, chance: random.Random) -> "Fault":
        act = chance.choice(list(ACTS))
        # Ctrl-C goes to all of a terminal's processes.
        victim = "bench" if act == "interrupt" else chance.choice(VICTIMS)
        return cls(victim, act, chance.uniform(0, LATEST_S), chance.uniform(0.2, 4))

    @property
    def words(self) -> str:
        return f"{self.act} {self.victim}"


@dataclass
class Outcome:
    """What a fault did: how the run ended, the cells that it had before, and what is wrong with it."""

    fault: Fault
    status: int
    cells: int
    wrong: list[str]


def adopt_orphans() -> None:
    """Have this process be the parent of what its children leave behind, so that nothing is out of sight."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def strike(folder: Path, fault: Fault) -> Outcome:
    """Begin a run in an empty folder, hit it, look at what is left, and have it go on."""
    plan, results_folder = folder / "tiny.toml", folder / "results"
    plan.write_text(PLAN)
    arguments = ["--plan", str(plan), "--results", str(results_folder), "--no-report"]
    run = start_run(arguments)
    end = time.monotonic() + fault.moment_s
    while run.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    kept = _cells(results_folder)
    _hit(run.pid, fault)
    output, _ = run.communicate(timeout=LONG_S)
    wrong = _left(output, results_folder, kept)
    again = start_run([*arguments, *_resumed(results_folder)])
    output, _ = again.communicate(timeout=LONG_S)
    if again.returncode:
        wrong.append(f"it does not go on (status {again.returncode}): {output[-500:]}")
    wrong += _left(output, results_folder, kept) + _incomplete(results_folder)
    return Outcome(fault, run.returncode, len(kept), wrong)


def _cells(results_folder: Path) -> dict[Path, dict[str, str]]:
    """The files of each finished cell, and what is in them."""
    found = {}
    for path in results_folder.glob("*/[!.]*/*/*/*/cell.json"):
        with suppress(OSError):  # it is moved just now
            if '"status": "finished"' in path.read_text():
                found[path.parent] = {each.name: sha256(each) for each in path.parent.iterdir()}
    return found


def _hit(pid: int, fault: Fault) -> None:
    victims = _victims(pid, fault.victim)
    if fault.act == "interrupt":
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGINT)
        return
    for process in victims:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(ACTS[fault.act])
    if fault.act == "freeze":
        time.sleep(fault.thaw_s)
        for process in victims:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)


def _victims(pid: int, role: str) -> list[psutil.Process]:
    """The processes of a role in a run; bench itself where there is none just now."""
    try:
        bench = psutil.Process(pid)
        tree = bench.children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    words = {}
    for process in tree:
        with suppress(psutil.NoSuchProcess):
            words[process] = " ".join(process.cmdline())
    serves = [process for process, line in words.items() if "targets.serve" in line]
    found = {
        "generator": [process for process, line in words.items() if "swarm.session" in line],
        "serve": serves,
        "worker": [each for each in words if any(parent in serves for parent in _above(each))],
    }
    return found.get(role) or [bench]


def _above(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.parents()
    except psutil.NoSuchProcess:
        return []


def _resumed(results_folder: Path) -> list[str]:
    """The words that have the run go on; none where it had not begun, or all of it was measured."""
    runs = list(results_folder.glob("*/run.json"))
    return ["--resume", runs[0].parent.name] if runs else []


def _left(output: str, results_folder: Path, kept: dict[Path, dict[str, str]]) -> list[str]:
    """What is wrong with what a run has left."""
    wrong = ["it ends in a traceback: " + output[-800:]] if "Traceback" in output else []
    deadline = time.monotonic() + 60
    while (alive := _alive()) and time.monotonic() < deadline:
        time.sleep(0.05)
    wrong += [f"left alive: {process}" for process in alive]
    for folder, files in kept.items():
        for name, digest in files.items():
            if not (folder / name).exists() or sha256(folder / name) != digest:
                wrong.append(f"lost or changed: {folder / name}")
    for run in results_folder.glob("*/run.json"):
        try:
            results.load(run.parent)
        except UserError as error:
            if "has no finished cell yet" not in str(error) and "failed; the first" not in str(error):
                wrong.append(f"torn: {error}")
    return wrong


def _alive() -> list[str]:
    """All that was started and still runs, orphans among it; what has ended is reaped."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"{process.pid} {' '.join(process.cmdline())[:200]}")
    return found


def _incomplete(results_folder: Path) -> list[str]:
    """What the run that went on lacks."""
    wrong = []
    runs = list(results_folder.glob("*/run.json"))
    if len(runs) != 1:
        return [f"{len(runs)} runs instead of one"]
    (folder,) = (run.parent for run in runs)
    loaded = results.load(folder)
    if list(loaded.cells["status"]) != ["finished"] * CELLS or loaded.run.status != "finished":
        wrong.append(
            f"not complete: {loaded.run.status}, {loaded.cells[['path', 'status', 'reason']].to_dict()}"
        )
    hidden = [path.name for path in folder.iterdir() if path.name.startswith(".") and path.name != ".lock"]
    torn = [path for path in folder.glob("[!.]*/*/*/r?") if not (path / "cell.json").exists()]
    return wrong + [f"left behind: {each}" for each in (*hidden, *torn)]


def main() -> int:
    """Return the exit status: 1 where a fault did harm."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    adopt_orphans()
    chance = random.Random(arguments.seed)
    times: Counter[str] = Counter()
    harmful: Counter[str] = Counter()
    for number in range(1, arguments.faults + 1):
        fault = Fault.drawn(chance)
        with tempfile.TemporaryDirectory(prefix="whichworker-fault-") as folder:
            done = strike(Path(folder), fault)
        times[fault.words] += 1
        harmful[fault.words] += bool(done.wrong)
        what = "; ".join(done.wrong) or "no harm"
        at = f"{fault.moment_s:.2f} s"
        print(
            f"{number}: {fault.words} at {at} ({done.cells} cells, status {done.status}): {what}", flush=True
        )
    print("\nfault | times | harmful")
    for words, count in sorted(times.items()):
        print(f"{words} | {count} | {harmful[words]}")
    return int(any(harmful.values()))


if __name__ == "__main__":
    sys.exit(main())
