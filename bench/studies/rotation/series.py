"""A series: several runs for one question, in one folder, which goes on where it was interrupted.

Its runs lie below the series, where no report, verdict or document looks for the latest run.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError
from rich.console import Console

from analysis.reading.results import load
from analysis.study import Study
from bench.experiment import results
from bench.experiment.run import Request, run
from bench.launch.local import Processes
from bench.model.errors import UsageError, UserError, unknown
from bench.model.files import read_text, shortened, write_text

FILE = "series.json"


# It leads to no other folder than those below the series'.
RunName = Annotated[str, StringConstraints(pattern=r"^[\w-][\w.-]*$")]


class Record(BaseModel):
    """``series.json``: which question, what was asked for, and the runs by what each is for."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    question: str
    settings: dict[str, int | float]
    finished: bool = False
    runs: dict[str, RunName] = {}


@dataclass(frozen=True)
class Leg:
    """One run of a series: what it is for, its plan with ``changes``, and whether its network is steered."""

    purpose: str
    plan: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    steered: bool = True


class Series:
    """The folder of a series."""

    def __init__(self, folder: Path, record: Record) -> None:
        self.folder = folder
        self.record = record

    @classmethod
    def begin(cls, results_folder: Path, question: str, settings: Mapping[str, int | float]) -> Self:
        """A new one."""
        series = cls(results.create(results_folder, question), Record(question=question, settings={}))
        series._write(settings=dict(settings))
        return series

    @classmethod
    def read(cls, folder: Path) -> Self:
        """One that is there.

        Raises:
            UserError: it cannot be read, or another version of the suite wrote it.
        """
        try:
            return cls(folder, Record.model_validate_json(read_text(folder / FILE, folder)))
        except ValidationError as error:
            said = shortened(error.errors()[0]["msg"])
            raise UserError(
                f"{folder / FILE} is not as this suite writes it ({said}); measure again"
            ) from error

    @property
    def settings(self) -> Mapping[str, Any]:
        """What was asked for."""
        return self.record.settings

    @cached_property
    def studies(self) -> dict[str, Study]:
        """The analysed runs that are there, by what they are for."""
        return {purpose: self.study(purpose) for purpose in self.record.runs}

    def study(self, purpose: str) -> Study:
        """The analysed run for a purpose."""
        return Study(load(self.folder / self.record.runs[purpose]))

    def finish(self) -> None:
        """Note that it is complete."""
        self._write(finished=True)

    def take(self, leg: Leg, console: Console) -> bool:
        """Measure what a leg lacks; returns false if it was interrupted.

        Raises:
            UserError: somebody has to mend something first.
        """
        if leg.purpose in self.record.runs:
            return True
        console.print(f"\n[bold]{leg.purpose}[/bold]", highlight=False)
        request = Request(
            self.folder, leg.plan, leg.changes, launcher=Processes.name, steered=leg.steered
        )  # fmt: skip
        done = run(request, console)
        if not done.interrupted:
            self._write(runs=self.record.runs | {leg.purpose: done.folder.name})
            self.__dict__.pop("studies", None)
        return not done.interrupted

    def _write(self, **changes: Any) -> None:
        self.record = self.record.model_copy(update=changes)
        write_text(self.folder / FILE, self.record.model_dump_json(indent=2) + "\n")


def measure(series: Series, legs: Callable[[Series], Iterator[Leg]], console: Console) -> bool:
    """Measure every leg of a series; returns false if it was interrupted.

    ``legs`` may look at the runs of those that it gave before.
    """
    if not all(series.take(leg, console) for leg in legs(series)):
        return False
    series.finish()
    return True


def find(results_folder: Path, question: str, name: str) -> Series:
    """A series on a question by its name or path; the latest one where ``name`` is "latest".

    Raises:
        UserError: there is none, or it cannot be read.
    """
    known = {path.parent.name: path.parent for path in sorted(results_folder.glob(f"*/{FILE}"))}
    if (Path(name) / FILE).exists():
        return Series.read(Path(name))
    if name in known:
        return Series.read(known[name])
    if name != "latest":
        raise UsageError(unknown("series", name, list(known)))
    found = [
        series for folder in known.values() if (series := Series.read(folder)).record.question == question
    ]
    if not found:
        raise UsageError(f"no {question} in {results_folder} yet; `make {question}` makes one")
    return found[-1]
