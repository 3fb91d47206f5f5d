"""What to do about a verdict: how to serve, what its evidence leaves open, and what to measure next."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from analysis.recommend.evidence import Evidence, Kind, Known, Served, Tuned
from analysis.recommend.judging import within
from analysis.recommend.standing import Standing
from analysis.recommend.verdict import Candidate, Command
from analysis.words import assignments, counted, listed
from bench.model.requirements import Requirements
from targets.catalogue.configurations import WATCHDOG_S, Configuration
from targets.catalogue.recycling import NEVER, Recycling
from targets.inside import in_app

# What stands for the suite's app where no other was measured: the app of whoever copies the command.
YOURS = "app:app"
HOST, PORT = "127.0.0.1", 8000
# Modules of the suite that a command needs.
_MODULE = re.compile(r"\btargets\.(\w+)")
_MANAGER = (
    "a process manager that starts the server again each time it ends (systemd: Restart=always; a container: "
    "restart: always)"
)
# The replacements that the recycle plan wants of each cell, the seconds that it gives them, and the most
# that a cell can have.
_PLANNED, _SECONDS, _LONGEST_S = 20, 120, 3600
# Outcomes that more measuring may change.
_OPEN = ("not shown", "likely")
# Four times as many replacements halve an interval.
_TO_HALVE = 4
# Repeats that may tell apart what three could not.
_REPEATS = 10


def command(known: Known, required: Requirements) -> Command | None:
    """How to serve with a configuration as `required`; None where no cell served like that.

    The catalogue's entry renders it with the values that are required, and with the settings that were found
    worth it. Where the catalogue has none, it is the command that was measured, as it was.
    """
    served = _served(known, required)
    if served is None:
        return None
    replacing = required.restart != "none"
    if known.entry is None:
        return _as_measured(known, served)
    tuned = known.tuning.tuned
    entry = known.entry if tuned is None else tuned.entry
    workers = _workers(entry, served, required)
    recycling = _recycling(entry, required) if replacing else NEVER
    app = next((cell.app for cell in known.served if cell.app is not None), YOURS)
    words = entry.command(
        host=HOST,
        port=PORT,
        workers=workers,
        app=app,
        recycling=recycling,
        startup_timeout=known.startup_timeout_s or WATCHDOG_S,
    )
    by_app = replacing and entry.recycle == "app"
    needs = [f"targets/{module}.py of this suite, copied beside your app" for module in _modules(words)]
    if by_app:
        needs.append("targets/recycle.py of this suite, copied beside your app (docs/recycling.md)")
    if replacing and entry.recycle == "respawn" and workers == 1:
        needs.append(_MANAGER)
    needs += [f"as root: sysctl -w {name}={value}" for name, value in entry.sysctls.items()]
    if entry.stack != known.entry.stack:
        needs.append(f"an environment with other packages or another Python ({entry.stack})")
    return Command(
        configuration=known.name,
        line=_line(in_app.of_shell(entry.variables(NEVER)), words),
        app_lines=_app_lines(
            _recycle_after(required, entry) if by_app else (), in_app.lines(entry.environment)
        ),
        needs=tuple(needs),
        settings={**_settings(known, served, words), **_tuned(tuned), "workers": workers, **vars(recycling)},
        versions=_versions(known, words),
        tuned=None if tuned is None else tuned.figure,
        parts=() if tuned is None else tuned.parts,
        figures=known.tuning.figures,
        untried=known.tuning.untried,
    )


def _tuned(tuned: Tuned | None) -> dict[str, str | int | float | bool | None]:
    """The settings that differ from those that were compared."""
    if tuned is None:
        return {}
    return {key: getattr(tuned.entry, key) for key in ("keep_alive_s", "backlog", "loop", "parser")}


def changed(known: Known, required: Requirements) -> str | None:
    """The command that was measured, where the catalogue of today has another; else None."""
    served = _served(known, required)
    if served is None or known.entry is None:
        return None
    environment = known.entry.environment if served.environment is None else served.environment
    if known.entry.explains(served.words) and dict(environment) == dict(known.entry.environment):
        return None
    return _as_measured(known, served).line


def _served(known: Known, required: Requirements) -> Served | None:
    """The cell to go by: of those that did what is required the one with the most workers."""
    alike = [cell for cell in known.served if cell.replacing == (required.restart != "none")]
    # A server with one worker at most was measured with one, whatever is required.
    fitting = [cell for cell in alike if required.counts(cell.workers)] or alike
    return max(fitting, key=lambda cell: cell.workers, default=None)


def _workers(entry: Configuration, served: Served, required: Requirements) -> int:
    """As many as required, of a server that takes a number; else those measured, or found worth it."""
    if required.workers is None or not entry.takes_workers:
        return entry.serving(served.workers)
    return min(required.workers, entry.max_workers or required.workers)


def _recycling(entry: Configuration, required: Requirements) -> Recycling:
    if entry.recycle == "rss":
        return Recycling(max_rss_mib=required.max_rss_mib)
    jitter = required.max_requests_jitter if entry.takes_jitter else None
    return Recycling(required.max_requests, jitter)


def _as_measured(known: Known, served: Served) -> Command:
    words = [PurePath(served.words[0]).name, *served.words[1:]]
    return Command(
        configuration=known.name,
        line=_line(served.environment or {}, words),
        app_lines=(),
        needs=(
            "your own port and numbers: this is the command as it was measured, since the catalogue has no "
            f"{known.name} that works like it any more",
        ),
        settings={**_settings(known, served, words), "workers": served.workers},
        versions=_versions(known, words),
        figures=known.tuning.figures,
        untried=known.tuning.untried,
    )


def _line(variables: Mapping[str, str], words: Sequence[str]) -> str:
    """A line for the shell; modules of the suite are found beside the app."""
    return " ".join([*assignments(variables), shlex.join(_MODULE.sub(r"\1", word) for word in words)])


def _modules(words: Sequence[str]) -> list[str]:
    return sorted({name for word in words for name in _MODULE.findall(word)})


def _settings(
    known: Known, served: Served, words: Sequence[str]
) -> dict[str, str | int | float | bool | None]:
    """The settings in the order of verdict.json; what replaces workers is filled in where it is known."""
    return {
        "workers": None,
        "keep_alive_s": known.keep_alive_s,
        "backlog": known.backlog,
        "max_requests": None,
        "max_requests_jitter": None,
        "max_rss_mib": None,
        "preload": "--preload" in words,
        "loop": served.loop,
        "parser": served.parser,
    }


def _versions(known: Known, words: Sequence[str]) -> dict[str, str]:
    """Of the packages that a command names; Python and Sanic serve with every one."""
    names = {package: package.lower().replace("-", "_") for package in known.versions}
    return {
        package: version
        for package, version in known.versions.items()
        if names[package] in ("python", "sanic") or any(names[package] in word for word in words)
    }


def _app_lines(calls: Sequence[str], functions: Sequence[str]) -> tuple[str, ...]:
    """What an app of one's own says, as one writes a module."""
    return (*calls, *(("", "") if calls and functions else ()), *functions)


