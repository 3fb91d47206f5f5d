"""The environments of a run: of the servers, of the generator, and the database's source."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from bench.experiment.inputs import Inputs
from bench.launch import stacks
from bench.launch.databases import database
from bench.launch.launcher import Launcher
from bench.launch.local import Processes
from bench.launch.own import app_check, own_packages
from bench.launch.remote.launcher import Remote
from bench.launch.stacks import Say
from bench.machine import host
from bench.model.errors import UsageError
from bench.model.plans.own_app import OwnApp
from bench.model.plans.plan import Plan
from targets.catalogue.configurations import Configuration
from targets.catalogue.stack import Stack


@dataclass(frozen=True)
class Environments:
    """The environments by stack, and what is unavailable here (as in ``run.json``).

    ``launcher`` is the name of the one they are for; ``suite`` are the versions of what the generator runs
    on; ``replaced`` are the packages of each stack whose version is that of an app's requirements;
    ``server_host`` is the machine of the servers (as in ``run.json``), where it is another one.
    """

    ready: dict[str, stacks.Environment]
    unavailable: list[dict[str, str]]
    launcher: str = "processes"
    suite: dict[str, Any] = field(default_factory=host.suite_versions)
    replaced: dict[str, dict[str, tuple[str, str | None]]] = field(default_factory=dict)
    server_host: dict[str, Any] | None = None

    def available(self, inputs: Inputs) -> dict[str, Configuration]:
        """The configurations that can be served here, by the plan's names for them."""
        if inputs.plan.external is not None:
            return inputs.configurations
        out = {entry.get("configuration") for entry in self.unavailable}
        known = inputs.configurations.items()
        return {key: entry for key, entry in known if entry.stack in self.ready and key not in out}

    @property
    def lacking(self) -> list[str]:
        """The scenarios that are unavailable."""
        return [entry["scenario"] for entry in self.unavailable if "scenario" in entry]


def make_environments(inputs: Inputs, launcher: Launcher, say: Say) -> Environments:
    """The environments of the stacks that the plan uses, and of the generator; missing ones are made.

    Raises:
        UserError: the plan's own app cannot be served in them.
    """
    plan, catalogue = inputs.plan, inputs.catalogue
    if plan.external is not None:
        return Environments({}, [], launcher.name, launcher.suite_versions(say))
    if plan.befores and launcher.name not in (Processes.name, Remote.name):
        raise UsageError("BASELINE= is served by processes of this machine: add LAUNCHER=processes")
    ready: dict[str, stacks.Environment] = {}
    replaced: dict[str, dict[str, tuple[str, str | None]]] = {}
    missing: dict[str, stacks.UnavailableError] = {}
    unavailable = []
    for name in plan.configurations:
        configuration = inputs.configurations[name]
        own = plan.own_app
        if own is not None and name in plan.befores:
            own = own.before
        stack, key = catalogue.stacks[catalogue.get(plan.original(name)).stack], configuration.stack
        if key not in ready and key not in missing:
            try:
                _check_changes(stack, catalogue.stacks, ready)
                if own is None:
                    ready[key] = launcher.environment(stack, say)
                else:
                    stack = own.over(stack)
                    ready[key] = _of_own(own, stack, launcher, plan.import_s, say)
                    replaced[key] = own_packages.replaced(stack, ready[key])
            except stacks.UnavailableError as error:
                missing[key] = error
        why = missing.get(key) or _why_no_workers(configuration, plan)
        if why is not None:
            unavailable.append({"configuration": name, "reason": why.reason, "remedy": why.remedy})
            say(f"{name} is unavailable: {why.reason}\n  to have it: {why.remedy}")
    # If nothing can be served, no generator is needed.
    suite = launcher.suite_versions(say) if ready else {}
    return Environments(ready, unavailable, launcher.name, suite, replaced, launcher.server_host)


def _check_changes(stack: Stack, known: Mapping[str, Stack], ready: Mapping[str, stacks.Environment]) -> None:
    """Raise ``UnavailableError`` where what a variant is to have or to lack is its parent's here."""
    parent = ready.get(stack.of or "")
    if parent is None:
        return
    version = ".".join(parent.version.split(".")[:2])
    if stack.pythons != known[str(stack.of)].pythons:
        if version == stack.pythons[0] and not stack.packages and not stack.without:
            raise stacks.UnavailableError(
                f"its parent is served by Python {version} here, so there is nothing to compare",
                "measure where its parent has another Python",
            )
        return
    installed = own_packages.installed(parent)
    if any(canonicalize_name(name) in installed for name in stack.without):
        return
    if not all(_has(installed, package) for package in stack.packages):
        return
    what = [f"has {package} here as well" for package in stack.packages]
    what += [f"lacks {package} here as well, since pip found no wheel" for package in stack.without]
    raise stacks.UnavailableError(
        f"its parent {' and '.join(what)}, so there is nothing to compare",
        "measure where pip finds other packages (an index with wheels of them, or without)",
    )


def _has(installed: Mapping[str, str], package: str) -> bool:
    try:
        wanted = Requirement(package)
    except InvalidRequirement:  # a file, say
        return False
    version = installed.get(canonicalize_name(wanted.name))
    return version is not None and wanted.specifier.contains(version, prereleases=True)


def _why_no_workers(configuration: Configuration, plan: Plan) -> stacks.UnavailableError | None:
    """That a variant's own number of workers is the plan's, as its parent's is; ``None`` if it is not."""
    if configuration.workers != min(plan.workers or [0]):
        return None
    return stacks.UnavailableError(
        f"its parent has {configuration.workers} worker(s) here as well, so there is nothing to compare",
        "measure where servers have more CPUs",
    )


def _of_own(own: OwnApp, stack: Stack, launcher: Launcher, import_s: float, say: Say) -> stacks.Environment:
    """The environment of a user's own app, which can be imported in it; raises as ``make_environments``."""
    own_packages.check_app_requirements(stack)
    environment = launcher.environment(stack, say)
    own_packages.check_fixed(stack, environment)
    instead = own_packages.replaced(stack, environment)
    if instead:
        versions = ", ".join(f"{name} {theirs} (not {ours})" for name, (ours, theirs) in instead.items())
        say(f'of the app\'s requirements in the stack "{stack.name}": {versions}')
    launcher.suite_versions(say)  # the check needs it
    app_check.check_app(own, stack, environment, launcher, import_s, say)
    return environment


def database_source(
    launcher: str, needing: Collection[str], environments: Environments, say: Say
) -> database.Source | None:
    """Where the database of a run comes from, if any scenario needs one.

    ``needing`` are the names of these scenarios; without a database they are noted as unavailable.
    """
    if not needing:
        return None
    try:
        source = database.find(launcher, say)
    except stacks.UnavailableError as why:
        for name in sorted(needing):
            environments.unavailable.append({"scenario": name, "reason": why.reason, "remedy": why.remedy})
        say(f"unavailable: {', '.join(sorted(needing))}: {why.reason}\n  to measure that: {why.remedy}")
        return None
    say(f"database: {source}")
    return source
