"""What several runs answer together, as lines of Markdown: verdict, other requirements, old claims."""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from analysis.claims import Claims
from analysis.rankings.ranking import RATIO, THROUGHPUT, Ranking
from analysis.recommend import Command, Verdict, judge, stated
from analysis.recommend.evidence import Source
from analysis.recommend.reading import of_kind
from analysis.recycling.model import Recycling
from analysis.study import Study
from analysis.table import markdown
from analysis.words import MISSING, Value, counted, listed
from bench.model.documents import markdown_table
from bench.model.requirements import combined

# Of the recommended configurations, beside what they serve.
FIGURES = ("lost per 1000 recycles, keep-alive", "longest stall", "memory bound held")
# What a reader in a hurry needs of the verdict's table; the reason has the figure.
_COLUMNS = ("configuration", "requirements", "why")
# Of a claim: its runs are named once, below all, and the source of all is one discussion.
_CLAIMED = ("claim", "today", "measured")
# Where the figure of each setting stands, from the README.
_SETTINGS = "[figures](docs/settings.md#measured)"
_BEHIND = "--behind"
# What people require, by the options of `bench verdict` that ask for it.
_SITUATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "workers are replaced after N requests; nothing is lost whose handler ran": ("", {}),
    "the first, and a killed worker is replaced": ("--survive-kill", {"survive_kill": True}),
    "the first, and nothing is lost before a handler ran either": (
        "--retryable-per-1000 0",
        {"retryable_per_1000": 0.0},
    ),
    "all three": (
        "--survive-kill --retryable-per-1000 0",
        {"survive_kill": True, "retryable_per_1000": 0.0},
    ),
    "the first, and 99 % of awaited I/O (`sleep`, 10 ms) within 50 ms at every measured rate": (
        "--p99-ms sleep=50",
        {"p99_ms": {"sleep": 50.0}},
    ),
    "the first, and memory counts, not speed": ("--first memory", {"first": "memory"}),
    "the first, and what gets no more fixes may be used": ("--no-maintained", {"maintained": False}),
    "workers are replaced at a size in memory": ("--restart memory", {"restart": "memory"}),
    "no worker need be replaced: speed alone": ("--restart none", {"restart": "none"}),
    "speed alone, of whatever age": (
        "--restart none --no-maintained",
        {"restart": "none", "maintained": False},
    ),
    "speed alone; awaited I/O (`sleep`) counts three times as much as `index`, nothing else counts": (
        "--restart none --weights sleep=3,index=1",
        {"restart": "none", "weights": {"sleep": 3.0, "index": 1.0}},
    ),
}


def answer(verdict: Verdict, studies: Sequence[Study], behind: Mapping[str, Verdict]) -> Iterator[str]:
    """The finding, the command of each recommended configuration, its figures, and where they come from.

    `behind` has the verdict for clients that come through a proxy, by its name.
    """
    yield f"**{verdict.finding}**"
    yield ""
    for command in verdict.commands:
        yield from _command(command)
    yield from _figures(verdict, studies)
    yield from _behind(verdict, behind)
    for text in verdict.caveats:
        yield from (f"> **Note:** {text}.", "")
    yield f"Required: {verdict.requirements.text}."
    yield ""
    runs = {source.run: source for each in (verdict, *behind.values()) for source in each.runs}
    yield f"Read: {'; '.join(map(_source, runs.values()))}."


def _behind(verdict: Verdict, behind: Mapping[str, Verdict]) -> Iterator[str]:
    """The findings for clients that come through a proxy; proxies of one finding stand together."""
    proxies: dict[str, list[str]] = {}
    for proxy, other in behind.items():
        proxies.setdefault(other.finding, []).append(proxy)
    for finding, names in proxies.items():
        asked = " or ".join(f'`make verdict ARGUMENTS="{_BEHIND} {name}"`' for name in names)
        same = f"the same, {listed(list(verdict.recommended))}." if finding == verdict.finding else finding
        yield f"**Behind {listed(names)}** ({asked}): {same}"
        yield ""


def _command(command: Command) -> Iterator[str]:
    yield from ("```sh", command.line, "```", "")
    if command.app_lines:
        yield from ("and in the module that makes the app:", "", "```py", *command.app_lines, "```", "")
    yield from (f"* Needs {need}." for need in command.needs)
    figures = command.figures
    kept = [f"{counted(len(figures), 'more setting')} measured, none of it in this command ({_SETTINGS})"]
    told = (*command.carried, *(kept if figures else ()), *command.open)
    yield from (f"* {text[0].upper()}{text[1:]}." for text in told)
    yield f"* {command.configuration}: {command.settings_text}."
    yield f"* Measured with {command.versions_text}."
    yield ""


