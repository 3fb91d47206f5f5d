"""`python -m analysis RUN_DIR`: write the report of a run and say where it is."""

import sys
from pathlib import Path

from rich.console import Console

from analysis.report.build import render
from bench.model.errors import UserError


def main() -> int:
    """Return the exit status."""
    console = Console()
    if len(sys.argv) != 2:
        Console(stderr=True).print("usage: python -m analysis RUN_DIR")
        return 2
    try:
        rendered = render(Path(sys.argv[1]), progress=lambda text, _: console.print(f"[dim]{text}[/dim]"))
    except UserError as error:
        Console(stderr=True).print(str(error), style="red", markup=False)
        return 1
    console.print(rendered.finding, rendered.html, sep="\n", markup=False)
    return int(rendered.nothing)


if __name__ == "__main__":
    sys.exit(main())
