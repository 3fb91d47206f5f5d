"""An input that went wrong once: its files, what is asked with them, and what must come of it."""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.faults import invariants
from tests.kinds.shop import SHOP
from tests.plans import tiny

SUBJECTS = {
    1: "what a locustfile prints",
    2: "an app which serves itself when it is imported",
    3: "options of SwarmUser",
    4: "options and listeners of a session",
    5: "what is examined before a run",
    6: "what raises, ends or fails",
    7: "limits",
}
"""The kinds of issue 13, by their numbers there."""
PROCESSES, COMPOSE, UI = "processes", "compose", "ui"
MANNERS = (PROCESSES, COMPOSE, UI)


@dataclass(frozen=True)
class Expected:
    """What must come of a kind.

    `said` is what the command says, or the page of the web UI; `logged` is in generator.log, `raised` in
    locust_exceptions.csv, `found` among the findings of a report; `never` is in none of these. So many cells
    are `finished` and `failed`; every request of the finished ones succeeds, or none if it is not `answered`.
    """

    status: int = 0
    said: Sequence[str] = ()
    logged: Sequence[str] = ()
    raised: Sequence[str] = ()
    found: Sequence[str] = ()
    never: Sequence[str] = ()
    finished: int = 1
    failed: int = 0
    answered: bool = True


def refused(*said: str) -> Expected:
    """That nothing is measured, and why is said."""
    return Expected(1, said, finished=0)


@dataclass(frozen=True)
class Kind:
    """One of the table.

    `load` are the files of its load, of which `file` is the locustfile, else the whole folder. Without an
    `app`, whose text makes one, what runs already is loaded, by TLS. In `options` `{load}` is the folder of
    the load. Each of `users` is a load. In the web UI `picks` are the user classes of one Start after the
    other. `in_ui` is what must come of it there, if that is something else, or why it is not tried;
    `not_contained` is why it is not tried in containers. With `ceilings` a run asks for those, too.
    """

    subject: int
    name: str
    load: Mapping[str, str]
    expected: Expected = field(default_factory=Expected)
    in_ui: Expected | str | None = None
    not_contained: str | None = None
    app: str | None = SHOP
    app_name: str = "app:create_app"
    file: str | None = None
    users: Sequence[int] = (3,)
    picks: Sequence[Sequence[str]] = (("Visitor",),)
    options: Sequence[str] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    configurations: Sequence[str] = ("sanic-single",)
    ceilings: bool = False

    def why_not(self, manner: str) -> str | None:
        """Why it is not tried in a manner."""
        if manner == COMPOSE:
            return self.not_contained
        return self.in_ui if manner == UI and isinstance(self.in_ui, str) else None

    def of(self, manner: str) -> Expected:
        """What must come of it in a manner in which it is tried."""
        return self.in_ui if manner == UI and isinstance(self.in_ui, Expected) else self.expected


@dataclass(frozen=True)
class Place:
    """A folder for one trial of a kind, which every user may enter."""

    folder: Path

    @classmethod
    def made(cls, folder: Path, kind: Kind) -> Self:
        """Write the files of a kind."""
        place = cls(folder)
        for each in (place.app, place.load, place.results, place.temporary):
            each.mkdir(parents=True)
        place.temporary.chmod(0o1777)
        if kind.app is not None:
            (place.app / "app.py").write_text(kind.app)
        for name, text in kind.load.items():
            (place.load / name).write_text(text)
        (folder / "plan.toml").write_text(tiny(*kind.configurations))
        return place

    @property
    def app(self) -> Path:
        return self.folder / "app"

    @property
    def load(self) -> Path:
        return self.folder / "load"

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def temporary(self) -> Path:
        """Where its commands have their temporary files."""
        return self.folder / "tmp"

    def locustfile(self, kind: Kind) -> Path:
        """What is given as the locustfile: a file, or the folder."""
        return self.load if kind.file is None else self.load / kind.file

    def options(self, kind: Kind) -> list[str]:
        """Those of the kind itself."""
        return [word.format(load=self.load) for word in kind.options]

    def of_run(self, kind: Kind, url: str | None) -> list[str]:
        """The arguments of `bench run`; `url` is that of what runs already."""
        words = ["--plan", f"{self.folder / 'plan.toml'}", "--results", f"{self.results}", "--no-report"]
        words += ["--locustfile", f"{self.locustfile(kind)}", "--users", ",".join(map(str, kind.users))]
        if url is None:
            words += ["--app", kind.app_name, "--app-dir", f"{self.app}"]
        else:
            words += ["--url", url]
        return words + self.options(kind)


