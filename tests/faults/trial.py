"""One fault tried: `python -m tests.faults.trial FOLDER`, a process of its own, below which all of it runs.

FOLDER has a `fault.json`, and gets a `record.json`. This process is a subreaper: whatever loses its parent
stays below it, and is seen when nothing ought to be left, whatever became of its name and variables. Sockets
and network namespaces go with their last process.
"""

import ctypes
import json
import signal
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from tests.faults import invariants, surroundings
from tests.faults.fault import Fault, due, happened
from tests.faults.invariants import Shape
from tests.faults.kinds import KINDS, Kind, Running, Stage, staged
from tests.faults.roles import below
from tests.faults.strikes import OF_ROLE, STRIKES, Scene, targets
from tests.patience import wait_until

_PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>
_LOOK_EVERY_S = 0.005
# What is left of a run has so long to end: guards give programs five seconds.
_ORPHANS_S = 60.0
_ATTEMPTS = 3
# Roles beside that of bench whose temporary folder the next one removes, if these do not come to it.
_OWNERS = ("agent", "ssh")


class Missed(Exception):
    """The run was over, with a status, before what the fault waits for; the text is what it said."""

    def __init__(self, running: Running) -> None:
        self.status = running.end()
        super().__init__(running.said)


def undisturbed(kind: Kind, folder: Path) -> dict[str, Any]:
    """Give the command of a kind and let it be; returns what it leaves, which others are held against."""
    with staged(kind, folder) as stage:
        status = stage.begin().end()
        (run,) = stage.runs
        problems = invariants.damaged(run) + invariants.scraps(run)
        failed = [cell["reason"] for cell in invariants.cells(run).values() if cell["status"] == "failed"]
        problems += [f"a cell failed: {reason}" for reason in failed]
        problems += [] if status == 0 else [f"exit status {status}: {stage.begun[0].said}"]
        problems += invariants.littered(stage.temporary, orderly=True)
        problems += invariants.in_memory() if kind.own_memory else []
        return {"shape": invariants.shape(run), "problems": problems}


def tried(fault: Fault, folder: Path, expected: Shape) -> dict[str, Any]:
    """Try a fault, and go on with what it has met; returns what became of it, and what does not hold."""
    for attempt in range(1, _ATTEMPTS + 1):
        now = fault if attempt == 1 else fault.sooner(attempt)
        try:
            return {"struck": str(now), **_Trial(now, folder / f"attempt-{attempt}", expected).run()}
        except Missed as missed:
            problems = [] if missed.status == 0 else [f"before it was struck: {missed}"]
            if problems:
                break
    return {"struck": None, "problems": problems}


