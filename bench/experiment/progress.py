"""What a command shows while it works: a live bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from bench.experiment.blocks import block_s, cell_s
from bench.model.cells import Block, Cell, OpenLoop, Sitting
from bench.model.plans.loads import Search
from bench.model.plans.plan import Plan
from bench.model.search import Attempt, Found, expected_steps


class Progress:
    """How far a work of many steps is, and how long the rest takes.

    It draws only when something happens: a thread of its own would take time from what is measured.
    """

    def __init__(self, console: Console, unit: str, total: int, estimate_s: float | None = None) -> None:
        """``unit`` is what the ``total`` steps are, ``estimate_s`` how long all of them should take.

        Without an estimate the time that is left is known once something is done.
        """
        self._console = console
        self._estimated = estimate_s is not None
        # In seconds of the estimate; without one, of one second for each step.
        self._left_s = float(total) if estimate_s is None else estimate_s
        self._step_s = self._left_s / total if total else 0.0
        self._done_s = 0.0
        self._started = time.monotonic()
        self._pace = 1.0  # how long what is done took, compared with its estimate
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn(f"{unit}  {{task.fields[note]}}  {{task.fields[left]}}"),
            console=console,
            auto_refresh=False,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("starting", total=total, note="", left="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(escape(text), highlight=False, soft_wrap=True)

    def tell_failure(self, step: str, reason: str) -> None:
        """Print above the bar why a step failed."""
        self._console.print(
            f"[red]failed[/red] {escape(f'{step}: {reason}')}", highlight=False, soft_wrap=True
        )

    def begin(self, step: object) -> None:
        self._draw(description=escape(str(step)), note="")

    def done(self) -> None:
        self._advance(1, self._step_s)
        self._keep_pace()
        self._draw()

    def reach(self, share: float) -> None:
        """Count a share of all steps, from 0 to 1, as done."""
        task = self._bar.tasks[0]
        steps = round(share * (task.total or 0)) - task.completed
        if steps > 0:
            self._advance(steps, steps * self._step_s)
            self._keep_pace()

    @property
    def left(self) -> str:
        """How long the rest takes: the estimate at the pace so far; empty where neither is known."""
        if not self._estimated and not self._done_s:
            return ""
        minutes, seconds = divmod(round(self._remaining_s() * self._pace), 60)
        return f"{minutes}:{seconds:02d} left"

    def _remaining_s(self) -> float:
        """What is left, in seconds of the estimate."""
        return max(0.0, self._left_s)

    def _advance(self, steps: float, seconds: float) -> None:
        self._left_s -= seconds
        self._done_s += seconds
        self._bar.advance(self._task, steps)

    def _keep_pace(self) -> None:
        """Have the time that is left follow from how long what is done took."""
        self._pace = (time.monotonic() - self._started) / self._done_s

    def _draw(self, **changes: Any) -> None:
        self._bar.update(self._task, refresh=True, left=self.left, **changes)


class Ahead(NamedTuple):
    """What is left of a rotation, as far as that is known: sittings, their cells, and their seconds."""

    sittings: int = 0
    cells: int = 0
    seconds: float = 0.0


_NOTHING = Ahead()


class RunProgress(Progress):
    """The cells of a run, with a line for each sitting and for each block."""

    def __init__(
        self,
        console: Console,
        blocks: Sequence[Block],
        plan: Plan,
        ahead: Ahead = _NOTHING,
        unit: str = "cells",
    ) -> None:
        """``ahead``, and then ``blocks`` of ``plan``, are what will be done, in cells or another ``unit``."""
        # How many steps a search takes is known at its end; until then it is a guess.
        self._of_blocks = sum(block.expected_cells for block in blocks)
        seconds = sum(block_s(plan, block) for block in blocks) + ahead.seconds
        super().__init__(console, unit, self._of_blocks + ahead.cells, seconds)
        self._ahead = ahead
        self._sittings_done = 0
        self._plan = plan
        self._blocks = len(blocks)
        self._blocks_done = 0
        self._block_left_s = 0.0
        self._line: list[str] = []

    def sitting(self, sitting: Sitting) -> None:
        """Show that a sitting begins: its servers start."""
        if not self._sittings_done:  # what was done before the first one says nothing of their pace
            self._started = time.monotonic()
        self._line = []
        self.begin(f"sitting {sitting.repeat}: {len(sitting.configurations)} servers start")

    def rotates(self, sitting: Sitting, load: str) -> None:
        """Show that a load begins to go round."""
        self.begin(f"sitting {sitting.repeat}: {load}")

    def rotated(self, load: str, rates: Sequence[float]) -> None:
        """A load went round: the requests per second of each server that was measured."""
        said = f"{min(rates):,.0f} to {max(rates):,.0f}/s" if rates else "FAILED"
        self._line.append(f"{load} {said}")

    def sitting_done(self, sitting: Sitting, took_s: float, so_far: str, ahead: Ahead) -> None:
        """Count a sitting as done, which took so many seconds; tell how precise all is, and what is left."""
        self._sittings_done += 1
        self._left_s += ahead.seconds - self._ahead.seconds
        self._done_s += took_s
        self._ahead = ahead
        done = self._bar.tasks[0].completed + len(sitting.cells)
        self._draw(completed=done, total=done + ahead.cells + self._of_blocks)
        self._keep_pace()
        count, place = sitting.workers, sitting.number
        workers = f"{count} worker{'s' if count > 1 else ''}"
        left = "" if self._console.is_terminal else f"; {self.left}"
        self.say(
            f"[{place}/{place + ahead.sittings}] sitting {sitting.repeat}, {workers}: "
            f"{'; '.join(self._line)}; {so_far}{left}"
        )

    def block(self, block: Block) -> None:
        """Show that a block begins: its server starts."""
        if not (
            self._blocks_done or self._sittings_done
        ):  # what was done before the first one says nothing of their pace
            self._started = time.monotonic()
        self._block_left_s = block_s(self._plan, block)
        self._line = []
        self.begin(f"{block.configuration} starts")

    def cell(self, cell: Cell) -> None:
        self.begin(f"{cell.configuration}: {cell.words}")

    def rate(self, event: dict[str, Any], note: str = "") -> None:
        """The generator's report of the last second, with a note on the server."""
        failures = event["failures_per_s"]
        failing = f", [red]{failures:,.0f} failures/s[/red]" if failures else ""
        noted = f"  {note}" if note else ""
        self._draw(note=f"{event['requests_per_s']:,.0f} requests/s{failing}{noted}")

    def measured(
        self, cell: Cell, measured: dict[str, Any], seconds: float, server: str | None = None
    ) -> None:
        """A cell was measured: ``measured`` of its ``cell.json``, in a window of so many seconds.

        ``server`` says what happened to the server where that is the question.
        """
        if server is not None:
            every = measured["requests"] + measured["failures"]
            self._line.append(
                f"{cell.words}: {server}, {measured['failures']:,} of {every:,} requests failed"
            )
        elif cell.search is None:
            self._line.append(f"{cell.words} {_said(cell, measured, seconds)}")
        self._over(cell)

    def searched(self, block: Block, scenario: str, search: Search, answer: Found | None, steps: int) -> None:
        """A search is over, after so many steps in this sitting; ``None`` if it had to be given up."""
        limit = f"{scenario}, p99 within {search.p99_ms:g} ms"
        if answer is None:
            self._line.append(f"{limit}: not found")
        elif answer.rate_per_s is None and answer.at_least:
            self._line.append(f"{limit}: not found, the generator was late itself")
        elif answer.rate_per_s is None:
            self._line.append(f"{limit} at no rate tried")
        else:
            least = "at least " if answer.at_least else ""
            self._line.append(f"{limit} up to {least}{answer.rate_per_s:,.10g}/s")
        more = steps - expected_steps(search)
        seconds = more * cell_s(self._plan, block.step(scenario, search, Attempt(1.0)))
        self._left_s += seconds
        self._block_left_s += seconds
        self._draw(total=(self._bar.tasks[0].total or 0) + more)

    def failed(self, cell: Cell, reason: str) -> None:
        """A cell failed; the reason is shown at once, above the bar."""
        self._line.append(f"{cell.words} FAILED")
        self.tell_failure(f"{cell.configuration}, {cell.words}, repeat {cell.repeat}", reason)
        self._over(cell)

    def block_done(self, block: Block) -> None:
        """Count a block as done, and tell what it measured."""
        self._blocks_done += 1
        self._advance(0, self._block_left_s)
        self._block_left_s = 0.0
        self._keep_pace()
        count = block.workers
        workers = "" if count is None else f", {count} worker{'s' if count > 1 else ''}"
        left = "" if self._console.is_terminal else f"; {self.left}"
        self.say(
            f"[{self._blocks_done}/{self._blocks}] {block.configuration}{workers}, repeat {block.repeat}: "
            f"{'; '.join(self._line)}{left}"
        )

    def _over(self, cell: Cell) -> None:
        seconds = cell_s(self._plan, cell)
        self._block_left_s -= seconds
        self._advance(1, seconds)
        self._draw()

    def _remaining_s(self) -> float:
        # A search that takes longer than guessed makes its block's rest negative until it ends.
        return self._left_s - min(0.0, self._block_left_s)


def _said(cell: Cell, measured: Mapping[str, Any], seconds: float) -> str:
    """What a cell measured in so many seconds, in a few words."""
    requests, failures = measured["requests"], measured["failures"]
    if failures and not requests:
        return f"every request FAILED ({failures:,})"
    said = f"{requests / seconds:,.0f}/s"
    if isinstance(cell.load, OpenLoop):  # its throughput is what was asked for
        said = _tail(measured["latency_us"].get("from_schedule", {})) or said
    return said + (f" ({failures:,} failed)" if failures else "")


def _tail(percentiles: Mapping[str, float | None]) -> str | None:
    """The highest of some percentiles in microseconds that there are enough requests for, in words."""
    known = [(name, us) for name in ("p99", "p90", "p50") if (us := percentiles.get(name)) is not None]
    return f"{known[0][0]} {known[0][1] / 1000:,.3g} ms" if known else None
