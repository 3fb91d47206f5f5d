"""For every room."""

import os

# pytest-xdist tells its workers how wide a terminal is, which would be the width of every console tested.
os.environ.pop("COLUMNS", None)
