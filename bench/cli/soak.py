"""The command ``bench soak``."""

from dataclasses import replace
from typing import Annotated

import typer

from bench.cli import measuring
from bench.cli.measuring import with_request
from bench.cli.options import NoReportOption
from bench.cli.results import report as report_command
from bench.cli.terminal import console, reports_errors, say
from bench.experiment import inputs, results
from bench.experiment import run as experiment
from bench.experiment.blocks import duration
from bench.experiment.run import Request, Result
from bench.model.errors import UsageError
from bench.model.plans import plan

app = typer.Typer()

PLAN = "soak"


@app.command()
@reports_errors
@with_request
def soak(
    plan_name: Annotated[
        str | None,
        typer.Option("--plan", "-p", help="A plan with `[soak]`, or a .toml file; soak if left out."),
    ] = None,
    *,
    request: Request,
    hours: Annotated[
        float | None, typer.Option(min=0.001, help="Hours of load; pauses are no part of them.")
    ] = None,
    allowance: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="What a server may take in all, e.g. 500MB: when would it, and which N prevents it?",
        ),
    ] = None,
    no_report: NoReportOption = False,
) -> None:
    """Load servers side by side for hours or days, far below saturation, and say what grows.

    Each configuration is there twice, with its workers replaced after N requests and without. Memory, open
    files, threads, latency and losses are recorded in bounded memory and disk for as long as you like. Ctrl-C
    pauses; --resume goes on, with new servers. `bench report` shows what is known so far, also while it goes
    on. docs/soak.md says how to read it.

    Exit status: 0 it is over; 1 a server could not be loaded in the end, or the soak had to stop; 2 wrong
    names or options; 130 paused.

    For example:

    ```
    bench soak                                               # two hours of servers that leak on purpose
    bench soak --hours 48 --configurations sanic,gunicorn-uvicorn --rates 20 --allowance 500MB
    bench soak --max-requests 8000                           # with the N that it recommended
    bench soak --app service.main:app --app-dir ../my-service --locustfile ../my-service/locustfile.py
    bench soak --resume 20261122-080000-soak
    ```
    """
    request = _of_soak(plan_name, request, {"hours": hours, "allowance": allowance})
    result = experiment.run(request, console)
    if result.interrupted:
        raise _paused(result)
    good = not result.outcome.failed
    if no_report:
        console.print(f"no report, as asked; to make it: make report RUN={result.folder.name}")
    else:
        good &= report_command.render(result.folder) is not None
    if result.outcome.failed:
        say(f"{result.outcome.failed} of the servers had no load in the end, see above")
    if not good:
        raise typer.Exit(1)


def _of_soak(plan_name: str | None, request: Request, given: dict[str, float | str | None]) -> Request:
    """The run that is asked for, of a plan that has a soak."""
    changes = {**request.changes, **{key: value for key, value in given.items() if value is not None}}
    if request.resume is not None:
        if plan_name is not None:
            raise UsageError("--resume goes on with the plan of its run; leave out --plan")
        folder = results.find(request.results, request.resume)
        if not results.read_run(folder)["plan"].get("soak"):
            raise UsageError(f"{folder.name} is no soak: make bench RUN={folder.name} goes on with it")
        return replace(request, changes=changes)
    chosen = plan.load(plan_name or PLAN)
    if chosen.soak is None:
        raise UsageError(f"the plan {plan_name} is no soak: it needs [soak]")
    if "locustfiles" in changes:
        changes.setdefault("configurations", _as_they_are(chosen))
    return replace(request, plan=plan_name or PLAN, changes=changes)


def _as_they_are(chosen: plan.Plan) -> list[str]:
    """The servers of a plan for an app of one's own: it leaks by itself, or does not."""
    known = inputs.catalogue(chosen).configurations
    return list(dict.fromkeys(known[name].variant_of or name for name in chosen.named(known)))


def _paused(result: Result) -> typer.Exit:
    """Tell how to go on; returns what ends the command of `make`."""
    run = results.read_run(result.folder)
    over, whole = duration(run["load_s"]), duration(3600 * run["plan"]["soak"]["hours"])
    console.print(f"paused after {over} of {whole}")
    console.print(f"go on:  make soak RUN={result.folder.name}   (or give the same command again)")
    console.print(f"report: make report RUN={result.folder.name}")
    return typer.Exit(measuring.INTERRUPTED)
