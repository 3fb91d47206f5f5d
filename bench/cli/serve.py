"""The command ``bench serve``."""

import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import StartupTimeoutOption
from bench.cli.terminal import console, reports_errors, say
from bench.launch import certificates, stacks
from bench.launch.server import HOST, recycling_arguments, serve_arguments
from bench.model.errors import UsageError, UserError, unknown
from bench.model.files import ROOT
from targets.catalogue.configurations import Configuration
from targets.catalogue.configurations import load as load_catalogue
from targets.catalogue.recycling import Recycling
from targets.catalogue.tables import ConfigurationError

app = typer.Typer()


@app.command()
@reports_errors
def serve(
    name: Annotated[str, typer.Argument(metavar="CONFIGURATION", help="See `bench configurations`.")],
    port: Annotated[int, typer.Option(help="The port to listen on (127.0.0.1).")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="The number of workers.")] = 1,
    max_requests: Annotated[int | None, typer.Option(help="Replace a worker after so many requests.")] = None,
    max_requests_jitter: Annotated[
        int | None, typer.Option(help="... and up to so many more, at random.")
    ] = None,
    max_rss: Annotated[
        int | None,
        typer.Option(help="Replace a worker above so many MiB, where the server does that instead."),
    ] = None,
    startup_timeout: StartupTimeoutOption = None,
) -> None:
    """Serve the app with one configuration, to look at it or to load it by hand; Ctrl-C ends it.

    For example: `bench serve gunicorn-uvicorn --port 8000 --workers 2 --max-requests 1000`
    """
    catalogue = load_catalogue()
    if name not in catalogue.configurations:
        raise UsageError(unknown("configuration", name, catalogue.configurations))
    configuration = catalogue.get(name)
    recycling = _recycling(configuration, workers, max_requests, max_requests_jitter, max_rss)
    try:
        environment = stacks.ensure(catalogue.stacks[configuration.stack], console.print)
    except stacks.UnavailableError as error:
        raise UserError(f"{name} is unavailable: {error.reason}\n{error.remedy}") from error
    metrics = Path(tempfile.mkdtemp(prefix="whichworker-serve-"))
    command = [str(environment.python), "-m", "targets.serve", *serve_arguments(name, HOST, port, workers)]
    command += [*recycling_arguments(recycling), "--metrics", str(metrics)]
    command += [] if startup_timeout is None else ["--startup-timeout", f"{startup_timeout:g}"]
    scheme = "http"
    if configuration.tls:
        scheme, certificate = "https", certificates.issue(metrics.with_name(f"{metrics.name}-tls"), HOST)
        command += certificate.serve_options()
        say(f"trust {certificate.authority} (curl --cacert)")
    console.print(f"{name} on {scheme}://127.0.0.1:{port}; its log and metrics: {metrics}", soft_wrap=True)
    os.chdir(ROOT)
    os.execv(command[0], command)


def _recycling(
    configuration: Configuration, workers: int, count: int | None, jitter: int | None, size_mib: int | None
) -> Recycling:
    """When workers are to be replaced; raises ``UsageError`` for what this server cannot do."""
    try:
        recycling = Recycling(count, jitter, size_mib)
        configuration.command(host="", port=0, workers=workers, app="", recycling=recycling)
    except ConfigurationError as error:
        raise UsageError(str(error)) from error
    return recycling
