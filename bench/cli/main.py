"""The command line: ``python -m bench``."""

import sys

import typer

from bench.cli import doctor, listings, run, serve, settings, soak, ui, worker
from bench.cli.results import choose_n, claims, compare, report, verdict
from bench.cli.trust import ceiling, coverage, known_answers, replay, rotation, self_check

app = typer.Typer(
    name="bench",
    help="Which worker should serve my Sanic app, and with which settings? Measure it on this machine.\n\n"
    "Start with `bench doctor`, then `bench run`. Every command explains itself with --help.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    add_completion=False,
)

# The commands as --help groups them.
_GROUPS = {
    "Before you measure": (doctor, listings),
    "Measure": (run, settings, soak, ui, serve, worker),
    "What the measurements say": (report, verdict, compare, claims, choose_n),
    "How far to trust the suite": (known_answers, coverage, ceiling, rotation, self_check, replay),
}
for _title, _modules in _GROUPS.items():
    for _module in _modules:
        for _command in _module.app.registered_commands:
            _command.rich_help_panel = _title
        app.add_typer(_module.app)


def main() -> None:
    """Run the command line."""
    try:
        app(prog_name="bench")
    except BrokenPipeError:  # `bench plans | head`
        sys.exit(1)
