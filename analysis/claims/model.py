"""A claim with its answer, all of them as a table, and the frames that they were computed from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import pandas as pd

from analysis.claims.material import Material
from analysis.settings import Settings
from analysis.settings.frames import fates
from analysis.table import Cell, TableRow, words
from analysis.words import counted
from bench.stats.comparison import mean

# The Gunicorn workers as they were recommended, by their `--worker-class`.
UVICORN_WORKER, SANIC_WORKER = "gunicorn-uvicorn-legacy", "gunicorn-sanic"

Outcome = Literal["holds", "holds in part", "does not hold", "not shown", "not measured"]


@dataclass(frozen=True)
class ClaimAnswer:
    """What the runs named in `runs` say to a claim; `figure` is a sentence with the numbers.

    "not shown": the figures do not decide. "not measured": `figure` says why not, or what would measure it.
    """

    outcome: Outcome
    figure: str
    runs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim(TableRow):
    """A claim as it was made, the page that has it, and what became of it.

    `variant` is the one that tests it, where it is about a setting. `untried`: no run tried that, nor says
    why it could not.
    """

    said: str
    answer: ClaimAnswer
    source: str = ""
    variant: str = ""
    untried: bool = False

    @property
    def text(self) -> str:
        """The claim, with what it is about."""
        return f"{self.variant}: {self.said}" if self.variant else self.said

    def cells(self) -> tuple[Cell, ...]:
        answer = self.answer
        texts = (self.text, answer.outcome, answer.figure, ", ".join(answer.runs), self.source or None)
        return tuple(words(text) for text in texts)


@dataclass(frozen=True)
class Claims:
    """Every claim in its order, as a listing like every other table."""

    rows: tuple[Claim, ...]

    title: ClassVar[str] = "What people say, measured"
    basis: ClassVar[str] = "Each answer is computed from the runs that it names, and from nothing else."
    columns: ClassVar[tuple[str, ...]] = ("claim", "today", "measured", "run", "source")

    @property
    def told(self) -> "Claims":
        """Those that one reads one by one: without the many about settings that no run tried."""
        return Claims(tuple(row for row in self.rows if not row.untried))

    @property
    def untold(self) -> str:
        """How many are left out of these, in a sentence; empty without any."""
        count = len(self.rows) - len(self.told.rows)
        verb = "was" if count == 1 else "were"
        return f"{counted(count, 'claim')} about settings {verb} not measured." if count else ""

    @property
    def finding(self) -> str:
        """How many hold."""
        outcomes = [row.answer.outcome for row in self.rows]
        parts = [
            f"{outcomes.count(outcome)} {text}"
            for outcome, text in _COUNTED.items()
            if outcomes.count(outcome)
        ]
        return f"Of {counted(len(outcomes), 'claim')}: {', '.join(parts)}."


_COUNTED: dict[Outcome, str] = {
    "holds": "true today",
    "holds in part": "true in part",
    "does not hold": "not true",
    "not shown": "not decided by the figures",
    "not measured": "not measured",
}


def decided(holds: Sequence[bool]) -> Outcome:
    """The outcome of a claim of several parts, each of which holds or does not."""
    if all(holds):
        return "holds"
    return "holds in part" if any(holds) else "does not hold"


def runs(material: Material) -> pd.DataFrame:
    """A row for each run that was read, replays included."""
    rows: list[tuple[str, ...]] = [
        (each.run, each.kind, each.plan, each.launcher, each.hostname, each.cpu)
        for each in material.evidence.runs
    ]
    told = {each.run for each in material.evidence.runs}
    for study in material.settings:
        run = study.results.run
        if run.run not in told:
            plan = str(run.plan.get("name", "unnamed"))
            rows.append((run.run, "settings", plan, run.launcher, run.host.hostname, run.host.cpu))
    if material.replay is not None:
        replay = material.replay
        rows.append((replay.replay, "replay", "replay", "processes", replay.host.hostname, replay.host.cpu))
    return pd.DataFrame(rows, columns=["run", "of", "plan", "launcher", "host", "CPU"])


def frame(answered: Claims) -> pd.DataFrame:
    """The claims with their answers."""
    return pd.DataFrame([row.texts() for row in answered.rows], columns=list(answered.columns))


def speed(material: Material) -> pd.DataFrame:
    """A row for each configuration of a ranking: what it delivered, on average over its repeats."""
    rows = [
        (
            table.scenario,
            table.workers,
            table.users,
            f"requests per {table.metric}",
            name,
            mean([*each.values()]),
        )
        for table in material.evidence.performance
        for name, each in table.values.items()
    ]
    return pd.DataFrame(
        rows, columns=["scenario", "workers", "users", "delivered", "configuration", "mean"]
    ).sort_values(["scenario", "workers", "mean"], ascending=[True, True, False], ignore_index=True)


def prices(material: Material) -> pd.DataFrame:
    """A row for each configuration, number of workers and kind of connection."""
    rows = [
        (
            known.name, price.workers, price.connections, price.recycles,
            price.ran.per_1000, price.ran.low, price.ran.high,
            price.retryable.per_1000, price.retryable.low, price.retryable.high,
        )
        for known in material.evidence.configurations
        for price in known.prices
    ]  # fmt: skip
    columns = ["configuration", "workers", "connections", "replaced"]
    columns += ["handler_ran", "handler_ran_low", "handler_ran_high"]
    columns += ["not_handled", "not_handled_low", "not_handled_high"]
    return pd.DataFrame(rows, columns=columns)


def simultaneous(material: Material) -> pd.DataFrame:
    """A row for each recorded execution of the old benchmark with a client for each process."""
    rows = []
    for execution, steps in () if material.replay is None else material.replay.recorded:
        rows.append(
            (
                execution.configuration, execution.split, steps.most_in_a_process, steps.called.mean,
                steps.waiting.mean, steps.waiting.peak, steps.waiting.together,
            )
        )  # fmt: skip
    columns = ["configuration", "split", "most_in_a_client", "called", "unanswered", "unanswered_at_most"]
    return pd.DataFrame(rows, columns=[*columns, "share_of_time_two_or_more"])


def settings(material: Material) -> pd.DataFrame:
    """What each variant is worth, by the latest run that tried it."""
    tried = [fates(study.settings).assign(run=study.results.run.run) for study in material.settings] or [
        fates(Settings(())).assign(run=None)
    ]
    return pd.concat(tried).drop_duplicates("variant", ignore_index=True)