class _Trial:
    """The steps of a trial, and what they find."""

    def __init__(self, fault: Fault, folder: Path, expected: Shape) -> None:
        self._fault = fault
        self._folder = folder
        self._expected = expected
        self._kind = KINDS[fault.kind]
        self._strike = STRIKES[fault.strike]
        self._problems: list[str] = []
        # By runs, before the strike: cells that were finished, requests that a soak had counted.
        self._finished: dict[str, dict[str, str]] = {}
        self._soaked: dict[str, dict[str, int]] = {}

    def run(self) -> dict[str, Any]:
        results = self._folder / "results"
        results.mkdir(parents=True)
        with ExitStack() as stack:
            stack.enter_context(surroundings.disk(self._strike.disk, results))
            if self._strike.clock:
                stack.enter_context(surroundings.clock_of_its_own(self._folder))
            stage = stack.enter_context(staged(self._kind, self._folder))
            own = set(below(psutil.Process()))
            stack.enter_context(_all_ended(own))
            if self._kind.interrupted:
                _interrupt(stage)
            with ExitStack() as undone:
                scene = self._struck(stage, undone)
                status = scene.running.end()
                if scene.second is not None:
                    self._of_second(scene.second)
                said = scene.running.said
                if self._strike.disk or not self._fault.at_once:
                    self._nothing_is_left(stage, own)
                reasons = self._of_message(scene, status, said)
                crippled = self._strike.cripples and self._fault.role in (None, "bench")
                self._of_results(stage, orderly=status >= 0 and not crippled)
            again = self._gone_on_with(stage, own)
            self._problems += stage.where.left()
            orderly = status >= 0 and not self._strike.cripples and self._fault.role not in _OWNERS
            self._problems += invariants.littered(stage.temporary, orderly=orderly)
            self._problems += invariants.in_memory() if self._kind.own_memory else []
        return {
            "status": status,
            "said": said,
            "reasons": reasons,
            "then": again,
            "problems": self._problems,
        }

    # -- Before

    def _struck(self, stage: Stage, undone: ExitStack) -> Scene:
        """Begin the command, and strike when it is time."""
        fault, before = self._fault, happened(self._fault.event, stage)
        running = stage.begin()
        wait_until(lambda: due(fault, stage, before) or running.over, str(fault), again_s=_LOOK_EVERY_S)
        time.sleep(fault.delay_s)
        wait_until(
            lambda: targets(fault.role, running, stage) or running.over, f"a {fault.role}", again_s=0.02
        )
        found = targets(fault.role, running, stage)
        if running.over or not found:
            raise Missed(running)
        self._finished = {run.name: invariants.finished(run) for run in stage.runs}
        self._soaked = {run.name: invariants.soaked(run) for run in stage.runs}
        target = found[fault.number % len(found)]
        scene = Scene(stage, running, target, fault.seconds, undone)
        self._strike.do(scene)
        return scene

    # -- After

    def _of_second(self, second: Running) -> None:
        """The other of two commands was refused in a line, or had a run of its own."""
        status = second.end()
        refused = status == 1 and "another run is writing to" in second.said
        if not refused and (status != 0 or "Traceback" in second.said):
            self._problems.append(f"the second command ended with {status}: {second.said}")

    def _nothing_is_left(self, stage: Stage, own: set[psutil.Process]) -> None:
        """But what others run, which may be there until the next command."""
        deadline = time.monotonic() + _ORPHANS_S
        while left := set(below(psutil.Process())) - own - set(stage.where.others()):
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        self._problems += [f"{_described(process)} was left" for process in left]

    def _of_message(self, scene: Scene, status: int, said: str) -> list[str]:
        """What is said of it; returns why cells failed."""
        reasons = [reason for run in scene.stage.runs for reason in invariants.reasons(run)]
        words = f"{OF_ROLE[self._fault.role or 'bench']}|{self._strike.words}"
        self._problems += invariants.unsaid(status, said, reasons, words, scene.silent)
        return reasons

    def _of_results(self, stage: Stage, *, orderly: bool) -> None:
        for run in stage.runs:
            self._problems += invariants.damaged(run)
            self._problems += invariants.scraps(run) if orderly else []
        if self._fault.strike != "folder removed":
            self._of_what_was_there(stage, excused=())

    def _of_what_was_there(self, stage: Stage, excused: Collection[str]) -> None:
        """Nothing is lost that had been measured before the strike; `excused` are cells of the last run."""
        for name, cells in self._finished.items():
            run = stage.results / name
            self._problems += invariants.lost(cells, run, excused)
            self._problems += invariants.dried(self._soaked[name], run)
        if self._strike.clock:
            self._problems += [problem for run in stage.runs for problem in invariants.untrue(run)]

    def _gone_on_with(self, stage: Stage, own: set[psutil.Process]) -> str:
        """Go on with what there is, as people are told to; returns what that said."""
        runs = stage.runs
        struck = runs[-1] if runs and self._kind.is_run else None
        excused = set() if struck is None else invariants.measured_anew(struck)
        over = struck is not None and json.loads((struck / "run.json").read_text())["status"] == "finished"
        named = struck is not None and (self._fault.named or over)
        running = stage.begin(*(["--resume", struck.name] if struck is not None and named else []))
        status = running.end()
        self._nothing_is_left(stage, own)
        if status != 0:
            self._problems.append(f"going on ended with exit status {status}")
        for run in stage.runs if self._kind.is_run else stage.runs[-1:]:
            self._problems += invariants.incomplete(run, self._expected)
        for run in stage.runs:
            self._problems += invariants.damaged(run)
            self._problems += invariants.scraps(run) if self._kind.is_run else []
        if self._fault.strike != "folder removed":
            self._of_what_was_there(stage, excused)
        return running.said


def _interrupt(stage: Stage) -> None:
    """Have a run whose first cell is finished, and that was interrupted then."""
    running = stage.begin()
    first = Fault(0, "run", "", None, "a cell is finished", 1, 0.0, 0.0, named=False)
    wait_until(lambda: due(first, stage, 0) or running.over, "the first cell is finished")
    running.process.send_signal(signal.SIGINT)
    assert running.end() == 130, running.said


@contextmanager
def _all_ended(own: set[psutil.Process]) -> Iterator[None]:
    """Leave nothing below this process but its own, whatever happens."""
    try:
        yield
    finally:
        while left := set(below(psutil.Process())) - own:
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            time.sleep(0.02)


def _described(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess):
        return f"process {process.pid} ({process.status()}, {' '.join(process.cmdline())[:200]})"
    return f"process {process.pid}"


def main(folder: Path) -> None:
    """Try what `fault.json` says; `expected` there is the shape of a run that nothing disturbed."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # Who is started in the background ignores these, and so would all that is to be interrupted.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    asked = json.loads((folder / "fault.json").read_text())
    kind = KINDS[(asked.get("fault") or asked)["kind"]]
    if kind.own_memory:
        surroundings.own_memory()
    if asked["expected"] is None:
        record = undisturbed(kind, folder)
    else:
        record = tried(Fault.of(asked["fault"]), folder, asked["expected"])
    (folder / "record.json").write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
