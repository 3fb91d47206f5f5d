"""What the Server tab costs the generator at full load: windows with and without it, in pairs.

With it: the requests of a browser that shows Locust's page and ours, and bench metering a server and
passing the figures on. Without it: the same load, unwatched. The load is a closed loop against a null server,
where the generator is the limit; what is metered is a real server that has nothing to do.
"""

import contextlib
import csv
import os
import random
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.experiment.environments import make_environments
from bench.experiment.generator.dialogue import Event
from bench.experiment.inputs import Inputs
from bench.experiment.rig import Rig
from bench.launch.local import Processes
from bench.launch.nullserver import NullServer
from bench.launch.server import ServerError
from bench.launch.stacks import Say
from bench.machine.cpus import CpuSplit
from bench.model import folders
from bench.model.errors import UserError
from bench.studies.cockpit.metering import Meter, grown
from bench.studies.cockpit.serve import Options, offered, open_web_ui, split_for_web_ui
from bench.studies.cockpit.web_ui import WebUI

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

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
    """A part of the load, in Unix seconds, with or without a browser that watches."""

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


def measure(options: Options, pairs: int, seconds: float, say: Say) -> Cost:
    """Measure it in so many pairs of windows. Call it from the main thread.

    Raises:
        UserError: it cannot be measured here.
    """
    if pairs < _LEAST_PAIRS:
        raise UserError(f"{pairs} pairs have no interval: give {_LEAST_PAIRS} or more")
    # A port of its own, on loopback, without a login.
    scenarios = options.scenarios or ["index"]
    options = replace(options, host="127.0.0.1", port=0, password=None, scenarios=scenarios)
    inputs, split = offered(options), _with_one_process(split_for_web_ui(say))
    reference = next(iter(inputs.catalogue.configurations.values()))
    inputs = inputs.with_plan(inputs.plan.model_copy(update={"configurations": [reference.name]}))
    say(f"{pairs} pairs of windows of {seconds:g} s, about {pairs * 2 * (seconds + _SETTLE_S):.0f} s")
    launcher = Processes(inputs.plan.packages)
    environments = make_environments(inputs, launcher, say)
    if not environments.ready:
        raise UserError(f"{reference.name}, which is metered meanwhile, is unavailable")
    paths, server_cpus = inputs.paths(), split.for_workers(1)
    with (
        folders.temporary("whichworker-ui-cost-") as folder,
        Rig.of(inputs, launcher, environments, split, folder, say, paths=paths, generator=False) as rig,
    ):
        try:
            server = rig.launcher.start(reference, 1, rig.scratch / "serve", server_cpus)
        except ServerError as failure:
            raise UserError(str(failure)) from failure
        log = rig.scratch / "nullserver.log"
        with NullServer(rig.launcher, server.url, server_cpus[0], log) as null:
            swarming = replace(options, target=null.url)
            with open_web_ui(swarming, inputs, rig, rig.scratch / "generator.log", say) as web_ui:
                windows, counts = _load(web_ui, inputs, rig, null.url, server.directory, pairs, seconds)
    return cost(windows, counts)


def _load(
    web_ui: WebUI, inputs: Inputs, rig: Rig, url: str, metered: Path, pairs: int, seconds: float
) -> tuple[list[Window], Counts]:
    """Run the load; returns the windows, and what the generator had done until when."""
    with contextlib.ExitStack() as stack:
        address = f"http://127.0.0.1:{web_ui.port}"
        folder = rig.scratch / "load"
        folder.mkdir()
        with _posting(f"{address}/swarm", _form(inputs)):
            request = _await(web_ui, "start")["request"]
            web_ui.send("served", request=request, url=url, directory=str(folder), ceilings=[])
        watcher = _Watcher(address, rig.split.server)
        stack.callback(watcher.end)
        watcher.start()
        windows = list(_windows(web_ui, watcher, metered, pairs, seconds))
        with _posting(f"{address}/stop", {}):
            _await(web_ui, "finished")
        return windows, counted(folder / "generator.csv")


def _windows(
    web_ui: WebUI, watcher: "_Watcher", metered: Path, pairs: int, seconds: float
) -> Iterator[Window]:
    """Let the time pass, watched and unwatched in a random order in each pair."""
    for pair in range(pairs):
        for watched in random.sample((True, False), 2):
            watcher.watch(watched)
            meter = Meter(metered, 1, time.time()) if watched else None
            start = time.time() + _SETTLE_S
            while (now := time.time()) < start + seconds:
                for second in meter.seconds() if meter is not None else ():
                    web_ui.send("server", **second)
                time.sleep(min(_TICK_S, max(0.0, start + seconds - now)))
            yield Window(pair, watched, start, start + seconds)


def cost(windows: Collection[Window], counts: Counts) -> Cost:
    """The cost, by what the generator had done until when."""
    import numpy as np  # here, as no other command needs it

    pairs = sorted({each.pair for each in windows})
    requests, cpu = (
        {
            (each.pair, each.watched): grown(table, each.start, each.end) / (each.end - each.start)
            for each in windows
        }
        for table in (counts.requests, counts.cpu_s)
    )
    throughput = np.array([requests[pair, True] / requests[pair, False] for pair in pairs])
    taken = np.array([cpu[pair, True] / cpu[pair, False] for pair in pairs])
    return Cost(_ratio(taken / throughput), _ratio(throughput), len(pairs))


def _ratio(ratios: "npt.NDArray[np.float64]") -> Ratio:
    import numpy as np
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


def _form(inputs: Inputs) -> dict[str, str]:
    """Locust's form; the scenario is the only one that is offered."""
    if len(inputs.plan.loaded) != 1:
        raise UserError("--cost takes one scenario: give --scenarios index")
    return {"user_count": str(USERS), "spawn_rate": "1000"}


def _with_one_process(split: CpuSplit) -> CpuSplit:
    """The generator as one process: the one that serves the web UI makes all of the load, too."""
    return replace(split, generator=split.generator[:1], spare=(*split.spare, *split.generator[1:]))


def _await(web_ui: WebUI, name: str) -> Event:
    event = web_ui.await_event(lambda event: event["event"] == name, _ANSWER_S)
    if event is None:
        raise UserError(f"the web UI did not say {name!r} in time")
    return event
