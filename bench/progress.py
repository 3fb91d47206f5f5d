"""What a run shows while it works: a live bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from bench.plan import Block, Cell


class RunProgress:
    """Counts cells and seconds; writes a line for each block, and on a terminal draws a bar below.

    It draws only when something happened: a thread of its own would take time from the generator.
    """

    def __init__(
        self, console: Console, blocks: Sequence[Block], estimate: Callable[[Sequence[Block]], float]
    ) -> None:
        """``estimate`` says how many seconds some blocks should take."""
        self._console = console
        self._blocks = list(blocks)
        self._estimate = estimate
        self._left = {block.number: block for block in blocks}
        self._started = time.monotonic()
        self._pace = 1.0  # how long the blocks so far took, compared with their estimate
        self._line: list[str] = []
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=20),
                MofNCompleteColumn(),
                TextColumn("cells  {task.fields[rate]}  {task.fields[eta]}"),
                console=self._console,
                auto_refresh=False,
                transient=True,
            )
            cells = sum(len(block.cells) for block in self._blocks)
            self._task = self._bar.add_task("starting", total=cells, rate="", eta="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(escape(text), highlight=False, soft_wrap=True)

    def block(self, block: Block) -> None:
        """A block begins: its server starts."""
        self._line = []
        self._draw(description=f"{block.configuration} starts", rate="", eta=self._eta())

    def cell(self, cell: Cell) -> None:
        """A cell begins."""
        self._draw(description=f"{cell.configuration}: {cell.load}", rate="", eta=self._eta())

    def rate(self, event: dict[str, Any]) -> None:
        """The generator's report of the last second."""
        failures = event["failures_per_s"]
        failing = f", [red]{failures:,.0f} failures/s[/red]" if failures else ""
        self._draw(rate=f"{event['requests_per_s']:,.0f} requests/s{failing}", eta=self._eta())

    def measured(self, cell: Cell, requests: int, failures: int, seconds: float) -> None:
        """A cell was measured: requests and failures in a window of so many seconds."""
        failed = f" ({failures:,} failed)" if failures else ""
        self._line.append(f"{cell.load} {requests / seconds:,.0f}/s{failed}")
        self._over(cell)

    def failed(self, cell: Cell, reason: str) -> None:
        """A cell failed; the reason is shown at once, above the bar."""
        self._line.append(f"{cell.load} FAILED")
        name = f"{cell.configuration}, {cell.load}, repeat {cell.repeat}"
        self._console.print(
            f"[red]failed[/red] {escape(f'{name}: {reason}')}", highlight=False, soft_wrap=True
        )
        self._over(cell)

    def block_done(self, block: Block) -> None:
        """A block is over."""
        del self._left[block.number]
        done = [each for each in self._blocks if each.number not in self._left]
        self._pace = (time.monotonic() - self._started) / self._estimate(done)
        workers = f"{block.workers} worker{'s' if block.workers > 1 else ''}"
        left = "" if self._bar is not None else f"; {self._eta()}"
        self.say(
            f"[{len(done)}/{len(self._blocks)}] {block.configuration}, {workers}, repeat {block.repeat}: "
            f"{'; '.join(self._line)}{left}"
        )

    def _over(self, cell: Cell) -> None:
        """Take a cell out of what is left."""
        block = self._left[cell.block]
        self._left[cell.block] = replace(block, cells=tuple(each for each in block.cells if each != cell))
        self._draw(advance=1, eta=self._eta())

    def _eta(self) -> str:
        """How long the rest takes: the estimate, corrected by the pace of the blocks so far."""
        minutes, seconds = divmod(round(self._estimate(list(self._left.values())) * self._pace), 60)
        return f"{minutes}:{seconds:02d} left"

    def _draw(self, **changes: Any) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, refresh=True, **changes)
