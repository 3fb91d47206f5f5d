"""The command ``bench replay``."""

import random
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from bench import cpus, host, marked, results
from bench.errors import UserError
from bench.processes import ROOT
from bench.replay import records, sitting
from bench.replay.account import account
from bench.replay.measure import KINDS, Block, variants
from bench.replay.records import Failed, Replay
from bench.replay.sitting import Asked
from bench.replay.summary import Summary
from bench.replay.tables import tables
from bench.steps import Steps
from bench.terminal import ResultsOption, console, errors, reports_errors
from bench.yardsticks import report
from bench.yardsticks.shown import show
from targets.configurations import Catalogue
from targets.configurations import load as load_catalogue

app = typer.Typer()

DOCUMENT = ROOT / "docs" / "replay.md"
BLOCK = "make replay"

# For the first estimate (seconds): what a block takes beyond its executions, an execution beyond its
# requests, and these, with a client for each process and with one for each request.
_BLOCK_S, _EXECUTION_S, _REQUEST_S = 4.0, 1.0, {"process": 0.001, "request": 0.015}


@app.command()
@reports_errors
def replay(
    configurations: Annotated[
        str | None, typer.Option(help="Only these, e.g. sanic,uvicorn (see `bench configurations`).")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, max=100, help="How often everything is measured.")] = 5,
    processes: Annotated[int, typer.Option(min=1, max=256, help="Processes of the pool.")] = 32,
    requests: Annotated[int, typer.Option(min=1, max=10_000, help="Requests of each process.")] = 100,
    seconds: Annotated[int, typer.Option(min=1, max=600, help="Measured seconds of the suite's cells.")] = 3,
    seed: Annotated[int | None, typer.Option(help="Of the random order in each repeat.")] = None,
    results_folder: ResultsOption = Path("results"),
    show: Annotated[
        str | None,
        typer.Option(metavar="REPLAY", help='Measure nothing: show this one ("latest" for the latest).'),
    ] = None,
    docs: Annotated[
        bool,
        typer.Option(
            "--docs", help="Measure nothing: put the latest, or that of --show, into docs/replay.md."
        ),
    ] = False,
) -> None:
    """Replay the benchmark of an old answer, and give an account of what it really measured.

    A pool of processes, each sending requests in turn with a synchronous httpx client, to every server, with
    and without a split of the CPUs; beside it what the suite measures. It takes about half an hour;
    everything is kept in `results/TIME-replay`.

    Exit status: 0 everything was measured; 1 something was not, or requests failed; 2 wrong names or
    options; 130 interrupted.

    For example:

    ```
    bench replay --configurations gunicorn-uvicorn-legacy,gunicorn-sanic --repeats 1
    bench replay --show latest
    bench replay --docs
    ```
    """
    if docs or show is not None:
        _show_again(records.find(results_folder, show or "latest"), docs)
        return
    catalogue = load_catalogue()
    order = random.randrange(1 << 32) if seed is None else seed
    asked = Asked(_chosen(catalogue, configurations), repeats, processes, requests, seconds, order)
    having = sitting.environments(catalogue, asked.configurations, _say)
    host.allow_open_files(processes)
    split = cpus.split_here(1)
    if split.note:
        console.print(f"note: {split.note}")
    folder = results.create(results_folder, "replay")
    begun = sitting.describe(folder.name, asked, split, having)
    begun.write(folder)
    try:
        with _Progress(begun) as progress:
            sitting.measure_all(begun, folder, catalogue, split, having, progress.block, progress.over)
    except KeyboardInterrupt:
        _end(begun, folder, "interrupted")
        console.print(f"interrupted; what there is: bench replay --show {folder.name}", soft_wrap=True)
        raise typer.Exit(130) from None
    ended = _end(begun, folder, "finished")
    _print(ended)
    console.print(
        f"\neverything: {folder}\ninto the document: bench replay --docs", markup=False, soft_wrap=True
    )
    if ended.failed or any(each.failures for each in ended.executions):
        raise typer.Exit(1)


