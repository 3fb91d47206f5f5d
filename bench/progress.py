"""What a run shows while it works: a live bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from bench.blocks import block_s, cell_s
from bench.cells import Block, Cell, OpenLoop
from bench.loads import Search
from bench.plan import Plan
from bench.search import Attempt, Found, expected_steps


class RunProgress:
    """Counts cells and seconds; writes a line for each block, and on a terminal draws a bar below.

    It draws only when something happened: a thread of its own would take time from the generator.
    """

    def __init__(self, console: Console, blocks: Sequence[Block], plan: Plan) -> None:
        """``blocks`` of ``plan`` are what will be done."""
        self._console = console
        self._blocks = len(blocks)
        self._plan = plan
        # Cells and seconds by block. How many steps a search takes is known at its end; until then it is
        # a guess.
        self._left = {block.number: block.expected_cells for block in blocks}
        self._left_s = {block.number: block_s(plan, block) for block in blocks}
        self._done_s = 0.0  # as estimated
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
            total = sum(self._left.values())
            self._task = self._bar.add_task("starting", total=total, rate="", eta="")
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
        if len(self._left) == self._blocks:  # what was done before the first one says nothing of their pace
            self._started = time.monotonic()
        self._line = []
        self._draw(description=f"{block.configuration} starts", rate="", eta=self._eta())

    def cell(self, cell: Cell) -> None:
        """A cell begins."""
        self._draw(description=f"{cell.configuration}: {cell.words}", rate="", eta=self._eta())

    def rate(self, event: dict[str, Any], note: str = "") -> None:
        """The generator's report of the last second, with a note on the server."""
        failures = event["failures_per_s"]
        failing = f", [red]{failures:,.0f} failures/s[/red]" if failures else ""
        noted = f"  {note}" if note else ""
        self._draw(rate=f"{event['requests_per_s']:,.0f} requests/s{failing}{noted}", eta=self._eta())

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
            failures = measured["failures"]
            failed = f" ({failures:,} failed)" if failures else ""
            said = f"{measured['requests'] / seconds:,.0f}/s"
            if isinstance(cell.load, OpenLoop):  # its throughput is what was asked for
                said = _tail(measured["latency_us"].get("from_schedule", {})) or said
            self._line.append(f"{cell.words} {said}{failed}")
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
        self._left[block.number] += more
        self._left_s[block.number] += more * cell_s(self._plan, block.step(scenario, search, Attempt(1.0)))
        if self._bar is not None and self._task is not None:
            total = self._bar.tasks[0].total
            self._draw(total=None if total is None else total + more, eta=self._eta())

    def failed(self, cell: Cell, reason: str) -> None:
        """A cell failed; the reason is shown at once, above the bar."""
        self._line.append(f"{cell.words} FAILED")
        name = f"{cell.configuration}, {cell.words}, repeat {cell.repeat}"
        self._console.print(
            f"[red]failed[/red] {escape(f'{name}: {reason}')}", highlight=False, soft_wrap=True
        )
        self._over(cell)

    def block_done(self, block: Block) -> None:
        """A block is over."""
        del self._left[block.number]
        self._done_s += self._left_s.pop(block.number)
        done = self._blocks - len(self._left)
        self._pace = (time.monotonic() - self._started) / self._done_s
        count = block.workers
        workers = "" if count is None else f", {count} worker{'s' if count > 1 else ''}"
        left = "" if self._bar is not None else f"; {self._eta()}"
        self.say(
            f"[{done}/{self._blocks}] {block.configuration}{workers}, repeat {block.repeat}: "
            f"{'; '.join(self._line)}{left}"
        )

    def _over(self, cell: Cell) -> None:
        """Take a cell out of what is left."""
        seconds = cell_s(self._plan, cell)
        self._left[cell.block] -= 1
        self._left_s[cell.block] -= seconds
        self._done_s += seconds
        self._draw(advance=1, eta=self._eta())

    def _eta(self) -> str:
        """How long the rest takes: the estimate, corrected by the pace of the blocks so far."""
        # A search that takes longer than guessed makes its block's rest negative until it ends.
        left_s = sum(max(0.0, left) for left in self._left_s.values())
        minutes, seconds = divmod(round(left_s * self._pace), 60)
        return f"{minutes}:{seconds:02d} left"

    def _draw(self, **changes: Any) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, refresh=True, **changes)


def _tail(percentiles: Mapping[str, float | None]) -> str | None:
    """The highest of some percentiles in microseconds that there are enough requests for, in words."""
    known = [(name, us) for name in ("p99", "p90", "p50") if (us := percentiles.get(name)) is not None]
    return f"{known[0][0]} {known[0][1] / 1000:,.3g} ms" if known else None
