"""Servers that are being started: what is asked for, and what has become of it so far."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from bench.launch.server import (
    ORDINARY,
    PORT_IN_USE,
    Options,
    Serve,
    Server,
    ServerError,
    StartedServer,
    ended,
    ready_facts,
    why_not_ready,
)
from targets.catalogue.configurations import Configuration

# Between two looks at servers that are being started.
LOOK_EVERY_S = 0.02
_PORT_TRIES = 5


@dataclass(frozen=True)
class ServerRequest:
    """A server that is to be started, as ``Launcher.start`` is told it."""

    configuration: Configuration
    workers: int
    directory: Path
    cpus: tuple[int, ...]
    options: Options = ORDINARY
    resting: tuple[int, ...] = ()
    """CPUs that nothing else uses until all have started; where they are as good, it may start on those."""


@dataclass
class Attempt:
    """A server on its way, at one port after the other; ``outcome`` is what came of it at last.

    Each try has ``timeout_s`` to become ready, and a folder of its own: serve wants a new one.
    """

    request: ServerRequest
    timeout_s: float
    outcome: Server | ServerError | None = None
    cpus: tuple[int, ...] = ()
    """Those that it starts on."""
    _tries: int = field(default=0, init=False)
    _place: Path = field(default=Path(), init=False)
    _process: Serve | None = field(default=None, init=False)
    _deadline: float = field(default=0.0, init=False)

    def next_place(self) -> Path:
        """The folder for the metrics of the next try."""
        self.request.directory.mkdir(parents=True, exist_ok=True)
        self._place = self.request.directory / str(self._tries)
        self._tries += 1
        return self._place

    def begun(self, process: Serve) -> None:
        """Note the process of a try, whose time begins to count."""
        self._process = process
        self._deadline = time.monotonic() + self.timeout_s

    @property
    def process(self) -> Serve:
        """That of the last try."""
        assert self._process is not None
        return self._process

    def is_decided(self) -> bool:
        """Whether the last try has come to an end; if the server is ready, it is the ``outcome``."""
        if self.process.poll() is not None:
            return True
        facts = ready_facts(self._place)
        if facts is not None:
            request, process = self.request, self.process
            self.outcome = StartedServer(
                facts["url"], facts, self._place, request.cpus, process, request.options
            )
        return facts is not None or time.monotonic() > self._deadline

    def failed(self) -> None:
        """End the last try, which did not become ready. ``outcome`` says why, unless a port is to blame."""
        self.process.settle(0.0)
        status = self.process.poll()
        assert status is not None
        if status != PORT_IN_USE:
            how = self.process.cause() or ended(status)
            self.outcome = ServerError(why_not_ready(self.request.configuration.name, how, self._place))
        elif self._tries == _PORT_TRIES:
            self.outcome = ServerError(
                f"{_PORT_TRIES} free ports in a row were taken before the server had them"
            )
