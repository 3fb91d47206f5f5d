"""`python -m analysis.beside RUN_A RUN_B`: one plan measured in two ways, side by side, in a document.

Local processes and containers go into docs/compose.md, and so do two runs of local processes, which show how
far runs are apart that nothing tells apart; containers and their published port go into docs/methodology.md.
Each has markers of its own: no figure is written by hand.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import pandas as pd

from analysis.comparison import MATERIAL, Ratio, compare, compare_unpaired
from analysis.errors import AnalysisError
from analysis.ranking import Row, Table
from analysis.readme import ROOT, provenance, put
from analysis.study import Study, study
from analysis.words import UNKNOWN, Value, listed

# Differences that the documents explain.
NOTABLE = 1.15
DOCUMENTS = {
    frozenset({"processes", "compose"}): ("docs/compose.md", "<!-- measured: launchers -->"),
    frozenset({"processes"}): ("docs/compose.md", "<!-- measured: twice -->"),
    frozenset({"compose", "external"}): ("docs/methodology.md", "<!-- measured: published port -->"),
}


@dataclass(frozen=True)
class Panel:
    """A closed-loop scenario at the load that decides it, in both runs."""

    one: Table
    other: Table
    cells: tuple[pd.DataFrame, pd.DataFrame]
    """The finished cells of each, with `configuration`, `repeat` and the columns of `Study.summary`."""

    def ratio(self, configuration: str, metric: str) -> Ratio:
        """The second run's figure over the first's; the repeats of two runs share no round (Welch)."""
        one, other = (cells[cells["configuration"] == configuration][metric] for cells in self.cells)
        return compare_unpaired(other, one)

    def rows(self) -> Iterator[tuple[Row, Row]]:
        """What both measured, best first in the first run."""
        others = {row.configuration: row for row in self.other.rows}
        yield from ((row, others[row.configuration]) for row in self.one.rows if row.configuration in others)

    def swapped(self) -> list[str]:
        """Pairs of configurations of which each is certainly the better one in one of the runs."""
        names = [row.configuration for row, _ in self.rows()]
        return [
            f"{first} and {second}"
            for first, second in combinations(names, 2)
            if {self._better(side, first, second) for side in (0, 1)} == {first, second}
        ]

    def _better(self, side: int, first: str, second: str) -> str | None:
        """Which of two is certainly the better one in a run, by what that run is ranked by."""
        metric = (self.one, self.other)[side].metric
        values = self.cells[side].pivot(index="repeat", columns="configuration", values=metric)
        versus = compare(values[first], values[second])
        if not versus.beyond(MATERIAL):
            return None
        return first if (versus.ratio > 1) == (metric == "throughput") else second


def panels(one: Study, other: Study) -> list[Panel]:
    """The scenarios that both runs have in closed loops.

    Raises:
        AnalysisError: there are none, or they were decided at different loads.
    """
    found = []
    for table in one.verdict.tables:
        beside = next((each for each in other.verdict.tables if _same(table, each)), None)
        if beside is None:
            continue
        if beside.users != table.users:
            raise AnalysisError(
                f"{table.scenario}: {table.users} users in one run, {beside.users} in the other"
            )
        found.append(Panel(table, beside, (_cells(one, table), _cells(other, beside))))
    if not found:
        raise AnalysisError("the two runs have no closed-loop scenario in common")
    return found


def _same(one: Table, other: Table) -> bool:
    """Whether two tables are of one scenario and number of workers; an external server's is unknown."""
    return one.scenario == other.scenario and (
        one.workers == other.workers or UNKNOWN in (one.workers, other.workers)
    )


def _cells(analysed: Study, table: Table) -> pd.DataFrame:
    closed = analysed.summary[analysed.summary["load_kind"] == "closed"]
    return table.of(closed)


def lines(one: Study, other: Study) -> Iterator[str]:
    """The measured part, in Markdown."""
    names = [each.results.run.launcher for each in (one, other)]
    if names[0] == names[1]:
        names = ["first run", "second run"]
    for panel in panels(one, other):
        yield from _panel(panel, *names)
    for each in (one, other):
        yield " ".join(provenance(each.results.run, recycling=False))
        yield ""


def _panel(panel: Panel, one: str, other: str) -> Iterator[str]:
    over = f"{other} / {one}"
    heads = [
        "configuration", f"rank, {one}", f"rank, {other}", f"requests/s, {one}", f"requests/s, {other}",
        f"requests/s, {over} (95 %)", f"CPU per request, {over} (95 %)",
    ]  # fmt: skip
    yield f"**{panel.one.title}.** {_order(panel)}".rstrip()
    yield ""
    yield f"| {' | '.join(heads)} |"
    yield "|---" + "|--:" * (len(heads) - 1) + "|"
    notable: list[str] = []
    certain: list[str] = []
    for row, beside in panel.rows():
        throughput, cpu = (panel.ratio(row.configuration, metric) for metric in ("throughput", "cpu_us"))
        (rank, name, served, *_), (other_rank, _, other_served, *_) = row.texts(), beside.texts()
        cells = [name, rank, other_rank, served, other_served, _text(throughput), _text(cpu)]
        yield f"| {' | '.join(cells)} |"
        if max(throughput.ratio, 1 / throughput.ratio) > NOTABLE:
            notable.append(row.configuration)
            if not throughput.low <= 1 <= throughput.high:
                certain.append(row.configuration)
    yield ""
    yield _apart(notable, certain)
    yield ""


def _apart(notable: list[str], certain: list[str]) -> str:
    limit = f"{NOTABLE - 1:.0%}"
    if not notable:
        return f"None is more than {limit} apart."
    known = (
        f"with certainty {listed(certain)}" if certain else "none with certainty, every interval includes 1"
    )
    return f"More than {limit} apart: {listed(notable)}; {known}."


def _order(panel: Panel) -> str:
    if len(list(panel.rows())) < 2:
        return ""
    swapped = panel.swapped()
    if not swapped:
        return (
            "The order is the same up to ties: no two are certainly one way round here and the other there."
        )
    return f"These change places with certainty: {'; '.join(swapped)}."


def _text(ratio: Ratio) -> str:
    return Value(ratio.ratio, ratio.low, ratio.high).text()


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Return the exit status: 0 written, 1 these runs cannot be shown, 2 wrong arguments."""
    if len(arguments) != 2:
        print("usage: python -m analysis.beside RUN_DIR RUN_DIR", file=sys.stderr)  # noqa: T201
        return 2
    try:
        one, other = (study(Path(each).resolve()) for each in arguments)
        launchers = [each.results.run.launcher for each in (one, other)]
        place = DOCUMENTS.get(frozenset(launchers))
        if place is None:
            raise AnalysisError(f"no document shows launcher {launchers[0]} beside {launchers[1]}")
        name, begin = place
        put(root / name, begin, lines(one, other))
    except AnalysisError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
