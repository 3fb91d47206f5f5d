"""The command line: ``python -m bench``."""

import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from bench import (
    ceiling_command,
    claims_command,
    compare,
    deployed,
    experiment,
    known_answers,
    listings,
    own_options,
    results,
    serve_by_hand,
    stacks,
    verdict_command,
    verdict_shown,
)
from bench.cockpit import command as cockpit
from bench.errors import UsageError
from bench.own_options import AppDirOption, AppOption, LocustfileOption, RequirementsOption, VariablesOption
from bench.prepare import Request
from bench.replay import command as replay
from bench.terminal import LauncherOption, ResultsOption, console, errors, reports_errors
from bench.yardsticks import command as yardsticks
from targets.configurations import load as load_catalogue

if TYPE_CHECKING:
    from analysis.report import Listing, Rendered

app = typer.Typer(
    name="bench",
    help="Which worker should serve my Sanic app, and with which settings? Measure it on this machine.\n\n"
    "Start with `bench doctor`, then `bench run`. Every command explains itself with --help.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    add_completion=False,
)
app.add_typer(listings.app)
app.add_typer(cockpit.app)
app.add_typer(serve_by_hand.app)
app.add_typer(compare.app)
app.add_typer(known_answers.app)
app.add_typer(ceiling_command.app)
app.add_typer(yardsticks.app)
app.add_typer(verdict_command.app)
app.add_typer(claims_command.app)
app.add_typer(replay.app)

# Columns of a terminal that has room for intervals and notes in the ranking.
_WIDE = 150


def _words(text: str | None) -> list[str] | None:
    """Split "a,b c" into names; ``None`` if the option was not given."""
    return None if text is None else text.replace(",", " ").split()


def _numbers(option: str, text: str | None) -> list[int] | None:
    words = _words(text)
    try:
        return None if words is None else [int(word) for word in words]
    except ValueError:
        raise UsageError(f'{option} takes whole numbers like "8,64", not "{text}"') from None


def _rates(text: str | None) -> list[float] | None:
    words = _words(text)
    try:
        return None if words is None else [float(word) for word in words]
    except ValueError:
        raise UsageError(f'--rates takes numbers like "1000,3000", not "{text}"') from None


