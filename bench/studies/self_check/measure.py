"""The measurements: every arm once in each round, in random order, on servers that are started anew."""

import http.client
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from bench.experiment.ceiling import HeldUpError, generator_cpus
from bench.experiment.generator import session
from bench.experiment.generator.session import CellError, Load, Session
from bench.experiment.rig import Rig
from bench.launch.local import Processes
from bench.launch.network import Wanted
from bench.launch.nullserver import NullServer, NullServerError
from bench.launch.server import Server, ServerError, last_lines
from bench.launch.stacks import Environment
from bench.machine.cpus import CpuSplit
from bench.machine.processes import kill_tree, spawn
from bench.model import folders
from bench.model.errors import UserError
from bench.model.files import ROOT
from bench.studies.self_check import clocks
from bench.studies.self_check.readings import (
    FAST_HTTP_USER,
    HTTP_USER,
    SWARM,
    Arm,
    HiccupError,
    MeasurementError,
    Reading,
    memory_and_lag,
    percentiles,
)
from bench.studies.self_check.tools import TOOLS, Tool, ToolLoad, ToolResult
from targets.catalogue.configurations import Configuration

_USERS = Path(__file__).parent / "users"
SCENARIOS = {
    SWARM: ROOT / "locustfiles" / "index.py",
    FAST_HTTP_USER: _USERS / "fast_http_user.py",
    HTTP_USER: _USERS / "http_user.py",
}
"""The locustfile of each user that drives a session: the same request, its answer checked."""

# Users before their window; servers have been warmed before.
_WARMUP_S = 0.5
_SERVER_WARMUP_S = 0.5
# How often a program is looked at, and how long a tool may take beyond its seconds (Locust starts slowly).
_POLL_S = 0.1
_TOOL_SLACK_S = 30.0


@dataclass(frozen=True)
class RecordedLoad(Load):
    """A load that may also be told to record nothing."""

    record: bool = True


@dataclass(frozen=True)
class Target:
    """A server that is loaded: its first process, and serve, which meters it."""

    url: str
    root: int
    meter: int | None
    failure: Callable[[], str | None]

    @classmethod
    def of(cls, server: Server) -> "Target":
        """A server that serve, its parent, has started as a local process."""
        root: int = server.facts["pid"]
        return cls(server.url, root, psutil.Process(root).ppid(), server.failure)

    def groups(self) -> dict[str, list[int]]:
        """The processes whose CPU time is read."""
        meter = {} if self.meter is None else {"meter": [self.meter]}
        return {"server": clocks.tree(self.root), **meter}

    def meter_cpus(self) -> tuple[int, ...] | None:
        return None if self.meter is None else tuple(sorted(os.sched_getaffinity(self.meter)))


