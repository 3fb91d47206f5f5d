"""`python -m tests.bench.without_ceilings`: bench, whose runs do not measure what the generator can reach.

That takes longer than what these tests measure, and both CPUs; test_ceiling_measured.py has it. A network to
other machines is asked for a moment only what it carries.
"""

import runpy
import sys

if __name__ == "__main__":
    try:
        from bench.experiment import run as experiment
        from bench.launch.remote.there import wire
    except KeyboardInterrupt:  # as in bench itself
        sys.exit(130)
    experiment.kept_or_measured = lambda *_: []
    wire._LEAD_S = wire._COUNTED_S = 0.05
    runpy.run_module("bench", run_name="__main__", alter_sys=True)
