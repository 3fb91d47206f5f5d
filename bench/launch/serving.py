"""What launchers have in common whose servers are run by ``targets.serve``: starting, and ending."""

import time
from abc import abstractmethod
from collections import Counter, deque
from collections.abc import Collection, Sequence
from pathlib import Path
from types import TracebackType

from bench.launch.certificates import Certificate
from bench.launch.launcher import Launcher
from bench.launch.server import ORDINARY, Options, Serve, Server, ServerError, StartedServer, serve_arguments
from bench.launch.starting import LOOK_EVERY_S, Attempt, ServerRequest
from targets.catalogue.configurations import Configuration

# Serve itself gives up after the start-up time-out; this is for one that does not.
_STARTUP_SLACK_S = 10.0
# Servers that start on the same CPUs share them, and each has its time to become ready: 47 at once on one, as
# with all variants of three servers, take longer than 30 s, and no one by one.
_STARTING_AT_ONCE = 6
# A run that was interrupted does not wait for long until its servers have ended.
_INTERRUPTED_S = 2.0


class ServingLauncher(Launcher):
    """A launcher whose servers are run by ``targets.serve``; where that runs is in its subclasses."""

    def __init__(self, packages: Path | None = None) -> None:
        super().__init__(packages)
        self._running: dict[Serve, int] = {}  # and their ports
        self._stopping: list[Serve] = []
        self._longest_grace_s = 0.0  # of the servers that were asked to end

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._running:
            process.terminate()
        self._stopping += self._running
        self._running = {}
        self._settle(self._stop_timeout_s if kind is None else _INTERRUPTED_S)

    def start(
        self,
        configuration: Configuration,
        workers: int | None,
        directory: Path,
        cpus: Sequence[int],
        options: Options = ORDINARY,
    ) -> Server:
        assert workers is not None
        (outcome,) = self.start_all([ServerRequest(configuration, workers, directory, tuple(cpus), options)])
        if isinstance(outcome, ServerError):
            raise outcome
        return outcome

    def start_all(self, requests: Sequence[ServerRequest]) -> list[Server | ServerError]:
        attempts = [Attempt(request, self._startup_timeout_s + _STARTUP_SLACK_S) for request in requests]
        waiting, under_way = deque(attempts), list[Attempt]()
        while waiting or under_way:
            while waiting and (cpus := self._free(waiting[0].request, under_way)) is not None:
                under_way.append(waiting.popleft())
                under_way[-1].cpus = cpus
                self._begin(under_way[-1])
            for attempt in under_way:
                if attempt.outcome is None:
                    self._look_at(attempt)
            under_way = [attempt for attempt in under_way if attempt.outcome is None]
            time.sleep(LOOK_EVERY_S)
        return [attempt.outcome for attempt in attempts if attempt.outcome is not None]

    def _free(self, request: ServerRequest, under_way: Collection[Attempt]) -> tuple[int, ...] | None:
        """The CPUs on which a server may start, those on which the fewest do; ``None`` if it has to wait."""
        starting = Counter(attempt.cpus for attempt in under_way)
        cpus = min(self._starts_on(request), key=lambda each: starting[each])
        return cpus if starting[cpus] < _STARTING_AT_ONCE else None

    def _starts_on(self, request: ServerRequest) -> list[tuple[int, ...]]:
        """The CPUs on which a server may start: its own, where nothing moves it once it is ready."""
        return [request.cpus]

    def _begin(self, attempt: Attempt) -> None:
        """Start a server at the next port."""
        request = attempt.request
        if request.configuration.tls and request.options.proxy is not None:
            name = request.configuration.name
            attempt.outcome = ServerError(f"{name} speaks TLS, and the proxy asks servers without it")
            return
        place, port = attempt.next_place(), self._port(self._running.values())
        arguments = serve_arguments(request.configuration.name, self.address, port, request.workers)
        arguments += [] if self._catalogue is None else ["--catalogue", self.at_servers(self._catalogue)]
        arguments += ["--metrics", str(place.resolve()), *request.options.arguments()]
        arguments += self._further_places(request.options, port)
        arguments += self._app_options(request.configuration)
        if request.configuration.tls:
            assert self.certificate is not None  # the rig sees to it
            arguments += self._certificate_options(self.certificate)
        arguments += ["--startup-timeout", str(self._startup_timeout_s)]
        try:
            process = self._serve(request.configuration, arguments, place, attempt.cpus)
        except ServerError as error:
            attempt.outcome = error
        else:
            self._running[process] = port
            attempt.begun(process)

    def _further_places(self, options: Options, port: int) -> list[str]:
        """What tells serve where to listen beside or in place of a port."""
        return ["--swap-port", str(self._port([port, *self._running.values()]))] if options.swapped else []

    def _certificate_options(self, certificate: Certificate) -> list[str]:
        """What tells serve of the certificate that it presents."""
        return certificate.serve_options()

    def _look_at(self, attempt: Attempt) -> None:
        """Note what has become of a server; one whose port was taken is begun anew."""
        if not attempt.is_decided() or attempt.outcome is not None:
            return
        port = self._running.pop(attempt.process)
        attempt.failed()
        if attempt.outcome is None:
            self._port_is_taken(port)
            self._begin(attempt)

    def stop(self, server: Server) -> None:
        assert isinstance(server, StartedServer)
        if self._running.pop(server.process, None) is not None:
            self._stopping.append(server.process)
            self._longest_grace_s = max(self._longest_grace_s, server.options.grace_period_s or 0)
            server.process.terminate()

    def settle(self) -> None:
        self._settle(self._stop_timeout_s + self._longest_grace_s)
        self._longest_grace_s = 0.0

    @property
    def _variables(self) -> dict[str, str]:
        """What the environment of servers has beside what surrounds them."""
        return {**self.variables, **self.shared}

    def _settle(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while self._stopping:
            self._stopping[-1].settle(max(0.0, deadline - time.monotonic()))
            self._stopping.pop()

    @abstractmethod
    def _port(self, used: Collection[int]) -> int:
        """A port for the next server, none of those ``used`` by others that run."""

    @abstractmethod
    def _port_is_taken(self, port: int) -> None:
        """Hear that a port was in use; raises ``UserError`` where no other may be tried."""

    @abstractmethod
    def _serve(
        self, configuration: Configuration, arguments: Sequence[str], place: Path, cpus: Sequence[int]
    ) -> Serve:
        """Start serve with its arguments; what it says itself goes to ``own_log(place)`` until it has ended.

        Raises as ``start`` does.
        """
