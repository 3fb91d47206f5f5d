"""From the studies of two runs to the evidence of a verdict: the only part that knows their frames."""

import shlex
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

import pandas as pd

from analysis import reproduction
from analysis.recommend.evidence import (
    NOTHING,
    Evidence,
    Kind,
    Known,
    Latency,
    Outcome,
    Rate,
    Recycled,
    ReplacementPrice,
    Replacing,
    Seen,
    Served,
    Source,
)
from analysis.recommend.gaps import gaps
from analysis.recommend.performance import delivered, tails, weighed, with_variants
from analysis.recommend.tuning import tuning
from analysis.recycling import QUESTIONS
from analysis.recycling.limits import TIMES_N
from analysis.recycling.requests import rate
from analysis.study import Study
from analysis.words import MIB, MISSING, counted
from bench.model.records.run import Configuration, Run
from bench.model.requirements import First
from targets.catalogue import configurations as targets

# What a variant that a request can tell from its parent is expected to change.
_OF_REQUESTS = {"throughput", "cpu", "tail"}
MEMORY, KILLED, TERMINATED = QUESTIONS[5:8]
# What the verdicts of the deciding table say to a requirement.
_ANSWERS: dict[str, Outcome] = {"good": "passed", "bad": "failed"}
# Packages whose versions decide what a command does.
_SERVERS = ("sanic", "uvicorn", "uvicorn-worker", "gunicorn", "granian", "hypercorn")


def kinds(run: Run) -> tuple[Kind, ...]:
    """What a run measured: how fast servers are, the replacing of workers, or both.

    Where a plan says when workers are replaced, it replaces them in all of its open loops.
    """
    loads = run.plan.get("scenarios", {}).values()
    if not run.plan.get("recycling"):
        return ("performance",)
    fast = any(load.get("users") for load in loads)
    replaced = any(load.get("open") for load in loads) or bool(run.plan.get("probes"))
    measured: dict[Kind, bool] = {"performance": fast, "recycling": replaced}
    return tuple(kind for kind, is_measured in measured.items() if is_measured) or ("recycling",)


def of_kind(studies: Iterable[Study], kind: Kind) -> tuple[Study, ...]:
    """The runs that measured something, those that measured nothing else first."""
    found = [study for study in studies if kind in kinds(study.results.run)]
    return tuple(sorted(found, key=lambda study: len(kinds(study.results.run))))


def read(
    performance: Study | None,
    *recycling: Study | None,
    tried: Sequence[Study] = (),
    first: First | None = None,
) -> Evidence:
    """All that some runs show together; each may be missing. Aliases are no choice, and left out.

    How workers are replaced is read, for each configuration, from the first of `recycling` that measured it;
    what its settings are worth, from those that `tried` some, the latest first; which of them a command has
    follows what comes `first`, where anybody says so.
    """
    replacing = [study for study in recycling if study is not None]
    studies = list(dict.fromkeys(study for study in (performance, *replacing) if study is not None))
    entries: dict[str, Configuration] = {}
    # A run of recycling has tested what it says of how workers are replaced.
    for study in reversed(studies):
        for entry in study.results.run.configurations:
            entries.setdefault(entry.name, entry)
    aliases = {alias for study in studies for alias in study.results.run.plan.get("aliases", {})}
    measured = {str(name) for study in studies for name in study.results.cells["configuration"]}
    considered = [name for name in entries if name in measured - aliases]
    fast = [] if performance is None else [performance]
    variants, suites = _variants(studies, considered), targets.load()
    return Evidence(
        runs=tuple(_source(study.results.run) for study in studies),
        configurations=tuple(
            replace(
                _known(entries[name], performance, _measured_by(replacing, name)),
                tuning=tuning(name, entries[name].recycle, tried, first, suites=suites),
            )
            for name in considered
        ),
        performance=with_variants([each for study in fast for each in delivered(study, aliases)], variants),
        # Nothing says that a variant needs as much memory as its base.
        memory=tuple(each for study in fast for each in weighed(study, aliases)),
        tail=with_variants([each for study in fast for each in tails(study, aliases)], variants),
        server_cpus=None if performance is None else len(performance.results.run.cpu_split.server),
        gaps=tuple(gaps(studies, considered)),
    )


def _measured_by(studies: Sequence[Study], name: str) -> Study | None:
    """The first of the runs of recycling that has a cell of a configuration; else the first of all."""
    for study in studies:
        cells = study.results.cells
        if ((cells["configuration"] == name) & (cells["treatment"] != "none")).any():
            return study
    return studies[0] if studies else None


