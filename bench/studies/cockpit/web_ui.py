"""The web UI as a process: how it is started, what it is told to offer, and how its page is reached."""

import asyncio
import contextlib
import errno
import os
import socket
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.experiment.ceiling import FULL
from bench.experiment.generator.dialogue import END_S, GOODBYE_S, Dialogue, Event, ignored_settings
from bench.launch import proxy
from bench.launch.launcher import Launcher
from bench.launch.proxy import Proxy
from bench.launch.stacks import Say
from bench.machine import host
from bench.model.errors import UserError
from bench.model.files import ROOT
from bench.model.plans.proxy import PROXIES
from bench.model.scenarios import Scenario
from targets.catalogue.configurations import Configuration

ARGUMENTS = ["-m", "swarm.cockpit"]


class WebUI(Dialogue):
    """A web UI that runs while the context lasts; ``port`` is where it listens, ``None`` by a Unix socket."""

    def __init__(
        self,
        launcher: Launcher,
        cpus: Sequence[int],
        log: Path,
        offer: Mapping[str, Any],
        say: Say,
        folder: Path = ROOT,
    ) -> None:
        """``offer`` is its first line; ``log`` takes its stderr, ``say`` gets what is for people.

        ``folder`` is the working folder of its users.
        """
        super().__init__(launcher.start_program, ARGUMENTS, cpus, log, "the web UI")
        self._folder = folder
        self._offer = offer
        self._say = say
        self.port: int | None = None

    def __enter__(self) -> Self:
        """Wait until it listens; raises ``UserError`` where it does not."""
        try:
            self.send("offer", **self._offer)
            ready = self.await_ready(_is_ready, self._offer["import_timeout_s"])
            if ready["event"] == "failed":
                raise UserError(f"no web UI: {ready['reason']}")
        except BaseException:
            self.end()
            raise
        if (note := ignored_settings(ready["settings"], self._folder)) is not None:
            self._say(note)
        self.port = ready["port"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for note in self.end(GOODBYE_S if kind in (None, KeyboardInterrupt) else END_S):
            self._say(note)


def _is_ready(event: Event) -> bool:
    return event["event"] in ("ready", "failed")


# What the form takes at most, where this machine allows as many open files.
_MOST_USERS = 10_000
_MOST_WORKERS = 4
_LONGEST = 160
_RECYCLES = {"flag": "requests", "app": "requests", "respawn": "requests", "rss": "memory", "none": "never"}


def offered_configurations(
    known: Iterable[Configuration], unavailable: Sequence[Mapping[str, str]], cpus: Sequence[int]
) -> list[dict[str, Any]]:
    """The configurations; ``unavailable`` as in ``run.json``, ``cpus`` those of servers."""
    reasons = {each["configuration"]: each for each in unavailable if "configuration" in each}
    return [
        {
            "name": each.name,
            "summary": each.summary,
            "unavailable": _why(reasons.get(each.name)),
            "most_workers": most_workers(each, cpus),
            "recycles": _RECYCLES[each.recycle],
        }
        for each in known
    ]


def offered_proxies(launcher: Launcher, cpus: Sequence[int], say: Say) -> dict[str, Proxy]:
    """The proxies at hand that can be put before servers, by their kind, to run on some CPUs.

    ``say`` hears of one that does not run.
    """
    found: dict[str, Proxy] = {}
    for kind in PROXIES:
        if not launcher.has_proxy(kind):
            continue
        try:
            found[kind] = proxy.as_it_comes(kind, cpus, most_users(), launcher.find_proxy)
        except UserError as error:
            say(f"not offered: {error}")
    return found


def most_workers(configuration: Configuration, cpus: Sequence[int]) -> int:
    """How many workers are offered: twice as many as there are CPUs for them, at least four."""
    most = max(_MOST_WORKERS, 2 * len(cpus))
    return most if configuration.max_workers is None else min(most, configuration.max_workers)


def offered_scenarios(
    known: Iterable[Scenario], unavailable: Sequence[Mapping[str, str]], inside: Callable[[Path], str]
) -> list[dict[str, Any]]:
    """The scenarios; ``inside`` gives a path as the web UI knows it."""
    reasons = {each["scenario"]: each for each in unavailable if "scenario" in each}
    return [
        {
            "name": each.name,
            "file": inside(each.path.resolve()),
            "unavailable": _why(reasons.get(each.name)),
        }
        for each in known
    ]


def most_users() -> int:
    """How many users there can be. Raises this process's limit of open files for their connections.

    Raises:
        UserError: this machine allows too few open files for any.
    """
    _, hard = host.open_file_limits()
    most = _MOST_USERS if hard < 0 else min(_MOST_USERS, hard // 2)
    host.allow_open_files(most)
    return most


def offered_always() -> dict[str, Any]:
    """The part of the offer that depends on this machine only."""
    return {"most_users": most_users(), "full": FULL, "names": [socket.gethostname()]}


def _why(entry: Mapping[str, str] | None) -> str | None:
    """The reason and the remedy in one line."""
    if entry is None:
        return None
    text = f"{_first_line(entry['reason'])}; {_first_line(entry['remedy'])}"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _first_line(text: str) -> str:
    return text.partition("\n")[0].rstrip(":")


_PIECE_BYTES = 1 << 16
_END_S = 5.0


class Relay:
    """The door to a web UI that has a network of its own: connections made here go on to its Unix socket.

    It listens on an address of this machine while the context lasts; ``port`` is the port that it has.
    Nothing but the web UI's own traffic passes through: the load stays in its network.
    """

    def __init__(self, host: str, port: int, path: Path) -> None:
        """``path`` is the Unix socket. It may appear later; its folder must exist."""
        self._host = host
        self._path = path
        self.port = port

    def __enter__(self) -> Self:
        """Listen; raises ``UserError`` where the address cannot be had."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            self._listener = socket.create_server((self._host, self.port), family=family)
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            why = "is in use. Free it, or ask for another one with --port" if taken else f": {error.strerror}"
            raise UserError(f"no web UI: port {self.port} on {self._host} {why}") from error
        self.port = self._listener.getsockname()[1]
        # The socket is named by way of it: the kernel takes no more than 107 bytes of path.
        self._folder = os.open(self._path.parent, os.O_PATH | os.O_DIRECTORY)
        self._serving = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),), daemon=True)
        self._thread.start()
        self._serving.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(_END_S)
        self._listener.close()
        os.close(self._folder)

    async def _serve(self) -> None:
        """Pass connections on until told to end; those that are left then are cut."""
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        server = await asyncio.start_server(self._pass_on, sock=self._listener)
        self._serving.set()
        await self._end.wait()
        server.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either side ends it."""
        with contextlib.closing(writer):
            path = f"/proc/self/fd/{self._folder}/{self._path.name}"
            try:
                inner_reader, inner_writer = await asyncio.open_unix_connection(path)
            except OSError:  # it is not there yet, or has ended: so does the connection
                return
            with contextlib.closing(inner_writer):
                copies = _copy(reader, inner_writer), _copy(inner_reader, writer)
                ways = [asyncio.ensure_future(copy) for copy in copies]
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Pass bytes on until either side ends."""
    with contextlib.suppress(ConnectionError):
        while piece := await source.read(_PIECE_BYTES):
            target.write(piece)
            await target.drain()