def _say(text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)


def _chosen(catalogue: Catalogue, asked: str | None) -> list[str]:
    """The configurations asked for, else all but variants, in which a request meets no difference."""
    if asked is None:
        return [name for name, entry in catalogue.configurations.items() if entry.variant_of is None]
    return list(dict.fromkeys(catalogue.get(name).name for name in asked.replace(",", " ").split()))


def _end(begun: Replay, folder: Path, status: Literal["finished", "interrupted"]) -> Replay:
    ended = begun.model_copy(update={"status": status, "ended": time.time()})
    ended.write(folder)
    return ended


class _Progress(Steps):
    """The blocks of a replay, with a line a repeat and one for each that failed."""

    def __init__(self, replay: Replay) -> None:
        super().__init__(
            "blocks", replay.repeats * len(replay.configurations) * len(KINDS), _estimate_s(replay)
        )
        self._repeats = replay.repeats
        self._repeat = 0

    def block(self, block: Block, repeat: int) -> None:
        """A block begins."""
        if repeat > self._repeat:
            self._repeat = repeat
            self.part(repeat, self._repeats, "repeats")
        self.begins(block)

    def over(self, failed: Failed | None) -> None:
        """A block was measured, or why not."""
        if failed is not None:
            where = f"{failed.configuration}, {failed.block}, repeat {failed.repeat}"
            errors.print(f"{where}: {failed.reason}", markup=False, soft_wrap=True)
        self.done()


def _estimate_s(replay: Replay) -> float:
    """How long a replay takes."""
    seconds = 0.0
    for block in (Block(name, kind) for name in replay.configurations for kind in KINDS):
        seconds += _BLOCK_S + (replay.seconds if block.kind == "suite" else 0)
        for variant in variants(block):
            requests_s = replay.processes * replay.requests * _REQUEST_S[variant.client]
            seconds += _EXECUTION_S + requests_s
    return seconds * replay.repeats


def _show_again(folder: Path, docs: bool) -> None:
    """Show a replay from its file, and put it into the document if asked to."""
    recorded = Replay.read(folder)
    if docs and recorded.status != "finished":
        raise UserError(f"{folder.name} was not finished, so it is no figure for a document: make replay")
    _print(recorded)
    if docs:
        marked.replace(DOCUMENT, {BLOCK: markdown(recorded)})
        console.print(f"\nupdated: {DOCUMENT.relative_to(ROOT)}")


def _print(recorded: Replay) -> None:
    summary = Summary(recorded)
    show(tables(summary))
    console.print("\n[bold]What it really measured[/bold]")
    for paragraph in account(summary):
        console.print(f"• {escape(paragraph)}")


def markdown(recorded: Replay) -> str:
    """What stands in the document: the tables, the account, and where they come from."""
    summary = Summary(recorded)
    parts = [f"### {table.title}\n\n{report.markdown([table], '').strip()}" for table in tables(summary)]
    parts.append("### What it really measured\n\n" + "\n".join(f"* {text}" for text in account(summary)))
    return "\n\n".join([*parts, _provenance(recorded)])


def _provenance(recorded: Replay) -> str:
    began, machine, split = datetime.fromtimestamp(recorded.started, UTC), recorded.host, recorded.cpu_split
    clients = recorded.stacks[sitting.CLIENTS.name]
    python, httpx = clients["python"], clients["packages"]["httpx"]
    server, generator = _list(split["server"]), _list(split["generator"])
    return (
        f"Measured on {began:%Y-%m-%d} by `make replay` on {machine['cpu']}, {machine['cpus']} CPUs, "
        f"{machine['system']}: {recorded.repeats} repeats of {recorded.processes} processes with "
        f"{recorded.requests} requests each, httpx {httpx}, Python {python}; medians. Pinned: server on CPU "
        f"{server}, clients on CPU {generator}; not pinned: both on CPUs {_list(recorded.cpus)}."
    )


def _list(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
