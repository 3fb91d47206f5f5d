"""`make fuzz`: the tests that Hypothesis drives, with other examples each time, until the time is over.

What it finds is a failing test: put its example into that test, and mend what it shows. What was tried is
noted in a file, a line for each turn, and told test by test; `--docs` puts that into bench/studies/README.md.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from analysis.words import counted
from bench.cli.terminal import show
from bench.machine import host
from bench.model.documents import TRUST, ShownTable, markdown, replace
from bench.model.errors import UserError

ROOT = Path(__file__).parents[1]
# A process for each group, as tests of the generator patch theirs, and so many times as many examples: of a
# whole run one takes a second, of a plan a millisecond.
GROUPS = (
    (4, ("tests/swarm/http/test_hostile_answers.py",)),
    (
        20,
        (
            "tests/analysis/charts/test_registry.py",
            "tests/analysis/soak/test_soak.py",
            "tests/bench/experiment/test_soak_intervals.py",
            "tests/bench/model/test_damaged_inputs.py",
        ),
    ),
    (1, ("tests/analysis/reading/test_damaged.py",)),
)
EXAMPLES = 50
NOTES = ROOT / ".hypothesis" / "fuzz.jsonl"
MARKER = "fuzz"

Turn = dict[str, Any]
"""One start of all tests: `began`, its `seed`, `minutes`, the machine, and of each test what was tried."""


def turn(seed: int, examples: int, chosen: str) -> tuple[Turn, int]:
    """Have each test tried with so many examples; returns what to note of it, and pytest's exit status."""
    most = max(times for times, _ in GROUPS)
    print(
        f"seed {seed}: {examples} examples of each test, up to {most} times as many of quick ones", flush=True
    )
    began, tests, status = time.time(), {}, 0
    for times, files in GROUPS:
        found, status = _tried(files, seed, times * examples, chosen)
        tests |= found
        if status:
            break
    machine = {key: value for key, value in host.facts().items() if key in ("cpu", "cpus", "system")}
    minutes = round((time.time() - began) / 60, 2)
    return {"began": began, "seed": seed, "minutes": minutes, "host": machine, "tests": tests}, status


def _tried(files: Sequence[str], seed: int, examples: int, chosen: str) -> tuple[dict[str, Any], int]:
    """What was tried of the tests in some files (`tests.tally`), and pytest's exit status."""
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-x", "-k", chosen]
    command += ["--timeout=0", "--hypothesis-profile=fuzz", f"--hypothesis-seed={seed}", *files]
    with tempfile.TemporaryDirectory() as place:
        tally = Path(place) / "tally.json"
        status = subprocess.run(
            [*command, "-p", "tests.tally", f"--tally={tally}"],
            cwd=ROOT, env=os.environ | {"WHICHWORKER_EXAMPLES": str(examples)}, check=False,
        ).returncode  # fmt: skip
        found = json.loads(tally.read_text()) if tally.exists() else {}
    return found, 0 if status == pytest.ExitCode.NO_TESTS_COLLECTED else status


def noted(path: Path) -> list[Turn]:
    """The turns that a file tells of.

    Raises:
        UserError: there is none.
    """
    if not path.exists():
        raise UserError(f"{path} is not there: make fuzz writes it")
    return [json.loads(line) for line in path.read_text().splitlines()]


def tables(turns: Sequence[Turn]) -> list[ShownTable]:
    """How often each test was tried, with how many examples, how long, and how often something was found."""
    tried, examples, seconds, found = (Counter[str]() for _ in range(4))
    for each in turns:
        for name, of_test in each["tests"].items():
            place, _, test = name.partition("::")
            test = f"{Path(place).stem}: {test.partition('[')[0].removeprefix('test_').replace('_', ' ')}"
            tried[test] += 1
            examples[test] += of_test["examples"]
            seconds[test] += of_test["seconds"]
            found[test] += not of_test["held"]
    rows = [(test, tried[test], examples[test], seconds[test] / 60, found[test]) for test in sorted(tried)]
    rows += [("all", len(turns), examples.total(), sum(each["minutes"] for each in turns), found.total())]
    shown = [
        (test, str(times), f"{count:,}", f"{minutes:.1f}", str(finds))
        for test, times, count, minutes, finds in rows
    ]
    return [ShownTable("What was tried", ("test", "times", "examples", "minutes", "finds"), shown)]


def document(turns: Sequence[Turn], page: Path = TRUST) -> None:
    """Put turns into bench/studies/README.md.

    Raises:
        UserError: the page has no markers.
    """
    first, last = (datetime.fromtimestamp(each["began"], UTC) for each in (turns[0], turns[-1]))
    days = f"{first:%Y-%m-%d}" if first.date() == last.date() else f"{first:%Y-%m-%d} to {last:%Y-%m-%d}"
    machine = turns[-1]["host"]
    provenance = (
        f"Tried on {days} by `make fuzz MINUTES={sum(each['minutes'] for each in turns):.0f}`, in "
        f"{counted(len(turns), 'turn')} with a seed each, on {machine['cpu']}, {machine['cpus']} CPUs, "
        f"{machine['system']}."
    )
    replace(page, {MARKER: markdown(tables(turns), provenance)})


def main() -> int:
    """Return the exit status: that of the tests that failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="begin no turn after so many")
    parser.add_argument("--seed", type=int, default=None, help="of the first turn, to repeat it")
    parser.add_argument(
        "--examples", type=int, default=EXAMPLES, help="of each test that takes long, in a turn"
    )
    parser.add_argument("-k", default="fuzzed", help="tests of such names, as pytest takes them: million")
    parser.add_argument("--notes", type=Path, default=NOTES, help="the file of what was tried")
    parser.add_argument("--docs", action="store_true", help="try nothing: put the notes into the document")
    options = parser.parse_args()
    try:
        if options.docs:
            document(noted(options.notes))
            return 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    options.notes.parent.mkdir(parents=True, exist_ok=True)
    end, status = time.monotonic() + 60 * options.minutes, 0
    seed, turns = options.seed if options.seed is not None else random.randrange(1 << 32), []
    while not status and (not turns or time.monotonic() < end):
        done, status = turn(seed, options.examples, options.k)
        with options.notes.open("a") as notes:
            notes.write(f"{json.dumps(done)}\n")
        turns, seed = [*turns, done], seed + 1
    show(tables(turns))
    print(f"\nof all turns noted so far: {options.notes}")
    if status:
        print(f"again: make fuzz ARGUMENTS='--seed {seed - 1} --examples {options.examples}'")
    return status


if __name__ == "__main__":
    sys.exit(main())
