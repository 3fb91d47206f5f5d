"""Clients that load connections: a program of the generator's, on its CPUs and in the run's network.

They pause, those of all servers at the same time, or visit one server after the other. Visits take place
while all that pause rest: a keep-alive of 75 s leaves most of a minute for them.
"""

import json
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from bench.experiment.runner import Runner
from bench.launch.server import Server
from bench.machine.processes import outcome
from bench.model.files import ROOT

PROGRAM = ROOT / "swarm" / "connections.py"

SHORTEST, LONGEST = 0.8, 1.2
"""The shortest and the longest pause, as shares of a keep-alive: ``PAUSES`` of the program."""

# For estimates: a burst, some of which take a second and more; what an overload and pauses take beyond
# their time.
_BURST_S, _OVERLOAD_S, _PAUSES_S = 1.5, 1.5, 8.0
# Between two visits, so that a server has put away the connections of the one before.
_SETTLE_S = 0.3
# Clients may take so much longer than expected: each of them waits for 5 s where a server answers nothing.
_SLACK_S = 60.0

Row = dict[str, Any]


class ClientsError(Exception):
    """The clients could not carry out a load; the text says why, for people."""


@dataclass(frozen=True)
class Visit:
    """A load on the connections of one server; ``seconds`` is what it may take."""

    kind: str
    name: str
    connections: int
    seconds: float
    arguments: tuple[str, ...] = ()
    turn: int = 1

    @classmethod
    def burst(cls, name: str, connections: int, turn: int) -> "Visit":
        """So many new connections at once."""
        return cls("burst", name, connections, _BURST_S, turn=turn)

    @classmethod
    def overload(cls, name: str, connections: int, seconds: float) -> "Visit":
        """A closed loop on more connections than a server takes, counted for some seconds."""
        return cls("overload", name, connections, seconds + _OVERLOAD_S, ("--seconds", str(seconds)))


@dataclass(frozen=True)
class Pauses:
    """So many connections to each server, by name, that pause around its keep-alive in seconds."""

    keep_alives_s: Mapping[str, float]
    connections: int
    seed: int

    kind = "pause"
    turn = 1

    @property
    def seconds(self) -> float:
        """What all of them may take, side by side."""
        return LONGEST * max(self.keep_alives_s.values()) + _PAUSES_S

    @property
    def rest_s(self) -> tuple[float, float]:
        """The longest time in which none of them ends, in seconds since their clients began."""
        ends = [(LONGEST * each + _PAUSES_S, SHORTEST * each) for each in {0.0, *self.keep_alives_s.values()}]
        rests = [(after, before) for (after, _), (_, before) in pairwise(sorted(ends))]
        return max(rests, key=lambda rest: rest[1] - rest[0])


class Start(NamedTuple):
    """The loads of a start of all servers: visits in their order, and pauses beside them."""

    visits: Sequence[Visit]
    pauses: Pauses | None = None

    @property
    def visited(self) -> set[str]:
        """The servers that are visited."""
        return {visit.name for visit in self.visits}

    @property
    def pausing(self) -> Mapping[str, float]:
        """The servers whose connections pause, with their keep-alives in seconds."""
        return {} if self.pauses is None else self.pauses.keep_alives_s

    @property
    def kinds(self) -> list[str]:
        """What kinds of loads there are."""
        return list(dict.fromkeys(load.kind for load in (*self.visits, self.pauses) if load is not None))

    @property
    def most_connections(self) -> int:
        """Those that one program holds at most."""
        pausing = 0 if self.pauses is None else self.pauses.connections * len(self.pausing)
        return max([pausing, *(visit.connections for visit in self.visits)])

    @property
    def seconds(self) -> float:
        """What all of it is expected to take, once its servers are there."""
        visits_s = sum(visit.seconds for visit in self.visits)
        if self.pauses is None:
            return visits_s
        since_s, until_s = self.pauses.rest_s
        return self.pauses.seconds + max(0.0, visits_s - max(0.0, until_s - since_s))

    def carry_out(
        self, runner: Runner, visited: Mapping[str, Server], pausing: Mapping[str, Server]
    ) -> Iterator[Row]:
        """The rows of all loads on servers by name; visits that do not fit beside the pauses follow them.

        There is none of a load that could not be carried out, which is told.
        """
        waiting = None if self.pauses is None else _pausing(runner, self.pauses, pausing)
        for visit in self.visits:
            if waiting is not None and not waiting.leave_room(visit):
                yield from waiting.rows(runner)
                waiting = None
            if (visiting := _visiting(runner, visit, visited)) is not None:
                yield from visiting.rows(runner)
                time.sleep(_SETTLE_S)
        if waiting is not None:
            yield from waiting.rows(runner)


