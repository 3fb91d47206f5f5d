"""What the load generator itself can reach: the same scenario, users and CPUs against a null server.

A throughput near this ceiling may be the generator's and not the server's. The null server's answers are
those of a real one (the *reference*), so that the scenario's checks pass; while a ceiling is measured the
reference is there but idle, to be asked only for what was never asked before.
"""

import csv
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from bench.cpus import CpuSplit
from bench.host import HOST_FIELDS, cpu_times
from bench.launch import Launcher, ServerError
from bench.nullserver import NullServer, NullServerError
from bench.plan import Plan
from bench.session import CellError, Load, Session
from targets.configurations import Configuration

WARMUP_S, MEASURED_S = 0.3, 1
# Busier than this of its CPUs, a generator has reached what it can do.
FULL = 0.9
# At most so many windows, where something was asked for the first time, or others disturbed or held it up.
_ATTEMPTS = 2
# Where others took more than this of the CPUs of server and generator, the ceiling is this moment's only.
DISTURBED = 0.1
# How far from the edges of the window the generator's reports may be, in seconds: on a busy machine they
# are late, and what lies between two of them is still a rate.
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
    """A ceiling could not be measured; the text is the reason for people."""


class HeldUpError(NoCeilingError):
    """... because the machine was busy with something else: another attempt may succeed."""


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


@dataclass(frozen=True)
class Measured:
    """A ceiling, when its window began, and the share of the CPUs that others took (steal included)."""

    ceiling: Ceiling
    start: float
    others: float

    @property
    def disturbed(self) -> bool:
        """Whether the machine was too busy with something else for the ceiling to hold another time."""
        return self.others > DISTURBED


Outcome = Measured | NoCeilingError


@dataclass(frozen=True)
class Rig:
    """What ceilings are measured with; ``launcher`` and ``session`` have been entered by the caller.

    ``suite`` are the versions of what they run on (as in ``run.json``); ``scratch`` is a folder that the
    launcher's programs can write to.
    """

    launcher: Launcher
    session: Session
    split: CpuSplit
    reference: Configuration
    suite: Mapping[str, Any]
    scratch: Path

    @property
    def processes(self) -> int:
        """How many processes the generator has: one for each of its CPUs."""
        return len(self.split.generator)

    @property
    def null_cpu(self) -> int:
        """Where the null server runs: in the place of a server, which an external one does not have."""
        return (self.split.server or self.split.spare or self.split.generator)[0]


def subjects(chosen: Plan, paths: Mapping[str, Path]) -> list[Subject]:
    """Each scenario and number of users of a plan once; open loops at the most that may be in flight.

    ``paths`` are those of the scenarios that can be measured here.

    Measured without a trace, which costs the generator time: of a traced cell they say no more than that its
    rate is far below; its own CPU time and lateness say the rest. Probes, whose rate is low, have none.
    """
    found = []
    for scenario, loads in chosen.scenarios.items():
        if scenario not in paths:
            continue
        search = [loads.search.users] if loads.search else []
        users = {*(loads.users or []), *(entry.users for entry in loads.open), *search}
        found += [Subject(scenario, paths[scenario], count) for count in sorted(users)]
    return found


def estimate_s(count: int) -> float:
    """How long so many ceilings take, in seconds."""
    return _REFERENCE_S + count * (WARMUP_S + MEASURED_S + _CELL_S)


def measure(
    rig: Rig,
    wanted: Sequence[Subject],
    done: Callable[[Subject, Outcome], None],
) -> None:
    """Measure ceilings, one after the other; ``done`` hears of each, or why there is none.

    Raises:
        UserError: the port asked for is in use.
    """
    with tempfile.TemporaryDirectory(prefix=".serve-ceiling-", dir=rig.scratch) as scratch:
        try:
            with _reference(rig, Path(scratch)) as real:
                for _, group in groupby(wanted, key=lambda subject: subject.path):
                    _scenario(rig, list(group), real, Path(scratch), done)
        except NoCeilingError as failure:
            for subject in wanted:
                done(subject, failure)


@contextmanager
def _reference(rig: Rig, scratch: Path) -> Iterator[str]:
    """The URL of a real server for the scenarios; raises ``NoCeilingError`` where it does not start."""
    try:
        server = rig.launcher.start(rig.reference, 1, scratch / "reference", rig.split.for_workers(1))
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
    """Measure one scenario under its loads, on a null server of its own: two may ask the same differently."""
    left = list(group)
    try:
        with NullServer(rig.launcher, real, rig.null_cpu, scratch / "nullserver.log") as null:
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
    """A cell in which nothing new was asked; the last of some, if others kept disturbing them."""
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
            "whether the generator is the limit must be seen from its CPU time"
        )
    return found


def _cell(rig: Rig, subject: Subject, null: NullServer, folder: Path) -> Measured:
    """One cell against the null server."""
    cpus = {rig.null_cpu, *rig.split.generator}
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
    ceiling = Ceiling(
        scenario=subject.scenario,
        users=subject.users,
        processes=rig.processes,
        requests_per_s=round(requests_per_s, 1),
        at_least=is_at_least(work / rig.processes),
        cpu_us=round(work / requests_per_s * 1e6, 3),
        generator_busy=round(work / rig.processes, 4),
        server_busy=round(server, 4),
        measured=float(start),
    )
    return Measured(ceiling, start, max(0.0, everyone - server - work - spin) / len(cpus))


def _busy_s(cpus: Collection[int]) -> float:
    """CPU seconds that some CPUs were busy so far, for this machine or (steal) for others on its host.

    Interrupts are left out: most are the traffic of the cell itself.
    """
    at = {name: place for place, name in enumerate(HOST_FIELDS[2:])}
    counted = [at[name] for name in ("user_s", "system_s", "steal_s")]
    return sum(times[place] for cpu, times in cpu_times() if cpu in cpus for place in counted)


def is_at_least(generator_busy: float) -> bool:
    """Whether the generator could do more than it did: it was not full.

    Then the null server was the limit, or the scenario's own waiting; either way the true ceiling is higher.
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
        first = min(reports, key=lambda report: abs(report[0] - start))
        last = min(reports, key=lambda report: abs(report[0] - end))
        if first is last or max(abs(first[0] - start), abs(last[0] - end)) > _EDGE_S:
            raise HeldUpError("the generator was held up: is the machine busy with something else?")
        time_s, cpu_s, spin_s = (after - before for before, after in zip(first, last, strict=True))
        work += (cpu_s - spin_s) / time_s
        spin += spin_s / time_s
    return work, spin


def cpus_used(usages: Sequence[Usage], start: float, end: float) -> tuple[float, float]:
    """How many CPUs the null server used between two times, and how many everyone did.

    Raises:
        HeldUpError: the times lie outside of the usages.
    """
    before, after = _usage_at(usages, start), _usage_at(usages, end)
    return (after.server_s - before.server_s) / (end - start), (after.all_s - before.all_s) / (end - start)


def _usage_at(usages: Sequence[Usage], at: float) -> Usage:
    """The usage at some time, interpolated linearly."""
    for low, high in pairwise(usages):
        if low.at <= at < high.at:
            part = (at - low.at) / (high.at - low.at)
            server_s = low.server_s + part * (high.server_s - low.server_s)
            return Usage(at, server_s, low.all_s + part * (high.all_s - low.all_s))
    raise HeldUpError("bench was held up: the null server was not watched for the whole of the window")
