"""The launcher of local processes: servers in the environments of their stacks, the suite in its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from bench.errors import UserError
from bench.launch import ONCE_S, Launcher, own_log
from bench.processes import ROOT, spawn, terminate, wait_or_kill
from bench.serve_command import HOST
from bench.stacks import Environment
from targets.configurations import Configuration


@dataclass
class LocalServe:
    """A ``targets.serve`` that is a child of this process (see ``launch.Serve``)."""

    child: subprocess.Popen[bytes]

    def poll(self) -> int | None:
        """See ``Serve``."""
        return self.child.poll()

    def terminate(self) -> None:
        """See ``Serve``."""
        terminate(self.child)

    def settle(self, timeout_s: float) -> None:
        """See ``Serve``."""
        wait_or_kill(self.child, timeout_s)

    def cause(self) -> None:
        """Nothing: the exit status of a child says it all."""

    def kill(self, pid: int) -> float:
        """See ``Serve``."""
        moment = time.time()
        os.kill(pid, signal.SIGKILL)
        return moment


class Processes(Launcher):
    """See ``Launcher``."""

    name = "processes"

    def __init__(
        self,
        environments: Mapping[str, Environment],
        *,
        port: int | None = None,
        catalogue: Path | None = None,
        startup_timeout_s: float = 30.0,
        stop_timeout_s: float = 20.0,
    ) -> None:
        """``environments`` by the name of their stack; without ``port`` every server gets a free one.

        ``catalogue`` is the file that declares the configurations, if it is not the suite's own.
        """
        super().__init__(
            catalogue=catalogue, startup_timeout_s=startup_timeout_s, stop_timeout_s=stop_timeout_s
        )
        self._environments = environments
        self._given_port = port

    def _port(self) -> int:
        if self._given_port is None:
            return free_port()
        self.settle()
        return self._given_port

    def _port_is_taken(self, port: int) -> None:
        if self._given_port is not None:
            raise UserError(
                f"port {port} is in use on {HOST}; free it, ask for another one with --port, "
                "or leave --port out and a free one is chosen"
            )

    def _serve(
        self, configuration: Configuration, arguments: Sequence[str], place: Path, cpus: Sequence[int]
    ) -> LocalServe:
        python = self._environments[configuration.stack].python
        command = [str(python), "-m", "targets.serve", *arguments]
        with own_log(place).open("wb") as log:
            return LocalServe(spawn(command, cpus, stdout=log, stderr=log, environment=self._environment))

    @property
    def _environment(self) -> dict[str, str]:
        """What servers get beside what this process has, which holds all that is shared already."""
        return {**self.variables, **self.shared}

    def suite(
        self,
        arguments: Sequence[str],
        cpus: Sequence[int],
        *,
        stdin: int = subprocess.DEVNULL,
        stdout: int | IO[Any] = subprocess.DEVNULL,
        stderr: int | IO[Any] = subprocess.DEVNULL,
    ) -> subprocess.Popen[bytes]:
        """See ``Launcher``."""
        return spawn([sys.executable, *arguments], cpus, stdin=stdin, stdout=stdout, stderr=stderr)

    def inside(self, path: Path) -> str:
        """See ``Launcher``."""
        return str(path)

    def cpu_s(self, process: subprocess.Popen[bytes]) -> float:
        """See ``Launcher``."""
        try:
            times = psutil.Process(process.pid).cpu_times()
        except psutil.NoSuchProcess as error:
            raise ProcessLookupError(str(error)) from error
        return float(times.user + times.system)

    def once(self, stack: str, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """See ``Launcher``."""
        return subprocess.run(
            [str(self._environments[stack].python), *arguments],
            cwd=ROOT,
            env={**os.environ, **self._environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=ONCE_S,
        )


def free_port() -> int:
    """A port nobody listens on at this moment."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
    return port
