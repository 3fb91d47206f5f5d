"""The command ``bench run``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cli import options as own_options
from bench.cli import report as report_command
from bench.cli.options import (
    AppDirOption,
    AppOption,
    BaselineOption,
    BaselineRequirementsOption,
    ImportTimeoutOption,
    LauncherOption,
    LocustfileOption,
    LocustfileRequirementsOption,
    RequirementsOption,
    ResultsOption,
    ScenarioOptionsOption,
    StartupTimeoutOption,
    VariablesOption,
    numbers,
    words,
)
from bench.cli.terminal import console, errors, reports_errors
from bench.experiment import results
from bench.experiment import run as experiment
from bench.experiment.run import Request
from bench.model import deployed
from bench.model.errors import UsageError

app = typer.Typer()

# Groups of --help.
_ROTATING = "Rotation: closed loops of servers that are all alive at once"
_RUNNING = "A server that runs already"


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
            help="Closed loops for every scenario: users, e.g. 8,64. With --rates: most requests in flight."
        ),
    ] = None,
    rates: Annotated[
        str | None, typer.Option(help="Open loops for every scenario: arrivals per second, e.g. 1000,3000.")
    ] = None,
    arrivals: Annotated[
        str | None, typer.Option(help="How they arrive with --rates: constant (evenly) or poisson.")
    ] = None,
    workers: Annotated[str | None, typer.Option(help="Numbers of server workers, e.g. 1,2.")] = None,
    repeats: Annotated[
        int | None,
        typer.Option(help="Repeats of blocks, and sittings of a rotation; 3 or more for intervals."),
    ] = None,
    duration: Annotated[int | None, typer.Option(help="Measured seconds of each cell.")] = None,
    sittings: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="So many sittings: for each all servers are started anew, and each load goes round.",
            rich_help_panel=_ROTATING,
        ),
    ] = None,
    precision: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="More sittings until every ratio to the best is known that precisely, e.g. 0.05: ±5 %.",
            rich_help_panel=_ROTATING,
        ),
    ] = None,
    time_limit: Annotated[
        float | None,
        typer.Option(
            metavar="S",
            help="No more sittings for the sake of precision after so many seconds of them.",
            rich_help_panel=_ROTATING,
        ),
    ] = None,
    blocks: Annotated[
        bool,
        typer.Option(
            "--blocks",
            help="No rotation: each server alone, one after the other, to compare the two ways.",
            rich_help_panel=_ROTATING,
        ),
    ] = False,
    max_requests: Annotated[
        int | None, typer.Option(help="In plans of recycling: replace workers after so many requests.")
    ] = None,
    replacements: Annotated[
        int | None, typer.Option(help="In plans of recycling: how many replacements each cell waits for.")
    ] = None,
    own_app: AppOption = None,
    app_dir: AppDirOption = Path(),
    requirements: RequirementsOption = None,
    baseline: BaselineOption = None,
    baseline_requirements: BaselineRequirementsOption = None,
    locustfile: LocustfileOption = None,
    scenario_options: ScenarioOptionsOption = None,
    locustfile_requirements: LocustfileRequirementsOption = None,
    variables: VariablesOption = None,
    startup_timeout: StartupTimeoutOption = None,
    import_timeout: ImportTimeoutOption = None,
    launcher: LauncherOption = None,
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
    results_folder: ResultsOption = Path("results"),
    resume: Annotated[str | None, typer.Option(metavar="RUN", help="Continue this run.")] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start a new run even if the same one was interrupted.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Seed of the random order of blocks.")] = None,
    port: Annotated[
        int | None,
        typer.Option(help="Serve on this port (local processes); a free one for every server if left out."),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            help="own: a network namespace of the run's own; host: this machine's network. Unless given it "
            "is own, but for an app of one's own, a given DATABASE_URL and --port (local processes)."
        ),
    ] = None,
    steer_host: Annotated[
        bool,
        typer.Option(
            "--steer-host-loopback",
            help="Use this machine's network, and have what its loopback device receives processed on the "
            "generator's CPUs (receive packet steering) for the time of the run. Needs root.",
        ),
    ] = False,
    no_report: Annotated[
        bool,
        typer.Option("--no-report", help="Only measure: `bench report` makes the report, here or elsewhere."),
    ] = False,
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
        "sittings": sittings,
        "precision": precision,
        "limit_s": time_limit,
        "blocks": blocks or None,
        "max_requests": max_requests,
        "replacements": replacements,
        "startup_timeout_s": startup_timeout,
        "import_timeout_s": import_timeout,
        **own_options.changes(
            own_app,
            app_dir,
            requirements,
            locustfile,
            words(variables),
            scenario_options,
            locustfile_requirements,
            baseline,
            baseline_requirements,
        ),
    }
    if url is not None:
        if configurations is not None or workers is not None:
            raise UsageError("--url is one server, as it is: leave out --configurations and --workers")
        asked["external"] = {"url": deployed.checked("--url", url), "name": url_name}
    changes = {key: value for key, value in asked.items() if value is not None}
    request = Request(
        results_folder,
        plan_name or "quick",
        changes,
        resume,
        fresh,
        seed,
        port,
        launcher,
        allow_remote,
        network,
        steer_host,
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
        kept = rendered is not None and not rendered.violations and not rendered.regressed
    if result.outcome.failed:
        cells = f"{result.outcome.failed} cell{'s' if result.outcome.failed > 1 else ''}"
        errors.print(f"{cells} failed, see above; to measure again: make bench RUN={name}")
    if (unserved := results.none_succeeded(result.folder)) is not None:
        errors.print(unserved, markup=False, soft_wrap=True)
    if result.outcome.failed or unserved or not kept:
        raise typer.Exit(1)


def _rates(text: str | None) -> list[float] | None:
    given = words(text)
    try:
        return None if given is None else [float(word) for word in given]
    except ValueError:
        raise UsageError(f'--rates takes numbers like "1000,3000", not "{text}"') from None
