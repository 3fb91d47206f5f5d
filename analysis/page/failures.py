"""The cells that failed, one by one: which, why, and where the server's own words are."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pandas as pd


@dataclass(frozen=True)
class Failure:
    """A failed cell; `reason` is its first line, `rest` what follows, mostly the server's last words.

    `log` is the address of its server's log as seen from the page, None where there is none.
    """

    path: str
    reason: str
    rest: str
    log: str | None


def failures(directory: Path, cells: pd.DataFrame) -> list[Failure]:
    """The failed ones of `cells` (`Results.cells`) of the run in `directory`."""
    broken = cells[cells["status"] == "failed"]
    return [
        _failure(directory, str(path), reason)
        for path, reason in zip(broken["path"], reasons(broken), strict=True)
    ]


def reasons(broken: pd.DataFrame) -> list[str]:
    """Why each of some cells failed; the server's last words, if any, begin in the second line."""
    return [str(reason).strip() for reason in broken["reason"].fillna("no reason was recorded")]


def _failure(directory: Path, path: str, reason: str) -> Failure:
    first, _, rest = reason.partition("\n")
    log = f"{path}/server.log"
    there = (directory / log).is_file()
    return Failure(path, first, rest, f"../{quote(log)}" if there else None)