def _recycle_after(required: Requirements, entry: Configuration) -> tuple[str, ...]:
    """The lines of an app that replaces its workers itself."""
    given = {"max_requests": f"{required.max_requests:_}", "jitter": f"{required.max_requests_jitter:_}"}
    if (age := entry.environment.get(in_app.MINIMUM_AGE_S)) is not None:
        given["minimum_age_s"] = age
    arguments = ", ".join(f"{name}={value}" for name, value in given.items())
    return "from recycle import recycle_after", "", f"recycle_after(app, {arguments})"


@dataclass(frozen=True)
class Grounds:
    """All that a verdict was made of; `candidates` in their order."""

    evidence: Evidence
    required: Requirements
    standing: Standing
    candidates: tuple[Candidate, ...]
    recommended: tuple[str, ...]

    def read(self, kind: Kind) -> bool:
        """Whether there is a run of this kind, which may be of the other as well."""
        return any(kind in source.kind for source in self.evidence.runs)

    @property
    def own(self) -> tuple[str, ...]:
        """The variables of `make` that bring in what was measured instead of the suite's app and loads."""
        return next((source.own for source in self.evidence.runs if source.own), ())

    def named(self, outcome: str) -> list[str]:
        """The configurations with an outcome."""
        return [candidate.configuration for candidate in self.candidates if candidate.outcome == outcome]

    def undecided(self, *, p99: bool) -> list[str]:
        """The configurations that may still pass: what is open is `p99_ms`, or another requirement."""
        return [
            candidate.configuration
            for candidate in self.candidates
            if candidate.outcome in _OPEN
            and any(
                judgement.outcome in _OPEN and (judgement.requirement == "p99_ms") == p99
                for judgement in candidate.judgements
            )
        ]

    @property
    def unranked(self) -> list[str]:
        """The configurations that passed and have no rank, where there is something to rank."""
        ranks = {candidate.configuration: candidate.rank for candidate in self.candidates}
        passed = self.good
        return [name for name in passed if ranks[name] is None] if len(passed) > 1 else []

    @property
    def good(self) -> list[str]:
        """The configurations that passed; where none did, those that are likely to."""
        return self.named("passed") or self.named("likely")


