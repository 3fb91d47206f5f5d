"""Proxies that run before one server each, and the launchers that can put them there."""

import itertools
import subprocess
import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from bench.launch.launcher import Launcher
from bench.launch.program import ProgramHere
from bench.launch.proxy import Proxy, upstream
from bench.launch.server import Front, Options, Serve, Server, ServerError, StartedServer, last_lines
from bench.launch.serving import ServingLauncher
from bench.launch.starting import ServerRequest
from bench.machine.processes import kill_tree, uninterrupted
from bench.model import folders
from bench.model.errors import UserError

_LOG = "proxy.log"
_ANSWER_S, _STOP_S = 20.0, 3.0
_LOOK_EVERY_S = 0.02
_PORT_TRIES = 3
_TAKEN = "Address already in use"
# Of 107 bytes that the kernel takes for the path of a socket Sanic adds 44 at first: a dot and a random name.
_MOST_PATH_BYTES = 107 - 44
_SOCKETS = "whichworker-sockets-"


class RunningProxy(Front):
    """A proxy, and what it runs as. ``url`` is where clients reach the server through it."""

    def __init__(
        self,
        proxy: Proxy,
        program: ProgramHere,
        listen: str,
        threads: int,
        log: Path,
        launcher: Launcher,
    ) -> None:
        """``listen`` says where to reach it, ``HOST:PORT``."""
        self.proxy = proxy
        self.url = f"{'https' if proxy.tls else 'http'}://{listen}"
        self.program = program
        self._listen = listen
        self._threads = threads
        self._log = log
        self._launcher = launcher

    def failure(self) -> str | None:
        if self.program.poll() is None:
            return None
        cause = self.program.cause()
        return f"{self.proxy.kind} ended by itself{f' ({cause})' if cause else ''}{last_lines(self._log)}"

    def cpu_s(self) -> float | None:
        try:
            return self.program.cpu_s()
        except ProcessLookupError:
            return None

    def lead_to(self, url: str) -> None:
        folder = self._log.parent
        certificate = _certificate(self.proxy, folder, self._launcher)
        self.proxy.configure(folder, upstream(url), self._listen, self._threads, certificate)
        self.program.signal(self.proxy.reload_signal)

    def end(self) -> None:
        """End it; returns when it is gone with all its processes."""
        if self.program.poll() is None:
            self.program.terminate()
        self.program.settle(_STOP_S)

    def await_answer(self, server: StartedServer) -> bool:
        """Wait until a real request is answered through it; ``False`` if it ends or lets that wait too long.

        ``False``, too, if the server ends meanwhile. The request is sent where the proxy runs, which may be
        another network than that of this process.
        """
        check = self._launcher.start_program(
            ["-m", "targets.answering", self.url, f"{_ANSWER_S:g}"],
            self.proxy.cpus,
            stdout=subprocess.DEVNULL,
        )
        try:
            while check.poll() is None and self.program.poll() is None and server.running:
                time.sleep(_LOOK_EVERY_S)
            return check.poll() == 0 and self.program.poll() is None
        finally:
            kill_tree(check)


