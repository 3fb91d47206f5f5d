"""The command that measures: ``bench run``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from bench import deployed, experiment, own_options, report_command
from bench.errors import UsageError
from bench.own_options import AppDirOption, AppOption, LocustfileOption, RequirementsOption, VariablesOption
from bench.prepare import Request
from bench.terminal import LauncherOption, ResultsOption, console, errors, numbers, reports_errors, words

app = typer.Typer()


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
    no_report: Annotated[
        bool,
        typer.Option("--no-report", help="Only measure: `bench report` makes the report, here or elsewhere."),
    ] = False,
) -> None:
    """Run a plan and print the ranking and where the report is.

    A run that was interrupted goes on when the same command is given again: finished cells are kept,
    failed ones are measured again.

    Exit status: 0 every cell was measured and keeps the plan's thresholds, which without a report nobody
    looks at; 1 some do not, some failed, or the run had to stop; 2 wrong names or options; 130 interrupted.

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
        "configurations": words(configurations),
        "scenarios": words(scenario_names),
        "users": numbers("--users", users),
        "rates_per_s": _rates(rates),
        "arrivals": arrivals,
        "workers": numbers("--workers", workers),
        "repeats": repeats,
        "measured_s": duration,
        "max_requests": max_requests,
        "replacements": replacements,
        **own_options.changes(own_app, app_dir, requirements, locustfile, words(variables)),
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
    kept = True
    if no_report:
        console.print(f"no report, as asked; to make it: make report RUN={name}")
    else:
        rendered = report_command.render(result.folder)
        kept = rendered is not None and not rendered.violations
    if result.outcome.failed:
        cells = f"{result.outcome.failed} cell{'s' if result.outcome.failed > 1 else ''}"
        errors.print(f"{cells} failed, see above; to measure again: make bench RUN={name}")
    if result.outcome.failed or not kept:
        raise typer.Exit(1)


def _rates(text: str | None) -> list[float] | None:
    given = words(text)
    try:
        return None if given is None else [float(word) for word in given]
    except ValueError:
        raise UsageError(f'--rates takes numbers like "1000,3000", not "{text}"') from None
