"""What a campaign has to show: how often each kind of run and each strike was tried, and what came of it."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.model.documents import TRUST, ShownTable, markdown, replace
from bench.model.files import write_json
from tests.faults.campaign import Record, records, told

FILE = "table.json"
MARKER = "faults"
OUTCOMES = ("held", "failed, held once mended", "failed", "never due")


def outcome(record: Record) -> str:
    """One of `OUTCOMES`. What was never due found its run over, three times."""
    if record["problems"]:
        return "failed"
    if record.get("earlier"):
        return "failed, held once mended"
    return "held" if record["struck"] else "never due"


def counted(found: Iterable[Record], of: Callable[[Record], str]) -> dict[str, dict[str, int]]:
    """How many of what `of` names were tried, and had each outcome; the most frequent first."""
    rows: dict[str, Counter[str]] = {}
    for record in found:
        rows.setdefault(of(record), Counter()).update(("tried", outcome(record)))
    most_first = sorted(rows.items(), key=lambda row: (-row[1]["tried"], row[0]))
    return {name: {each: row[each] for each in ("tried", *OUTCOMES)} for name, row in most_first}


def of_kind(record: Record) -> str:
    return str(record["fault"]["kind"])


def of_strike(record: Record) -> str:
    return str(record["fault"]["strike"])


def whom(record: Record) -> str:
    return record["fault"]["role"] or "all of it"


def written(folder: Path) -> dict[str, Any]:
    """Write `table.json` beside the records of a campaign; returns what it says."""
    found = list(records(folder).values())
    table = {
        "campaign": told(folder),
        "kinds": counted(found, of_kind),
        "strikes": counted(found, lambda record: f"{whom(record)}: {of_strike(record)}"),
    }
    write_json(folder / FILE, table)
    return table


def tables(found: Sequence[Record]) -> list[ShownTable]:
    """By kind of run, and by what was done to whom; outcomes that none had are left out."""
    shown = [each for each in OUTCOMES if each == "held" or any(outcome(one) == each for one in found)]

    def rows(names: Mapping[str, Mapping[str, int]]) -> list[tuple[str, ...]]:
        every = Counter[str]()
        for counts in names.values():
            every.update(counts)
        told = [*names.items(), *([("all", every)] if len(names) > 1 else [])]
        return [(name, *(str(counts[each]) for each in ("tried", *shown))) for name, counts in told]

    strikes = counted(found, of_strike)
    struck = {name: Counter(whom(each) for each in found if of_strike(each) == name) for name in strikes}
    met = {
        name: ", ".join(f"{each} {count}" for each, count in sorted(roles.items()))
        for name, roles in struck.items()
    }
    return [
        ShownTable("By kind of run", ("run", "tried", *shown), rows(counted(found, of_kind))),
        ShownTable(
            "By what was done",
            ("fault", "tried", *shown, "whom it struck"),
            [(*row, met.get(row[0], "")) for row in rows(strikes)],
        ),
    ]


def provenance(campaign: Mapping[str, Any], count: int) -> str:
    """When, by which command and where it was tried; of a campaign that was cut short, how many it tried."""
    date, machine = datetime.fromtimestamp(campaign["began"], UTC), campaign["host"]
    whole = f"FAULTS={count} " in campaign["command"]
    return (
        f"Tried on {date:%Y-%m-%d} by `{campaign['command']}`{'' if whole else f', {count} of them,'} in "
        f"{campaign['minutes']:.0f} minutes on "
        f"{machine['cpu']}, {machine['cpus']} CPUs, {machine['system']}."
    )


def document(folders: Sequence[Path], page: Path = TRUST) -> None:
    """Put campaigns into bench/studies/README.md, one after the other.

    Raises:
        UserError: a folder has none, or the page no markers.
    """
    parts = []
    for folder in folders:
        found = list(records(folder).values())
        parts.append(markdown(tables(found), provenance(told(folder), len(found))))
    replace(page, {MARKER: "\n\n".join(parts)})
