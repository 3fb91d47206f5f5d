"""The verdict as it is kept in verdict.json (schema 1, docs/results.md), printed, and put into the report."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from analysis.recommend.evidence import Outcome, Source
from analysis.table import Cell, TableRow, number, words
from analysis.table import Verdict as Sign
from analysis.words import listed
from bench.model.requirements import RANKED, Requirements, label

Decision = Literal["recommended", "tie", "none"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, populate_by_name=True)


class Judgement(_Part):
    """One requirement held against one configuration: `figure` in words, and the `cells` it was read from.

    `outcome` is None where nothing is required: the figure is only told. `unwanted`: it is only told, and yet
    nothing that one wants of a server.
    """

    requirement: str
    outcome: Outcome | None
    figure: str
    cells: tuple[str, ...]
    unwanted: bool = False

    @property
    def text(self) -> str:
        """What it is about, and the figure."""
        return f"{label(self.requirement)}: {self.figure}"


class Versus(_Part):
    """How many times the performance of `of`, or its memory or p99, where that comes first.

    With its 95 % interval over `repeats`; null is unknown.
    """

    of: str
    ratio: float
    low: float | None
    high: float | None
    repeats: int


class Candidate(_Part):
    """A configuration, what it was found to be, and in one line why it is recommended or is not.

    `rank` is its place among those that passed, or where none did among those that are likely to, by
    what comes first; null of the others, and where it cannot be ranked.
    `performance` compares it by that with the best of those.
    """

    configuration: str
    outcome: Outcome
    rank: int | None
    performance: Versus | None
    why: str
    judgements: tuple[Judgement, ...]


class Command(_Part):
    """How to serve with a configuration: a line for the shell, and what that line does not do by itself.

    `app_lines` go into the module that makes the app. `settings` are those that matter, null where unknown;
    `versions` are those it was measured with.

    `tuned` is what it has besides, since a run found that worth it, with the figure; where that are several
    settings, `parts` are the figures of each alone. `figures` are those of settings that stay as they are,
    `untried` settings that no run tells of.
    """

    configuration: str
    line: str
    app_lines: tuple[str, ...]
    needs: tuple[str, ...]
    settings: dict[str, str | int | float | bool | None]
    versions: dict[str, str]
    tuned: str | None = None
    parts: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    untried: tuple[str, ...] = ()

    @property
    def tuning(self) -> tuple[str, ...]:
        """What is known of its settings, line by line."""
        return (*self.carried, *self.figures, *self.open)

    @property
    def carried(self) -> tuple[str, ...]:
        """What it has since a run found that worth it."""
        found = [] if self.tuned is None else [f"carries what was found worth it: {self.tuned}"]
        return (*found, *self.parts)

    @property
    def open(self) -> tuple[str, ...]:
        """The settings that no run tells of, in one line."""
        return (f"settings that were not measured: {listed(list(self.untried))}",) if self.untried else ()

    @property
    def settings_text(self) -> str:
        """The settings that are known, as a plan has them."""
        return ", ".join(_setting(*each) for each in self.settings.items() if each[1] is not None)

    @property
    def versions_text(self) -> str:
        """What it was measured with."""
        return ", ".join(f"{name} {version}" for name, version in self.versions.items())


class Behind(_Part):
    """The proxy that clients went through whose losses count, and its configuration, to be copied."""

    proxy: str
    version: str
    configuration: str

    @property
    def text(self) -> str:
        """What stands above the configuration."""
        return f"{self.proxy} {self.version} as it was measured, with addresses to replace"


class Verdict(_Part):
    """Which configuration to use, by what evidence, and what that evidence leaves open.

    `decision`: "recommended" (one), "tie" (several that measuring cannot tell apart), "none". `commands` has
    one for each of the `recommended`; `caveats` say what speaks against these and is not required. `measure`
    are the commands that would close the gaps, the most useful first.

    `behind`: losses are those of clients that come through this proxy; null where they go to the server.
    `provisional`: none passed, and the recommended are likely to. `sure` says in words and figures how sure
    the answer is, and `longer` what a longer run would add.
    """

    version: Literal[1] = Field(default=1, alias="schema")
    decision: Decision
    provisional: bool = False
    finding: str
    sure: tuple[str, ...] = ()
    longer: tuple[str, ...] = ()
    recommended: tuple[str, ...]
    commands: tuple[Command, ...]
    caveats: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    method: str
    not_covered: tuple[str, ...]
    measure: tuple[str, ...]
    requirements: Requirements
    runs: tuple[Source, ...]
    behind: Behind | None = None

    # What makes it a listing, so that it can be printed and shown as every other table.
    title: ClassVar[str] = "Which configuration meets the requirements, and which of these is best"

    @property
    def columns(self) -> tuple[str, ...]:
        """The heads of what `CandidateRow.cells` gives."""
        return "rank", "configuration", "requirements", RANKED[self.requirements.first], "why"

    @property
    def basis(self) -> str:
        """How the places come about."""
        return self.method

    @property
    def rows(self) -> tuple["CandidateRow", ...]:
        """A row for each candidate, the best first."""
        return tuple(CandidateRow(candidate) for candidate in self.candidates)

    def json_text(self) -> str:
        """The document of verdict.json."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


@dataclass(frozen=True)
class CandidateRow(TableRow):
    """A candidate as a row of a table."""

    candidate: Candidate

    def cells(self) -> tuple[Cell, ...]:
        """A cell for each of `Verdict.columns`; a sign says whether the requirements are met."""
        candidate = self.candidate
        ratio = None if candidate.performance is None else candidate.performance.ratio
        return (
            number(candidate.rank),
            words(candidate.configuration),
            Cell(candidate.outcome, verdict=_SIGNS[candidate.outcome]),
            number(ratio, ".2f", "x"),
            words(candidate.why),
        )


_SIGNS: dict[Outcome, Sign] = {
    "passed": "good",
    "likely": "good",
    "failed": "bad",
    "not shown": "unknown",
}


def _setting(name: str, value: object) -> str:
    """A key and its value as a plan has them."""
    if isinstance(value, bool):
        return f"{name} = {str(value).lower()}"
    return f"{name} = {value:g}" if isinstance(value, float) else f"{name} = {value}"
