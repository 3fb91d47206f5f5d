"""Programs that run by themselves in containers: serve, and proxies."""

import signal
import subprocess
from pathlib import Path

from bench.launch.containers import cleanup
from bench.launch.containers.containers import PYTHON, Containers, State, own_cpus
from bench.launch.containers.engine import ClientError, EngineError
from bench.launch.program import ProgramHere
from bench.launch.server import Serve
from bench.machine.processes import spawn, tree_cpu_s

# How long Docker may take to end a container that was killed.
_KILL_S = 20.0
# Runs inside: the pid is one of the container's own, and images hold no `kill`.
_KILL = "import os, sys, time; print(time.time(), flush=True); os.kill(int(sys.argv[1]), 9)"


class ContainerProgram(ProgramHere):
    """A program in a container that runs by itself, whose end a client of Docker waits for."""

    def __init__(self, containers: Containers, name: str, log: Path) -> None:
        """``log`` takes what it printed, when it has ended."""
        self._containers = containers
        self._name = name
        self._log = log
        self._status: int | None = None
        self._cause: str | None = None
        self._pid = 0
        self._client = self._wait()

    def poll(self) -> int | None:
        if self._status is None and self._client.poll() is not None:
            state = self._containers.state(self._name)
            if state is not None and state.running:  # only the client has ended
                self._client = self._wait()
            else:
                self._note_end(state)
        return self._status

    def main_pid(self) -> int:
        """The number that its container's first process has on this host; 0 if it does not run."""
        return self._containers.main_pid(self._name)

    def signal(self, number: int) -> None:
        self._containers.signal(self._name, number)

    def settle(self, timeout_s: float) -> None:
        if not self._ends(timeout_s):
            self._containers.signal(self._name, signal.SIGKILL)
            if not self._ends(_KILL_S):
                raise EngineError(f"Docker does not end the container {self._name}; remove it by hand")
        self._containers.remove(self._name)

    def cause(self) -> str | None:
        return self._cause

    def cpu_s(self) -> float:
        self._pid = self._pid or self.main_pid()
        return tree_cpu_s(self._pid)

    def _wait(self) -> subprocess.Popen[bytes]:
        return spawn(["docker", "wait", self._name], own_cpus())

    def _ends(self, timeout_s: float) -> bool:
        """Whether it has ended at the latest after so many seconds."""
        try:
            self._client.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return self.poll() is not None

    def _note_end(self, state: State | None) -> None:
        if state is None:
            self._status, self._cause = -signal.SIGKILL, "its container was removed"
            return
        # A program that a signal ended has 128 and the signal's number; no other status here is as high.
        self._status = state.status if state.status <= 128 else 128 - state.status
        if state.out_of_memory:
            self._cause = f"killed: out of memory (limit {_size(state.limit_bytes)})"
        self._log.write_text(self._containers.log(self._name), encoding="utf-8")


class ContainerServe(ContainerProgram, Serve):
    """A ``targets.serve`` in a container."""

    def kill(self, pid: int) -> float:
        try:
            return float(self._containers.execute(self._name, PYTHON, "-ISc", _KILL, str(pid)))
        except ClientError as error:
            if "ProcessLookupError" in str(error) or cleanup.is_gone(error):
                raise ProcessLookupError(f"{self._name} has no process {pid}") from error
            raise


def _size(count: int) -> str:
    """A memory limit as Docker is told it."""
    return f"{count >> 30}g" if count % (1 << 30) == 0 else f"{count / (1 << 20):.0f}m"