def not_covered(grounds: Grounds) -> Iterator[str]:
    """What the verdict does not say."""
    if not grounds.read("recycling"):
        yield "No run of recycling was read: nothing is known of replaced, killed or stopped workers."
    if not grounds.read("performance"):
        yield "No run of performance was read: nothing is known of speed."
    yield from _scenarios(grounds)
    yield from _numbers_of_workers(grounds)
    yield from _filled_in(grounds)
    undecided = [name for outcome in _OPEN for name in grounds.named(outcome) if name not in grounds.good]
    if grounds.recommended and undecided:
        yield f"These may meet the requirements as well, which is not shown: {', '.join(undecided)}."
    if grounds.recommended and grounds.unranked:
        yield f"These could not be ranked, and may perform better: {', '.join(grounds.unranked)}."
    yield from grounds.evidence.gaps


def _scenarios(grounds: Grounds) -> Iterator[str]:
    evidence = grounds.evidence
    ranked = [table.scenario for table in grounds.standing.performance]
    recycled = {cell.scenario for known in evidence.configurations for cell in known.recycled}
    parts = [f"{grounds.standing.noun} in {listed(ranked)}"] if ranked else []
    parts += [f"replaced workers in {listed(sorted(recycled))}"] if recycled else []
    own = {source.app for source in evidence.runs if source.app}
    others = f"no app but {listed(sorted(own))}" if own else "not your app"
    if parts:
        yield f"Measured were {', and '.join(parts)}: no other handlers, and {others}."
    suites = [source.kind for source in evidence.runs if source.app is None]
    if own and suites:
        yield f"The run of {listed(list(suites))} measured the suite's own app: yours may behave differently."


def _numbers_of_workers(grounds: Grounds) -> Iterator[str]:
    """With how many workers configurations were compared, and workers were replaced."""
    ranked = {table.workers for table in grounds.standing.performance}
    recycled = {cell.workers for known in grounds.evidence.configurations for cell in known.recycled}
    parts = [f"{grounds.standing.noun} was compared with {_counts(ranked)}"] if ranked else []
    parts += [f"workers were replaced with {_counts(recycled)}"] if recycled else []
    if parts:
        text = " and ".join(parts)
        yield f"{text[0].upper()}{text[1:]}; other numbers of workers may give other results."


def _counts(workers: set[int]) -> str:
    *others, last = sorted(workers)
    return " and ".join([*map(str, others), counted(last, "worker")])


