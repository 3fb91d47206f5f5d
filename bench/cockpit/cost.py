"""What the Server tab costs the generator at full load: windows with and without it, in pairs.

With it: the requests of a browser that shows Locust's page and ours, and bench metering a server and
passing the figures on. Without it: the same load, unwatched. The load is a closed loop against a null server,
where the generator is the limit; what is metered is a real server that has nothing to do.
"""

import contextlib
import csv
import os
import random
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench import launchers, prepare
from bench.cockpit.line import Line
from bench.cockpit.metering import Meter, at
from bench.cockpit.sitting import Asked, Setting, open_line
from bench.dialogue import Event
from bench.errors import UserError
from bench.launch import Launcher, ServerError
from bench.launch_processes import Processes
from bench.launchers import Work
from bench.nullserver import NullServer
from bench.stacks import Say

USERS = 64
# Not counted after a change: Locust's page caches its figures for two seconds.
_SETTLE_S = 1.0
_TICK_S = 0.25
# What a browser asks for, and how often: our page, and Locust's.
_POLLED = {"/server/live?since={since}": 1.0, "/stats/requests": 2.0, "/logs": 5.0}
_ANSWER_S = 30.0
_LEAST_PAIRS = 3
_COUNTED = ("time", "requests", "cpu_s", "spin_s")  # of generator.csv


@dataclass(frozen=True)
class Window:
    """A part of the load, in Unix seconds, with or without somebody who watches."""

    pair: int
    watched: bool
    start: float
    end: float


@dataclass(frozen=True)
class Ratio:
    """A figure when watched in parts of the one when not: geometric mean and 95 % interval."""

    ratio: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.ratio:.4f} (95 % interval {self.low:.4f} to {self.high:.4f})"


@dataclass(frozen=True)
class Cost:
    """What became of the generator's CPU time per request, and of the requests per second.

    The former is the generator's own. The latter are fewer also because browser and metering take CPU time of
    the null server, whose CPUs they are on.
    """

    cpu: Ratio
    throughput: Ratio
    pairs: int

    def __str__(self) -> str:
        return (
            f"with the tab in parts of without, {self.pairs} pairs:\n"
            f"  the generator's CPU per request {self.cpu}\n"
            f"  requests/s {self.throughput}, browser and metering on the null server's CPU"
        )


@dataclass(frozen=True)
class Counts:
    """How much there had been until when (Unix seconds), a row a second: requests, and seconds of CPU."""

    requests: list[tuple[float, float]]
    cpu_s: list[tuple[float, float]]


def measure(setting: Setting, pairs: int, seconds: float, say: Say) -> Cost:
    """Measure it in so many pairs of windows. Call it from the main thread.

    Raises:
        UserError: it cannot be measured here.
    """
    if pairs < _LEAST_PAIRS:
        raise UserError(f"{pairs} pairs have no interval: give {_LEAST_PAIRS} or more")
    setting = _with_one_process(setting)
    say(f"{pairs} pairs of windows of {seconds:g} s, about {pairs * 2 * (seconds + _SETTLE_S):.0f} s")
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="whichworker-ui-cost-")))
        kind, _ = launchers.choose(Processes.name)
        reference = next(iter(setting.catalogue.configurations.values()))
        only = setting.plan.model_copy(update={"configurations": [reference.name]})
        having = prepare.environments(only, setting.catalogue, kind, say)
        if not having.ready:
            raise UserError(f"{reference.name}, which is metered meanwhile, is unavailable")
        own = prepare.own_catalogue(setting.plan)
        launcher = stack.enter_context(kind.launcher(Work(having.ready, scratch, say, own)))
        cpus = setting.split.for_workers(1)
        try:
            server = launcher.start(reference, 1, scratch / "serve", cpus)
        except ServerError as failure:
            raise UserError(str(failure)) from failure
        null = stack.enter_context(NullServer(launcher, server.url, cpus[0], scratch / "nullserver.log"))
        windows, counts = _load(setting, launcher, null.url, scratch, server.directory, pairs, seconds)
    return cost(windows, counts)


def _load(
    setting: Setting, launcher: Launcher, url: str, scratch: Path, metered: Path, pairs: int, seconds: float
) -> tuple[list[Window], Counts]:
    """Run the load; returns the windows, and what the generator had done until when."""
    with contextlib.ExitStack() as stack:
        swarming = replace(setting, asked=replace(setting.asked, target=url))
        line = open_line(swarming, stack, launcher, scratch, scratch / "generator.log")
        address = f"http://127.0.0.1:{line.port}"
        folder = scratch / "load"
        folder.mkdir()
        with _posting(f"{address}/swarm", _form(setting)):
            request = _await(line, "start")["request"]
            line.send("served", request=request, url=url, directory=str(folder), ceilings=[])
        watcher = _Watcher(address, setting.split.server)
        stack.callback(watcher.end)
        watcher.start()
        windows = list(_windows(line, watcher, metered, pairs, seconds))
        with _posting(f"{address}/stop", {}):
            _await(line, "finished")
        return windows, counted(folder / "generator.csv")