def _variants(studies: Sequence[Study], considered: Collection[str]) -> dict[str, str]:
    """Configurations that a request cannot tell from another, each with that other."""
    every = [entry for study in studies for entry in study.results.run.configurations]
    return {
        entry.name: entry.variant_of
        for entry in every
        if entry.variant_of
        and entry.name in considered
        and (entry.variant is None or not _OF_REQUESTS.intersection(entry.variant.expects))
    }


def _source(run: Run) -> Source:
    host = run.host
    return Source(
        run=run.run,
        kind=" and ".join(kinds(run)),
        started=run.started,
        plan=str(run.plan.get("name", "unnamed")),
        command=reproduction.command(run),
        app=run.app,
        launcher=run.launcher,
        methodology=run.methodology,
        hostname=host.hostname,
        cpu=host.cpu,
        cpus=host.cpus,
        own=reproduction.own(run),
        behind=run.behind,
    )


def _known(entry: Configuration, performance: Study | None, recycling: Study | None) -> Known:
    studies = list(dict.fromkeys(study for study in (performance, recycling) if study is not None))
    patience = [study.results.run.plan.get("startup_timeout_s") for study in studies]
    replaced = () if recycling is None else tuple(_recycled(recycling, entry.name))
    of_today = _entry(entry, studies)
    return Known(
        name=entry.name,
        recycle=entry.recycle,
        keep_alive_s=entry.keep_alive_s,
        backlog=entry.backlog,
        entry=of_today,
        ended=None if of_today is None else of_today.ended,
        startup_timeout_s=max((limit for limit in patience if limit is not None), default=None),
        versions=_versions(studies, entry.stack),
        served=tuple(each for study in studies for each in _served(study, entry.name)),
        recycled=replaced,
        prices=() if recycling is None else tuple(_prices(recycling, entry.name)),
        latencies=() if performance is None else tuple(_latencies(performance, entry.name)),
        memory=_seen(recycling, entry.name, MEMORY),
        killed=_seen(recycling, entry.name, KILLED),
        terminated=_seen(recycling, entry.name, TERMINATED),
        answers=next((seen for study in studies if (seen := _answers(study, entry.name))), NOTHING),
    )


def _entry(recorded: Configuration, studies: Sequence[Study]) -> targets.Configuration | None:
    """The configuration in the catalogue of today that the runs chose from; it renders commands."""
    chosen = next((study for study in studies if study.results.run.plan.get("catalogue")), studies[0])
    found = None if chosen.catalogue is None else chosen.catalogue.configurations.get(recorded.name)
    return found if found is not None and found.recycle == recorded.recycle else None


def _answers(study: Study, name: str) -> Seen | None:
    """That a configuration answered no request of a run with success; None where it did, or has no cell."""
    mine = study.summary[study.summary["configuration"] == name]
    failed = int(mine["failures"].sum())
    if mine["requests"].any() or not failed:
        return None
    cells = tuple(_path(study, path) for path in study.results.cells.loc[mine.index, "path"])
    return Seen("failed", f"all {counted(failed, 'request')} failed", cells)


def _versions(studies: Sequence[Study], stack: str | None) -> dict[str, str]:
    """The Python and the servers that a stack had in the first run that used it."""
    for study in studies:
        found = study.results.run.stacks.get(stack or "")
        if found is not None:
            servers = {name: v for name, v in found.packages.items() if name.lower() in _SERVERS}
            return {"python": found.python, **servers}
    return {}


def _served(study: Study, name: str) -> Iterator[Served]:
    """The commands of a configuration, one for each number of workers, replaced or not.

    A command under which workers were not replaced as they should have been is left out.
    """
    finished = study.results.finished
    cells = finished[finished["configuration"] == name]
    recycling = study.recycling
    cells = cells.assign(replacing=cells["treatment"] == "recycled")
    if recycling is not None:
        idle = recycling.cells["verdict"].reindex(cells.index) != "recycles"
        cells = cells[~(cells["replacing"] & idle)]
    for _, row in cells.drop_duplicates(["workers", "replacing"]).iterrows():
        yield Served(
            workers=int(row["workers"]),
            words=tuple(shlex.split(row["command"])),
            parser=None if pd.isna(row["parser"]) else str(row["parser"]),
            loop=None if pd.isna(row["loop"]) else str(row["loop"]),
            replacing=bool(row["replacing"]),
            environment=row["environment"],
            app=None if pd.isna(row["app"]) else str(row["app"]),
        )


