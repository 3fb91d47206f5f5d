"""What launchers start, wherever it runs: a process here, one in a container, one on another machine."""

import signal
from abc import ABC, abstractmethod


class Program(ABC):
    """A program that was started."""

    @abstractmethod
    def poll(self) -> int | None:
        """Its exit status, ``-N`` if signal N ended it; ``None`` while it runs."""

    @abstractmethod
    def signal(self, number: int) -> None:
        """Send it a signal; it need not be running any more."""

    def terminate(self) -> None:
        """Ask it to end; it need not be running any more."""
        self.signal(signal.SIGTERM)

    @abstractmethod
    def settle(self, timeout_s: float) -> None:
        """Wait until it has ended; what takes longer is killed with all below it. Nothing is left of it."""

    def cause(self) -> str | None:
        """What ended it, for people, where more is known than its exit status."""
        return None


class ProgramHere(Program):
    """One whose processes this machine has."""

    @abstractmethod
    def cpu_s(self) -> float:
        """CPU seconds (user and system) that it has used so far, all that it started included.

        Raises:
            ProcessLookupError: it has ended, or cannot be seen from here.
        """
