"""A proxy that runs before one server, from its first answer until it is ended."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from bench.launch.launcher import Launcher
from bench.launch.proxy import Proxy
from bench.launch.server import HOST, Front, StartedServer, last_lines
from bench.machine.processes import kill_tree, spawn, terminate, uninterrupted, wait_or_kill
from bench.model.errors import UserError

_LOG = "proxy.log"
_ANSWER_S, _STOP_S = 20.0, 3.0
_LOOK_EVERY_S = 0.02
_PORT_TRIES = 3
_TAKEN = "Address already in use"


class RunningProxy(Front):
    """A proxy, and what it runs as. ``url`` is where clients reach the server through it."""

    def __init__(
        self,
        proxy: Proxy,
        process: subprocess.Popen[bytes],
        listen: str,
        threads: int,
        log: Path,
        launcher: Launcher,
    ) -> None:
        """``process`` guards the proxy, which ``listen`` says where to reach, ``HOST:PORT``."""
        self.proxy = proxy
        self.url = f"{'https' if proxy.tls else 'http'}://{listen}"
        self._process = process
        self._listen = listen
        self._threads = threads
        self._log = log
        self._launcher = launcher

    def failure(self) -> str | None:
        if self._process.poll() is None:
            return None
        return f"{self.proxy.kind} ended by itself{last_lines(self._log)}"

    def cpu_s(self) -> float | None:
        try:
            return self._launcher.cpu_s(self._process)
        except ProcessLookupError:
            return None

    def lead_to(self, url: str) -> None:
        server, certificate = urlsplit(url).netloc, _certificate(self.proxy, self._log.parent, self._launcher)
        self.proxy.configure(self._log.parent, server, self._listen, self._threads, certificate)
        with contextlib.suppress(psutil.NoSuchProcess):  # ``failure`` tells of its end
            for first in psutil.Process(self._process.pid).children():
                first.send_signal(self.proxy.reload_signal)

    def end(self) -> None:
        """End it; returns when it is gone with all its processes."""
        terminate(self._process)
        wait_or_kill(self._process, _STOP_S)

    def await_answer(self) -> bool:
        """Wait until a real request is answered through it; ``False`` if it ends or lets that wait too long.

        The request is sent where the proxy runs, which may be another network than that of this process.
        """
        check = self._launcher.start_program(
            ["-m", "targets.answering", self.url, f"{_ANSWER_S:g}"],
            self.proxy.cpus,
            stdout=subprocess.DEVNULL,
        )
        try:
            while check.poll() is None and self._process.poll() is None:
                time.sleep(_LOOK_EVERY_S)
            return check.poll() == 0 and self._process.poll() is None
        finally:
            kill_tree(check)


def start(
    launcher: Launcher, proxy: Proxy, server: StartedServer, threads: int, next_port: Callable[[], int]
) -> RunningProxy:
    """Put a proxy before a server, at one of the ports that ``next_port`` gives; returns when it answers.

    Raises:
        UserError: it does not; with its last lines, which are its own words where it refuses its
            configuration.
    """
    folder = server.directory.with_name(f"{server.directory.name}-proxy").resolve()
    folder.mkdir()
    log = folder / _LOG
    for _ in range(_PORT_TRIES):
        listen = f"{HOST}:{next_port()}"
        certificate = _certificate(proxy, folder, launcher)
        proxy.configure(folder, urlsplit(server.url).netloc, listen, threads, certificate)
        # Not interrupted between its start and what ends it.
        with uninterrupted():
            process = _spawn(proxy.command(folder), proxy.cpus, log, launcher)
            running = RunningProxy(proxy, process, listen, threads, log, launcher)
        try:
            answers = running.await_answer()
        except BaseException:
            running.end()
            raise
        if answers:
            return running
        ended = process.poll() is not None
        running.end()
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


def _spawn(
    command: Sequence[str], cpus: Sequence[int], log: Path, launcher: Launcher
) -> subprocess.Popen[bytes]:
    """Start a proxy, guarded: none of its processes outlives the suite, even if its first one is killed."""
    with log.open("wb") as output:
        return spawn(
            command,
            cpus,
            stdout=output,
            stderr=output,
            folder=log.parent,
            network=launcher.namespace,
            guarded=True,
        )
