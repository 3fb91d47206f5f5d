"""What the load generator itself can reach: the same scenario, users and CPUs against a null server.

A throughput near this ceiling may be the generator's and not the server's. The null server's answers are
those of a real one (the *reference*), so that the scenario's checks pass. While a ceiling is measured, the
reference only answers requests that the null server has not seen before.
"""

import csv
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from math import isnan
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from bench.experiment.generator.session import CellError, Load
from bench.experiment.rig import Rig
from bench.launch.nullserver import NullServer, NullServerError
from bench.launch.server import ServerError
from bench.machine.cpus import CpuSplit
from bench.machine.host import HOST_FIELDS, cpu_times
from bench.model.plans.plan import Plan
from bench.model.records.cell import Generator
from bench.stats.counters import growth, rate
from targets.catalogue.configurations import Configuration

WARMUP_S, MEASURED_S = 0.3, 1
# A generator that is busier than this share of its CPUs has reached what it can do.
FULL = 0.9
# At most so many windows, if a request was new to the null server or other processes disturbed the window.
_ATTEMPTS = 2
# If other processes took more than this share of the CPUs of server and generator, the ceiling is not kept.
DISTURBED = 0.1
# How far from the edges of the window the generator's reports may be, in seconds: on a busy machine they are
# late, but two of them still give a rate.
_EDGE_S = 0.75
# For estimates: a cell beyond warm-up and window (alignment to whole seconds, stopping), and the reference.
_CELL_S, _REFERENCE_S = 1.0, 2.0


@dataclass(frozen=True)
class Usage:
    """CPU seconds used until some time (Unix): by the null server, and by all on the CPUs of both sides."""

    at: float
    server_s: float
    all_s: float


class NoCeilingError(Exception):
    """A ceiling could not be measured; the text says why, for people."""


class HeldUpError(NoCeilingError):
    """A ceiling could not be measured because the machine was busy: another attempt may succeed."""


@dataclass(frozen=True)
class Subject:
    """What a ceiling is measured of: a scenario in a closed loop of so many users."""

    scenario: str
    path: Path
    users: int

    def __str__(self) -> str:
        return f"{self.scenario}, {self.users} user{'s' if self.users > 1 else ''}"


