"""For every room."""

import os

# pytest-xdist tells its workers how wide a terminal is, which would be the width of every console tested.
os.environ.pop("COLUMNS", None)
# Whether a Docker engine answers here must not decide what is tested: tests of containers ask for them.
os.environ["WHICHWORKER_LAUNCHER"] = "processes"