@dataclass(frozen=True)
class _Clients:
    """Clients that carry out a load on some servers; they began at ``began`` of the monotonic clock."""

    load: Visit | Pauses
    servers: Mapping[str, Server]
    process: subprocess.Popen[bytes]
    began: float

    def rows(self, runner: Runner) -> Iterator[Row]:
        """A row for each server, once the clients have ended; none where they could not, which is told."""
        load = self.load
        try:
            tallies = self._tallies()
        except ClientsError as error:
            ended = [why for server in self.servers.values() if (why := server.failure()) is not None]
            failed(runner, f"{', '.join(self.servers)}, {load.kind}", next(iter(ended), str(error)))
            return
        for name, tally in zip(self.servers, tallies, strict=True):
            facts = {"load": load.kind, "turn": load.turn, "connections": load.connections}
            yield {"configuration": name, **facts, **tally}

    def _tallies(self) -> list[Row]:
        """What they print of each server. Raises ``ClientsError``."""
        try:
            done = outcome(self.process, self.load.seconds + _SLACK_S)
        except subprocess.TimeoutExpired as error:
            raise ClientsError(f"the clients took longer than {error.timeout:g} s") from error
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"the clients ended with status {done.returncode}"]
            raise ClientsError(said[-1])
        tallies: list[Row] = json.loads(done.stdout)
        return tallies


class _Waiting(_Clients):
    """Clients that pause."""

    def leave_room(self, visit: Visit) -> bool:
        """Wait until all of them rest; returns whether a visit is over before one of them asks again."""
        assert isinstance(self.load, Pauses)
        since_s, until_s = self.load.rest_s
        now_s = time.monotonic() - self.began
        if max(now_s, since_s) + visit.seconds > until_s or self.process.poll() is not None:
            return False
        time.sleep(max(0.0, since_s - now_s))
        return True


def _visiting(runner: Runner, visit: Visit, servers: Mapping[str, Server]) -> _Clients | None:
    """Clients that visit a server, unless that is not there or has ended."""
    alive = _alive(servers, [visit.name])
    words = [*visit.arguments, *(f"{server.url}/index" for server in alive.values())]
    return _Clients(visit, alive, *_begin(runner, visit, words)) if alive else None


def _pausing(runner: Runner, pauses: Pauses, servers: Mapping[str, Server]) -> _Waiting | None:
    """Clients of all servers that are there, if any is."""
    alive = _alive(servers, pauses.keep_alives_s)
    urls = [f"{server.url}/index={pauses.keep_alives_s[name]:g}" for name, server in alive.items()]
    words = ["--seed", str(pauses.seed), *urls]
    return _Waiting(pauses, alive, *_begin(runner, pauses, words)) if alive else None


def _alive(servers: Mapping[str, Server], names: Iterable[str]) -> dict[str, Server]:
    found = {name: servers[name] for name in names if name in servers}
    return {name: server for name, server in found.items() if server.failure() is None}


def _begin(
    runner: Runner, load: Visit | Pauses, words: Sequence[str]
) -> tuple[subprocess.Popen[bytes], float]:
    """Start the program for a load; returns it, and the time on the monotonic clock."""
    launcher = runner.rig.launcher
    process = launcher.start_program(
        [launcher.inside(PROGRAM), load.kind, "--connections", str(load.connections), *words],
        runner.rig.split.generator,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    return process, time.monotonic()


def failed(runner: Runner, step: str, why: str) -> None:
    """Count and tell what could not be measured."""
    runner.outcome.failed += 1
    runner.progress.tell_failure(step, why)
