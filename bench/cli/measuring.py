"""What the commands that measure a plan share: their options, and what they say in the end."""

from inspect import signature
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cli import options as own_options
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
    spliced,
    words,
)
from bench.cli.terminal import console, errors
from bench.experiment import results
from bench.experiment.run import Request, Result
from bench.model.errors import UsageError
from bench.model.records.schema import MOST_NUMBER

INTERRUPTED = 130
"""The exit status of what Ctrl-C ended."""
# Groups of --help.
_ROTATING = "Rotation: closed loops of servers that are all alive at once"
_BEHIND = "Behind a proxy, as in production"
_ELSEWHERE = "Load from other machines"


def _asked(
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
    server: Annotated[
        str | None,
        typer.Option(
            metavar="USER@HOST",
            help="Have the servers run on that machine, which `ssh USER@HOST` reaches without a password; "
            "the load is made here (docs/machines.md).",
        ),
    ] = None,
    proxy: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Put nginx or haproxy before the servers: clients go through it; in "
            "a rotation, and where workers are replaced, also past it (docs/proxy.md).",
            rich_help_panel=_BEHIND,
        ),
    ] = None,
    proxy_retries: Annotated[
        str | None,
        typer.Option(
            metavar="WHICH",
            help="What it does with a request that a server did not answer: default, or off.",
            rich_help_panel=_BEHIND,
        ),
    ] = None,
    generators: Annotated[
        str | None,
        typer.Option(
            metavar="USER@HOST,…",
            help="Have the load made on these machines, which `ssh USER@HOST` reaches without a password: "
            "the suite starts a generator on each (docs/machines.md).",
            rich_help_panel=_ELSEWHERE,
        ),
    ] = None,
    expect_generators: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Have the load made by so many other machines in all: those of --generators, and others "
            "that join by `bench worker --master`.",
            rich_help_panel=_ELSEWHERE,
        ),
    ] = None,
    lost_generator: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT",
            help='When one is lost, its cell fails, and the run does this: end, or "go on" without it.',
            rich_help_panel=_ELSEWHERE,
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST[:PORT]",
            help="The address of this machine that they reach; servers listen there, too. If left out, the "
            "one that --generators were reached from, else 127.0.0.1; port 5557.",
            rich_help_panel=_ELSEWHERE,
        ),
    ] = None,
    proxy_keepalive: Annotated[
        str | None,
        typer.Option(
            metavar="WHICH",
            help="Its connections to the server: default (kept), or off (one for each request).",
            rich_help_panel=_BEHIND,
        ),
    ] = None,
    proxy_socket: Annotated[
        str | None,
        typer.Option(
            metavar="WHICH",
            help="How it reaches servers: tcp, or unix, a Unix socket, on which they then listen alone.",
            rich_help_panel=_BEHIND,
        ),
    ] = None,
    proxy_tls: Annotated[
        bool,
        typer.Option(
            "--proxy-tls",
            help="Clients reach it by TLS, with a certificate made for the run.",
            rich_help_panel=_BEHIND,
        ),
    ] = False,
    results_folder: ResultsOption = Path("results"),
    resume: Annotated[str | None, typer.Option(metavar="RUN", help="Continue this run.")] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start a new run even if the same one was interrupted.")
    ] = False,
    seed: Annotated[
        int | None, typer.Option(min=0, max=MOST_NUMBER, help="Seed of the random order of blocks.")
    ] = None,
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
) -> Request:
    """The run that is asked for, of whatever plan."""
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
        "server": server,
        "proxy": proxy,
        "proxy_retries": proxy_retries,
        "generators": _generators(words(generators), expect_generators, lost_generator),
        "proxy_keepalive": proxy_keepalive,
        "proxy_socket": proxy_socket,
        "proxy_tls": proxy_tls or None,
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
    changes = {key: value for key, value in asked.items() if value is not None}
    return Request(
        results_folder,
        changes=changes,
        resume=resume,
        fresh=fresh,
        seed=seed,
        port=port,
        launcher=launcher,
        address=address,
        network=network,
        steer_host=steer_host,
    )


with_request = spliced("request", list(signature(_asked).parameters.values()), _asked)
"""Gives a command the options that narrow a plan and say how it is run; it gets them as its ``request``."""


def interrupted(result: Result, command: str) -> typer.Exit:
    """Tell how to go on with a run that was interrupted; returns what ends the command of `make`."""
    name = result.folder.name
    console.print(f"interrupted; {result.outcome.finished} cells were finished in this sitting and are kept")
    console.print(f"go on:  make {command} RUN={name}   (or give the same command again)")
    console.print(f"report: make report RUN={name}")
    return typer.Exit(INTERRUPTED)


def succeeded(result: Result, command: str) -> bool:
    """Tell which cells failed, and how to measure these again; returns whether all is as it should be."""
    if result.outcome.failed:
        cells = f"{result.outcome.failed} cell{'s' if result.outcome.failed > 1 else ''}"
        errors.print(f"{cells} failed, see above; to measure again: make {command} RUN={result.folder.name}")
    if (unserved := results.none_succeeded(result.folder)) is not None:
        errors.print(unserved, markup=False, soft_wrap=True)
    return not result.outcome.failed and unserved is None


def _generators(machines: list[str] | None, expected: int | None, lost: str | None) -> dict[str, Any] | None:
    """What these options change in ``[generators]``; ``None``: nothing."""
    given = {"machines": machines, "expected": expected, "lost": lost}
    return {key: value for key, value in given.items() if value is not None} or None


def _rates(text: str | None) -> list[float] | None:
    given = words(text)
    try:
        return None if given is None else [float(word) for word in given]
    except ValueError:
        raise UsageError(f'--rates takes numbers like "1000,3000", not "{text}"') from None