class FrontingLauncher(ServingLauncher):
    """A launcher that can put a proxy before each of its servers, which it ends after its server.

    Where proxies reach servers by Unix sockets, these are in a folder of this launcher's own.
    """

    def __init__(self, packages: Path | None = None) -> None:
        super().__init__(packages)
        self._fronts: dict[Serve, RunningProxy] = {}
        self._sockets = ExitStack()
        self._socket_folder: Path | None = None
        self._socket_numbers = itertools.count(1)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            super().__exit__(kind, error, trace)
        finally:
            for front in self._fronts.values():
                front.end()
            self._fronts = {}
            self._socket_folder = None
            self._sockets.close()

    def start_all(self, requests: Sequence[ServerRequest]) -> list[Server | ServerError]:
        """As any launcher; a server that is to have a proxy is ready when it answers through that."""
        outcomes = super().start_all(requests)
        for place, (request, server) in enumerate(zip(requests, tuple(outcomes), strict=True)):
            proxy = request.options.proxy
            if proxy is not None and isinstance(server, StartedServer):
                threads = min(request.workers, len(proxy.cpus))
                try:
                    front = start(self, proxy, server, threads, self._port_of_front)
                except ServerError as error:
                    outcomes[place] = error
                    self.stop(server)
                    continue
                except BaseException:
                    self.stop(server)
                    raise
                self._fronts[server.process] = front
                server.front, server.url = front, front.url
        return outcomes

    @abstractmethod
    def start_proxy(self, proxy: Proxy, folder: Path, log: Path) -> ProgramHere:
        """Start a proxy that is configured in a folder; what it says is in ``log`` once it has ended.

        Raises:
            UserError: it cannot be started.
        """

    @abstractmethod
    def _port_of_front(self) -> int:
        """A port for the next proxy."""

    def _settle(self, timeout_s: float) -> None:
        """As any launcher; a proxy ends after its server, which it may still be the way to."""
        ending = tuple(self._stopping)
        super()._settle(timeout_s)
        for process in ending:
            if (front := self._fronts.pop(process, None)) is not None:
                front.end()

    def _further_places(self, options: Options, port: int) -> list[str]:
        if options.proxy is None or options.proxy.socket == "tcp":
            return super()._further_places(options, port)
        second = ["--swap-unix", str(self._new_socket())] if options.swapped else []
        return ["--unix", str(self._new_socket()), *second]

    def _new_socket(self) -> Path:
        """A path for a Unix socket that nobody has used, where servers and proxies see it.

        Raises:
            UserError: it is too long.
        """
        if self._socket_folder is None:
            self._socket_folder = self._sockets.enter_context(folders.temporary(_SOCKETS))
            self._share(self._socket_folder)
        path = self._socket_folder / f"{next(self._socket_numbers)}.sock"
        if (length := len(str(path).encode())) > _MOST_PATH_BYTES:
            raise UserError(
                f"the path of a Unix socket has {length} bytes ({path}), servers take {_MOST_PATH_BYTES}: "
                "set TMPDIR to a shorter folder, or leave out PROXY_SOCKET="
            )
        return path

    def _share(self, folder: Path) -> None:
        """Have servers and proxies see a folder of this machine from now on, where they do not already."""


def start(
    launcher: FrontingLauncher,
    proxy: Proxy,
    server: StartedServer,
    threads: int,
    next_port: Callable[[], int],
) -> RunningProxy:
    """Put a proxy before a server, at one of the ports that ``next_port`` gives; returns when it answers.

    Raises:
        ServerError: the server ended before that.
        UserError: it does not; with its last lines, which are its own words where it refuses its
            configuration.
    """
    folder = server.directory.with_name(f"{server.directory.name}-proxy").resolve()
    folder.mkdir()
    log = folder / _LOG
    for _ in range(_PORT_TRIES):
        listen = f"{launcher.proxy_address}:{next_port()}"
        certificate = _certificate(proxy, folder, launcher)
        proxy.configure(folder, upstream(server.url), listen, threads, certificate)
        # Not interrupted between its start and what ends it.
        with uninterrupted():
            program = launcher.start_proxy(proxy, folder, log)
            running = RunningProxy(proxy, program, listen, threads, log, launcher)
        try:
            answers = running.await_answer(server)
        except BaseException:
            running.end()
            raise
        if answers:
            return running
        ended = program.poll() is not None
        running.end()
        if (failure := server.failure()) is not None:
            raise ServerError(failure)
        if not ended or _TAKEN not in log.read_text(errors="replace"):
            break
    how = "did not start" if ended else f"passed on no answer of the server within {_ANSWER_S:g} s"
    raise UserError(
        f"{proxy.kind} {proxy.version} ({proxy.program}) {how}:{last_lines(log) or ' it says nothing'}\n"
        "Mend that, install another version, or leave out PROXY="
    )


def _certificate(proxy: Proxy, folder: Path, launcher: Launcher) -> Path | None:
    """The file that a proxy presents by TLS, written into its folder."""
    if not proxy.tls:
        return None
    assert launcher.certificate is not None  # the rig sees to it
    return launcher.certificate.with_key(folder)