@dataclass(frozen=True)
class Done:
    """What came of a trial: the exit status, what was said, and the folders of its runs."""

    status: int
    said: str
    place: Place

    @property
    def runs(self) -> list[Path]:
        return sorted(path.parent for path in self.place.results.glob("*/run.json"))

    @property
    def cells(self) -> list[dict[str, Any]]:
        return [cell for run in self.runs for cell in invariants.cells(run).values()]

    def text(self, pattern: str) -> str:
        """What all files of the runs with names of a pattern say."""
        found = [path for run in self.runs for path in sorted(run.glob(pattern))]
        return "\n".join(path.read_text(errors="replace") for path in found)


def problems(expected: Expected, done: Done) -> list[str]:
    """What does not hold of a trial."""
    said = {"says": done.said, "logs": done.text("generator.log")}
    said["raises"] = done.text("*/*/*/*/locust_exceptions.csv")
    said["finds"] = "\n".join(_findings(done.runs) if expected.found else ())
    found = [] if done.status == expected.status else [f"exit status {done.status}, not {expected.status}"]
    wanted = (expected.said, expected.logged, expected.raised, expected.found)
    for (what, text), words in zip(said.items(), wanted, strict=True):
        found += [f"nowhere it {what}: {each}" for each in words if _flat(each) not in _flat(text)]
    everything = _flat("\n".join(said.values()))
    found += [f"it says: {each}" for each in expected.never if _flat(each) in everything]
    if re.search("^Traceback", done.said, re.MULTILINE):
        found.append("a traceback is shown")
    return found + _of_cells(expected, done.cells) + _of_files(done)


def _flat(text: str) -> str:
    """A text however wide the terminal was."""
    return " ".join(text.split())


def _of_cells(expected: Expected, cells: Sequence[Mapping[str, Any]]) -> list[str]:
    by_status: dict[str, list[Mapping[str, Any]]] = {"finished": [], "failed": []}
    for each in cells:
        by_status[each["status"]].append(each)
    found = []
    for status, wanted in (("finished", expected.finished), ("failed", expected.failed)):
        if len(by_status[status]) != wanted:
            why = {each["reason"] for each in cells if each["reason"]}
            found.append(f"{len(by_status[status])} cells are {status}, not {wanted}: {why or 'no reason'}")
    for each in by_status["finished"]:
        measured = each["measured"]
        good, bad = measured["requests"], measured["failures"]
        if (good == 0 or bad) if expected.answered else (good or bad == 0):
            found.append(f"{each['configuration']}, {each['scenario']}: {good} requests, {bad} failures")
    # A figure of another cell has the window of that one (issue 1, what is printed once).
    windows = sorted((each["window"]["start"], each["window"]["end"]) for each in by_status["finished"])
    if any(one[1] > other[0] for one, other in itertools.pairwise(windows)):
        found.append(f"windows of cells overlap: {windows}")
    return found


def _of_files(done: Done) -> list[str]:
    found = [problem for run in done.runs for problem in invariants.damaged(run) + invariants.scraps(run)]
    return found + invariants.littered(done.place.temporary, orderly=True)


def _findings(runs: Sequence[Path]) -> list[str]:
    """What the reports of runs would find."""
    # Only some kinds want it, and it takes seconds to import.
    from analysis.reading import results
    from analysis.study import Study

    return [finding.message for run in runs for finding in Study(results.load(run)).findings]
