"""The command ``bench run``."""

from dataclasses import replace
from typing import Annotated

import typer

from bench.cli import measuring
from bench.cli.measuring import with_request
from bench.cli.options import NoReportOption
from bench.cli.results import report as report_command
from bench.cli.terminal import console, reports_errors
from bench.experiment import run as experiment
from bench.experiment.run import Request
from bench.model.errors import UsageError
from bench.model.plans import deployed

app = typer.Typer()

# A group of --help.
_RUNNING = "A server that runs already"


@app.command()
@reports_errors
@with_request
def run(
    plan_name: Annotated[
        str | None,
        typer.Option("--plan", "-p", help="A plan (see `bench plans`) or a .toml file; quick if left out."),
    ] = None,
    *,
    request: Request,
    url: Annotated[
        str | None,
        typer.Option(
            help="Measure the server that runs at this base URL already, e.g. http://127.0.0.1:8000, in "
            "place of configurations. It is neither started nor metered: its CPU time, memory and workers "
            "stay unknown.",
            rich_help_panel=_RUNNING,
        ),
    ] = None,
    url_name: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Its name in cells, tables and charts.",
            rich_help_panel=_RUNNING,
        ),
    ] = deployed.NAME,
    allow_remote: Annotated[
        bool,
        typer.Option(
            deployed.CONFIRMATION,
            help="Confirm that you may load a --url on another machine; you then measure the network, too.",
            rich_help_panel=_RUNNING,
        ),
    ] = False,
    no_report: NoReportOption = False,
) -> None:
    """Run a plan and print the ranking and where the report is.

    Give the same command again to continue a run that was interrupted: finished cells are kept, failed ones
    are measured again.

    Exit status: 0 every cell was measured and keeps the plan's thresholds (only a report checks these); 1
    some do not, some failed, the app became certainly worse than its --baseline, no request of the whole run
    succeeded, or the run had to stop; 2 wrong names or options; 130 interrupted.

    For example:

    ```
    bench run                        # the quick plan: some minutes
    bench run --plan smoke           # does everything work here?
    bench run --configurations sanic,granian --users 1,16,256 --sittings 10
    bench run --precision 0.03 --time-limit 1200    # more sittings, until ratios are known to ±3 %
    bench run --configurations sanic --rates 1000,3000 --arrivals poisson
    bench run --plan recycle --configurations sanic --max-requests 1000
    bench run --app service.main:app --app-dir ../my-service --locustfile ../my-service/locustfile.py
    bench run --app service.main:app --locustfile locustfile.py --baseline ../main --configurations sanic
    bench run --url http://127.0.0.1:8000 --scenarios index --users 64
    bench run --resume 20261122-080000-quick
    ```
    """
    if request.resume is not None and plan_name is not None:
        raise UsageError("--resume goes on with the plan of its run; leave out --plan")
    changes = dict(request.changes)
    if url is not None:
        if {"configurations", "workers"} & set(changes):
            raise UsageError("--url is one server, as it is: leave out --configurations and --workers")
        changes["external"] = {"url": deployed.checked("--url", url), "name": url_name}
    request = replace(request, plan=plan_name or request.plan, changes=changes, allow_remote=allow_remote)
    result = experiment.run(request, console)
    if result.interrupted:
        raise measuring.interrupted(result, "bench")
    kept = True
    if no_report:
        console.print(f"no report, as asked; to make it: make report RUN={result.folder.name}")
    else:
        rendered = report_command.render(result.folder)
        kept = rendered is not None and not rendered.violations and not rendered.regressed
    if not measuring.succeeded(result, "bench") or not kept:
        raise typer.Exit(1)
