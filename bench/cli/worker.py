"""The command ``bench worker``."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.terminal import reports_errors
from bench.model.files import ROOT

app = typer.Typer()


@app.command()
@reports_errors
def worker(
    master: Annotated[
        str,
        typer.Option(metavar="HOST[:PORT]", help="Where the run is: its --address (port 5557 if left out)."),
    ],
    name: Annotated[
        str | None, typer.Option(help="What the run calls it; the host's name if left out.")
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Of the load generator; one for each CPU here if left out.")
    ] = None,
    locustfiles: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="A copy of the run's own locustfiles; it has the suite's own already.",
        ),
    ] = None,
    wait: Annotated[float, typer.Option(min=1.0, metavar="S", help="How long to wait for the run.")] = 600.0,
) -> None:
    """Make load for a run on another machine, which was started with --expect-generators.

    It joins from anywhere: another machine, a container, a pod. It waits for the run, ends with it, and needs
    this version of the suite. Exit status: 0 the run is over; 1 it could not take part.

    For example, on 10.0.0.1, which 10.0.0.2 and 10.0.0.3 are to load, and then on both of these:

    ```
    bench run --expect-generators 2 --address 10.0.0.1
    bench worker --master 10.0.0.1
    ```
    """
    command = [sys.executable, "-P", "-m", "swarm.generator", "--master", master, "--wait", f"{wait:g}"]
    command += [] if name is None else ["--name", name]
    command += [] if processes is None else ["--processes", str(processes)]
    command += [] if locustfiles is None else ["--locustfiles", str(locustfiles.resolve())]
    os.chdir(ROOT)
    os.execve(command[0], command, {**os.environ, "PYTHONPATH": str(ROOT)})
