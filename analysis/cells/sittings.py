"""How a rotation went: for each configuration how much load it had, and what it did without any."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from analysis.cells.rotation import off_timetable, spoiled
from analysis.cells.summary import LOAD
from analysis.reading.results import Results
from analysis.table import Cell, TableRow, number, words
from analysis.words import counted, duration, listed
from bench.model.records.hosts import Network
from bench.model.records.run import Run


@dataclass(frozen=True)
class Rotated(TableRow):
    """A configuration in all its sittings.

    `idle_share` is the share of a CPU that it used while the others were loaded, NaN where unknown.
    """

    configuration: str
    sittings: int
    slices: int
    left_out: int
    loaded_s: float
    opened: int
    idle_share: float

    def cells(self) -> tuple[Cell, ...]:
        return (
            words(self.configuration),
            number(self.sittings),
            number(self.slices),
            number(self.left_out),
            number(self.loaded_s, ",.1f"),
            number(self.opened),
            number(self.idle_share * 100, ".2f", " %"),
        )


@dataclass(frozen=True)
class Sittings:
    """The rotation of a run; without `rows` it had none."""

    rows: tuple[Rotated, ...]
    finding: str = ""
    basis: str = ""
    columns = ("configuration", "sittings", "slices", "left out", "load s", "connections opened", "idle CPU")

    @property
    def title(self) -> str:
        """How many sittings of how many servers."""
        most = max((row.sittings for row in self.rows), default=0)
        return f"{counted(most, 'sitting')} of {counted(len(self.rows), 'server')} side by side"


def sittings(results: Results, summary: pd.DataFrame) -> Sittings:
    """How the rotation of a run went."""
    rotated = summary[summary["rotated"]]
    if rotated.empty:
        return Sittings(())
    return Sittings(
        tuple(_rows(results, rotated)),
        "All servers were started anew for each sitting and stayed alive in it, while the load went round "
        f"among them, in an order drawn anew for each round: {_lengths(rotated)}.",
        f"{network(results.run)} Left out: slices that did not keep apart, or not to the timetable. Idle "
        "CPU: the share of a CPU that a server used while the others were loaded.".strip(),
    )


def _rows(results: Results, rotated: pd.DataFrame) -> Iterator[Rotated]:
    slices = results.slices.assign(configuration=results.slices["configuration"].astype(str))
    out = (spoiled(slices) | off_timetable(slices)).groupby(slices["configuration"]).sum().to_dict()
    count = slices.groupby("configuration").size().to_dict()
    opened = slices.groupby("configuration")["opened"].sum().to_dict()
    for name in results.configurations:
        cells = rotated[rotated["configuration"] == name]
        if len(cells) and name in count:
            yield Rotated(
                configuration=name,
                sittings=int(cells["repeat"].nunique()),
                slices=count[name],
                left_out=int(out[name]),
                loaded_s=float(cells["loaded_s"].sum()),
                opened=int(opened[name]),
                idle_share=float(cells["idle_share"].mean()),
            )


def _lengths(rotated: pd.DataFrame) -> str:
    """The lengths of slices, of each load where they differ."""
    of = rotated.groupby(LOAD)["slice_s"].mean()
    if of.max() < of.min() * 1.05:
        return f"slices of {duration(float(of.mean()))}"
    texts = [
        f"{duration(float(cells['slice_s'].mean()))} in {scenario} with {counted(int(str(users)), 'user')}"
        for (scenario, users), cells in rotated.groupby(["scenario", "users"])
    ]
    return f"slices of {listed(texts)}"


def network(run: Run) -> str:
    """How packets reached the generator, in a sentence; empty where it was not recorded."""
    return "" if run.network is None else f"{_network(run.network)}."


def _network(found: Network) -> str:
    if (wire := found.wire) is not None:
        takes = f"a connection takes {wire.connect_us.median:,.0f} µs"
        return f"To servers on another machine, {wire.host} ({wire.address}); {takes}"
    where = "a network namespace of the run's own" if found.namespace else "the host's network namespace"
    if found.steered_to is not None:
        cpus = ", ".join(map(str, found.steered_to))
        return f"In {where}, steered to CPU {cpus}, the generator's"
    return f"In {where}, without steering: servers pay for waking the generator"
