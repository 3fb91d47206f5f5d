"""A run of known servers, as the analysis sees it, beside the books that the servers kept."""

import io
import shlex
import subprocess
from functools import cached_property

import pytest
from rich.console import Console

from analysis.study import study
from bench.experiment import run as experiment
from bench.experiment.run import Request
from tests import notebooks
from tests.bench.commands import told_of_run
from tests.recycling.recycler import read_books
from tests.targets.conftest import PROJECT

# A death is noted at the next sample of serve, a book at once: so near to an edge of the window they differ.
EDGE_S = 1.0


def measured(results, plan):
    """Measure a plan, but for the generator's ceilings and the report, which test_real.py has."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "kept_or_measured", lambda *_: [])
        request = Request(results, str(plan), launcher="processes")
        result = experiment.run(request, Console(file=said, width=200))
    return Measured(result.folder, said.getvalue(), 1 if result.outcome.failed else 0)


def made(results, *words):
    """The run that a command of make begins, in a folder of results of its own, but for the ceilings."""
    command = ["make", "--no-print-directory", "--dry-run", *words, f"RESULTS={results}"]
    told = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    asked = shlex.split(told.splitlines()[-1])
    assert asked[1:4] == ["-m", "bench", "run"], told
    with notebooks.here():
        done = told_of_run(*asked[4:])
    folders = list(results.glob("*/run.json"))
    assert len(folders) == 1, done.output
    return Measured(folders[0].parent, done.output, done.exit_code)


class Measured:
    """A run in its folder, what was said of it, and the exit status of who measured it."""

    def __init__(self, folder, output, status):
        self.folder, self.output, self.status = folder, output, status

    @cached_property
    def study(self):
        return study(self.folder)

    @property
    def recycling(self):
        return self.study.recycling

    def cell(self, configuration, treatment="recycled", workers=None):
        return MeasuredCell(self, configuration, treatment, workers)

    def answers(self, configuration):
        """The row of the deciding table, by its columns."""
        (row,) = [each for each in self.recycling.configurations if each.configuration == configuration]
        return dict(zip(self.recycling.columns[1:], row.answers, strict=True))


class MeasuredCell:
    """The one cell of a configuration with a treatment: rows of the analysis, and the server's books.

    `workers` may be left out where there is one number of them.
    """

    def __init__(self, run, configuration, treatment, workers):
        cells = run.study.results.cells
        chosen = cells[(cells["configuration"] == configuration) & (cells["treatment"] == treatment)]
        chosen = chosen[chosen["workers"] == workers] if workers else chosen
        assert len(chosen) == 1, cells[["configuration", "treatment", "status", "reason"]]
        self._recycling, self.number, self.facts = run.recycling, chosen.index[0], chosen.iloc[0]
        assert self.facts["status"] == "finished", self.facts["reason"]
        log = (run.folder / self.facts["path"] / "server.log").read_text()
        self._books = read_books(log)
        trace = run.study.results.trace
        self.trace = trace[trace["cell"] == self.number]

    @property
    def row(self):
        return self._recycling.cells.loc[self.number]

    def frame(self, name):
        """The cell's rows of one of the frames of `Recycling`."""
        frame = getattr(self._recycling, name)
        return frame[frame["cell"] == self.number]

    @property
    def in_window(self):
        """The requests that ended in the window."""
        start, end = self.facts["window_start"], self.facts["window_end"]
        return self.trace[(self.trace["ended"] >= start) & (self.trace["ended"] < end)]

    def lost_by_the_books(self):
        """Of each request of the window that the server lost, how far its handler came, and whose it was."""
        ids = set(self.in_window["id"])
        return {
            each["id"]: (each["handled"], each["pid"])
            for each in self._books
            if each["book"] == "lost" and each["id"] in ids
        }

    def lost(self):
        """The same as the analysis has it."""
        losses = self.frame("losses")
        pids = [
            None if pid is None else int(pid)
            for pid in losses["pid"].astype(object).where(losses["pid"].notna(), None)
        ]
        return dict(zip(losses["id"], zip(losses["handled"], pids, strict=True), strict=True))

    def lost_while_down(self, kind):
        """The losses of a kind between a worker's end and its successor's start, and whose: `down_for`."""
        losses = self.frame("losses")
        losses = losses[losses["kind"] == kind].assign(down_for=0)
        for _, each in self.frame("replacements").iterrows():
            losses.loc[losses["time"].between(each["begin"], each["end"]), "down_for"] = each["number"]
        return losses[losses["down_for"] > 0]

    def ended(self):
        """How many requests each worker had served at its end, and when that was, by the books."""
        return {
            each["pid"]: (each["served"], each["time"]) for each in self._books if each["book"] == "ended"
        }

    def replaced_by_the_books(self):
        """The fewest and the most replacements that the window can hold."""
        start, end = self.facts["window_start"], self.facts["window_end"]
        times = [moment for _, moment in self.ended().values()]
        return (
            sum(start + EDGE_S <= moment < end - EDGE_S for moment in times),
            sum(start - EDGE_S <= moment < end + EDGE_S for moment in times),
        )

    def whole_lives(self):
        """What each worker served whose whole life was seen, as the analysis has it."""
        lives = self.frame("lives")
        whole = lives[lives["whole"]]
        return dict(zip(whole["pid"], whole["served"], strict=True))
