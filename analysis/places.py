"""Where the files of a run are, as one would type it."""

from pathlib import Path

import pandas as pd

from analysis.words import UNKNOWN


def where(path: Path) -> str:
    """`path` relative to the working directory, where it lies below that."""
    whole, here = path.absolute(), Path.cwd()
    return str(whole.relative_to(here) if whole.is_relative_to(here) else whole)


def in_first(directory: Path, cells: pd.DataFrame) -> str:
    """The folder of the first of some cells (rows of `Results.cells`) of the run in `directory`."""
    return where(directory / str(cells["path"].iloc[0]))


def server_log(directory: Path, cells: pd.DataFrame) -> str:
    """What the server of the first of some cells has printed; an external one did so elsewhere."""
    if (cells["workers"] == UNKNOWN).all():
        return "what that server itself has logged"
    return f"{in_first(directory, cells)}/server.log"


def generator_log(directory: Path) -> str:
    """What the load generator and users' own code had to say in the run in `directory`."""
    return where(directory / "generator.log")


def logs(directory: Path, cells: pd.DataFrame) -> list[str]:
    """The logs that there are of some cells, whose servers may never have started, and of their generator."""
    written = [directory / str(path) / "server.log" for path in cells["path"]]
    own = [where(path) for path in written if path.is_file()][:1]
    external = (cells["workers"] == UNKNOWN).all()
    server = [server_log(directory, cells)] if external else own
    return server + [generator_log(directory)] * (directory / "generator.log").is_file()
