"""One sitting with the web UI: what it needs before it can be served, and what is left when it ends."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import cpus, host, launchers, plan, prepare, results
from bench import scenarios as scenario_files
from bench.ceiling import Rig, Subject
from bench.ceilings_cache import Cache, key
from bench.cockpit import offer
from bench.cockpit.cockpit import Cockpit
from bench.cockpit.line import Line
from bench.cockpit.ondemand import OnDemand
from bench.cockpit.records import Records
from bench.cockpit.relay import Relay
from bench.cockpit.reports import Reports
from bench.cockpit.served import Configurations, Served, Target
from bench.database import Database, Source, needing
from bench.errors import UsageError, unknown
from bench.experiment import generator, interruptible
from bench.launch import Launcher
from bench.launch_processes import Processes
from bench.launchers import Kind, Work
from bench.plan import Plan
from bench.prepare import Environments
from bench.results import RunFolder
from bench.scenarios import LOCUSTFILES, Scenario
from bench.stacks import Say
from targets.configurations import Catalogue

NAME = "ui"
# The Unix socket of a web UI that has a network of its own.
_SOCKET = "ui.sock"
_SUMMARY = "What was run from the web UI."


@dataclass(frozen=True)
class Asked:
    """What was asked for on the command line; ``target`` is a URL that runs already, ``None`` without."""

    host: str
    port: int
    password: str | None
    target: str | None
    scenarios: list[str] | None
    warmup_s: float
    catalogue: str | None
    locustfiles: str | None
    launcher: str | None
    results: Path


@dataclass(frozen=True)
class Setting:
    """What a sitting is made of before anything runs."""

    asked: Asked
    plan: Plan
    catalogue: Catalogue
    scenarios: Mapping[str, Scenario]
    split: cpus.CpuSplit
    say: Say

    @property
    def needing(self) -> frozenset[str]:
        """The scenarios that need a database."""
        return needing(self.scenarios, self.scenarios)


def serve(asked: Asked, say: Say) -> None:
    """Serve the web UI until it is interrupted. Call it from the main thread.

    Raises:
        UserError: something the user has to mend first.
    """
    setting = prepared(asked, say)
    with contextlib.ExitStack() as stack:
        stack.enter_context(interruptible())
        if asked.target is not None:
            stack.enter_context(cpus.pinned(setting.split.own))
            _swarm_target(setting, stack)
            return
        kind, why = launchers.choose(asked.launcher)
        say(why)
        having = prepare.environments(setting.plan, setting.catalogue, kind, say)
        source = prepare.database_source(kind.name, setting.needing, having, say)
        described = prepare.describe(NAME, setting.plan, setting.catalogue, setting.split, having)
        # The machine has been described by now: to a process that is pinned it is smaller.
        stack.enter_context(cpus.pinned(setting.split.own))
        _serve_configurations(setting, kind, having, source, described, stack)


def prepared(asked: Asked, say: Say) -> Setting:
    """What a sitting is made of; raises ``UsageError`` for names that do not exist."""
    folder = LOCUSTFILES if asked.locustfiles is None else Path(asked.locustfiles)
    known = scenario_files.load(folder)
    for name in asked.scenarios or []:
        if name not in known:
            raise UsageError(unknown("scenario", name, known))
    chosen = {
        name: each for name, each in known.items() if asked.scenarios is None or name in asked.scenarios
    }
    if not chosen:
        raise UsageError(f"there is no scenario in {folder}")
    of_plan = plan.validate(
        {
            "summary": _SUMMARY,
            "configurations": "all",
            "variants": True,
            "scenarios": {name: {"users": [1]} for name in chosen},
            "workers": [1],
            "repeats": 1,
            "warmup_s": max(asked.warmup_s, 0.001),  # which a plan must have
            "measured_s": 1,
            "catalogue": asked.catalogue,
            "locustfiles": asked.locustfiles,
        },
        "bench ui",
        Path.cwd(),
    )
    catalogue = prepare.catalogue(of_plan)
    of_plan = plan.resolve(of_plan, catalogue.configurations, chosen, "bench ui")
    # As many CPUs for servers as there can be.
    split = cpus.split_here(len(os.sched_getaffinity(0)))
    if split.note:
        say(f"note: {split.note}")
    return Setting(asked, of_plan, catalogue, chosen, split, say)


def _swarm_target(setting: Setting, stack: contextlib.ExitStack) -> None:
    """Swarm what runs already: there is no run, and what is written goes with the web UI."""
    scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="whichworker-ui-")))
    launcher = stack.enter_context(Processes({}))
    line = open_line(setting, stack, launcher, scratch, scratch / "generator.log")
    setting.say(f"swarming {setting.asked.target}; nothing is started, metered or recorded")
    _run(line, Target(scratch), None)


def _serve_configurations(
    setting: Setting,
    kind: Kind,
    having: Environments,
    source: Source | None,
    described: dict[str, Any],
    stack: contextlib.ExitStack,
) -> None:
    asked, split, say = setting.asked, setting.split, setting.say
    folder = stack.enter_context(_run_folder(asked.results))
    sampler = stack.enter_context(host.HostSampler())
    scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".serve-", dir=folder.path)))
    launcher = stack.enter_context(kind.launcher(_work(setting, having, folder.path)))
    rig = Rig(
        launcher=launcher,
        session=generator(launcher, [], split, scratch),  # never entered: nothing is measured with it
        split=split,
        reference=next(iter(setting.catalogue.configurations.values())),
        suite=having.suite,
        scratch=scratch,
    )
    records = Records(folder, described, asked.warmup_s, sampler)
    reports = Reports(folder.path, split.own, scratch / "report.log")
    served = Configurations(
        launcher,
        setting.catalogue.configurations,
        split,
        records,
        stack.enter_context(_database(setting, source, launcher, having, folder.path)),
        _kept(rig, setting, described["host"]),
        scratch,
    )
    log = folder.path / "generator.log"
    line = open_line(setting, stack, launcher, scratch, log, having.unavailable, reports.folder)
    try:
        _run(line, served, reports)
    finally:
        # On a full disk the last run.json stays.
        with contextlib.suppress(OSError):
            records.save()
    if (folder.path / "run.json").exists():
        say(f"report: make report RUN={folder.path.name}")


def _work(setting: Setting, having: Environments, folder: Path) -> Work:
    paths = [scenario.path for scenario in setting.scenarios.values()]
    read = prepare.files_read(setting.plan, setting.catalogue, paths)
    return Work(having.ready, folder, setting.say, prepare.own_catalogue(setting.plan), read)


def _database(
    setting: Setting, source: Source | None, launcher: Launcher, having: Environments, folder: Path
) -> OnDemand:
    """What brings the database up when a load needs it; it is not there yet."""
    if source is None or not having.ready:
        return OnDemand(launcher, None, ())
    stack, needing = next(iter(having.ready)), setting.needing
    database = Database(
        source, launcher, needing, stack, folder, setting.split.own, "Then press Start again."
    )
    return OnDemand(launcher, database, needing)


def _run(line: Line, served: Served, reports: Reports | None) -> None:
    """Serve until interrupted, which is how it is meant to end."""
    with contextlib.suppress(KeyboardInterrupt):
        Cockpit(line, served, reports).run()


def open_line(
    setting: Setting,
    stack: contextlib.ExitStack,
    launcher: Launcher,
    scratch: Path,
    log: Path,
    unavailable: Sequence[Mapping[str, str]] = (),
    report: Path | None = None,
) -> Line:
    """Start the web UI, and say where it is.

    ``log`` takes what it says itself. ``unavailable`` is as in the run's ``run.json``, ``report`` the folder
    of the run's reports; without a run there is neither.
    """
    asked, split = setting.asked, setting.split
    relay = None
    if launcher.own_network:
        relay = stack.enter_context(Relay(asked.host, asked.port, scratch / _SOCKET))
    known = setting.catalogue.configurations.values() if asked.target is None else ()
    offered = {
        "configurations": offer.configurations(known, unavailable, split.server),
        "scenarios": offer.scenarios(setting.scenarios.values(), unavailable, launcher.inside),
        "processes": len(split.generator),
        "warmup_s": asked.warmup_s,
        "host": asked.host,
        "port": asked.port,
        "socket": None if relay is None else launcher.inside(scratch / _SOCKET),
        "password": asked.password,
        "target": asked.target,
        "report": None if report is None else launcher.inside(report),
        **offer.common(),
    }
    line = stack.enter_context(Line(launcher, split.generator, log, offered))
    port = line.port if relay is None else relay.port
    address = f"http://{f'[{asked.host}]' if ':' in asked.host else asked.host}:{port}"
    setting.say(f"web UI: {address}   server: {address}/server   (Ctrl-C ends it)")
    return line


@contextlib.contextmanager
def _run_folder(folder: Path) -> Iterator[RunFolder]:
    """The folder of a new run; it goes again if nothing was recorded."""
    path = results.create(folder, NAME)
    try:
        with RunFolder(path) as opened:
            yield opened
    finally:
        if not (path / "run.json").exists():
            shutil.rmtree(path)


def _kept(rig: Rig, setting: Setting, machine: Mapping[str, Any]) -> Callable[[str], list[dict[str, Any]]]:
    """What gives the ceilings that are kept of a scenario, for whatever number of users."""
    cache = Cache(setting.say)

    def of(name: str) -> list[dict[str, Any]]:
        scenario = setting.scenarios.get(name)
        if scenario is None:  # a mix
            return []
        kept = cache.read()
        found = {each.users for each in kept.values() if each.scenario == name}
        keys = (key(Subject(name, scenario.path, users), rig, machine) for users in sorted(found))
        return [kept[each].model_dump() for each in keys if each in kept]

    return of
