"""Serves the web UI: what must be there first, and what is left when it ends."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.experiment import results
from bench.experiment.ceiling import Ceiling
from bench.experiment.ceilings import Cache
from bench.experiment.environments import Environments, database_source, make_environments
from bench.experiment.generator import locustfiles
from bench.experiment.inputs import Inputs
from bench.experiment.record import describe
from bench.experiment.results import RunFolder
from bench.experiment.rig import Rig
from bench.launch.databases.database import Database, Source
from bench.launch.local import Processes
from bench.launch.own import own_packages
from bench.launch.selection import choose_launcher
from bench.launch.stacks import Say
from bench.machine import cpus
from bench.machine.cpus import CpuSplit
from bench.machine.processes import interruptible
from bench.model import folders
from bench.model import scenarios as scenario_files
from bench.model.errors import UsageError, UserError, unknown
from bench.model.files import ROOT, shown
from bench.model.plans import plan
from bench.model.scenarios import LOCUSTFILES
from bench.studies.cockpit.cockpit import Cockpit, Reports
from bench.studies.cockpit.records import Records
from bench.studies.cockpit.servers import Backend, DatabaseOnDemand, RunningServer, StartedServers
from bench.studies.cockpit.web_ui import (
    Relay,
    WebUI,
    offered_always,
    offered_configurations,
    offered_proxies,
    offered_scenarios,
)

NAME = "ui"
# The Unix socket of a web UI that has a network of its own.
_SOCKET = "ui.sock"
_SUMMARY = "What was run from the web UI."


@dataclass(frozen=True)
class Options:
    """The options of ``bench ui``; ``target`` is the URL of a server that runs already."""

    host: str
    port: int
    password: str | None
    target: str | None
    scenarios: list[str] | None
    warmup_s: float
    catalogue: str | None
    locustfiles: str | None
    locustfile_requirements: str | None
    launcher: str | None
    results: Path
    scenario_options: Sequence[str] = ()
    startup_timeout_s: float | None = None
    import_timeout_s: float | None = None


def serve(options: Options, say: Say) -> None:
    """Serve the web UI until it is interrupted. Call it from the main thread.

    Raises:
        UserError: something the user has to mend first.
    """
    inputs = offered(options)
    split = split_for_web_ui(say)
    with interruptible():
        if options.target is not None:
            _swarm_target(options, inputs, split, say)
        else:
            _serve_configurations(options, inputs, split, say)


def offered(options: Options) -> Inputs:
    """A plan of one user in each scenario that is offered; raises ``UsageError`` for unknown names.

    Configurations are offered, but not their variants: there are too many to choose from.
    """
    folder = LOCUSTFILES if options.locustfiles is None else Path(options.locustfiles)
    known = scenario_files.load(folder)
    for name in options.scenarios or []:
        if name not in known:
            raise UsageError(unknown("scenario", name, known))
    names = [name for name in known if options.scenarios is None or name in options.scenarios]
    if not names:
        raise UsageError(f"there is no scenario in {folder}")
    chosen = plan.validate(
        {
            "summary": _SUMMARY,
            "configurations": "all",
            "variants": True,
            "scenarios": {name: {"users": [1]} for name in names},
            "workers": [1],
            "repeats": 1,
            "warmup_s": max(options.warmup_s, 0.001),  # which a plan must have
            "measured_s": 1,
            "catalogue": options.catalogue,
            "locustfiles": options.locustfiles,
            "scenario_options": list(options.scenario_options),
            "locustfile_requirements": options.locustfile_requirements,
            "startup_timeout_s": options.startup_timeout_s,
            "import_timeout_s": options.import_timeout_s,
        },
        "bench ui",
        Path.cwd(),
    )
    inputs = Inputs.of(NAME, chosen, "bench ui")
    declared = list(inputs.catalogue.declared)
    return inputs.with_plan(inputs.plan.model_copy(update={"configurations": declared}))


def split_for_web_ui(say: Say) -> CpuSplit:
    """As many CPUs for servers as there can be."""
    return cpus.split_here(len(os.sched_getaffinity(0)), say)


def _swarm_target(options: Options, inputs: Inputs, split: CpuSplit, say: Say) -> None:
    """Swarm what runs already: there is no run, and what is written is removed with the web UI."""
    launcher = Processes(inputs.plan.packages)
    with (
        folders.temporary("whichworker-ui-") as folder,
        Rig.of(inputs, launcher, Environments({}, []), split, folder, say, paths={}, generator=False) as rig,
        open_web_ui(options, inputs, rig, rig.scratch / "generator.log", say) as web_ui,
    ):
        say(f"swarming {options.target}; nothing is started, metered or recorded")
        _run(web_ui, RunningServer(rig.scratch), None)


def _serve_configurations(options: Options, inputs: Inputs, split: CpuSplit, say: Say) -> None:
    launcher, why = choose_launcher(options.launcher, packages=inputs.plan.packages)
    say(why)
    environments = make_environments(inputs, launcher, say)
    source = database_source(launcher.name, inputs.needing_database, environments, say)
    described = describe(inputs, split, environments)
    paths = inputs.paths()
    with (
        _run_folder(options.results) as folder,
        Rig.of(inputs, launcher, environments, split, folder.path, say, paths=paths, generator=False) as rig,
        _database(inputs, source, rig, environments) as database,
    ):
        records = Records(folder, described, options.warmup_s, rig.host)
        reports = Reports(folder.path, split.own, rig.scratch / "report.log")
        proxies = offered_proxies(launcher, split.own, say)
        backend = StartedServers(
            rig, inputs.catalogue.configurations, records, database, _kept(rig, inputs, say), proxies
        )
        log = folder.path / "generator.log"
        offer = (environments.unavailable, reports.folder, list(proxies))
        with open_web_ui(options, inputs, rig, log, say, *offer) as web_ui:
            try:
                _run(web_ui, backend, reports)
            finally:
                # On a full disk the last run.json stays.
                with contextlib.suppress(OSError):
                    records.save()
        if (folder.path / "run.json").exists():
            say(f"report: make report RUN={folder.path.name}")


def _database(
    inputs: Inputs, source: Source | None, rig: Rig, environments: Environments
) -> DatabaseOnDemand:
    """What starts the database when a load needs it."""
    if source is None or not environments.ready:
        return DatabaseOnDemand(rig.launcher, None, ())
    stack, needing = next(iter(environments.ready)), inputs.needing_database
    again = "Then press Start again."
    database = Database(source, rig.launcher, needing, stack, rig.folder, rig.split.own, again)
    return DatabaseOnDemand(rig.launcher, database, needing)


def _run(web_ui: WebUI, backend: Backend, reports: Reports | None) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        Cockpit(web_ui, backend, reports).run()


@contextlib.contextmanager
def open_web_ui(
    options: Options,
    inputs: Inputs,
    rig: Rig,
    log: Path,
    say: Say,
    unavailable: Sequence[Mapping[str, str]] = (),
    report: Path | None = None,
    proxies: Sequence[str] = (),
) -> Iterator[WebUI]:
    """Run the web UI on a rig that is entered, and say where it is.

    ``log`` takes its standard error. ``unavailable`` is as in the run's ``run.json``, ``report`` the folder
    of the run's reports, ``proxies`` the kinds of those that loads can go through; without a run there are
    none.
    """
    launcher, split, socket = rig.launcher, rig.split, rig.scratch / _SOCKET
    with contextlib.ExitStack() as stack:
        relay = None
        if launcher.own_network:
            relay = stack.enter_context(Relay(options.host, options.port, socket))
        known = inputs.catalogue.declared.values() if options.target is None else ()
        scenarios = [inputs.scenarios[name] for name in inputs.plan.loaded]
        home = locustfiles.folder_of_users(inputs.plan)
        content = {
            "configurations": offered_configurations(known, unavailable, split.server),
            "scenarios": offered_scenarios(scenarios, unavailable, launcher.inside),
            "processes": len(split.generator),
            "warmup_s": options.warmup_s,
            "host": options.host,
            "port": options.port,
            "socket": None if relay is None else launcher.inside(socket),
            "password": options.password,
            "target": options.target,
            "report": None if report is None else launcher.inside(report),
            "proxies": list(proxies),
            "folder": None if home is None else launcher.inside(home),
            "options": inputs.plan.scenario_options,
            "log": shown(log),
            "import_timeout_s": inputs.plan.import_s,
            **offered_always(),
        }
        try:
            web_ui = stack.enter_context(WebUI(launcher, split.generator, log, content, say, home or ROOT))
        except UserError as error:
            if options.locustfiles is None or own_packages.MISSING not in str(error):
                raise
            advice = own_packages.may_import(inputs.plan.packages, str(error))
            raise UserError(f"{error}\n{advice}") from error
        port = web_ui.port if relay is None else relay.port
        address = f"http://{f'[{options.host}]' if ':' in options.host else options.host}:{port}"
        say(f"web UI: {address}/server   Locust: {address}   (Ctrl-C ends it)")
        yield web_ui


@contextlib.contextmanager
def _run_folder(folder: Path) -> Iterator[RunFolder]:
    """The folder of a new run; it is removed if nothing was recorded."""
    path = results.create(folder, NAME)
    try:
        with RunFolder(path) as opened:
            yield opened
    finally:
        if not (path / "run.json").exists():
            shutil.rmtree(path)


def _kept(rig: Rig, inputs: Inputs, say: Say) -> Callable[[str], list[Ceiling]]:
    """A function from a scenario to its kept ceilings; a mix of scenarios has none."""
    cache = Cache(say)
    return lambda name: cache.of_scenario(inputs.scenarios[name], rig) if name in inputs.scenarios else []