@app.command()
@reports_errors
def run(
    plan_name: Annotated[
        str | None,
        typer.Option("--plan", "-p", help="A plan (see `bench plans`) or a .toml file; quick if left out."),
    ] = None,
    configurations: Annotated[
        str | None, typer.Option(help="Only these, e.g. sanic,uvicorn (see `bench configurations`).")
    ] = None,
    scenario_names: Annotated[
        str | None, typer.Option("--scenarios", help="Only these, e.g. index,sleep (see `bench scenarios`).")
    ] = None,
    users: Annotated[
        str | None,
        typer.Option(
            help="Closed loops for every scenario: users, e.g. 8,64. With --rates: the most in flight."
        ),
    ] = None,
    rates: Annotated[
        str | None, typer.Option(help="Open loops for every scenario: arrivals per second, e.g. 1000,3000.")
    ] = None,
    arrivals: Annotated[
        str | None, typer.Option(help="How they arrive with --rates: constant (evenly) or poisson.")
    ] = None,
    workers: Annotated[str | None, typer.Option(help="Numbers of server workers, e.g. 1,2.")] = None,
    repeats: Annotated[int | None, typer.Option(help="Repeats; at least 3 for intervals.")] = None,
    duration: Annotated[int | None, typer.Option(help="Measured seconds of each cell.")] = None,
    max_requests: Annotated[
        int | None, typer.Option(help="In plans of recycling: replace workers after so many requests.")
    ] = None,
    replacements: Annotated[
        int | None, typer.Option(help="In plans of recycling: replacements to be seen in each cell.")
    ] = None,
    own_app: AppOption = None,
    app_dir: AppDirOption = Path(),
    requirements: RequirementsOption = None,
    locustfile: LocustfileOption = None,
    variables: VariablesOption = None,
    launcher: LauncherOption = None,
    url: Annotated[
        str | None,
        typer.Option(
            help="Measure what runs at this base URL already, e.g. http://127.0.0.1:8000, in place of "
            "configurations. Nothing of it is started or metered: its CPU, memory and workers stay unknown."
        ),
    ] = None,
    url_name: Annotated[
        str, typer.Option(metavar="NAME", help="What its cells, tables and charts call what runs at --url.")
    ] = deployed.NAME,
    allow_remote: Annotated[
        bool,
        typer.Option(
            deployed.CONFIRMATION,
            help="You may load the --url although it is on another machine; what you measure is then the "
            "network, too.",
        ),
    ] = False,
    results_folder: ResultsOption = Path("results"),
    resume: Annotated[str | None, typer.Option(metavar="RUN", help="Go on with this run.")] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start anew even if such a run was interrupted.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Of the random order of blocks.")] = None,
    port: Annotated[
        int | None,
        typer.Option(help="Serve on this port (local processes); a free one for every server if left out."),
    ] = None,
) -> None:
    """Run a plan and print the ranking and where the report is.

    A run that was interrupted goes on when the same command is given again: finished cells are kept,
    failed ones are measured again.

    Exit status: 0 every cell was measured and keeps the plan's thresholds; 1 some do not, some failed, or
    the run had to stop; 2 wrong names or options; 130 interrupted.

    For example:

    ```
    bench run                        # the quick plan: about five minutes
    bench run --plan smoke           # does everything work here?
    bench run --configurations sanic,granian --users 1,16,256 --duration 5
    bench run --configurations sanic --rates 1000,3000 --arrivals poisson
    bench run --plan recycle --configurations sanic --max-requests 1000
    bench run --app service.main:app --app-dir ../my-service --locustfile ../my-service/locustfile.py
    bench run --url http://127.0.0.1:8000 --scenarios index --users 64
    bench run --resume 20261122-080000-quick
    ```
    """
    if resume is not None and plan_name is not None:
        raise UsageError("--resume goes on with the plan of its run; leave out --plan")
    asked: dict[str, Any] = {
        "configurations": _words(configurations),
        "scenarios": _words(scenario_names),
        "users": _numbers("--users", users),
        "rates_per_s": _rates(rates),
        "arrivals": arrivals,
        "workers": _numbers("--workers", workers),
        "repeats": repeats,
        "measured_s": duration,
        "max_requests": max_requests,
        "replacements": replacements,
        **own_options.changes(own_app, app_dir, requirements, locustfile, _words(variables)),
    }
    if url is not None:
        if configurations is not None or workers is not None:
            raise UsageError("--url is one server, as it is: leave out --configurations and --workers")
        asked["external"] = {"url": deployed.checked("--url", url), "name": url_name}
    changes = {key: value for key, value in asked.items() if value is not None}
    request = Request(
        results_folder, plan_name or "quick", changes, resume, fresh, seed, port, launcher, allow_remote
    )
    result = experiment.run(request, console)
    name = result.folder.name
    if result.interrupted:
        console.print(
            f"interrupted; {result.outcome.finished} cells were finished in this sitting and are kept"
        )
        console.print(f"go on:  make bench RUN={name}   (or give the same command again)")
        console.print(f"report: make report RUN={name}")
        raise typer.Exit(130)
    rendered = _render(result.folder)
    if result.outcome.failed:
        cells = f"{result.outcome.failed} cell{'s' if result.outcome.failed > 1 else ''}"
        errors.print(f"{cells} failed, see above; to measure again: make bench RUN={name}")
    if result.outcome.failed or rendered is None or rendered.violations:
        raise typer.Exit(1)


@app.command()
@reports_errors
def report(
    name: Annotated[str | None, typer.Argument(metavar="[RUN]", help="A run's name or folder.")] = None,
    results_folder: ResultsOption = Path("results"),
) -> None:
    """Make the report of a run (the latest without a name) from its files; measures nothing.

    Exit status: 0 there is a report of measurements; 1 there is none, or every cell failed and it says why.

    For example: `bench report 20261122-080000-quick`
    """
    rendered = _render(results.find(results_folder, name))
    if rendered is None or rendered.nothing:
        raise typer.Exit(1)


