"""The client of ``there.agent``: one connection to another machine, from its start until ``close``."""

import base64
import contextlib
import json
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

from bench.launch.remote.clock import Clock, Trip, reading
from bench.launch.remote.mirror import Mirror
from bench.launch.remote.ssh import NOT_RESPONDING, SILENCE_S, Host, RemoteError
from bench.machine.processes import uninterrupted, wait_or_kill

# More often than the agent's own limit: it ends where no command comes.
_PING_S = 2.0
# As many as count, so that the clock there is known as well as ever from the beginning.
_FIRST_PINGS = 30
# As many read it around a load, as for generators (``swarm.control.elsewhere.generators``).
_TRIPS = 20
_HELLO_S = 60.0
# What a long cell has logged is fetched, perhaps over a slow line.
_ANSWER_S = 120.0
# The servers of an agent may take about as long to end in order.
_CLOSE_S = 12.0
# What it takes at most to have one killed that does not.
_KILLED_S = 10.0
_KEPT_LINES = 20


class Link:
    """An agent that runs there: ssh is a child of this process. For one thread, which ``_news`` wakes."""

    def __init__(self, host: Host, words: Sequence[str]) -> None:
        """Start the agent by these words; raises ``RemoteError`` if it does not greet."""
        self.host = host
        self.clock = Clock(_FIRST_PINGS)
        self._mirrors: dict[str, Mirror] = {}
        self._answers: dict[int, dict[str, Any]] = {}
        self._readings: dict[str, list[Any]] = {}
        self._news = threading.Condition()
        self._sending = threading.Lock()
        self._number = 0
        self._hello: dict[str, Any] | None = None
        self._lost: RemoteError | None = None
        self._closing = threading.Event()
        with uninterrupted():
            self._process = host.popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        threading.Thread(target=self._read, name="link-reader", daemon=True).start()
        try:
            self._await(lambda: self._hello is not None, _HELLO_S)
            for _ in range(_FIRST_PINGS):
                self.ping()
        except BaseException:
            self.close()
            raise
        threading.Thread(target=self._keep_alive, name="link-pings", daemon=True).start()

    @property
    def hello(self) -> dict[str, Any]:
        """What it said of itself: its ``pid``, its ``facts`` and its ``scratch`` folder."""
        assert self._hello is not None
        return self._hello

    @property
    def lost(self) -> RemoteError | None:
        """Why there is no connection any more; ``None`` while there is."""
        return self._lost

    # -- The files of servers

    def mirror(self, key: str, place: Path, log: Path) -> Mirror:
        """Take the files of a server that is about to be started as ``key``, into a folder and a log here."""
        with self._news:
            made = self._mirrors[key] = Mirror(place, log, self.clock)
            if self._lost is not None:
                made.ended.set()
        return made

    def forget(self, key: str) -> None:
        """Have the files there removed of a server that has ended."""
        self.send("drop", key=key)
        with self._news:
            del self._mirrors[key]

    # -- Commands

    def send(self, do: str, /, **fields: Any) -> None:
        """Send a command; if the connection is lost, ``lost`` says so."""
        line = json.dumps({"do": do, **fields}).encode() + b"\n"
        assert self._process.stdin is not None
        try:
            with self._sending:
                self._process.stdin.write(line)
                self._process.stdin.flush()
        except (BrokenPipeError, ValueError):  # it was closed
            return

    def ask(self, do: str, /, timeout_s: float = _ANSWER_S, **fields: Any) -> dict[str, Any]:
        """Send a command and wait for its answer, with when it was ``back``.

        Raises:
            RemoteError: there is none: the connection is lost, or the time over.
        """
        return self.asked(do, timeout_s=timeout_s, **fields)()

    def asked(self, do: str, /, timeout_s: float = _ANSWER_S, **fields: Any) -> Callable[[], dict[str, Any]]:
        """Send a command; what is returned waits for its answer, and raises as ``ask`` does."""
        with self._news:
            self._number += 1
            number = self._number
        self.send(do, id=number, **fields)

        def answer() -> dict[str, Any]:
            self._await(lambda: number in self._answers, timeout_s)
            with self._news:
                return self._answers.pop(number)

        return answer

    def ping(self) -> None:
        """Note a round trip; raises as ``ask``."""
        self.clock.add(*self._trip())

    def read_clock(self) -> dict[str, Any] | None:
        """What the clock there shows now, as ``clock.reading``; ``None`` where it does not answer."""
        try:
            return reading([Trip.of(*self._trip()) for _ in range(_TRIPS)])
        except RemoteError:
            return None

    def _trip(self) -> tuple[float, float, float, float]:
        """The times of a round trip, as ``Trip.of`` takes them."""
        sent = time.time()
        answer = self.ask("ping")
        return sent, answer["received"], answer["sent"], answer["back"]

    def readings(self, rotation: str) -> list[Any] | None:
        """What the command ``read`` has read of the CPU clocks of servers; ``None`` as long as it goes on."""
        with self._news:
            return self._readings.pop(rotation, None)

    def close(self) -> None:
        """End the agent, and with it all its servers; returns when it is gone, or the connection is."""
        self._closing.set()
        assert self._process.stdin is not None
        with self._sending, contextlib.suppress(BrokenPipeError):  # what was not sent, to one that is gone
            self._process.stdin.close()
        try:
            self._process.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:
            self._kill_there()
            wait_or_kill(self._process, _KILLED_S)

    def _kill_there(self) -> None:
        """Kill an agent that is frozen, and never learns that its input has ended; its servers go with it."""
        if self._hello is None:
            return
        with contextlib.suppress(RemoteError):  # the way there is lost as well
            self.host.run(["kill", "-KILL", str(self._hello["pid"])], timeout_s=_KILLED_S)

    # -- What comes

    def _await(self, is_there: Callable[[], bool], timeout_s: float) -> None:
        with self._news:
            self._news.wait_for(lambda: is_there() or self._lost is not None, timeout_s)
            if not is_there():
                raise self._lost or RemoteError(f"{self.host}: no answer within {timeout_s:g} s")

    def _keep_alive(self) -> None:
        while not self._closing.wait(_PING_S):
            try:
                self.ping()
            except RemoteError:
                return

    def _read(self) -> None:
        assert self._process.stdout is not None and self._process.stderr is not None
        said: list[bytes] = []
        listener = threading.Thread(target=_keep_last, args=(self._process.stderr, said), daemon=True)
        listener.start()
        why: RemoteError | None = None
        heard = time.monotonic()
        for line in self._process.stdout:
            now, heard = time.time(), time.monotonic()
            try:
                self._take(json.loads(line), now)
            except ValueError:  # no event: what a shell says when it starts
                continue
            except OSError as error:  # a full disk here
                why = RemoteError(f"what comes from {self.host} cannot be written here: {error.strerror}")
                self._process.kill()
        self._process.wait()
        listener.join(1.0)
        # ssh tells that of itself only where it tells much else as well.
        silent = time.monotonic() - heard > SILENCE_S - _PING_S
        with self._news:
            self._lost = why or self.host.lost(b"".join(said) or (NOT_RESPONDING if silent else b""))
            for mirror in self._mirrors.values():
                mirror.ended.set()
            self._news.notify_all()

    def _take(self, event: dict[str, Any], now: float) -> None:
        kind = event["event"]
        with self._news:
            mirror = self._mirrors.get(event.get("key", ""))
        if kind == "grown" and mirror is not None:
            mirror.grown(event["name"], base64.b64decode(event["data"]))
        elif kind == "ended" and mirror is not None:
            mirror.status = event["status"]
            mirror.ended.set()
        with self._news:
            if kind == "hello":
                self._hello = event
            elif kind == "answer":
                self._answers[event["id"]] = event | {"back": now}
            elif kind == "readings":
                self._readings[event["rotation"]] = event["readings"]
            self._news.notify_all()


def _keep_last(stream: IO[bytes], said: list[bytes]) -> None:
    for line in stream:
        said.append(line)
        del said[:-_KEPT_LINES]