def _recycled(study: Study, name: str) -> Iterator[Recycled]:
    """Every cell in which a configuration was to replace its workers; one that failed is broken."""
    cells, recycling = study.results.cells, study.recycling
    if recycling is None:
        return
    mine = cells[(cells["configuration"] == name) & (cells["treatment"] == "recycled")]
    for (_, row), cell in zip(mine.iterrows(), mine.index, strict=True):
        outcome: Replacing = "broken"
        reason, stall_s = str(row["reason"]).partition("\n")[0], float("nan")
        if row["status"] != "failed":
            judged = recycling.cells.loc[cell]
            lives = recycling.lives[(recycling.lives["cell"] == cell) & recycling.lives["ready"].notna()]
            outcome = _outcome(str(judged["verdict"]), row, lives)
            reason, stall_s = str(judged["reason"]), float(judged["gap_s"])
        yield Recycled(
            cell=_path(study, row["path"]),
            scenario=str(row["scenario"]),
            workers=int(row["workers"]),
            outcome=outcome,
            reason=reason,
            stall_s=stall_s,
            max_requests=None if pd.isna(row["max_requests"]) else int(row["max_requests"]),
        )


def _outcome(verdict: str, cell: pd.Series, lives: pd.DataFrame) -> Replacing:
    """The verdict on a cell; a worker that served enough requests and was not replaced is evidence."""
    if verdict == "recycles":
        return "replaced"
    if verdict == "broken":
        return "broken"
    enough = (
        lives["rss_peak_bytes"].max() / MIB >= cell["max_rss_mib"]
        or lives["served"].max() >= TIMES_N * cell["max_requests"]
    )
    return "not replaced" if enough else "too few"


def _prices(study: Study, name: str) -> Iterator[ReplacementPrice]:
    """What replacing workers cost, for each kind of connection and number of workers.

    All scenarios and repeats together, as in the deciding table.
    """
    recycling = study.recycling
    if recycling is None:
        return
    cells = recycling.cells
    sound = cells[
        (cells["configuration"] == name)
        & (cells["treatment"] == "recycled")
        & (cells["verdict"] == "recycles")
        & (cells["replaced"] > 0)
    ]
    for _, group in sound.groupby(["keep_alive", "workers"]):
        replaced = recycling.replacements
        done = replaced[replaced["cell"].isin(group.index) & replaced["new_pid"].notna()]
        lost = recycling.losses[recycling.losses["cell"].isin(group.index)]
        ran = lost["handled"] != "no"
        yield ReplacementPrice(
            connections="keep-alive" if group["keep_alive"].iloc[0] else "per-request",
            workers=int(group["workers"].iloc[0]),
            recycles=len(done),
            ran=_rate(lost[ran], done),
            retryable=_rate(lost[~ran], done),
            cells=tuple(_path(study, path) for path in study.results.cells.loc[group.index, "path"]),
        )


def _rate(lost: pd.DataFrame, done: pd.DataFrame) -> Rate:
    """Some lost requests over replacements; those that fell into none of them are spread over all."""
    counts = lost.dropna(subset="replacement").groupby(["cell", "replacement"]).size()
    places = pd.MultiIndex.from_frame(done[["cell", "number"]])
    of_each = counts.reindex(places).fillna(0)
    per_1000, low, high = (1000 * each for each in rate(of_each, len(lost) - int(of_each.sum())))
    return Rate(len(lost), per_1000, low, high)


def _seen(study: Study | None, name: str, question: str) -> Seen:
    """What the deciding table answers to a question."""
    if study is None or study.recycling is None:
        return NOTHING
    for row in study.recycling.configurations:
        answer = row.answers[QUESTIONS.index(question)]
        if row.configuration == name and answer.text != MISSING:
            paths = tuple(_path(study, path) for path in answer.evidence)
            return Seen(_ANSWERS.get(answer.verdict, "not shown"), answer.text, paths)
    return NOTHING


def _latencies(study: Study, name: str) -> Iterator[Latency]:
    """The open loops of the plan in which a configuration was measured."""
    rates = study.rates[(study.rates["configuration"] == name) & (study.rates["treatment"] == "none")]
    cells = study.results.finished
    plain = (cells["treatment"] == "none") & cells["search_p99_ms"].isna()
    cells = cells[(cells["configuration"] == name) & plain]
    for _, row in rates.iterrows():
        same = [cells[key] == row[key] for key in ("scenario", "workers", "arrivals", "rate_per_s", "users")]
        mine = cells[pd.concat(same, axis=1).all(axis=1)]
        yield Latency(
            scenario=str(row["scenario"]),
            workers=int(row["workers"]),
            arrivals=str(row["arrivals"]),
            rate_per_s=float(row["rate_per_s"]),
            p99_ms=float(row["schedule_p99_us"]) / 1000,
            low_ms=float(row["schedule_p99_us_low"]) / 1000,
            high_ms=float(row["schedule_p99_us_high"]) / 1000,
            achieved=float(row["achieved"]),
            error_rate=float(row["error_rate"]),
            busy=float(row["busy"]),
            cells=tuple(_path(study, path) for path in mine["path"]),
        )


def _path(study: Study, path: str) -> str:
    """A cell's folder below `results/`."""
    return f"{study.results.run.run}/{path}"
