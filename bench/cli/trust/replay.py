"""The command ``bench replay``."""

import random
import time
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from bench.cli.options import ResultsOption, words
from bench.cli.terminal import console, reports_errors, say
from bench.cli.terminal import show as show_tables
from bench.experiment import results
from bench.experiment.progress import Progress
from bench.machine import cpus, host
from bench.model import documents
from bench.model.errors import UserError
from bench.model.files import ROOT
from bench.model.records.replay import Replay, find
from bench.studies.replay import measure
from bench.studies.replay.account import account, markdown
from bench.studies.replay.figures import Summary
from bench.studies.replay.tables import tables
from targets.catalogue.configurations import Catalogue
from targets.catalogue.configurations import load as load_catalogue

app = typer.Typer()

DOCUMENT = ROOT / "bench" / "studies" / "replay" / "README.md"
BLOCK = "make replay"


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
    seed: Annotated[int | None, typer.Option(help="Seed of the random order in each repeat.")] = None,
    results_folder: ResultsOption = Path("results"),
    show: Annotated[
        str | None,
        typer.Option(metavar="REPLAY", help='Measure nothing: show this one ("latest" for the latest).'),
    ] = None,
    docs: Annotated[
        bool,
        typer.Option(
            "--docs", help="Measure nothing: put the latest, or that of --show, into bench/studies/replay."
        ),
    ] = False,
) -> None:
    """Replay the benchmark of an old answer, and explain what it really measured.

    A pool of processes loads every server, once with CPUs of its own and once without. Each process sends its
    requests one after the other with a synchronous httpx client. Beside it stands what the suite measures. It
    takes about half an hour; `results/TIME-replay` keeps everything.

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
        _show_again(find(results_folder, show or "latest"), docs)
        return
    catalogue = load_catalogue()
    names = _named(catalogue, configurations)
    having = measure.environments(catalogue, names, say)
    host.allow_open_files(processes)
    split = cpus.split_here(1, say)
    folder = results.create(results_folder, "replay")
    begun = measure.describe(
        folder.name,
        names,
        split,
        having,
        repeats=repeats,
        processes=processes,
        requests=requests,
        seconds=seconds,
        seed=random.randrange(1 << 32) if seed is None else seed,
    )
    begun.write(folder)
    blocks = repeats * len(begun.configurations) * len(measure.KINDS)
    try:
        with Progress(console, "blocks", blocks, measure.estimate_s(begun)) as progress:
            progress.say(f"{blocks} blocks, {progress.left}")
            measure.measure_all(begun, folder, catalogue, split, having, progress)
    except KeyboardInterrupt:
        _end(begun, folder, "interrupted")
        say(f"interrupted; what there is: bench replay --show {folder.name}")
        raise typer.Exit(130) from None
    ended = _end(begun, folder, "finished")
    _print(ended)
    say(f"\neverything: {folder}\ninto the document: bench replay --docs")
    if ended.failed or any(execution.failures for execution in ended.executions):
        raise typer.Exit(1)


def _named(catalogue: Catalogue, names: str | None) -> list[str]:
    """The configurations of these names, else all but variants, in which a request meets no difference."""
    if names is None:
        return [name for name, entry in catalogue.configurations.items() if entry.variant_of is None]
    return list(dict.fromkeys(catalogue.get(name).name for name in words(names) or []))


def _end(begun: Replay, folder: Path, status: Literal["finished", "interrupted"]) -> Replay:
    ended = begun.model_copy(update={"status": status, "ended": time.time()})
    ended.write(folder)
    return ended


def _show_again(folder: Path, docs: bool) -> None:
    """Show a replay from its file, and put it into the document if asked to."""
    recorded = Replay.read(folder)
    if docs and recorded.status != "finished":
        raise UserError(f"{folder.name} was not finished, so it is no figure for a document: make replay")
    _print(recorded)
    if docs:
        documents.replace(DOCUMENT, {BLOCK: markdown(recorded)})
        say(f"\nupdated: {DOCUMENT.relative_to(ROOT)}")


def _print(recorded: Replay) -> None:
    summary = Summary(recorded)
    show_tables(tables(summary))
    console.print("\n[bold]What it really measured[/bold]")
    for paragraph in account(summary):
        console.print(f"• {escape(paragraph)}")