def _figures(verdict: Verdict, studies: Sequence[Study]) -> Iterator[str]:
    """What the recommended serve in the first ranking, and what replacing their workers costs."""
    ranked = next((study.verdict.tables[0] for study in studies if study.verdict.tables), None)
    recycling = next((study.recycling for study in of_kind(studies, "recycling")), None)
    if not verdict.recommended or ranked is None:
        return
    headings = ["configuration", f"{RATIO} and requests/s in {ranked.title}", *(FIGURES if recycling else ())]
    rows = [[name, _served(name, ranked), *_recycled(name, recycling)] for name in verdict.recommended]
    yield from (*markdown_table(headings, rows, headings), "")


def _served(name: str, ranked: Ranking) -> str:
    """Its ratio to the best, and its requests per second beside that."""
    cells = next((row.cells() for row in ranked.rows if row.configuration == name), None)
    if cells is None:
        return MISSING
    told = dict(zip(ranked.columns, cells, strict=True))
    return f"{told[RATIO].text}; {told[THROUGHPUT].shown}"


def _recycled(name: str, recycling: Recycling | None) -> list[str]:
    """The answers to `FIGURES`; none where nothing was recycled."""
    if recycling is None:
        return []
    found = [row.texts() for row in recycling.configurations if row.configuration == name]
    answers = dict(zip(recycling.columns, found[0], strict=True)) if found else {}
    return [answers.get(question, MISSING) for question in FIGURES]


def reasons(verdict: Verdict) -> Iterator[str]:
    """Why each configuration is recommended or is not, and what was not measured."""
    yield from markdown(verdict, _COLUMNS)
    yield from ("", f"Not covered by this ({len(verdict.not_covered)}):", "")
    yield from (f"* {text}" for text in verdict.not_covered)


def _source(source: Source) -> str:
    date = datetime.fromtimestamp(source.started, UTC)
    return (
        f"{source.kind} of {date:%Y-%m-%d} (`{source.run}`, by `{source.command}`) on "
        f"{source.cpu}, {counted(source.cpus, 'CPU')}, launcher {source.launcher}"
    )


def situations(studies: Sequence[Study], behind: Mapping[str, Verdict]) -> Iterator[str]:
    """The same evidence under other requirements: what is required, what to use then, the next, the options.

    Limits on latency are left out where no open loop was measured, which alone can tell. `behind` has the
    verdict for clients that come through a proxy, by its name.
    """
    rates = [study.rates for study in studies]
    opened = {scenario for rows in rates for scenario in rows.loc[rows["treatment"] == "none", "scenario"]}
    headings = ("required", "use", "the next", "`make verdict ARGUMENTS=`")
    rows = [
        (required, *_found(_judged(studies, instead)), f"`{options}`" if options else "")
        for required, (options, instead) in _SITUATIONS.items()
        if opened.issuperset(instead.get("p99_ms", ()))
    ]
    rows[1:1] = [
        (f"the first, for clients that come through {proxy}", *_found(verdict), f"`{_BEHIND} {proxy}`")
        for proxy, verdict in behind.items()
    ]
    yield from markdown_table(headings, rows, headings)


def _judged(studies: Sequence[Study], instead: dict[str, Any]) -> Verdict:
    return judge(studies, combined(stated(studies), instead))


def _found(verdict: Verdict) -> tuple[str, str]:
    """What to use, and how much of what it is ranked by the next has beside the best of these."""
    for each in verdict.candidates:
        versus = each.performance
        if each.rank is None or versus is None or each.configuration in verdict.recommended:
            continue
        low, high = (math.nan if bound is None else bound for bound in (versus.low, versus.high))
        return _use(verdict), f"{each.configuration}: {Value(versus.ratio, low, high).times()}"
    return _use(verdict), MISSING


def _use(verdict: Verdict) -> str:
    """The recommended, or those that more measuring may show to do."""
    if not verdict.recommended:
        possible = [each.configuration for each in verdict.candidates if each.outcome != "failed"]
        return f"none so far; {listed(possible)} may do" if possible else "none"
    tie = ", which tie" if verdict.decision == "tie" else ""
    return f"{listed(list(verdict.recommended))}{tie}{', provisionally' if verdict.provisional else ''}"


def claims(answered: Claims) -> Iterator[str]:
    """What people said in the discussion, beside what was measured, and how many claims hold in all.

    What is said of a setting stands in docs/settings.md, beside its figures.
    """
    discussed = Claims(tuple(row for row in answered.rows if not row.variant))
    yield " ".join(filter(None, (answered.told.finding, answered.basis, answered.untold)))
    yield ""
    yield from markdown(discussed, _CLAIMED)
    runs = dict.fromkeys(run for row in answered.rows for run in row.answer.runs)
    if runs:
        yield from ("", f"Runs: {', '.join(runs)}.")
