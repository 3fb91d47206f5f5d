"""The command ``bench ui``: Locust's web UI with the whole suite behind it."""

import os
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer

from bench.cli import options as own_options
from bench.cli.options import (
    ImportTimeoutOption,
    LauncherOption,
    LocustfileRequirementsOption,
    ResultsOption,
    ScenarioOptionsOption,
    StartupTimeoutOption,
    words,
)
from bench.cli.terminal import reports_errors, say
from bench.launch.local import Processes
from bench.model.errors import UsageError
from bench.model.plans import deployed
from bench.studies.cockpit import cost, serve
from bench.studies.cockpit.serve import Options

PASSWORD = "WHICHWORKER_UI_PASSWORD"
_SHORTEST = 8
_WARMUP_S = 2.0
# A window of the measurement of costs.
_COST_S = 5.0

app = typer.Typer()


@app.command()
@reports_errors
def ui(
    host: Annotated[
        str, typer.Option(help="Listen on this address; one that is not loopback needs --login.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Listen on this port; 0: any.")] = 8089,
    login: Annotated[
        bool, typer.Option("--login", help=f"Ask for the password that {PASSWORD} has.")
    ] = False,
    target_url: Annotated[
        str | None,
        typer.Option(
            help="Load the server that runs there already; nothing is started, metered or recorded."
        ),
    ] = None,
    allow_remote: Annotated[
        bool,
        typer.Option(
            deployed.CONFIRMATION, help="Confirm that you may load a --target-url on another machine."
        ),
    ] = False,
    scenario_names: Annotated[
        str | None, typer.Option("--scenarios", help="Offer only these, e.g. index,sleep; all if left out.")
    ] = None,
    warmup: Annotated[
        float,
        typer.Option(min=0, max=600, help="Seconds after the last change of users that are not measured."),
    ] = _WARMUP_S,
    catalogue: Annotated[
        str | None, typer.Option(help="Another catalogue of configurations than the suite's own.")
    ] = None,
    locustfiles: Annotated[
        str | None, typer.Option(help="Another folder of scenarios than the suite's own.")
    ] = None,
    scenario_options: ScenarioOptionsOption = None,
    locustfile_requirements: LocustfileRequirementsOption = None,
    cost_pairs: Annotated[
        int | None,
        typer.Option(
            "--cost", help="Open no web UI; measure what watching costs the generator, in so many pairs."
        ),
    ] = None,
    startup_timeout: StartupTimeoutOption = None,
    import_timeout: ImportTimeoutOption = None,
    launcher: LauncherOption = None,
    results_folder: ResultsOption = Path("results"),
) -> None:
    """Open Locust's web UI with every configuration behind it; Ctrl-C ends it.

    Start serves the chosen configuration and swarms it, Stop takes it down; what was measured between is a
    cell of a run like any other. The page /server shows the server live.

    For example: `bench ui`, `bench ui --target-url http://127.0.0.1:8000`
    """
    _check_target(target_url, launcher, allow_remote=allow_remote)
    if target_url is not None and startup_timeout is not None:
        raise UsageError("nothing is started at a --target-url: leave out --startup-timeout")
    options = Options(
        host=host,
        port=port,
        password=_password(host, login),
        target=target_url,
        scenarios=words(scenario_names),
        warmup_s=warmup,
        catalogue=catalogue,
        locustfiles=locustfiles,
        locustfile_requirements=None if locustfile_requirements is None else str(locustfile_requirements),
        launcher=launcher,
        results=results_folder,
        scenario_options=own_options.split_options(scenario_options),
        startup_timeout_s=startup_timeout,
        import_timeout_s=import_timeout,
    )
    if cost_pairs is not None:
        say(str(cost.measure(options, cost_pairs, _COST_S, say)))
    else:
        serve.serve(options, say)


def _password(host: str, login: bool) -> str | None:
    """The password to ask for; raises ``UsageError`` where there must be one, or it is too short."""
    if not login:
        if not _is_loopback(host):
            raise UsageError(
                f"--host {host} lets other machines start load here: give --login too, and a password of at "
                f"least {_SHORTEST} characters in {PASSWORD}"
            )
        return None
    password = os.environ.get(PASSWORD, "")
    if len(password) < _SHORTEST:
        raise UsageError(f"--login needs a password of at least {_SHORTEST} characters in {PASSWORD}")
    return password


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_target(url: str | None, launcher: str | None, *, allow_remote: bool) -> None:
    if url is None:
        return
    if launcher not in (None, Processes.name):
        raise UsageError(f"--target-url is swarmed by local processes: leave out --launcher {launcher}")
    deployed.check_permission(deployed.checked("--target-url", url), confirmed=allow_remote)
