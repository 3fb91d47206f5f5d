"""The command ``bench choose-n``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import ResultsOption, words
from bench.cli.terminal import console, reports_errors, say, show_listing
from bench.experiment import results
from bench.machine import host
from bench.model.errors import UsageError, unknown
from bench.model.tables import size_bytes

if TYPE_CHECKING:
    from analysis.recycling.choice import Choices
    from analysis.recycling.price import PriceOfN
    from analysis.study import Study

app = typer.Typer()

_MEASURE = "make recycle PLAN=price measures it (make bench at one N)"


@app.command("choose-n")
@reports_errors
def choose_n(
    name: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="The run that measured what replacements cost.")
    ] = None,
    *,
    leak: Annotated[str, typer.Option(metavar="SIZE", help="What the app leaks with a request, e.g. 50kB.")],
    allowance: Annotated[
        str, typer.Option(metavar="SIZE", help="What the server may take in all, e.g. 500MB or 1GiB.")
    ],
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.01, help="Requests a second that the server gets; those that were measured if left out."
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Workers of the server; the fewest that were measured.")
    ] = None,
    configurations: Annotated[str | None, typer.Option(help="Only these, e.g. sanic,uvicorn.")] = None,
    results_folder: ResultsOption = Path("results"),
) -> None:
    """Choose N for an app that leaks: after how many requests to replace a worker, and what that costs.

    It takes the latest run of this machine that measured what a replacement costs: `make recycle PLAN=price`,
    or any other in which workers were replaced and, once more, were not. N is the largest with which all
    processes together stay below the allowance, as a larger N costs less. docs/recycling.md shows one.

    Exit status: 0 there is an N; 1 there is none; 2 no run measured it, or wrong names or options.

    For example:

    ```
    bench choose-n --leak 50kB --allowance 500MB
    bench choose-n --leak 2kB --allowance 1GiB --workers 2 --rate 300 --configurations sanic,uvicorn
    ```
    """
    # Imported here: it brings pandas and SciPy, which most commands do not need.
    from analysis.recycling.choice import Choices, Leak, choose

    asked = Leak(_bytes("--leak", leak), _bytes("--allowance", allowance), rate)
    with console.status("reading the runs …"):
        study = _study(results_folder, name)
        chosen = _chosen(study, workers, words(configurations))
    rows = choose(chosen, asked)
    table = Choices(asked, study.results.run.run, tuple(rows))
    _show(table)
    if table.best is None:
        raise typer.Exit(1)


def _bytes(option: str, text: str) -> int:
    """A size such as 50kB or 1GiB."""
    try:
        return size_bytes(text)
    except ValueError as error:
        raise UsageError(f"{option} {error}") from error


def _study(results_folder: Path, name: str | None) -> "Study":
    """The run that was named, else the latest of this machine that measured what replacements cost."""
    from analysis.reading.results import finished
    from analysis.study import study

    if name is not None:
        found = study(results.find(results_folder, name))
        if not found.prices:
            raise UsageError(f"{name} did not measure what replacing workers costs: {_MEASURE}")
        return found
    machine = host.facts()["machine_id"]
    runs = [
        (run.started, folder)
        for folder, run in finished(results_folder)
        if run.host.machine_id == machine and run.plan.get("recycling")
    ]
    for _, folder in sorted(runs, reverse=True):
        if (found := study(folder)).prices:
            return found
    raise UsageError(
        f"no run of this machine in {results_folder} measured what replacing workers costs: {_MEASURE}"
    )


def _chosen(study: "Study", workers: int | None, names: list[str] | None) -> "list[PriceOfN]":
    """The prices of the first scenario of a run, with so many workers, of some configurations."""
    known = list(dict.fromkeys(each.configuration for each in study.prices))
    for each in names or []:
        if each not in known:
            raise UsageError(f"{study.results.run.run}: {unknown('configuration', each, known)}")
    counts = sorted({each.workers for each in study.prices})
    if workers is not None and workers not in counts:
        measured = ", ".join(map(str, counts))
        raise UsageError(f"{study.results.run.run} measured workers = {measured}, not {workers}")
    scenario = study.prices[0].scenario
    chosen = [
        each
        for each in study.prices
        if each.scenario == scenario
        and each.workers == (workers or counts[0])
        and (names is None or each.configuration in names)
    ]
    if not chosen:
        raise UsageError(f"{study.results.run.run} measured none of them with so many workers: --workers")
    return chosen


def _show(table: "Choices") -> None:
    """Print the table, and how to check the cheapest."""
    show_listing(table)
    say(f"\n{table.finding}")
    if (best := table.best) is not None:
        say(
            "See it hold with an app that leaks 50 kB a request: make recycle SCENARIOS=leak-50k "
            f"CONFIGURATIONS={best.price.configuration} WORKERS={best.price.workers} "
            f"MAX_REQUESTS={best.max_requests}"
        )
