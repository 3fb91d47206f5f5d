"""How far a measurement of many alike steps is, and how long the rest takes."""

import time
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from bench.terminal import console


class Steps:
    """A bar on a terminal; elsewhere only the lines for those who read a log."""

    def __init__(self, what: str, total: int, estimate_s: float) -> None:
        """``what`` the steps are, and how long all of them are expected to take."""
        self._what = what
        self._total = total
        self._estimate_s = estimate_s
        self._done = 0
        self._started = time.monotonic()
        # Drawn only when something happens: a thread of its own would take time from what is measured.
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            auto_refresh=False,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("starting", total=total, left="")

    def __enter__(self) -> Self:
        console.print(f"{self._total} {self._what}, {self._left()}")
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begins(self, step: object) -> None:
        """A step begins."""
        self._bar.update(self._task, description=str(step), left=self._left(), refresh=True)

    def done(self) -> None:
        """A step is over."""
        self._done += 1
        self._bar.update(self._task, completed=self._done, left=self._left(), refresh=True)

    def part(self, number: int, parts: int, what: str) -> None:
        """Say which of several parts is reached, and what is left."""
        console.print(f"[{number}/{parts}] {what}; {self._left()}", markup=False)

    def _left(self) -> str:
        """By the pace so far; at first by the estimate."""
        share = self._done / self._total
        return time_left(time.monotonic() - self._started, share) if share else _about(self._estimate_s)


def time_left(spent_s: float, share: float) -> str:
    """How long the rest takes, in words, where ``spent_s`` seconds did a ``share`` above 0 of all."""
    return _about(spent_s / share * (1 - share))


def _about(left_s: float) -> str:
    minutes, seconds = divmod(round(left_s), 60)
    return f"about {minutes}:{seconds:02d} left"