def _render(folder: Path) -> "Rendered | None":
    """Analyse a run and print its ranking; a failure (``None``) loses nothing, so it is only told."""
    try:
        # Imported here: it brings pandas and matplotlib, which no other command needs.
        from analysis.errors import AnalysisError
        from analysis.report import render

        try:
            with console.status("making the report …") as status:
                rendered = render(folder, status.update)
        except AnalysisError as error:
            errors.print("[red]error:[/red] no report: ", end="")
            errors.print(str(error), markup=False, soft_wrap=True)
        else:
            _show(rendered)
            return rendered
    except Exception:  # noqa: BLE001  (a mistake of ours: told in full, and the measurements are safe)
        traceback.print_exc()
    errors.print(
        f"The results in {folder} are whole; try again: make report RUN={folder.name}", soft_wrap=True
    )
    return None


def _show(rendered: "Rendered") -> None:
    """Print what the report opens with, the ranking of each scenario, what spoils it, and where it is."""
    wide = console.width >= _WIDE
    for ranking in rendered.ranking:
        columns = [column for column in ranking.columns if wide or column != "notes"]
        # Where there is no room for intervals and notes, they are in the report.
        rows = [[text if wide else text.partition(" (")[0] for text in row.texts()] for row in ranking.rows]
        table = Table(box=None, pad_edge=False, collapse_padding=True)
        for column, texts in zip(columns, zip(*rows, strict=True), strict=False):
            justify: Literal["left", "right"] = "left" if column in ("configuration", "notes") else "right"
            width = None if column == "notes" else max(map(len, texts))
            table.add_column(column.replace(" ", "\n", 1), justify=justify, min_width=width)
        for row in rows:
            table.add_row(*map(escape, row[: len(columns)]))
        if sum(1 + (column.min_width or 0) for column in table.columns) > console.width:
            table = _one_below_the_other(ranking)
        console.print(f"\n[bold]{escape(ranking.title)}[/bold]", table, escape(ranking.basis), sep="\n")
    for finding in rendered.findings:
        if finding.severity == "warning":
            where = f"{finding.scenario}: " if finding.scenario else ""
            console.print(f"\n[yellow]warning[/yellow] {escape(where + finding.message)}")
            console.print(Padding(f"→ {escape(finding.advice)}", (0, 0, 0, 8)))
    if rendered.violations:
        console.print("\n[red]not within the thresholds of the plan:[/red]")
        for violation in rendered.violations:
            console.print(f"  {violation.text}", markup=False, soft_wrap=True)
    console.print(f"\n[bold]{escape(rendered.finding)}[/bold]\n")
    if rendered.verdict is not None:
        verdict_shown.answer(rendered.verdict)
    console.print(f"report: {rendered.html}", markup=False, soft_wrap=True)


def _one_below_the_other(listing: "Listing") -> Table:
    """A table that is too wide for the terminal: under the first text of each row a line for each other."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for row in listing.rows:
        first, *others = row.texts()
        table.add_row(f"[bold]{escape(first)}[/bold]")
        for column, text in zip(listing.columns[1:], others, strict=True):
            table.add_row(Padding(escape(column), (0, 0, 0, 2)), escape(text))
    return table


@app.command()
@reports_errors
def latest(
    name: Annotated[str | None, typer.Argument(metavar="[RUN]", help="A run's name or folder.")] = None,
    results_folder: ResultsOption = Path("results"),
) -> None:
    """Print the folder of a run (the latest without a name), for scripts."""
    print(results.find(results_folder, name).resolve())  # noqa: T201  (rich would wrap it)


@app.command()
@reports_errors
def setup() -> None:
    """Make the environment of every stack now; `bench run` does it as well, when it needs one.

    A stack whose Python is not on this machine is left out with a word on how to get it.
    """
    failed = False
    for stack in load_catalogue().stacks.values():
        try:
            environment = stacks.ensure(stack, console.print)
        except stacks.UnavailableError as error:
            # Without its Python a stack is only unavailable; one that cannot be installed is an error.
            failed = failed or stacks.find_interpreter(stack.pythons) is not None
            console.print(f"{stack.name}: {error.reason}\n  {error.remedy}", markup=False, soft_wrap=True)
        else:
            console.print(f"{stack.name}: ready (Python {environment.version})")
    if failed:
        raise typer.Exit(1)


def main() -> None:
    """Run the command line."""
    try:
        app(prog_name="bench")
    except BrokenPipeError:  # `bench plans | head`
        sys.exit(1)
