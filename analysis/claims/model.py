"""A claim with its answer, and all of them as a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from analysis.words import counted

Outcome = Literal["holds", "holds in part", "does not hold", "not shown", "not measured"]


@dataclass(frozen=True)
class Answer:
    """What the runs named in `runs` say to a claim; `figure` is a sentence with the numbers.

    "not shown": it was measured, and the figures do not decide. "not measured": it was not, and `figure` says
    why, or what would measure it.
    """

    outcome: Outcome
    figure: str
    runs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim:
    """A claim as it was made, and what became of it."""

    text: str
    answer: Answer

    def texts(self) -> list[str]:
        """One text for each of `Claims.columns`."""
        return [self.text, self.answer.outcome, self.answer.figure, ", ".join(self.answer.runs)]


@dataclass(frozen=True)
class Claims:
    """Every claim in its order, as a listing like every other table."""

    rows: tuple[Claim, ...]

    title: ClassVar[str] = "What people say, measured"
    basis: ClassVar[str] = "Each answer is computed from the runs that it names, and from nothing else."
    columns: ClassVar[tuple[str, ...]] = ("claim", "today", "measured", "run")

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
