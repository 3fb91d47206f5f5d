"""A campaign: faults tried in a folder, which goes on where it ended, and what became of each."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.machine import host
from bench.model.errors import UserError
from bench.model.files import ROOT, write_json
from tests.faults.fault import Fault, draw
from tests.faults.kinds import KINDS

FILE = "campaign.json"
_TRIAL_S = 1200.0

Record = dict[str, Any]
"""Of a fault: `struck` says what it met, `problems` what did not hold, `earlier` what once did not."""


@dataclass(frozen=True)
class Asked:
    """Of which faults: those of a seed, at these kinds of run, but none `lacking`, and these roles or any."""

    seed: int
    kinds: Sequence[str]
    lacking: Collection[str] = ()
    roles: Sequence[str] = ()

    def drawn(self, number: int) -> Fault:
        return draw(self.seed, number, self.kinds, self.lacking, self.roles)

    def fields(self) -> dict[str, Any]:
        """What tells one campaign from another, as JSON has it."""
        return {
            "seed": self.seed,
            "kinds": list(self.kinds),
            "lacking": sorted(self.lacking),
            "roles": list(self.roles),
        }


class Campaign:
    """Tries faults, some at once, and keeps a record of each in its folder."""

    def __init__(self, folder: Path, asked: Asked, command: str) -> None:
        """Begin one in a folder, or go on with the one that is there.

        Raises:
            UserError: another campaign is there.
        """
        self.folder = folder
        self._asked = asked
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)  # PostgreSQL runs as another user
        machine = {key: value for key, value in host.facts().items() if key in ("cpu", "cpus", "system")}
        self._told: dict[str, Any] = {**asked.fields(), "host": machine, "began": time.time()}
        if (folder / FILE).exists():
            before = json.loads((folder / FILE).read_text())
            if any(before[key] != value for key, value in asked.fields().items()):
                raise UserError(f"{folder} has another campaign: {before['command']}")
            self._told = before
        self._told["command"] = command
        self._expected: dict[str, Any] = {}

    def tried(self, numbers: Sequence[int], jobs: int, minutes: float | None) -> Iterator[Record]:
        """Try the faults of these numbers, and give the record of each; begin none after so many minutes.

        Raises:
            UserError: a run does not even hold when nothing happens to it.
        """
        began = time.monotonic()
        faults = [self._asked.drawn(number) for number in numbers]
        self._note(0.0)
        with ThreadPoolExecutor(jobs) as pool:
            self._undisturbed(pool, faults)

            def one(fault: Fault) -> Record | None:
                late = minutes is not None and time.monotonic() - began > 60 * minutes
                return None if late else self._one(fault)

            yield from (record for record in pool.map(one, faults) if record is not None)
        self._note(time.monotonic() - began)

    def _undisturbed(self, pool: ThreadPoolExecutor, faults: Sequence[Fault]) -> None:
        """See what a run of each kind leaves when nothing happens to it."""
        plainest = {fault.kind: _plainest(fault.kind) for fault in faults}
        used = sorted(set(plainest.values()))
        records = dict(zip(used, pool.map(self._shape_of, used), strict=True))
        for kind, record in records.items():
            if record["problems"]:
                raise UserError(f"{kind}, with no fault: FAILED\n{indented(record['problems'])}")
        self._expected = {kind: records[plain]["shape"] for kind, plain in plainest.items()}

    def _shape_of(self, kind: str) -> Record:
        """The record of a kind of run with no fault, of this campaign before if that held."""
        place = self.folder / f"undisturbed-{kind.replace(' ', '-')}"
        kept = place.with_suffix(".json")
        if kept.exists():
            return dict(json.loads(kept.read_text()))
        record = _trial(place, {"kind": kind, "expected": None})
        if not record["problems"]:
            shutil.rmtree(place)
            write_json(kept, record)
        return record

    def _one(self, fault: Fault) -> Record:
        """Try a fault, and print what became of it; its folder stays if something does not hold."""
        began, place = time.monotonic(), self.folder / str(fault.number)
        record = _trial(place, {"fault": fault.fields(), "expected": self._expected[fault.kind]})
        record |= {"fault": fault.fields(), "took_s": round(time.monotonic() - began, 1)}
        kept = self.folder / f"{fault.number}.json"
        if kept.exists():  # what it found once was found, whatever has been mended
            before = json.loads(kept.read_text())
            earlier = [*before.get("earlier", []), *([before["problems"]] if before["problems"] else [])]
            record |= {"earlier": earlier} if earlier else {}
        write_json(kept, record)
        verdict = "holds" if record["struck"] else "was never due"
        if record["problems"]:
            verdict = f"FAILED\n{indented(record['problems'])}"
        else:
            shutil.rmtree(place)
        print(f"{fault.number:4} {record['struck'] or fault}: {verdict}", flush=True)
        return record

    def _note(self, seconds: float) -> None:
        """Have `campaign.json` say how long it has taken in all."""
        self._told["minutes"] = round(self._told.get("minutes", 0.0) + seconds / 60, 2)
        write_json(self.folder / FILE, self._told)


def records(folder: Path) -> dict[int, Record]:
    """What became of the faults of a campaign so far, by their numbers."""
    found = {int(path.stem): json.loads(path.read_text()) for path in folder.glob("[0-9]*.json")}
    return dict(sorted(found.items()))


def told(folder: Path) -> Mapping[str, Any]:
    """Its `campaign.json`: what was asked for, by which command, on which machine, in how many minutes.

    Raises:
        UserError: there is none.
    """
    if not (folder / FILE).exists():
        raise UserError(f"{folder} has no {FILE}: make faults ARGUMENTS='--folder {folder}' writes one")
    return dict(json.loads((folder / FILE).read_text()))


def _trial(place: Path, asked: Mapping[str, Any]) -> Record:
    """Have a process try something in a folder; returns its record."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    (place / "fault.json").write_text(json.dumps(asked))
    command = [sys.executable, "-m", "tests.faults.trial", str(place)]
    with (
        (place / "trial.log").open("w") as log,
        subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log) as trial,
    ):
        try:
            status = trial.wait(_TRIAL_S)
        except subprocess.TimeoutExpired:
            trial.terminate()  # it ends all that is below it
            status = trial.wait()
    if status:
        said = (place / "trial.log").read_text().strip().splitlines()[-40:]
        return {"struck": None, "problems": [f"the trial itself ended with {status}", *said]}
    return dict(json.loads((place / "record.json").read_text()))


def _plainest(kind: str) -> str:
    """The first kind with the same plan at the same place, which an undisturbed run shows."""
    wanted = (KINDS[kind].plan, KINDS[kind].where)
    return next(name for name, other in KINDS.items() if (other.plan, other.where) == wanted)


def indented(problems: Sequence[str]) -> str:
    """What does not hold, below what it is about."""
    return "\n".join(f"       {line}" for problem in problems for line in problem.splitlines())
