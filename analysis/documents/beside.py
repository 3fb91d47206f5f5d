"""`python -m analysis.documents.beside RUN_A RUN_B`: one plan measured in two ways, side by side.

Local processes and containers, and containers and their published port, go into bench/studies/README.md.
Each part has markers of its own: no figure is written by hand.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import pandas as pd

from analysis.documents.tables import provenance
from analysis.rankings.ranking import RankedRow, Ranking
from analysis.study import Study, study
from analysis.words import MISSING, UNKNOWN, Value, listed
from bench.model.documents import TRUST, markdown_table, replace
from bench.model.errors import UserError
from bench.model.files import ROOT
from bench.stats.comparison import MATERIAL, Ratio, compare, compare_unpaired

# Differences that the documents explain.
NOTABLE = 1.15
DOCUMENT = TRUST.relative_to(ROOT)
# The parts of it, by the launchers of the two runs.
PARTS = {
    frozenset({"processes", "compose"}): "launchers",
    frozenset({"compose", "external"}): "published port",
}


@dataclass(frozen=True)
class ScenarioPair:
    """A closed-loop scenario at the load that decides it, in both runs."""

    one: Ranking
    other: Ranking
    cells: tuple[pd.DataFrame, pd.DataFrame]
    """The finished cells of each, with `configuration`, `repeat` and the columns of `Study.summary`."""

    def ratio(self, configuration: str, metric: str) -> Ratio:
        """The second run's figure over the first's; the repeats of two runs share no round (Welch)."""
        one, other = (cells[cells["configuration"] == configuration][metric] for cells in self.cells)
        return compare_unpaired(other, one)

    def rows(self) -> Iterator[tuple[RankedRow, RankedRow]]:
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


def panels(one: Study, other: Study) -> list[ScenarioPair]:
    """The scenarios that both runs have in closed loops.

    Raises:
        UserError: there are none, or they were decided at different loads.
    """
    found = []
    for table in one.verdict.tables:
        beside = next((theirs for theirs in other.verdict.tables if _same(table, theirs)), None)
        if beside is None:
            continue
        if beside.users != table.users:
            raise UserError(f"{table.scenario}: {table.users} users in one run, {beside.users} in the other")
        found.append(ScenarioPair(table, beside, (_cells(one, table), _cells(other, beside))))
    if not found:
        raise UserError("the two runs have no closed-loop scenario in common")
    return found


def _same(one: Ranking, other: Ranking) -> bool:
    """Whether two tables are of one scenario and number of workers; an external server's is unknown."""
    return one.scenario == other.scenario and (
        one.workers == other.workers or UNKNOWN in (one.workers, other.workers)
    )


def _cells(analysed: Study, table: Ranking) -> pd.DataFrame:
    closed = analysed.summary[analysed.summary["load_kind"] == "closed"]
    return table.of(closed)


def lines(one: Study, other: Study) -> Iterator[str]:
    """The measured part, in Markdown: the ratios of each configuration, and a sentence on each scenario."""
    found = panels(one, other)
    ratio = f"the ratio {other.results.run.launcher} to {one.results.run.launcher}"
    yield f"Requests/s, {ratio} with its 95 % interval:"
    configurations = list(dict.fromkeys(row.configuration for panel in found for row, _ in panel.rows()))
    rows = [[name, *(_ratio(panel, name) for panel in found)] for name in configurations]
    yield from ("", *markdown_table(["configuration", *(panel.one.title for panel in found)], rows), "")
    for panel in found:
        yield " ".join((f"* **{panel.one.title}.** {_order(panel)}".rstrip(), _apart(panel)))
    yield ""
    for run in (one, other):
        yield from (" ".join(provenance(run.results.run, recycling=False)), "")


def _ratio(panel: ScenarioPair, configuration: str) -> str:
    if configuration not in [row.configuration for row, _ in panel.rows()]:
        return MISSING
    return Value.of(panel.ratio(configuration, "throughput")).text()


def _apart(panel: ScenarioPair) -> str:
    """Which configurations are notably apart, and which of them with certainty."""
    limit = f"{NOTABLE - 1:.0%}"
    ratios = {row.configuration: panel.ratio(row.configuration, "throughput") for row, _ in panel.rows()}
    notable = {name: found for name, found in ratios.items() if max(found.ratio, 1 / found.ratio) > NOTABLE}
    if not notable:
        return f"None is more than {limit} apart."
    certain = [name for name, found in notable.items() if found.beyond(1)]
    known = (
        f"with certainty {listed(certain)}" if certain else "none with certainty, every interval includes 1"
    )
    return f"More than {limit} apart: {listed(list(notable))}; {known}."


def _order(panel: ScenarioPair) -> str:
    if len(list(panel.rows())) < 2:
        return ""
    swapped = panel.swapped()
    if not swapped:
        return "No two configurations change places with certainty."
    return f"These change places with certainty: {'; '.join(swapped)}."


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Return the exit status: 0 written, 1 these runs cannot be shown, 2 wrong arguments."""
    if len(arguments) != 2:
        print("usage: python -m analysis.documents.beside RUN_DIR RUN_DIR", file=sys.stderr)  # noqa: T201
        return 2
    try:
        one, other = (study(Path(each).resolve()) for each in arguments)
        launchers = [each.results.run.launcher for each in (one, other)]
        part = PARTS.get(frozenset(launchers))
        if part is None:
            raise UserError(f"no document shows launcher {launchers[0]} beside {launchers[1]}")
        replace(root / DOCUMENT, {part: "\n".join(lines(one, other))})
    except UserError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
