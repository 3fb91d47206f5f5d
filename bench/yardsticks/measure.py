"""The measurements: every arm once in each round, in random order, on servers that are started anew."""

import http.client
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from bench.cpus import CpuSplit
from bench.errors import UserError
from bench.launch import Launcher, Server, ServerError
from bench.processes import ROOT, kill_tree, spawn, terminate, wait_or_kill
from bench.session import CellError, Load, Session
from bench.yardsticks import clocks
from bench.yardsticks.readings import (
    SWARM,
    Arm,
    HiccupError,
    MeasurementError,
    Reading,
    percentiles,
    spin_rate,
)
from bench.yardsticks.tools import TOOLS, Order, Said, Tool
from targets.configurations import Configuration

SCENARIO = ROOT / "locustfiles" / "index.py"
NULL_SERVER = ROOT / "swarm" / "nullserver.py"

# Users of the suite before their window; servers have been warmed before.
_WARMUP_S = 0.1
_SERVER_WARMUP_S = 0.5
# How often a tool's CPU time is read, and how long it may take beyond its seconds (Locust starts slowly).
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

    def groups(self) -> dict[str, list[int]]:
        """The processes whose CPU time is read."""
        meter = {} if self.meter is None else {"meter": [self.meter]}
        return {"server": clocks.tree(self.root), **meter}

    def meter_cpus(self) -> tuple[int, ...] | None:
        """The CPUs that serve may run on."""
        return None if self.meter is None else tuple(sorted(os.sched_getaffinity(self.meter)))


@dataclass
class Rounds:
    """Measures the arms. ``session`` has been entered; ``generator`` is its pid; times in seconds."""

    arms: Sequence[Arm]
    configurations: Mapping[str, Configuration]
    split: CpuSplit
    launcher: Launcher
    session: Session
    generator: int
    null_server: Target
    users: int
    seconds: int
    scratch: Path
    random: random.Random
    on_arm: Callable[[Arm], None]

    def measure(self, number: int) -> Iterator[Reading]:
        """Measure every arm once.

        Raises:
            UserError: an arm could not be measured.
        """
        servers: dict[tuple[str | None, int], list[Arm]] = {}
        for arm in self.arms:
            servers.setdefault((arm.configuration, arm.workers), []).append(arm)
        for (configuration, workers), arms in self.random.sample(list(servers.items()), len(servers)):
            place = self.scratch / f"{number}-{configuration or 'null'}-{workers}"
            try:
                with self._target(configuration, workers, place) as target:
                    for arm in self.random.sample(arms, len(arms)):
                        self.on_arm(arm)
                        yield self._reading(arm, number, target)
            except ServerError as error:
                raise UserError(str(error)) from error

    @contextmanager
    def _target(self, configuration: str | None, workers: int, place: Path) -> Iterator[Target]:
        """A warm server."""
        if configuration is None:
            yield self.null_server
            return
        cpus = self.split.for_workers(workers)
        server = self.launcher.start(self.configurations[configuration], workers, place, cpus)
        self.launcher.settle()
        try:
            target = served(server)
            _warm_up(target.url)
            yield target
        finally:
            self.launcher.stop(server)

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
        measure = self._swarm if arm.generator == SWARM else self._tool
        place = Path(tempfile.mkdtemp(dir=self.scratch))
        with nullcontext() if arm.metered or target.meter is None else clocks.stopped(target.meter):
            return measure(arm, number, target, place)

    def _swarm(self, arm: Arm, number: int, target: Target, place: Path) -> Reading:
        load = RecordedLoad(
            host=target.url,
            scenario=str(SCENARIO),
            users=self.users,
            warmup_s=_WARMUP_S,
            measured_s=self.seconds,
            directory=place,
            record=arm.recorded,
        )
        groups = target.groups() | {"generator": clocks.tree(self.generator)}
        with clocks.Trail(clocks.Clocks(groups)) as trail:
            event = self.session.run(load, target.failure, lambda _event: None)
        if event["failures"]:
            raise MeasurementError(f"{event['failures']} requests failed")
        start, end = event["window"]["start"], event["window"]["end"]
        busy = trail.between(start, end)
        rate = event["requests"] / (end - start)
        recorded = arm.recorded
        return Reading(
            arm=arm,
            round=number,
            requests=event["requests"],
            requests_per_s=rate,
            latency_us=percentiles(place / "latency.csv", start, end) if recorded else None,
            cpu_us=busy["server"] / rate * 1e6,
            server_busy=busy["server"],
            generator_busy=busy["generator"] - spin_rate(place / "generator.csv", start, end)
            if recorded
            else None,
            meter_busy=busy.get("meter"),
            meter_cpus=target.meter_cpus(),
        )

    def _tool(self, arm: Arm, number: int, target: Target, place: Path) -> Reading:
        cpus = self.split.generator
        order = Order(target.url, self.users, self.seconds, len(cpus))
        server = clocks.Clocks(target.groups())
        before = server.read()
        said, generator_busy = _run(TOOLS[arm.generator], order, cpus, place / "output.txt", target.failure)
        after = server.read()
        # A tool takes its time to start, and Locust to end; the server is loaded only in between.
        loaded_s = said.requests / said.requests_per_s
        used = {name: after.cpu_s[name] - spent for name, spent in before.cpu_s.items()}
        meter_busy = None if target.meter is None else used["meter"] / (after.time - before.time)
        return Reading(
            arm=arm,
            round=number,
            requests=said.requests,
            requests_per_s=said.requests_per_s,
            latency_us=said.latency_us,
            cpu_us=used["server"] / said.requests * 1e6,
            server_busy=used["server"] / loaded_s,
            generator_busy=generator_busy,
            meter_busy=meter_busy,
            meter_cpus=target.meter_cpus(),
        )