@dataclass
class Rounds:
    """Measures arms. The rig and the ``sessions`` (by their user) have been entered; times are in seconds."""

    rig: Rig
    configurations: Mapping[str, Configuration]
    sessions: Mapping[str, Session]
    null_server: Target
    users: int
    seconds: int
    random: random.Random

    def measure(
        self, arms: Sequence[Arm], number: int, begins: Callable[[Arm], None] = lambda _arm: None
    ) -> Iterator[Reading]:
        """Measure every arm once; ``begins`` hears of each.

        Raises:
            UserError: an arm could not be measured.
        """
        servers: dict[tuple[str | None, int], list[Arm]] = {}
        for arm in arms:
            servers.setdefault((arm.configuration, arm.workers), []).append(arm)
        for (configuration, workers), of_server in self.random.sample(list(servers.items()), len(servers)):
            place = self.rig.scratch / f"{number}-{configuration or 'null'}-{workers}"
            try:
                with self._target(configuration, workers, place) as target:
                    for arm in self.random.sample(of_server, len(of_server)):
                        begins(arm)
                        yield self._reading(arm, number, target)
            except ServerError as error:
                raise UserError(str(error)) from error

    @contextmanager
    def afresh(self, users: int) -> Iterator["Rounds"]:
        """The same for so many users of the suite, in a session that had no others before."""
        with _session(self.rig, SWARM, self.null_server) as own:
            yield replace(self, users=users, sessions={SWARM: own})

    @contextmanager
    def _target(self, configuration: str | None, workers: int, place: Path) -> Iterator[Target]:
        if configuration is None:
            yield self.null_server
            return
        cpus = self.rig.split.for_workers(workers)
        server = self.rig.launcher.start(self.configurations[configuration], workers, place, cpus)
        self.rig.launcher.settle()
        try:
            target = Target.of(server)
            _warm_up(target.url)
            yield target
        finally:
            self.rig.launcher.stop(server)

    def _reading(self, arm: Arm, number: int, target: Target) -> Reading:
        """Measure one arm; once more after a hiccup, which should not cost all other readings."""
        try:
            try:
                return self._attempt(arm, number, target)
            except HiccupError:
                return self._attempt(arm, number, target)
        except (MeasurementError, CellError) as error:
            raise UserError(f"{arm}, round {number}: {error}") from error

    def _attempt(self, arm: Arm, number: int, target: Target) -> Reading:
        measure = self._by_session if arm.generator in self.sessions else self._tool
        place = Path(tempfile.mkdtemp(dir=self.rig.scratch))
        with nullcontext() if arm.metered or target.meter is None else clocks.stopped(target.meter):
            return measure(arm, number, target, place)

    def _by_session(self, arm: Arm, number: int, target: Target, place: Path) -> Reading:
        load = RecordedLoad(
            host=target.url,
            scenario=self.rig.launcher.inside(SCENARIOS[arm.generator]),
            users=self.users,
            warmup_s=_WARMUP_S,
            measured_s=self.seconds,
            directory=place,
            record=arm.recorded,
        )
        with clocks.Trail(clocks.Clocks(target.groups())) as trail:
            event = self.sessions[arm.generator].run(load, target.failure, lambda _event: None)
        if event["failures"]:
            raise MeasurementError(f"{event['failures']} requests failed")
        start, end = event["window"]["start"], event["window"]["end"]
        busy = trail.between(start, end)
        rate = event["requests"] / (end - start)
        reading = Reading(
            arm=arm,
            round=number,
            requests=event["requests"],
            requests_per_s=rate,
            latency_us=None,
            cpu_us=busy["server"] / rate * 1e6,
            server_busy=busy["server"],
            generator_busy=None,
            meter_busy=busy.get("meter"),
            meter_cpus=target.meter_cpus(),
        )
        if not arm.recorded:
            return reading
        try:
            work, _ = generator_cpus(place / "generator.csv", start, end)
        except HeldUpError as error:
            raise HiccupError(str(error)) from error
        rss_bytes, lag_ms = memory_and_lag(place / "generator.csv", start, end)
        return replace(
            reading,
            latency_us=percentiles(place / "latency.csv", start, end),
            generator_busy=work,
            generator_rss_bytes=rss_bytes,
            generator_lag_ms=lag_ms,
        )

    def _tool(self, arm: Arm, number: int, target: Target, place: Path) -> Reading:
        cpus = self.rig.split.generator
        load = ToolLoad(target.url, self.users, self.seconds, len(cpus))
        server = clocks.Clocks(target.groups())
        before = server.read()
        result, generator_busy = _run(TOOLS[arm.generator], load, cpus, place / "output.txt", target.failure)
        after = server.read()
        # A tool takes its time to start, and Locust to end; the server is loaded only in between.
        loaded_s = result.requests / result.requests_per_s
        used = {name: after.cpu_s[name] - spent for name, spent in before.cpu_s.items()}
        meter_busy = None if target.meter is None else used["meter"] / (after.time - before.time)
        return Reading(
            arm=arm,
            round=number,
            requests=result.requests,
            requests_per_s=result.requests_per_s,
            latency_us=result.latency_us,
            cpu_us=used["server"] / result.requests * 1e6,
            server_busy=used["server"] / loaded_s,
            generator_busy=generator_busy,
            meter_busy=meter_busy,
            meter_cpus=target.meter_cpus(),
        )


def _run(
    tool: Tool, load: ToolLoad, cpus: Sequence[int], output: Path, failure: Callable[[], str | None]
) -> tuple[ToolResult, float]:
    """Run a tool to its end; what it says, and its CPU seconds per second in the last ``load.seconds``.

    Raises:
        MeasurementError: it failed, did not end in time, or the server is gone.
    """
    marks: list[clocks.Mark] = []
    with output.open("wb") as file:
        process = spawn(tool.command(load), cpus, stdout=file, stderr=subprocess.STDOUT)
    clock = clocks.Clocks({tool.name: [process.pid]})
    await_end(
        tool.name, process, load.seconds + _TOOL_SLACK_S, failure, output, lambda: marks.append(clock.read())
    )
    loaded = [mark for mark in marks if mark.time >= marks[-1].time - load.seconds + _POLL_S]
    if len(loaded) < 2:
        raise HiccupError(f"{tool.name} was not seen to work: is the machine busy otherwise?")
    text = output.read_text(encoding="utf-8", errors="replace")
    return tool.read(text), clocks.rates(loaded[0], loaded[-1])[tool.name]


