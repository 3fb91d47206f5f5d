"""The command line: ``python -m bench``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bench import (
    ceiling_command,
    claims_command,
    compare,
    known_answers,
    listings,
    report_command,
    results,
    run_command,
    serve_by_hand,
    stacks,
    verdict_command,
)
from bench.cockpit import command as cockpit
from bench.replay import command as replay
from bench.terminal import ResultsOption, console, reports_errors
from bench.yardsticks import command as yardsticks
from targets.configurations import load as load_catalogue

app = typer.Typer(
    name="bench",
    help="Which worker should serve my Sanic app, and with which settings? Measure it on this machine.\n\n"
    "Start with `bench doctor`, then `bench run`. Every command explains itself with --help.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    add_completion=False,
)
app.add_typer(run_command.app)
app.add_typer(report_command.app)
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