class Ceiling(BaseModel):
    """An entry of ``ceilings`` in ``run.json``: busy shares of the CPUs that could be used, Unix seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    scenario: str
    users: int
    processes: int
    requests_per_s: float
    at_least: bool
    cpu_us: float
    generator_busy: float
    server_busy: float
    measured: float
    of_each: dict[str, float] | None = Field(default=None, exclude_if=lambda value: value is None)


@dataclass(frozen=True)
class Measured:
    """A ceiling, when its window began, and the share of the CPUs that others took (steal included)."""

    ceiling: Ceiling
    start: float
    others: float

    @property
    def disturbed(self) -> bool:
        """Whether the machine was too busy with something else for the ceiling to be kept."""
        return self.others > DISTURBED


Outcome = Measured | NoCeilingError


def subjects(plan: Plan, paths: Mapping[str, Path]) -> list[Subject]:
    """Each scenario and number of users of a plan once; for open loops the most that may be in flight.

    ``paths`` are those of the scenarios that can be measured here. Ceilings are measured without a trace,
    which costs the generator time. Probes have none: their rate is low.
    """
    found = []
    for scenario, loads in plan.scenarios.items():
        if scenario not in paths:
            continue
        search = [loads.search.users] if loads.search else []
        users = {*(loads.users or []), *(entry.users for entry in loads.open), *search}
        found += [Subject(scenario, paths[scenario], count) for count in sorted(users)]
    return found


def why_none(plan: Plan) -> str | None:
    """Why no ceiling of a plan can be measured, if that is known before anything is started."""
    if plan.external is not None and urlsplit(plan.external.url).scheme == "https":
        return "the null server speaks no TLS"
    if plan.soak is not None:
        return "a soak loads far below it"
    return None


def estimate_s(count: int) -> float:
    """How long so many ceilings take, in seconds."""
    return _REFERENCE_S + count * (WARMUP_S + MEASURED_S + _CELL_S)


def measure(
    rig: Rig,
    reference: Configuration,
    wanted: Sequence[Subject],
    done: Callable[[Subject, Outcome], None],
) -> None:
    """Measure ceilings, one after the other, on a rig that is entered.

    ``reference`` answers what the null server learns; ``done`` gets each ceiling, or why there is none.

    Raises:
        UserError: the port asked for is in use.
    """
    with tempfile.TemporaryDirectory(prefix=".serve-ceiling-", dir=rig.scratch) as scratch:
        try:
            with _served(rig, reference, Path(scratch)) as real:
                for _, group in groupby(wanted, key=lambda subject: subject.path):
                    _scenario(rig, list(group), real, Path(scratch), done)
        except NoCeilingError as failure:
            for subject in wanted:
                done(subject, failure)


@contextmanager
def _served(rig: Rig, reference: Configuration, scratch: Path) -> Iterator[str]:
    """The URL of the reference server; raises ``NoCeilingError`` if it does not start."""
    try:
        server = rig.launcher.start(reference, 1, scratch / "reference", rig.split.for_workers(1))
    except ServerError as failure:
        raise NoCeilingError(str(failure)) from failure
    try:
        yield server.url
    finally:
        rig.launcher.stop(server)
        rig.launcher.settle()


def _scenario(
    rig: Rig,
    group: Sequence[Subject],
    real: str,
    scratch: Path,
    done: Callable[[Subject, Outcome], None],
) -> None:
    """Measure one scenario under its loads, on a null server of its own: scenarios may differ in answers."""
    left = list(group)
    try:
        with NullServer(rig.launcher, real, _null_cpu(rig.split), scratch / "nullserver.log") as null:
            while left:
                try:
                    outcome: Outcome = _settled(rig, left[0], null, scratch)
                except NoCeilingError as failure:
                    outcome = failure
                except CellError as failure:
                    outcome = NoCeilingError(str(failure))
                done(left.pop(0), outcome)
    except NullServerError as failure:
        for subject in left:
            done(subject, NoCeilingError(str(failure)))


def _settled(rig: Rig, subject: Subject, null: NullServer, scratch: Path) -> Measured:
    """A cell in which no request was new to the null server; of several disturbed ones, the last."""
    found: Measured | None = None
    held_up: HeldUpError | None = None
    for _ in range(_ATTEMPTS):
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            try:
                measured = _cell(rig, subject, null, Path(folder))
            except HeldUpError as error:
                held_up = error
                continue
        last_asked = null.last_asked()
        if last_asked is None or last_asked < measured.start:
            found = measured
            if not found.disturbed:
                break
    if found is None and held_up is not None:
        raise held_up
    if found is None:
        raise NoCeilingError(
            "it goes on asking for what it never asked before, which a null server cannot know; "
            "its CPU time says whether the generator is the limit"
        )
    return found


def _cell(rig: Rig, subject: Subject, null: NullServer, folder: Path) -> Measured:
    """One cell against the null server."""
    here, elsewhere = rig.launcher.servers_here, rig.session.generators is not None
    # On this machine.
    cpus = {*(() if elsewhere else rig.split.generator), *([_null_cpu(rig.split)] if here else [])}
    usages: list[Usage] = []

    def watch() -> str | None:
        failure = null.failure()
        if failure is not None:
            return failure
        try:
            usages.append(Usage(time.time(), null.cpu_s(), _busy_s(cpus)))
        except NullServerError as error:
            return str(error)
        return None

    load = Load(null.url, rig.launcher.inside(subject.path), subject.users, WARMUP_S, MEASURED_S, folder)
    event = rig.session.run(load, watch, lambda _event: None)
    watch()
    if event["failures"]:
        why = null.error() or "the scenario's checks"
        raise NoCeilingError(f"{event['failures']} requests failed against the null server: {why}")
    start, end = event["window"]["start"], event["window"]["end"]
    work, spin = generator_cpus(folder / "generator.csv", start, end)
    server, everyone = cpus_used(usages, start, end)
    requests_per_s = event["requests"] / (end - start)
    generator = rig.session.describe(load.scenario)
    usable = Generator.model_validate(generator).usable
    ceiling = Ceiling(
        scenario=subject.scenario,
        users=subject.users,
        processes=generator["processes"],
        requests_per_s=round(requests_per_s, 1),
        at_least=is_at_least(work / usable),
        cpu_us=round(work / requests_per_s * 1e6, 3),
        generator_busy=round(work / usable, 4),
        server_busy=round(server, 4),
        measured=float(start),
        of_each=_of_each(generator.get("machines"), end - start),
    )
    known = (0.0 if elsewhere else work + spin) + (server if here else 0.0)
    return Measured(ceiling, start, max(0.0, everyone - known) / len(cpus) if cpus else 0.0)


def _of_each(machines: Sequence[Mapping[str, Any]] | None, seconds: float) -> dict[str, float] | None:
    """What each generator of other machines had of the requests per second; ``None`` where there are none."""
    if machines is None:
        return None
    return {each["name"]: round(each["requests"] / seconds, 1) for each in machines}


def _null_cpu(split: CpuSplit) -> int:
    """The CPU of the null server: that of a server; beside an external one there is none."""
    return (split.server or split.spare or split.generator)[0]


def _busy_s(cpus: Collection[int]) -> float:
    """CPU seconds that some CPUs were busy so far, time stolen by other guests of the host included.

    Interrupts are left out: most of them are the traffic of the cell itself.
    """
    at = {name: place for place, name in enumerate(HOST_FIELDS[2:])}
    counted = [at[name] for name in ("user_s", "system_s", "steal_s")]
    return sum(times[place] for cpu, times in cpu_times() if cpu in cpus for place in counted)


def is_at_least(generator_busy: float) -> bool:
    """Whether the generator could do more than it did.

    Then the null server or the scenario's own waiting was the limit, and the true ceiling is higher.
    """
    return generator_busy < FULL


def generator_cpus(table: Path, start: float, end: float) -> tuple[float, float]:
    """How many CPUs all of a generator's processes used for work, and how many to poll in vain.

    ``table`` is the cell's generator.csv; each process reports once a second.

    Raises:
        HeldUpError: a process did not report near the window's edges.
    """
    with table.open(newline="", encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: int(row["process"]))
    work = spin = 0.0
    for _, group in groupby(rows, key=lambda row: row["process"]):
        reports = [(float(row["time"]), float(row["cpu_s"]), float(row["spin_s"] or 0)) for row in group]
        times, used, spun = map(list, zip(*reports, strict=True))
        polling = rate(times, spun, start, end, near_s=_EDGE_S)
        work += rate(times, used, start, end, near_s=_EDGE_S) - polling
        spin += polling
    if isnan(work):
        raise HeldUpError("the generator was held up: is the machine busy with something else?")
    return work, spin


def cpus_used(usages: Sequence[Usage], start: float, end: float) -> tuple[float, float]:
    """How many CPUs the null server used between two times, and how many everyone did.

    Raises:
        HeldUpError: the times lie outside of the usages.
    """
    times = [usage.at for usage in usages]
    if not (times and times[0] <= start and end <= times[-1]):
        raise HeldUpError("bench was held up: the null server was not watched for the whole of the window")
    server_s, all_s = (
        growth(times, [getattr(usage, name) for usage in usages], start, end) / (end - start)
        for name in ("server_s", "all_s")
    )
    return server_s, all_s