def _filled_in(grounds: Grounds) -> Iterator[str]:
    """What the recommended command has and no run measured."""
    if not grounds.recommended:
        return
    required = grounds.required
    known = [one for one in grounds.evidence.configurations if one.name in grounds.recommended]
    measured = {cell.max_requests for one in known for cell in one.recycled} - {None}
    if required.restart != "none" and measured and required.max_requests not in measured:
        counts = listed([f"{count:,}" for count in sorted(filter(None, measured))])
        yield (
            f"Workers were replaced after {counts} requests, to see many replacements; the "
            f"{required.max_requests:,} of the command were not measured."
        )
    for one in known:
        line = changed(one, required)
        if line is not None:
            yield f"{one.name} was measured by another command than the catalogue has today: {line}"
    if required.workers is None:
        yield "The command has as many workers as were measured: choose yours with --workers."


def measure(grounds: Grounds) -> Iterator[str]:
    """Commands that would close the gaps, the most useful first; each can be typed as it is."""
    lacking = grounds.undecided(p99=False)
    if grounds.recommended and set(grounds.recommended) <= set(lacking):
        lacking = list(grounds.recommended)  # what would make the answer sure, first of all
    if grounds.required.restart != "none" and not grounds.read("recycling"):
        yield " ".join(["make recycle", *grounds.own])
    elif lacking:
        yield _recycle(grounds, lacking)
    if not grounds.read("performance"):
        yield " ".join(["make bench", *grounds.own])
        return
    ranked = list(grounds.standing.weights)
    # The quick plan has no open loop in which workers stay.
    plan = "full" if grounds.required.first == "tail" else None
    late = grounds.undecided(p99=True)
    if late:
        # The plan that has closed loops, which rank, and open ones, by which this is judged.
        yield _bench(grounds, late, [*grounds.required.p99_ms, *ranked], plan="full")
    if len(grounds.recommended) > 1:
        repeats = max(_REPEATS, 2 * len(grounds.standing.scores))
        yield _bench(grounds, grounds.recommended, ranked, plan=plan, repeats=repeats)
    elif grounds.unranked:
        yield _bench(grounds, grounds.good, ranked, plan=plan, repeats=_REPEATS)


def _recycle(grounds: Grounds, names: Sequence[str]) -> str:
    """The recycle plan for some configurations, with as many replacements as it takes."""
    known = [one for one in grounds.evidence.configurations if one.name in names]
    wanted = max([_PLANNED, *(count for one in known for count in _replacements(one, grounds.required))])
    line = " ".join(["make recycle", *grounds.own, f"CONFIGURATIONS={','.join(names)}"])
    if wanted > _PLANNED:
        line += f" REPLACEMENTS={wanted} DURATION={min(_LONGEST_S, _SECONDS * wanted // _PLANNED)}"
    return line


def _replacements(known: Known, required: Requirements) -> Iterator[int]:
    """Replacements in each cell that would decide what is lost, if it stays as it is."""
    for price in known.prices:
        limits = ((required.lost_per_1000, price.ran), (required.retryable_per_1000, price.retryable))
        for limit, rate in limits:
            if limit is None:
                continue
            if within(rate, price.recycles, limit, required.enough_recycles) not in _OPEN:
                continue
            yield required.enough_recycles if rate.lost == 0 else _TO_HALVE * price.recycles


def _bench(
    grounds: Grounds,
    names: Sequence[str],
    scenarios: Sequence[str],
    *,
    plan: str | None = None,
    repeats: int | None = None,
) -> str:
    # A locustfile of one's own is the only scenario.
    theirs = any(variable.startswith("SCENARIO=") for variable in grounds.own)
    variables = {
        "PLAN": plan,
        "CONFIGURATIONS": ",".join(names),
        "SCENARIOS": None if theirs else ",".join(dict.fromkeys(scenarios)),
        "WORKERS": grounds.required.workers,
        "REPEATS": repeats,
    }
    given = (f"{name}={value}" for name, value in variables.items() if value)
    return " ".join(["make bench", *grounds.own, *given])
