"""`make faults`: runs met by faults at random moments, and what must hold of them nevertheless.

Each fault is drawn from the seed and its number, and tried by a process of its own. What fails stays in a
folder, with a record; `--only NUMBER` tries it again.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.model.files import ROOT
from tests.faults.fault import Fault, draw, lacking, possible
from tests.faults.kinds import KINDS
from tests.faults.strikes import OF_ROLE, STRIKES

_TRIAL_S = 1200.0


class Campaign:
    """Tries faults, some at once, in a folder of its own."""

    def __init__(self, folder: Path, expected: Mapping[str, Any]) -> None:
        """`expected` is the shape of an undisturbed run of each kind."""
        self._folder = folder
        self._expected = expected

    def tried(self, fault: Fault) -> dict[str, Any]:
        """Try a fault, and print what became of it; its folder stays if something does not hold."""
        began, place = time.monotonic(), self._folder / str(fault.number)
        record = _trial(place, {"fault": fault.fields(), "expected": self._expected[fault.kind]})
        record |= {"fault": fault.fields(), "took_s": round(time.monotonic() - began, 1)}
        (self._folder / f"{fault.number}.json").write_text(json.dumps(record, indent=1))
        verdict = "holds" if record["struck"] else "was never due"
        if record["problems"]:
            verdict = f"FAILED\n{_indented(record['problems'])}"
        else:
            shutil.rmtree(place)
        print(f"{fault.number:4} {record['struck'] or fault}: {verdict}", flush=True)
        return record


def _trial(place: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
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
    return json.loads((place / "record.json").read_text())


def _plainest(kind: str) -> str:
    """The first kind with the same plan at the same place, which an undisturbed run shows."""
    wanted = (KINDS[kind].plan, KINDS[kind].where)
    return next(name for name, other in KINDS.items() if (other.plan, other.where) == wanted)


def _indented(problems: Sequence[str]) -> str:
    return "\n".join(f"       {line}" for problem in problems for line in problem.splitlines())


def _table(records: Sequence[Mapping[str, Any]]) -> str:
    """How often each kind of run and each fault was tried, and how often something did not hold."""
    lines = []
    for title, key in (("run", "kind"), ("fault", "strike")):
        tried, struck, failed = Counter[str](), Counter[str](), Counter[str]()
        for record in records:
            name = record["fault"][key]
            if key == "strike" and record["fault"]["role"]:
                name = f"{record['fault']['role']} {name}"
            tried[name] += 1
            struck[name] += record["struck"] is not None
            failed[name] += bool(record["problems"])
        lines += ["", f"{title:36} times  struck  failed"]
        lines += [f"{name:36} {tried[name]:5} {struck[name]:7} {failed[name]:7}" for name in sorted(tried)]
        lines += [f"{'all':36} {tried.total():5} {struck.total():7} {failed.total():7}"]
    return "\n".join(lines)


def main() -> int:
    """Return the exit status: 1 if something does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--faults", type=int, default=200, help="how many (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="the number of the only one to try")
    parser.add_argument("--jobs", type=int, default=4, help="how many at once (default %(default)s)")
    parser.add_argument("--kinds", default="", help=f"some of: {', '.join(KINDS)}")
    parser.add_argument(
        "--strike", action="append", choices=STRIKES, help="only this one, and others so given"
    )
    parser.add_argument(
        "--role", action="append", choices=OF_ROLE, help="only what strikes this one, and others so given"
    )
    parser.add_argument(
        "--folder", type=Path, help="keep all records there; else failures, in a temporary one"
    )
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="faults-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # PostgreSQL runs as another user
    left_out = lacking()
    for name, why in left_out.items():
        print(f"left out: {name}: {why}")
    wanted = [name.strip() for name in options.kinds.split(",") if name.strip()] or list(KINDS)
    lacks, roles = {*left_out, *(set(STRIKES) - set(options.strike or STRIKES))}, options.role or ()
    kinds = [name for name in wanted if name not in left_out and possible(name, lacks, roles)]
    if not kinds:
        parser.error("no kind of run that can be had here has such a fault")
    numbers = range(1, options.faults + 1) if options.only is None else [options.only]
    faults = [draw(options.seed, number, kinds, lacks, roles) for number in numbers]
    with ThreadPoolExecutor(options.jobs) as pool:
        used = sorted({_plainest(fault.kind) for fault in faults})
        asked = [(folder / f"undisturbed-{kind}", {"kind": kind, "expected": None}) for kind in used]
        undisturbed = dict(zip(used, pool.map(lambda each: _trial(*each), asked), strict=True))
        for kind, record in undisturbed.items():
            if record["problems"]:
                print(f"{kind}, with no fault: FAILED\n{_indented(record['problems'])}")
                return 1
        campaign = Campaign(
            folder, {kind: undisturbed[_plainest(kind)]["shape"] for kind in {fault.kind for fault in faults}}
        )
        records = list(pool.map(campaign.tried, faults))
    print(_table(records))
    failed = [record["fault"]["number"] for record in records if record["problems"]]
    if failed:
        print(f"\nwhat failed: {folder}/NUMBER.json; again: --seed {options.seed} --only NUMBER")
    elif options.folder is None:
        shutil.rmtree(folder)
    return bool(failed)


if __name__ == "__main__":
    os.environ["WHICHWORKER_LAUNCHER"] = "processes"
    sys.exit(main())
