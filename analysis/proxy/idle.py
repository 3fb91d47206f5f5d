"""The idle race: a server ends a connection that was idle, as the proxy sends the next request on it."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.cells.summary import LOAD
from analysis.cells.waves import SCENARIO, waves
from analysis.reading.results import Results
from analysis.recycling.requests import HTTP_5XX, rate
from analysis.table import Cell, TableRow, measured, number, words
from analysis.words import Value, Workers, figures, listed, workers_of
from bench.model.records.run import Run

PER = 100_000
FRAME = [
    "configuration", *LOAD, "keep_alive_s", "requests", "answers_5xx", "lost",
    "per_100000", "per_100000_low", "per_100000_high",
]  # fmt: skip
"""The columns of proxy_idle.csv, of all repeats together.

`keep_alive_s` is for how long the server keeps an idle connection. `requests` had an answer of 5xx
(`answers_5xx`), none (`lost`), or a good one; the first two are those `per_100000`, with their 95 % interval
over the moments at which all users sent one."""
# For how long the proxy keeps an idle connection to the server, in its configuration.
_IDLE = {
    "nginx": re.compile(r"upstream app \{[^}]*?keepalive_timeout (\d+)s;"),
    "haproxy": re.compile(r"pool-purge-delay (\d+)s"),
}


@dataclass(frozen=True)
class IdleRow(TableRow):
    """A configuration; `proxy_s` is for how long the proxy keeps an idle connection, as `keep_alive_s`."""

    configuration: str
    workers: Workers
    users: int
    keep_alive_s: float | None
    proxy_s: float | None
    requests: int
    answers_5xx: int
    lost: int
    failed: Value
    """To `PER` requests."""

    @property
    def fails(self) -> bool:
        """Whether any request had no good answer."""
        return self.answers_5xx + self.lost > 0

    @property
    def outlasts(self) -> bool | None:
        """Whether the server keeps connections for longer than the proxy; None where that is not known."""
        if self.keep_alive_s is None or self.proxy_s is None:
            return None
        return self.keep_alive_s > self.proxy_s

    def cells(self) -> tuple[Cell, ...]:
        """A cell for each of `IdleRace.columns`."""
        workers = words(self.workers) if isinstance(self.workers, str) else number(self.workers)
        return (
            words(self.configuration),
            workers,
            number(self.users),
            number(self.keep_alive_s, "g", " s"),
            number(self.proxy_s, "g", " s"),
            *(number(count) for count in (self.requests, self.answers_5xx, self.lost)),
            measured(self.failed),
        )


@dataclass(frozen=True)
class IdleRace:
    """The table, and its numbers in the columns of `FRAME`; `kind` is the proxy."""

    kind: str
    rows: Sequence[IdleRow]
    frame: pd.DataFrame

    @property
    def title(self) -> str:
        """What is compared."""
        return f"The idle race behind {self.kind}"

    @property
    def basis(self) -> str:
        """How to read it."""
        return (
            "All users send an order (POST) at once, and pause as long as servers keep idle connections. "
            f"Failed are answers of 5xx and orders without any, to {PER:,} orders, with the 95 % interval "
            "over the moments at which they were sent. No worker was replaced."
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """The heads of the table."""
        return (
            "configuration", "workers", "users", "the server's keep-alive", f"{self.kind}'s", "orders",
            "answers of 5xx", "lost", f"failed per {PER:,}",
        )  # fmt: skip

    @property
    def finding(self) -> str:
        """Which pairs of time-outs lose orders, and which do not."""
        told = [f"{figures(row.failed.mean)} with {_named(row)}" for row in self.rows if row.fails]
        sound = [row for row in self.rows if not row.fails]
        parts = [f"Failed per {PER:,} orders behind {self.kind}: {listed(told)}"] if told else []
        if sound:
            none = "none" if told else f"No order failed behind {self.kind}"
            parts.append(f"{none} with {listed([_named(row) for row in sound])}")
        return f"{'; '.join(parts)}.{self._ended}"

    @property
    def _ended(self) -> str:
        """That a keep-alive longer than the proxy's ends it, where both were measured, and it does."""
        shorter, longer = ([row for row in self.rows if row.outlasts is side] for side in (False, True))
        if not longer or any(row.fails for row in longer) or not any(row.fails for row in shorter):
            return ""
        return f" A server that keeps connections for longer than {self.kind} ends the race."


def _named(row: IdleRow) -> str:
    kept = "" if row.keep_alive_s is None else f" ({row.keep_alive_s:g} s)"
    return f"{row.configuration}{kept}"


def idle_race(results: Results, summary: pd.DataFrame) -> IdleRace | None:
    """What the cells of `SCENARIO` of a run behind a proxy lose; None where there are none.

    `summary` is that of the run.
    """
    kind, cells = results.run.behind, waves(results.run, summary)
    if kind is None or cells.empty:
        return None
    kept = {each.name: each.keep_alive_s for each in results.run.configurations}
    proxy_s, order = _proxy_s(results.run), results.configurations
    groups = [mine for _, mine in cells.groupby(["configuration", *LOAD], observed=True)]
    groups.sort(key=lambda mine: order.index(str(mine["configuration"].iloc[0])))
    rows = [_row(results, mine, kept, proxy_s) for mine in groups]
    return IdleRace(kind, rows, _frame(rows))


def _row(
    results: Results, cells: pd.DataFrame, kept: Mapping[str, float | None], proxy_s: float | None
) -> IdleRow:
    """The cells of one configuration and load; `kept` is for how long servers keep idle connections."""
    first = cells.iloc[0]
    failures = results.failures[results.failures["cell"].isin(cells.index)]
    of_5xx = int(failures.loc[failures["kind"] == HTTP_5XX, "count"].sum())
    requests = int(cells[["requests", "failures"]].to_numpy().sum())
    seconds = results.seconds[results.seconds["cell"].isin(cells.index) & results.seconds["in_window"]]
    waves = seconds.loc[seconds[["requests", "failures"]].sum(axis=1) > 0, "failures"]
    scale = PER * len(waves) / requests if requests else math.nan
    return IdleRow(
        configuration=str(first["configuration"]),
        workers=workers_of(first["workers"]),
        users=int(first["users"]),
        keep_alive_s=kept[str(first["configuration"])],
        proxy_s=proxy_s,
        requests=requests,
        answers_5xx=of_5xx,
        lost=int(failures["count"].sum()) - of_5xx,
        failed=Value(*(scale * each for each in rate(waves))),
    )


def _proxy_s(run: Run) -> float | None:
    """For how long the proxy keeps an idle connection to the server; None where it keeps none."""
    if run.proxy is None or run.plan.get("proxy_keepalive") == "off":
        return None
    found = _IDLE[str(run.behind)].search(run.proxy.configuration)
    return None if found is None else float(found[1])


def _frame(rows: Sequence[IdleRow]) -> pd.DataFrame:
    values = [
        (
            *(row.configuration, SCENARIO, row.workers, row.users, row.keep_alive_s),
            *(row.requests, row.answers_5xx, row.lost),
            *(row.failed.mean, row.failed.low, row.failed.high),
        )
        for row in rows
    ]
    return pd.DataFrame(values, columns=FRAME)
