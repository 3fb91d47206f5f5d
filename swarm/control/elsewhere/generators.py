"""The generators of a master that are elsewhere: they join, they are looked after, and they may be lost."""

from __future__ import annotations

import socket
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from time import monotonic, perf_counter_ns
from typing import Any, Final

import gevent
import locust.runners
from gevent.event import AsyncResult
from locust.env import Environment
from locust.rpc import Message

from ...engine.clock import to_unix_ns
from ..cell import CellFailed
from ..segments import Segments
from ..workers import LIMIT_S, Figures, LocalWorkers, NotReadyError, Workers
from .clocks import Reading, RoundTrip
from .joining import (
    CLOCK_MESSAGE,
    HELLO,
    JOINED,
    KEEP_MESSAGE,
    OVER_MESSAGE,
    REFUSED,
    WELCOME,
    Generator,
    Hello,
    Process,
    Showing,
    Welcome,
    address_of,
    clock_here,
    why_too_many,
    why_unlike,
)

JOIN_S: Final = 600.0
"""How long generators may take to join: people start them."""
SILENT_S: Final = 10
"""A generator is lost when one of its processes was silent for so long: each tells every second that it is.

Locust itself, which stops a test of which no worker is left, gives up later: what it says then is not why.
"""
TRIPS: Final = 20
TRIP_S: Final = 1.0
"""So many round trips read a clock; each may take so long."""


class GeneratorLost(CellFailed):
    """A load cannot be finished, because generators were lost: their names."""

    def __init__(self, names: Sequence[str], *, over: bool) -> None:
        which = "generators" if len(names) > 1 else "generator"
        were = "were" if len(names) > 1 else "was"
        super().__init__(
            f"the {which} {', '.join(names)} {were} lost: nothing was heard from there any more", over=over
        )
        self.lost = list(names)


