"""A run as lines of Markdown: its rankings, what recycling cost, and how it was measured."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

import pandas as pd

from analysis.documents.deploys import by_scenario
from analysis.rankings.ranking import COLUMNS, CPU, ERRORS, RATIO, THROUGHPUT, RankedRow, Ranking
from analysis.rankings.rates import CapacityTable
from analysis.rankings.sides import SidesRow
from analysis.reproduction import command
from analysis.settings.model import MEASURES
from analysis.settings.table import CONNECTIONS, NOT_SHOWN, SettingRow
from analysis.settings.table import tables as settings_tables
from analysis.study import Study
from analysis.table import Cell, Listing, markdown
from analysis.words import MIB, MISSING, counted, figures, listed, with_workers
from bench.model.documents import markdown_table, shown_command
from bench.model.records.run import Run
from bench.stats.comparison import MATERIAL

# Columns of what clients meet behind a proxy that the report has, and a document has not: what the name of a
# scenario says as well, and latencies without replacements.
_LEFT_OUT = ("method", "connections", "latency, ")
_OF_LEFT_OUT = re.compile(r" Latency: [^.]*\.")
# Told once where all rows share them.
_SHARED = ("workers", "users", "ran twice")
# Whose figures follow in a cell.
_WORKERS = re.compile(r"\b(\d+) workers?: ")
# Of settings: what a certain difference in requests per second says as well.
_THROUGHPUT, _CPU = (MEASURES[measure].head for measure in ("throughput", "cpu_us"))


def of_run(
    study: Study, figures_shown: Mapping[str, str], *, brief: bool = False, only: Listing | None = None
) -> Iterator[str]:
    """The finding of a run, its tables unless it is told in `brief`, and how it was measured.

    `figures_shown` are those to show by their addresses, with what they show; `only` is the one table that
    answers what the run asked, where the others do not matter. What replacing workers costs is left out of a
    run that compares servers as well: a longer one tells it, in docs/recycling.md.
    """
    if only is not None:
        yield from _answer(only)
        yield from _measured(study)
        return
    yield f"**{study.verdict.finding}**"
    yield ""
    recycling = study.recycling
    ranked = bool(study.verdict.tables)
    if not brief and not ranked:
        if recycling is not None and recycling.rows:
            yield from (recycling.basis, "", *_by_workers(recycling), "")
        if study.deploys is not None and study.deploys.rows:
            yield from (*by_scenario(study.deploys), "")
    for address, what in figures_shown.items():
        yield from (f"![{what}]({address})", "")
    if not brief:
        yield from rankings(study)
    yield from _measured(study)


def of_charts(study: Study, shown: Mapping[str, str]) -> Iterator[str]:
    """Charts by their addresses, each below what it shows, and how the run was measured."""
    for address, title in shown.items():
        yield from (f"**{title}**", "", f"![chart]({address})", "")
    yield from _measured(study)


def _by_workers(listing: Listing) -> list[str]:
    """The lines of a table; numbers of workers that each cell of a column tells stand in its head instead."""
    heads, rows = list(listing.columns), [row.texts() for row in listing.rows]
    for place, column in enumerate(zip(*rows, strict=True)):
        told = {tuple(_WORKERS.findall(text)) for text in column} - {()}
        if len(told) != 1:
            continue
        numbers = told.pop()
        heads[place] += f" ({'; '.join(numbers)} worker{'s' * (numbers != ('1',))})"
        for row in rows:
            row[place] = _WORKERS.sub("", row[place])
    return markdown_table(heads, rows, heads)


def _answer(listing: Listing) -> Iterator[str]:
    """A table with its finding."""
    yield from (f"**{listing.finding}**", "")
    sides = [row for row in listing.rows if isinstance(row, SidesRow)]
    if sides:
        yield from (*_beside(listing.basis, sides), "")
        return
    rows = [dict(zip(listing.columns, row.texts(), strict=True)) for row in listing.rows]
    shown = [name for name in listing.columns if not name.startswith(_LEFT_OUT)]
    shared = {name: {row[name] for row in rows} for name in shown if name in _SHARED and len(rows) > 1}
    alike = {name: texts.pop() for name, texts in shared.items() if len(texts) == 1}
    told = f" In all rows: {', '.join(f'{name} {text}' for name, text in alike.items())}." if alike else ""
    columns = [name for name in shown if name not in alike]
    yield from (f"{_OF_LEFT_OUT.sub('', listing.basis)}{told}", "", *markdown(listing, columns), "")


def _beside(basis: str, rows: Sequence[SidesRow]) -> Iterator[str]:
    """Ratios of two sides, a row for each configuration; the report has what they are ratios of."""
    of_each = [(counted(row.users, "user"), with_workers(row.workers)) for row in rows]
    shared = [text for text, *others in map(set, zip(*of_each, strict=True)) if not others]
    cells: dict[str, dict[str, str]] = {}
    for row, sizes in zip(rows, of_each, strict=True):
        load = ", ".join((row.scenario, *(size for size in sizes if size not in shared)))
        ratios = {"requests/s": row.throughput.text(), "CPU": row.cpu.text()}
        cells.setdefault(row.configuration, {}).update(
            {f"{load}: {what}": text for what, text in ratios.items()}
        )
    heads = list(dict.fromkeys(head for told in cells.values() for head in told))
    lines = [[name, *(told.get(head, MISSING) for head in heads)] for name, told in cells.items()]
    yield " ".join((basis, *([f"All at {', '.join(shared)}."] if shared else []), _tails(rows)))
    yield from ("", *markdown_table(["configuration", *heads], lines))


def _tails(rows: Sequence[SidesRow]) -> str:
    """The ratios of p99 that are certain."""
    certain = [
        f"{row.configuration} in {row.scenario} {row.p99.times()}"
        for row in rows
        if row.p99.low > MATERIAL or row.p99.high < 1 / MATERIAL
    ]
    return f"p99 is certainly another with {listed(certain)}." if certain else "No p99 is certainly another."


def _measured(study: Study) -> Iterator[str]:
    """How a run was measured, and what spoils all of it; the report has the advice."""
    yield " ".join(provenance(study.results.run, recycling=study.recycling is not None))
    yield from _warnings(study)


def _warnings(study: Study) -> Iterator[str]:
    for finding in study.findings:
        if finding.scenario is None and finding.severity == "warning":
            yield from ("", f"**Warning:** {finding.message}.")


def of_settings(study: Study) -> Iterator[str]:
    """What each setting is worth, and what it comes to together.

    A table has the settings that were shown to be something, by what they change; the others are named.
    """
    for each in (study, study.together):
        if each is None:
            continue
        yield from (f"**{each.settings.finding}**", "")
        listings = settings_tables(each.settings)
        rows = [_changed(listing.columns, row) for listing in listings for row in listing.rows]
        headings = ("configuration", "fate", "what it certainly changes", "what people say")
        yield from (*markdown_table(headings, [row for row in rows if row[1] != NOT_SHOWN], headings), "")
        if others := [name for name, fate, *_ in rows if fate == NOT_SHOWN]:
            yield from (f"Not shown: {', '.join(others)}.", "")
        if each is study:
            yield from (*_measured(each), "")
        else:  # of which nobody gives the command
            minutes = (each.results.run.wall_s or 0) / 60
            yield from (
                f"By the second run of the same command, in {minutes:.1f} minutes.",
                *_warnings(each),
                "",
            )


def _changed(columns: Sequence[str], row: SettingRow) -> tuple[str, str, str, str]:
    """A setting, its fate, the figures that are certainly better or worse, and whether a claim holds.

    CPU time per request is left out beside throughput that says the same.
    """
    name, fate, *measured = row.cells()
    certain = {head: cell for head, cell in zip(columns[2:], measured, strict=True) if cell.verdict}
    if _THROUGHPUT in certain and _CPU in certain and certain[_THROUGHPUT].verdict == certain[_CPU].verdict:
        del certain[_CPU]
    told = [cell.text if head == CONNECTIONS else f"{head} {cell.text}" for head, cell in certain.items()]
    claim = row.judged.claim if row.judged.facts.claim else ""
    return name.text, fate.text, "; ".join(told), claim


def rankings(study: Study) -> Iterator[str]:
    """Every ranking of a run in a row, then the memory; nothing where there is none.

    In a cell stands the rank, then of the best what ranks, which is CPU time per request where not every
    server was saturated, and of others the ratio to the best, each with its interval.
    """
    tables = study.verdict.tables
    if not tables and not study.verdict.capacity:
        return
    every: list[Ranking | CapacityTable] = [*tables, *study.verdict.capacity]
    ranked = {row.configuration for table in every for row in table.rows}
    names = [name for name in study.results.configurations if name in ranked]
    rows = [[_title(table), _basis(table), *_across(names, table)] for table in every]
    if tables:
        rows += [["memory at these loads", "PSS MiB", *(_memory(name, tables) for name in names)]]
    yield (
        "Rank: of the best what it goes by, of others their service over that of the best; with the 95 % "
        "interval. Equal ranks tie; ≥ is a lower bound. Rankings go by requests per second where every "
        "server was saturated, else by CPU time per request, of which less is more service."
    )
    yield from ("", *markdown_table(["load", "ranked by", *names], rows), "")
    if tables:
        yield _errors(tables)
        yield ""


def _title(table: Ranking | CapacityTable) -> str:
    if isinstance(table, CapacityTable):
        return (
            f"{table.scenario}, {table.arrivals} arrivals, p99 within {table.p99_ms:g} ms, "
            + with_workers(table.workers)
        )
    return f"{table.scenario}, {counted(table.users, 'user')}, {with_workers(table.workers)}"


def _basis(table: Ranking | CapacityTable) -> str:
    """What the table is ranked by."""
    if isinstance(table, CapacityTable):
        return "highest rate/s"
    return THROUGHPUT if table.metric == "throughput" else CPU


def _across(names: Sequence[str], table: Ranking | CapacityTable) -> list[str]:
    """For each configuration its rank, and its ratio to the best or what the best is ranked by."""
    rows = {row.configuration: dict(zip(table.columns, row.cells(), strict=True)) for row in table.rows}
    return [_told(rows[name], _basis(table)) if name in rows else MISSING for name in names]


def _told(row: Mapping[str, Cell], basis: str) -> str:
    """A row of a table in one cell."""
    if RATIO not in row:  # a search, whose rates are known to within its last step
        ranked = row[THROUGHPUT].text
    else:
        ratio = row[RATIO]
        ranked = ratio.text if ratio.detail else row[basis].text  # the best has no interval beside itself
    return ranked if row["rank"].missing else f"{row['rank'].text}: {ranked}"


def _memory(name: str, tables: Sequence[Ranking]) -> str:
    values = [row.pss_bytes for row in _rows(name, tables) if not pd.isna(row.pss_bytes)]
    if not values:
        return MISSING
    least, most = (figures(value / MIB) for value in (min(values), max(values)))
    return least if least == most else f"{least} to {most}"


def _rows(name: str, tables: Sequence[Ranking]) -> Iterator[RankedRow]:
    yield from (row for table in tables for row in table.rows if row.configuration == name)


def _errors(tables: Sequence[Ranking]) -> str:
    """Which configurations failed requests, and where."""
    failed = [
        f"{row.texts()[COLUMNS.index(ERRORS)]} of {row.configuration}'s in {_title(table)}"
        for table in tables
        for row in table.rows
        if row.error_rate > 0
    ]
    return f"Failed requests: {'; '.join(failed)}." if failed else "No request failed."


def provenance(run: Run, *, recycling: bool) -> Iterator[str]:
    """Sentences that say when, by which command and on which machine a run was measured."""
    over = "replacements" if recycling else counted(run.plan["repeats"], "repeat")
    if run.rotation is not None and run.rotation.sittings:
        over = "sittings"
    date = datetime.fromtimestamp(run.started, UTC)
    yield f"Measured on {date:%Y-%m-%d} by `{shown_command(command(run))}`"
    if run.wall_s:
        yield f"in {run.wall_s / 60:.1f} minutes"
    system, _, _ = run.host.system.partition("-")  # without the name of the kernel's build
    yield f"on {run.host.cpu}, {run.host.cpus} CPUs, {system}, launcher {run.launcher}."
    if not over.startswith("1 "):  # then there are none, or the table says over what
        yield f"Intervals are 95 % over {over}."
