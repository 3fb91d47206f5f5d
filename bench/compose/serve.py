"""A ``targets.serve`` in a container."""

import signal
import subprocess
from pathlib import Path

from bench.compose import removal
from bench.compose.containers import PYTHON, Containers, State, own_cpus
from bench.compose.engine import ClientError, EngineError
from bench.processes import spawn

# How long Docker may take to end a container that was killed.
_KILL_S = 20.0
# Runs inside: the pid is one of the container's own, and images hold no `kill`.
_KILL = "import os, sys, time; print(time.time(), flush=True); os.kill(int(sys.argv[1]), 9)"


class ContainerServe:
    """See ``launch.Serve``; a client that waits for the container's end says when it is there."""

    def __init__(self, containers: Containers, name: str, log: Path) -> None:
        """``log`` takes what serve itself printed, when it has ended."""
        self._containers = containers
        self._name = name
        self._log = log
        self._status: int | None = None
        self._cause: str | None = None
        self._client = self._wait()

    def poll(self) -> int | None:
        """See ``Serve``."""
        if self._status is None and self._client.poll() is not None:
            state = self._containers.state(self._name)
            if state is not None and state.running:  # only the client has ended
                self._client = self._wait()
            else:
                self._note_end(state)
        return self._status

    def terminate(self) -> None:
        """See ``Serve``."""
        self._containers.signal(self._name, signal.SIGTERM)

    def settle(self, timeout_s: float) -> None:
        """See ``Serve``."""
        if not self._ends(timeout_s):
            self._containers.signal(self._name, signal.SIGKILL)
            if not self._ends(_KILL_S):
                raise EngineError(f"Docker does not end the container {self._name}; remove it by hand")
        self._containers.remove(self._name)

    def cause(self) -> str | None:
        """See ``Serve``."""
        return self._cause

    def kill(self, pid: int) -> float:
        """See ``Serve``."""
        try:
            return float(self._containers.execute(self._name, PYTHON, "-ISc", _KILL, str(pid)))
        except ClientError as error:
            if "ProcessLookupError" in str(error) or removal.is_gone(error):
                raise ProcessLookupError(f"{self._name} has no process {pid}") from error
            raise

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
        # A program that a signal ended has 128 and the signal's number, of serve's own none is as high.
        self._status = state.status if state.status <= 128 else 128 - state.status
        if state.out_of_memory:
            self._cause = f"killed: out of memory (limit {_size(state.limit_bytes)})"
        self._log.write_text(self._containers.log(self._name), encoding="utf-8")


def _size(count: int) -> str:
    """A memory limit as Docker is told it."""
    return f"{count >> 30}g" if count % (1 << 30) == 0 else f"{count / (1 << 20):.0f}m"
