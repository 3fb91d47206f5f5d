"""`python -m tests.bench.without_ceilings`: bench, whose runs do not measure what the generator can reach.

That takes longer than what these tests measure, and both CPUs; test_ceiling.py has it.
"""

from bench.cli.main import main
from bench.experiment import run as experiment

if __name__ == "__main__":
    experiment.kept_or_measured = lambda *_: []
    main()
