"""`make fuzz`: the tests that Hypothesis drives, with other examples each time, until the time is over.

What it finds is a failing test: put its example into that test, and mend what it shows.
"""

import argparse
import os
import random
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = (
    "tests/analysis/reading/test_damaged.py",
    "tests/analysis/soak/test_soak.py",
    "tests/bench/model/test_damaged_inputs.py",
)
EXAMPLES = 500


def main() -> int:
    """Return the exit status: that of the tests that failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=None, help="of the first turn, to repeat it")
    arguments = parser.parse_args()
    environment = os.environ | {"WHICHWORKER_EXAMPLES": str(EXAMPLES)}
    end = time.monotonic() + 60 * arguments.minutes
    seed, turns = arguments.seed if arguments.seed is not None else random.randrange(1 << 32), 0
    while turns == 0 or time.monotonic() < end:
        print(f"turn {turns + 1}, seed {seed}: {EXAMPLES} examples of each test", flush=True)
        command = [sys.executable, "-m", "pytest", "-q", "-n0", "-x", "-k", "fuzzed", "--timeout=0", *FILES]
        command += ["--hypothesis-profile=fuzz", f"--hypothesis-seed={seed}"]
        status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        if status:
            print(f"again: make fuzz ARGUMENTS='--seed {seed}'")
            return status
        turns, seed = turns + 1, seed + 1
    print(f"{turns} turns, nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
