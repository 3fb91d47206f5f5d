"""What connections met (connections.csv), and how two configurations compare by it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.reading import csv_files
from analysis.settings.figures import Figures
from analysis.settings.model import Measure
from bench.model.records.columns import CONNECTIONS, CONNECTIONS_FILE, LOST
from bench.stats.comparison import Ratio, compare_counts


class Connections:
    """The loads of a run that were about connections; without any, nothing compares."""

    def __init__(self, rows: pd.DataFrame) -> None:
        """`rows` are those of connections.csv."""
        lost = rows[list(LOST)].sum(axis=1)
        every = lost + rows[["answered", "answers_503", "closed_in_time"]].sum(axis=1)
        self._rows = rows.assign(configuration=rows["configuration"].astype(str), lost=lost, requests=every)
        # A start is the unit: of its bursts the mean.
        by = ["load", "connections", "repeat", "configuration"]
        p99 = self._rows.groupby(by, observed=True)["p99_us"].agg(lambda us: np.exp(np.log(us).mean()))
        starts = p99.reset_index()
        self._p99 = {
            load: Figures([group for _, group in of_load.groupby("connections")], "p99_us")
            for load, of_load in starts.groupby("load", observed=True)
        }

    @classmethod
    def of(cls, directory: Path) -> "Connections":
        """Those of the run in a folder.

        Raises:
            UserError: the file is malformed; the text names it.
        """
        path = directory / CONNECTIONS_FILE
        if not path.exists():
            return cls(pd.DataFrame({c.name: pd.Series(dtype=c.kind) for c in CONNECTIONS.columns}))
        return cls(csv_files.one(path, CONNECTIONS, directory))

    def ratios(self, name: str, parent: str) -> Iterator[tuple[Measure, Ratio]]:
        """The measures that are known of both, `name` over `parent`.

        Bursts that lost nothing on either side are told by their latency alone, and so is an overload that
        turned nobody away. Pauses that lost nothing tell just that (NaN).
        """
        pauses = [self._each_request(each) for each in (name, parent)]
        if all(map(len, pauses)):
            yield "lost_pause", compare_counts(*pauses)
        bursts = [self._of("burst", each)["lost"] for each in (name, parent)]
        if all(map(len, bursts)) and any(map(sum, bursts)):
            yield "lost_burst", compare_counts(*bursts)
        measures: dict[str, Measure] = {"burst": "p99_burst", "overload": "p99_overload"}
        for load, measure in measures.items():
            if load in self._p99:
                yield measure, self._p99[load].compare(name, parent)
        overload = [self._of("overload", each)["answers_503"] for each in (name, parent)]
        if all(map(len, overload)) and any(map(sum, overload)):
            yield "answers_503", compare_counts(*overload)

    def _of(self, load: str, name: str) -> pd.DataFrame:
        return self._rows[(self._rows["load"] == load) & (self._rows["configuration"] == name)]

    def _each_request(self, name: str) -> list[int]:
        """Of each request after a pause whether it was lost."""
        rows = self._of("pause", name)
        lost = int(rows["lost"].sum())
        return [1] * lost + [0] * (int(rows["requests"].sum()) - lost)
