"""The command ``bench compare``."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from bench.cli.options import ResultsOption
from bench.cli.terminal import console, reports_errors, say, show_listing
from bench.experiment import results
from bench.model.errors import UsageError, UserError
from bench.model.files import write_json

if TYPE_CHECKING:
    from analysis.compare import Comparison, Difference
    from analysis.settings.changed import Changed

app = typer.Typer()

# Columns of a terminal that has room for intervals.
_WIDE = 140
# Of every metric the head of its column, its name and unit in a sentence, and what divides it for that.
_METRICS = {
    "throughput": ("requests/s", "throughput", "requests/s", 1.0),
    "rate_per_s": ("requests/s", "highest rate", "requests/s", 1.0),
    "p99_us": ("p99", "p99", "ms", 1000.0),
    "schedule_p99_us": ("p99", "p99 from the schedule", "ms", 1000.0),
    "cpu_us": ("CPU per request", "CPU per request", "µs", 1.0),
    "error_rate": ("failed", "failed requests", "%", 0.01),
}
_HEADS = tuple(dict.fromkeys(head for head, *_ in _METRICS.values()))
_STYLES = {"better": "green", "worse": "red", "same": "dim", None: "dim"}


@app.command()
@reports_errors
def compare(
    one: Annotated[str, typer.Argument(metavar="RUN_A", help="The run to compare with: name or folder.")],
    other: Annotated[str, typer.Argument(metavar="RUN_B", help="The run that is judged.")],
    across: Annotated[
        bool, typer.Option("--across", help="Compare even if host, CPUs, launcher or methodology differ.")
    ] = False,
    margin: Annotated[
        float, typer.Option(min=0, help="How much worse, as a share, is a regression: 0.05 is 5 %.")
    ] = 0.05,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write everything to this file as well.")
    ] = None,
    results_folder: ResultsOption = Path("results"),
) -> None:
    """Compare two runs cell by cell: what became better or worse from RUN_A to RUN_B?

    Of every cell that both have: requests per second (closed loops), p99 (from the schedule in open loops),
    CPU per request and failed requests; of a search the highest rate. Each is shown as a ratio, B over A:
    1.10 is 10 % more. Wide terminals show its 95 % interval over the repeats (Welch's t test on logarithms).

    *same* means that the runs cannot be told apart: the interval reaches within 2 % of 1. *better* and
    *worse* are certain. *REGRESSION* means that the whole interval is worse by more than the margin.
    Throughput is judged only where the servers were saturated in both runs. A single repeat judges nothing,
    so measure at least three. Failed requests are a regression when their share has certainly grown by more
    than 0.1 percentage points.

    Of many comparisons some differ by chance. Trust those that repeat, and leave the margin where it is or
    higher in CI, where machines are noisy.

    Of two runs of settings it says as well which of these have another fate in RUN_B, and whether the
    intervals of both contradict each other.

    Exit status: 0 no regression; 1 a regression; 2 the runs cannot be compared, or wrong names.

    For example:

    ```
    bench compare 20261122-080000-quick 20261123-080000-quick
    bench compare before after --margin 0.1 --json comparison.json
    ```

    In CI, on one machine, with your own plan and margin:

    ```
    git checkout main   && bench run --plan ci.toml && before=$(bench latest)
    git checkout branch && bench run --plan ci.toml && after=$(bench latest)
    bench compare "$before" "$after" --margin 0.1
    ```
    """
    folders = [results.find(results_folder, name) for name in (one, other)]
    # Imported here: it brings pandas and SciPy, which most commands do not need.
    from analysis.compare import compare as compare_runs

    try:
        compared = compare_runs(folders[0], folders[1], margin=margin, across=across)
    except UserError as error:
        raise UsageError(str(error)) from error
    settings = _settings(*folders)
    if json_file is not None:
        told = {} if settings is None else {"settings": settings.document()}
        write_json(json_file, compared.document() | told)
    _show(compared)
    if settings is not None:
        _show_settings(settings)
    if compared.regressions:
        raise typer.Exit(1)


def _settings(one: Path, other: Path) -> "Changed | None":
    """What became of the settings that one run tried, in another; ``None`` where either tried none."""
    if not all(results.read_run(each)["plan"].get("settings") for each in (one, other)):
        return None
    from analysis.settings.changed import changed
    from analysis.study import study

    return changed(study(one).settings, study(other).settings)


def _show_settings(settings: "Changed") -> None:
    """Print which settings have another fate, and how many have the same."""
    if settings.rows:
        show_listing(settings)
    console.print(f"\n[bold]{escape(settings.finding)}[/bold]")
    for which, names in (("A", settings.only_one), ("B", settings.only_other)):
        if names:
            say(f"only {which} tried {', '.join(names)}")


def _show(compared: "Comparison") -> None:
    """Print what spoils the comparison, the table, what was left out, and the result."""
    if compared.unlike:
        warning = "[yellow]warning[/yellow] compared across unlike conditions: "
        console.print(f"{warning}{escape('; '.join(compared.unlike))}\n", soft_wrap=True)
    for damaged in compared.damaged:
        console.print(f"[yellow]warning[/yellow] left out of {escape(damaged)}\n", soft_wrap=True)
    console.print(f"{escape(compared.other)} (B) over {escape(compared.one)} (A)", soft_wrap=True)
    by_load: dict[str, list[Difference]] = {}
    for each in compared.differences:
        by_load.setdefault(each.key.text, []).append(each)
    for load, differences in by_load.items():
        console.print(f"\n[bold]{escape(load)}[/bold]", _table(differences), sep="\n")
    for which, keys in (("A", compared.only_one), ("B", compared.only_other)):
        if keys:
            console.print(f"\nonly {which} has these:")
            for key in keys:
                console.print(f"  {key.configuration}  {key.text}", markup=False)
    console.print(
        f"\n{compared.judged} comparisons; intervals alone would call about {compared.by_chance:.1f} worse "
        "by chance and as many better, the margin fewer."
    )
    reasons = sorted({each.reason for each in compared.differences if each.reason})
    if reasons:
        say(f"Not judged where {', or where '.join(reasons)}.")
    regressions = compared.regressions
    for each in regressions:
        console.print(f"[red]REGRESSION[/red] {escape(_sentence(each))}", soft_wrap=True)
    if not regressions:
        console.print(f"No regression beyond {compared.margin:.0%}.")


def _table(differences: "list[Difference]") -> Table:
    """The figures of one load, a row for each configuration."""
    rows: dict[str, dict[str, Difference]] = {}
    for each in differences:
        rows.setdefault(each.key.configuration, {})[_METRICS[each.metric][0]] = each
    heads = [head for head in _HEADS if any(head in figures for figures in rows.values())]
    table = Table(box=None, pad_edge=False)
    table.add_column("configuration", min_width=max(map(len, rows)))
    for head in heads:
        table.add_column(head)
    for name, figures in rows.items():
        table.add_row(escape(name), *(_text(figures[head]) for head in heads))
    return table


def _text(difference: "Difference") -> str:
    """The ratio, its interval where there is room, and the verdict."""
    if difference.metric == "error_rate":
        if not (difference.one or difference.other):
            return "none"
        ratio = f"{difference.one:.2%} to {difference.other:.2%}"
    elif math.isnan(difference.ratio):
        ratio = "unknown"
    else:
        ratio = f"{difference.ratio:.2f}{_interval(difference) if console.width >= _WIDE else ''}"
    word = "REGRESSION" if difference.regression else difference.verdict or "not judged"
    return f"{ratio} [{_STYLES[difference.verdict]}]{word}[/]"


def _sentence(difference: "Difference") -> str:
    """A figure that became worse, in full."""
    from analysis.words import figures

    _, name, unit, scale = _METRICS[difference.metric]
    was, became = figures(difference.one / scale), figures(difference.other / scale)
    ratio = "" if math.isnan(difference.ratio) else f", {difference.ratio:.2f}x{_interval(difference)}"
    where = f"{difference.key.configuration}, {difference.key.text}"
    return f"{where}: {name} went from {was} to {became} {unit}{ratio}"


def _interval(difference: "Difference") -> str:
    if math.isnan(difference.low):
        return ""
    return f" ({difference.low:.2f} to {difference.high:.2f})"
