"""`python -m tests.kinds`: a small run of each kind of input that went wrong once, in three manners.

By local processes, in containers, and behind the web UI. A line for each says whether all holds that
tests/kinds/table/ says of it. Where no Docker engine answers, root has one made, and ended afterwards
(CONTRIBUTING.md).
"""

import argparse
import ctypes
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.model.errors import UserError
from tests.kinds.kind import MANNERS, Kind, Place, problems
from tests.kinds.kinds import KINDS
from tests.kinds.manners import ORPHANS_S, Manner, nothing_left
from tests.kinds.surroundings import manners, remove_environments, running_already

HOLDS, FAILED, NOT_TRIED = "holds", "FAILED", "not tried"
_PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>
# Of what a trial said that failed.
_LAST_LINES = 12


class Table:
    """Carries out kinds, and prints a line for each."""

    def __init__(self, folder: Path, orphans_s: float = ORPHANS_S) -> None:
        """What failed stays in the folder; what a trial has started may end so many seconds after it."""
        self._folder = folder
        self._orphans_s = orphans_s
        self._verdicts: Counter[str] = Counter()
        self._said = ""

    def carry_out(self, kinds: Sequence[Kind], known: Mapping[str, Manner]) -> int:
        """Returns the exit status: 1 if anything failed."""
        print(_row("", "kind", "manner", "", "seconds"), flush=True)
        try:
            for name, manner in known.items():
                for kind in kinds:
                    self._carry_out(kind, name, manner)
        finally:
            remove_environments(self._said)
        print(", ".join(f"{count} {verdict}" for verdict, count in self._verdicts.items()))
        return int(self._verdicts[FAILED] > 0)

    def _carry_out(self, kind: Kind, name: str, manner: Manner) -> None:
        began = time.monotonic()
        verdict, why = self._tried(kind, name, manner)
        self._verdicts[verdict] += 1
        took = "" if verdict == NOT_TRIED else f"{time.monotonic() - began:.1f}"
        print(_row(str(kind.subject), kind.name, name, verdict, took), *why, sep="\n", flush=True)

    def _tried(self, kind: Kind, name: str, manner: Manner) -> tuple[str, list[str]]:
        """The verdict on a kind in a manner, and lines of why."""
        if (why := kind.why_not(name)) is not None:
            return NOT_TRIED, [f"     {why}"]
        folder = self._folder / name / kind.name.replace(" ", "-")
        shutil.rmtree(folder, ignore_errors=True)
        place = Place.made(folder, kind)
        try:
            with nothing_left(self._orphans_s) as left, running_already(kind, place.folder) as url:
                done = manner(kind, place, url)
            self._said += done.said
            found = [*problems(kind.of(name), done), *left]
        except (AssertionError, OSError, subprocess.SubprocessError, UserError, ValueError) as error:
            self._said += str(error)
            return FAILED, [f"     {type(error).__name__}: {error}"]
        if found:
            said = done.said.strip().splitlines()[-_LAST_LINES:]
            return FAILED, [f"     {line}" for line in [*found, "it said:", *(f"  {each}" for each in said)]]
        shutil.rmtree(place.folder)
        return HOLDS, []


def _row(number: str, kind: str, manner: str, verdict: str, seconds: str) -> str:
    return f"{number:>2}  {kind:44} {manner:10} {verdict:9} {seconds:>7}".rstrip()


def chosen(words: str, known: Sequence[str]) -> list[str]:
    """Those of a list of names, separated by commas; raises `ValueError` for one that is none."""
    names = [word.strip() for word in words.split(",") if word.strip()]
    if unknown := sorted(set(names) - set(known)):
        raise ValueError(f"{', '.join(unknown)}: none of {', '.join(known)}")
    return names or list(known)


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit status: 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.kinds", description=__doc__)
    parser.add_argument("--manners", default="", help=f"some of: {', '.join(MANNERS)}")
    parser.add_argument("--only", default="", help="some kinds, by their names in the table")
    parser.add_argument("--folder", type=Path, help="keep what failed there")
    options = parser.parse_args(arguments)
    try:
        names = chosen(options.manners, MANNERS)
        only = chosen(options.only, [kind.name for kind in KINDS])
    except ValueError as error:
        parser.error(str(error))
    with tempfile.TemporaryDirectory(prefix="kinds-") as temporary, manners(names) as known:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)  # containers are another user's
        return Table(folder).carry_out([kind for kind in KINDS if kind.name in only], known)


if __name__ == "__main__":
    # Whatever loses its parent stays below this process, and is seen.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # Who is started in the background ignores these, and so would all that is to be interrupted.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