class Generators(Workers):
    """So many generators of one environment, which join its master at an address of this machine.

    Who joins later is refused, and so is who was lost. `python -m swarm.generator` is the other end.
    """

    are_elsewhere = True

    def __init__(
        self,
        environment: Environment,
        files: Sequence[str],
        options: Sequence[str],
        expected: int,
        address: tuple[str, int],
        tell: Callable[[list[str]], None],
    ) -> None:
        """`files` and `options` as for LocalWorkers; `tell` hears who has joined, when that changes.

        Raises NotReadyError where nobody can listen at the address.
        """
        host, port = address
        try:
            socket.create_server(address, family=_family(host, port)).close()
        except OSError as error:
            raise NotReadyError(f"{host}:{port} cannot be listened at: {error.strerror}") from error
        self._expected = expected
        self._tell = tell
        self._welcome = Welcome.to(files, options)
        self._generators: dict[str, Generator] = {}  # by their tokens
        self._by_client: dict[str, Process] = {}
        self._banned: set[str] = set()  # clients
        self._lost: list[str] = []
        self._told: list[str] = []  # of those
        self._is_closed = False
        self._asked: dict[int, AsyncResult[Mapping[str, Any]]] = {}
        locust.runners.HEARTBEAT_LIVENESS = 2 * SILENT_S
        self.runner = environment.create_master_runner(host, port)
        self._hear_locust = self.runner.handle_message
        self.runner.handle_message = self._hear  # type: ignore[method-assign]
        self.runner.greenlet.spawn(self._count_silence)

    # -- Who joins

    def await_ready(self) -> None:
        """Wait until all have joined, or, later on, until those that are there can start a load."""
        if not self._is_closed:
            self._await_all()
        until = monotonic() + LIMIT_S
        while True:
            ready = {client.id for client in self.runner.clients.ready}
            waiting = [each for each in self.present if not ready.issuperset(each.clients)]
            if not waiting:  # or none is left, which `check` says
                return
            if monotonic() > until:
                for each in waiting:
                    self._lose(each)
            gevent.sleep(0.02)

    def _await_all(self) -> None:
        until = monotonic() + JOIN_S
        told: list[str] | None = None
        while True:
            joined = [each.name for each in self._generators.values() if each.is_whole]
            if joined != told:
                self._tell(joined)
                told = joined
            if len(joined) >= self._expected:
                self._close_doors()
                return
            if monotonic() > until:
                raise NotReadyError(
                    f"only {len(joined)} of {self._expected} generators have joined within {JOIN_S:g} s"
                )
            gevent.sleep(0.05)

    def _close_doors(self) -> None:
        """Take part with those that are there; Locust workers that were not welcomed are none of them."""
        self._is_closed = True
        for client in list(self.runner.clients):
            if client not in self._by_client:
                self._ban(client)

    def _hear(self, client_id: str, msg: Message) -> None:
        """All that comes in goes through here, before Locust sees it."""
        if msg.type == HELLO:
            self._meet(client_id, msg.data)
            return
        if msg.type == JOINED:
            self._join(client_id, msg.data)
            return
        process = self._by_client.get(client_id)
        if client_id in self._banned or (process is None and self._is_closed):
            self._send("quit", None, client_id)
            return
        if process is not None:
            process.silent_s = 0
        if msg.type == CLOCK_MESSAGE:
            answer = self._asked.pop(msg.data["number"], None)
            if answer is not None:
                answer.set({**msg.data, "back": perf_counter_ns()})
            return
        if msg.type == "quit" and process is not None:
            self._lose(self._of(client_id))
            return
        self._hear_locust(client_id, msg)

    def _meet(self, client_id: str, data: Mapping[str, Any]) -> None:
        """Welcome or refuse a process that says hello; it may do so several times."""
        why = why_unlike(data)
        generator = self._generators.get(data.get("token", ""))
        if why is None and generator is None:
            why = self._why_full()
        if why is not None:
            self._send(REFUSED, {"reason": why}, client_id)
            return
        if generator is None:
            hello = Hello(**data)
            generator = Generator(self._unused(hello.name), hello, monotonic())
            self._generators[hello.token] = generator
        self._send(WELCOME, {"welcome": self._welcome.packed(), "called": generator.name}, client_id)

    def _why_full(self) -> str | None:
        """Why nobody else may join, if so. Who was welcomed, and was not seen again, keeps no place."""
        for token, each in list(self._generators.items()):
            if not each.is_whole and not each.processes and monotonic() - each.since > LIMIT_S:
                del self._generators[token]
        if self._is_closed:
            return "the run has begun: who was not there then, or was lost, cannot join it"
        if len(self._generators) >= self._expected:
            names = ", ".join(each.name for each in self._generators.values())
            return f"the run has the {self._expected} that it expects: {names}"
        return None

    def _join(self, client_id: str, data: Mapping[str, Any]) -> None:
        """A process has loaded the scenarios, and Locust knows it by this id from now on."""
        generator = self._generators.get(data["token"])
        if generator is None or self._is_closed:
            self._ban(client_id)
            return
        number = self.runner.get_worker_index(client_id) + 1
        generator.processes[data["process"]] = self._by_client[client_id] = Process(client_id, number)

    def _unused(self, name: str) -> str:
        taken = {each.name for each in self._generators.values()}
        number, found = 2, name
        while found in taken:
            number, found = number + 1, f"{name}-{number}"
        return found

    # -- Who is there

    def record(self) -> list[dict[str, Any]]:
        """Those that are there, as events have them."""
        return [each.record() for each in self.present]

    @property
    def present(self) -> list[Generator]:
        """Those that have joined and were not lost."""
        return [each for each in self._generators.values() if each.name not in self._lost]

    @property
    def count(self) -> int:
        return sum(len(each.processes) for each in self.present)

    def failure(self) -> str | None:
        if not self.present:
            return f"all generators were lost: {', '.join(self._lost)}"
        return None

    def check(self) -> None:
        """Raise GeneratorLost where one was lost that no load has failed for yet."""
        found = [name for name in self._lost if name not in self._told]
        if found:
            self._told += found
            raise GeneratorLost(found, over=not self.present)

    def _of(self, client_id: str) -> Generator:
        return next(each for each in self._generators.values() if client_id in each.clients)

    def _count_silence(self) -> None:
        """Once a second; a master that was held up itself does not count that."""
        while True:
            gevent.sleep(1.0)
            if not self._is_closed:
                continue
            for generator in self.present:
                for process in generator.processes.values():
                    process.silent_s += 1
                if any(each.silent_s >= SILENT_S for each in generator.processes.values()):
                    self._lose(generator)

    def _lose(self, generator: Generator) -> None:
        """Do without a generator from now on: what it says later is not heard."""
        if generator.name in self._lost:
            return
        self._lost.append(generator.name)
        for client in generator.clients:
            self._ban(client)

    def _ban(self, client_id: str) -> None:
        self._banned.add(client_id)
        self._by_client.pop(client_id, None)
        self.runner.clients.pop(client_id, None)
        self._send("quit", None, client_id)

    def _send(self, kind: str, data: Any, client_id: str) -> None:
        self.runner.server.send_to_client(Message(kind, data, client_id))

    def close(self) -> None:
        """Nothing: they hear from Locust that this master ends, and wait for the next one."""

    def say_over(self) -> None:
        """Tell all that the run is over."""
        for each in self.present:
            for client in each.clients:
                self._send(OVER_MESSAGE, None, client)

    # -- Their clocks

    def _look_at_all(self) -> dict[str, Showing]:
        """What the machine of each generator shows, by name; of those that answer."""
        shown = {each.name: self._look_at(each) for each in self.present}
        return {name: showing for name, showing in shown.items() if showing is not None}

    def why_too_many(self, users: int, of_each: int) -> str | None:
        return why_too_many(self.present, users, of_each)

    def begin_load(self) -> None:
        """Read all clocks, and have all generators keep to the ones here in the load that comes."""
        shown = self._look_at_all()
        here = clock_here()
        for each in self.present:
            each.before = shown.get(each.name)
            if each.before is None:
                continue
            ahead = 0 if each.hello.clock == here else -each.before.clocks.ahead
            for client in each.clients:
                self._send(KEEP_MESSAGE, {"ahead_ns": ahead, "to_unix_ns": to_unix_ns()}, client)
        self.round_trip_s = max((each.clocks.most for each in shown.values()), default=0) / 1e9

    def report(self, figures: Figures) -> dict[str, Any]:
        """The generators, what each did, its clock before and after the load, and what its TCP sent."""
        after = self._look_at_all()
        told = []
        for each in self.present:
            first, last = each.before, after.get(each.name)
            clock = {
                name: None if showing is None else showing.clocks.record()
                for name, showing in (("before", first), ("after", last))
            }
            sent = None if first is None or last is None else last.segments.since(first.segments)
            told.append({**each.record(), **figures(each.clients), "segments": sent, "clock": clock})
        return {"generators": told}

    def _look_at(self, generator: Generator) -> Showing | None:
        trips: list[RoundTrip] = []
        there, sent = 0, None
        for _ in range(TRIPS):
            number = perf_counter_ns()  # no other is the same
            answered: AsyncResult[Mapping[str, Any]] = AsyncResult()
            self._asked[number] = answered
            self._send(CLOCK_MESSAGE, {"number": number}, generator.clients[0])
            try:
                answer = answered.get(timeout=TRIP_S)
            except gevent.Timeout:
                self._asked.pop(number, None)
                if not trips or generator not in self.present:
                    return None
                continue
            trips.append(RoundTrip(number, answer["received"], answer["answered"], answer["back"]))
            there, sent = answer["to_unix_ns"], Segments(*answer["segments"])
        return None if sent is None else Showing(Reading.of(trips, there, to_unix_ns()), sent)


def _family(host: str, port: int) -> socket.AddressFamily:
    """The family of an address. Raises OSError."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]


def workers_of(
    environment: Environment,
    files: Sequence[str],
    asked: Namespace,
    tell: Callable[[list[str]], None],
) -> Workers | None:
    """The workers that the command line of a session asks for; None: users run in its own process.

    `files` as for LocalWorkers, `tell` as for Generators. Raises NotReadyError.
    """
    given = asked.option
    if asked.generators:
        return Generators(environment, files, given, asked.generators, address_of(asked.master), tell)
    if asked.processes > 1:
        return LocalWorkers(environment, files, given, asked.processes, asked.import_timeout)
    return None