def _run(
    tool: Tool, order: Order, cpus: Sequence[int], output: Path, failure: Callable[[], str | None]
) -> tuple[Said, float]:
    """Run a tool to its end; what it says, and its CPU seconds per second in the last ``order.seconds``.

    Raises:
        MeasurementError: it failed, did not end in time, or the server is gone.
    """
    deadline = time.monotonic() + order.seconds + _TOOL_SLACK_S
    marks: list[clocks.Mark] = []
    with output.open("wb") as file:
        process = spawn(tool.command(order), cpus, stdout=file, stderr=subprocess.STDOUT)
    clock = clocks.Clocks({tool.name: [process.pid]})
    try:
        while process.poll() is None:
            if time.monotonic() > deadline:
                raise MeasurementError(f"{tool.name} did not end in time")
            time.sleep(_POLL_S)
            if process.poll() is None:
                marks.append(clock.read())
    finally:
        if process.returncode is None:
            kill_tree(process)
    text = output.read_text(encoding="utf-8", errors="replace")
    reason = failure()
    if reason is not None:
        raise MeasurementError(reason)
    if process.returncode != 0:
        raise MeasurementError(
            f"{tool.name} failed (exit status {process.returncode}):\n{text.strip()[-400:]}"
        )
    loaded = [mark for mark in marks if mark.time >= marks[-1].time - order.seconds + _POLL_S]
    if len(loaded) < 2:
        raise HiccupError(f"{tool.name} was not seen to work: is the machine busy otherwise?")
    return tool.read(text), clocks.rates(loaded[0], loaded[-1])[tool.name]


def served(server: Server) -> Target:
    """A server that serve, its parent, has started as a local process, as a target."""
    root: int = server.facts["pid"]
    return Target(server.url, root, psutil.Process(root).ppid(), server.failure)


@contextmanager
def null_server(cpus: Sequence[int]) -> Iterator[Target]:
    """The generator's null server, which answers fixed bytes, on some CPUs."""
    process = spawn([sys.executable, str(NULL_SERVER)], cpus, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())

        def failure() -> str | None:
            return None if process.poll() is None else "the null server ended by itself"

        yield Target(f"http://127.0.0.1:{port}", process.pid, None, failure)
    finally:
        terminate(process)
        wait_or_kill(process, 2.0)
        process.stdout.close()


@contextmanager
def generator(cpus: Sequence[int], null_server: Target, scratch: Path) -> Iterator[tuple[Session, int]]:
    """The suite's generator on some CPUs, and its pid; it has run once, so that it is warm."""
    command = [
        sys.executable,
        "-m",
        "swarm.session",
        "--processes",
        str(len(cpus)),
        "--scenario",
        str(SCENARIO),
    ]
    before = {child.pid for child in psutil.Process().children()}
    with ExitStack() as stack:
        session = stack.enter_context(Session(command, cpus, scratch / "generator.log"))
        (pid,) = {child.pid for child in psutil.Process().children()} - before
        load = RecordedLoad(null_server.url, str(SCENARIO), 1, 0.0, 1, scratch)
        try:
            session.run(load, null_server.failure, lambda _event: None)
        except CellError as error:
            raise UserError(f"the load generator does not work here: {error}") from error
        yield session, pid


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