def await_end(
    name: str,
    process: subprocess.Popen[bytes],
    timeout_s: float,
    failure: Callable[[], str | None],
    log: Path,
    still_running: Callable[[], None] = lambda: None,
) -> None:
    """Wait for a program that loads a server, which has to stay; ``still_running`` is called meanwhile.

    Raises:
        MeasurementError: it failed or did not end in time, or the server is gone. It is killed then.
    """
    deadline = time.monotonic() + timeout_s
    try:
        while process.poll() is None:
            if (reason := failure()) is not None:
                raise MeasurementError(reason)
            if time.monotonic() > deadline:
                raise MeasurementError(f"{name} did not end within {timeout_s:.0f} s{last_lines(log)}")
            time.sleep(_POLL_S)
            if process.poll() is None:
                still_running()
    finally:
        if process.returncode is None:
            kill_tree(process)
    if (reason := failure()) is not None:
        raise MeasurementError(reason)
    if process.returncode != 0:
        raise MeasurementError(f"{name} failed (exit status {process.returncode}){last_lines(log)}")


@contextmanager
def rounds(
    configurations: Mapping[str, Configuration],
    environments: Mapping[str, Environment],
    split: CpuSplit,
    say: Callable[[str], None],
    *,
    users: int,
    seconds: int,
    random: random.Random,
    also: Sequence[str] = (),
    network: Wanted | None = None,
) -> Iterator[Rounds]:
    """What measures arms with so many users, each for so many seconds.

    ``environments`` are those of the servers by stack, ``say`` hears what the launcher has to tell. The
    suite's own user is there in any case, ``also`` names others that drive a session. ``network`` is this
    machine's, steered for the time being; without it as it is.

    Raises:
        UserError: a load generator or the null server does not work here.
    """
    with folders.temporary("whichworker-self-check-") as folder, ExitStack() as stack:
        launcher = Processes().open(environments, folder, say, network=network)
        rig = stack.enter_context(Rig(launcher, split, folder))
        null_server = stack.enter_context(_null_server(rig))
        yield Rounds(
            rig=rig,
            configurations=configurations,
            sessions={user: stack.enter_context(_session(rig, user, null_server)) for user in (SWARM, *also)},
            null_server=null_server,
            users=users,
            seconds=seconds,
            random=random,
        )


@contextmanager
def _null_server(rig: Rig) -> Iterator[Target]:
    """A null server, which answers fixed bytes, in the place of a server with one worker."""
    (cpu,) = rig.split.for_workers(1)
    try:
        with NullServer(rig.launcher, None, cpu, rig.scratch / "nullserver.log") as null:
            yield Target(null.url, null.pid, None, null.failure)
    except NullServerError as error:
        raise UserError(str(error)) from error


@contextmanager
def _session(rig: Rig, user: str, null_server: Target) -> Iterator[Session]:
    """A session of one kind of user; it has run once, so that it is warm."""
    scenario, on = rig.launcher.inside(SCENARIOS[user]), rig.split.generator
    words = session.arguments([scenario], len(on))
    with Session(words, on, rig.scratch / f"{user}.log", start=rig.launcher.start_program) as entered:
        load = RecordedLoad(null_server.url, scenario, 1, 0.0, 1, Path(tempfile.mkdtemp(dir=rig.scratch)))
        try:
            entered.run(load, null_server.failure, lambda _event: None)
        except CellError as error:
            raise UserError(f"the load generator does not work here: {error}") from error
        yield entered


def _warm_up(url: str) -> None:
    """Ask for the index one request after the other for a moment: what a server does once is done."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=5)
    deadline = time.monotonic() + _SERVER_WARMUP_S
    try:
        while time.monotonic() < deadline:
            connection.request("GET", "/index")
            connection.getresponse().read()
    except OSError as error:
        raise ServerError(f"the server did not answer while it was warmed up: {error}") from error
    finally:
        connection.close()
