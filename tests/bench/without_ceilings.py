"""`python -m tests.bench.without_ceilings`: bench, whose runs do not measure what the generator can reach.

That takes longer than what these tests measure, and both CPUs; test_ceiling.py has it.
"""

import runpy
import sys

if __name__ == "__main__":
    try:
        from bench.experiment import run as experiment
    except KeyboardInterrupt:  # as in bench itself
        sys.exit(130)
    experiment.kept_or_measured = lambda *_: []
    runpy.run_module("bench", run_name="__main__", alter_sys=True)