def _windows(line: Line, watcher: "_Watcher", metered: Path, pairs: int, seconds: float) -> Iterator[Window]:
    """Let the time pass, watched and unwatched in a random order in each pair."""
    for pair in range(pairs):
        for watched in random.sample((True, False), 2):
            watcher.watch(watched)
            meter = Meter(metered, 1, time.time()) if watched else None
            start = time.time() + _SETTLE_S
            while (now := time.time()) < start + seconds:
                for second in meter.seconds() if meter is not None else ():
                    line.send("server", **second)
                time.sleep(min(_TICK_S, max(0.0, start + seconds - now)))
            yield Window(pair, watched, start, start + seconds)


def cost(windows: Collection[Window], counts: Counts) -> Cost:
    """The cost, by what the generator had done until when."""
    pairs = sorted({each.pair for each in windows})
    requests, cpu = (
        {
            (each.pair, each.watched): (at(table, each.end) - at(table, each.start)) / (each.end - each.start)
            for each in windows
        }
        for table in (counts.requests, counts.cpu_s)
    )
    throughput = np.array([requests[pair, True] / requests[pair, False] for pair in pairs])
    taken = np.array([cpu[pair, True] / cpu[pair, False] for pair in pairs])
    return Cost(_ratio(taken / throughput), _ratio(throughput), len(pairs))


def _ratio(ratios: npt.NDArray[np.float64]) -> Ratio:
    from scipy import stats  # here, because it takes a second, which no other command needs

    logarithms = np.log(ratios)
    interval = stats.ttest_1samp(logarithms, 0.0).confidence_interval(0.95)
    return Ratio(float(np.exp(logarithms.mean())), float(np.exp(interval.low)), float(np.exp(interval.high)))


def counted(table: Path) -> Counts:
    """What a generator.csv of one process counts; the CPU time without what polling burnt."""
    with table.open(newline="", encoding="utf-8") as file:
        rows = [{name: float(row[name]) for name in _COUNTED} for row in csv.DictReader(file)]
    return Counts(
        [(row["time"], row["requests"]) for row in rows],
        [(row["time"], row["cpu_s"] - row["spin_s"]) for row in rows],
    )


class _Watcher(threading.Thread):
    """A browser's requests, from the server's CPU: what they cost the generator is what it answers."""

    def __init__(self, address: str, cpus: Collection[int]) -> None:
        super().__init__(daemon=True)
        self._address = address
        self._cpus = cpus
        self._watching = threading.Event()
        self._ended = threading.Event()

    def watch(self, whether: bool) -> None:
        """Watch from now on, or not."""
        if whether:
            self._watching.set()
        else:
            self._watching.clear()

    def end(self) -> None:
        """Ask for nothing any more: returns when the last answer is here."""
        self._ended.set()
        self._watching.set()
        self.join(_ANSWER_S)

    def run(self) -> None:
        """Ask in turns."""
        os.sched_setaffinity(0, self._cpus)  # of this thread
        due = dict.fromkeys(_POLLED, 0.0)
        while self._watching.wait() and not self._ended.is_set():
            now = time.monotonic()
            for path, every_s in _POLLED.items():
                if now >= due[path]:
                    due[path] = now + every_s
                    _get(self._address + path.format(since=int(time.time()) - 5))
            self._ended.wait(max(0.0, min(due.values()) - time.monotonic()))


@contextlib.contextmanager
def _posting(url: str, form: dict[str, str]) -> Iterator[None]:
    """Post a form while something else is done, which the answer may wait for."""
    data = urllib.parse.urlencode(form).encode()
    thread = threading.Thread(target=_get, args=(url, data), daemon=True)
    thread.start()
    yield
    thread.join(_ANSWER_S)


def _get(url: str, data: bytes | None = None) -> None:
    with urllib.request.urlopen(url, data, timeout=_ANSWER_S) as answer:
        answer.read()


def _form(setting: Setting) -> dict[str, str]:
    """Locust's form; the scenario is the only one that is offered."""
    if len(setting.scenarios) != 1:
        raise UserError("--cost takes one scenario: give --scenarios index")
    return {"user_count": str(USERS), "spawn_rate": "1000"}


def _with_one_process(setting: Setting) -> Setting:
    """The generator as one process: that which serves the web UI does all of the load, too."""
    generator = setting.split.generator
    spare = (*setting.split.spare, *generator[1:])
    return replace(setting, split=replace(setting.split, generator=generator[:1], spare=spare))


def _await(line: Line, name: str) -> Event:
    deadline = time.monotonic() + _ANSWER_S
    while time.monotonic() < deadline:
        event = line.next(0.2)
        if event is not None and event["event"] == name:
            return event
    raise UserError(f"the web UI did not say {name!r} in time")


def asked_for_cost(asked: Asked) -> Asked:
    """What a sitting needs for it: a port of its own, on loopback, without a login."""
    scenarios = asked.scenarios or ["index"]
    return replace(asked, host="127.0.0.1", port=0, password=None, scenarios=scenarios)
