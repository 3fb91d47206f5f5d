"""Whether a user's own locustfiles can be run as the plan says: they are loaded once before a run."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.launch.launcher import Launcher
from bench.launch.own import own_packages
from bench.launch.own.app_check import START_S, ended_by_import, late, opened_briefly
from bench.launch.stacks import Say
from bench.machine.processes import outcome
from bench.model.errors import UserError
from bench.model.files import ROOT
from bench.model.plans.plan import Plan

# Classes of users that Locust runs by itself.
_PLAIN = "locust"


class Examined(NamedTuple):
    """A plan without files that are no scenarios, and why scenarios cannot rotate, by their name."""

    plan: Plan
    rotate_not: dict[str, str]


def examine(plan: Plan, files: Mapping[str, Path], launcher: Launcher, say: Say) -> Examined:
    """Load a plan's own locustfiles as a session does, and say what is notable about them.

    ``files`` are those of the plan's scenarios. Files that define no user class are no scenarios: other
    locustfiles import them. The suite's own locustfiles are not loaded.

    Raises:
        UserError: a session cannot start with them, or their users cannot make the plan's loads.
    """
    if plan.locustfiles is None or not files:
        return Examined(plan, {})
    home = folder_of_users(plan)
    read = [*files.values(), *([home] if home else [])]
    with opened_briefly(launcher, {}, read, plan.own_app, say):
        inside = {launcher.inside(path): name for name, path in files.items()}
        words = ["-m", "swarm.describe", *session_arguments(launcher, plan), *inside]
        described = _described(launcher, words, list(files.values()), plan)
    found = {inside[file]: description for file, description in described.items()}
    helpers = [name for name, file in found.items() if not file["users"] and not file["weightless"]]
    if len(helpers) == len(found):
        raise UserError(
            f"SCENARIO={ROOT / plan.locustfiles} cannot be used: it defines no user class. Write one that "
            "is a subclass of HttpUser, for example (locustfiles/README.md)"
        )
    for name in helpers:
        say(f"note: {files[name].name} defines no user class, so it is no scenario")
    plan = plan.without_scenarios(helpers)
    for name in plan.loaded:
        if name in found:
            _check(files[name], found[name], plan, name, say)
    refusals = {name: file["rotates_not"] for name, file in found.items() if file["rotates_not"] is not None}
    return Examined(plan, refusals)


def folder_of_users(plan: Plan) -> Path | None:
    """The working folder of a plan's users: that of its app, or of its own locustfiles.

    ``None``: that of the suite.
    """
    if plan.own_app is not None:
        return plan.own_app.path
    if plan.locustfiles is None:
        return None
    path = ROOT / plan.locustfiles
    return path.parent if path.is_file() else path


def session_arguments(launcher: Launcher, plan: Plan) -> list[str]:
    """The arguments of a generator for a plan's locustfiles: their working folder and their options."""
    home = folder_of_users(plan)
    folder = [] if home is None else ["--folder", launcher.inside(home)]
    return [*folder, *(f"--option={word}" for word in plan.scenario_options)]


def _described(launcher: Launcher, words: Sequence[str], files: Sequence[Path], plan: Plan) -> dict[str, Any]:
    """What ``swarm.describe`` says of each file; raises ``UserError`` if a session cannot start."""
    import_s, packages = plan.import_s, plan.packages
    process = launcher.start_program(
        words, sorted(os.sched_getaffinity(0)), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    named = f"SCENARIO={files[0] if len(files) == 1 else files[0].parent}"
    try:
        done = outcome(process, import_s + START_S)
    except subprocess.TimeoutExpired:
        raise UserError(f"{named} cannot be used: {late(import_s)}") from None
    lines = done.stdout.splitlines()
    if done.returncode != 0 or not lines:
        why = ended_by_import(done)
        raise UserError(f"{named} cannot be used: {why}\n{own_packages.may_import(packages, why)}")
    described: dict[str, Any] = json.loads(lines[-1])
    if described["error"] is not None:
        why = described["error"]
        if len(files) == 1:  # which the message names
            why = why.removeprefix(f"{launcher.inside(files[0])}: ")
        hint = f"\n{own_packages.may_import(packages, why)}" if own_packages.MISSING in why else ""
        raise UserError(f"{named} cannot be used: {why}{hint}")
    found: dict[str, Any] = described["scenarios"]
    return found


def _check(path: Path, found: Mapping[str, Any], plan: Plan, scenario: str, say: Say) -> None:
    """Say what is notable about the load of a locustfile; raises ``UserError`` if it is impossible."""
    name = path.name
    if not found["users"]:
        raise UserError(
            f"{path} has no user class that may run: the weight of {_list(found['weightless'])} is 0"
        )
    if found["weightless"]:
        say(f"note: {name}: the weight of {_list(found['weightless'])} is 0, so there are no such users")
    most = found["most_users"]
    too_many = [] if most is None else [users for users in _users(plan, scenario) if users > most]
    if too_many:
        raise UserError(
            f"{path} can have at most {most} users, as each class ({_list(found['users'])}) has a "
            f"fixed_count, and the plan asks for {_list(too_many)}: give USERS={most}"
        )
    if found["engine"] == _PLAIN:
        if _is_open(plan, scenario):
            raise UserError(
                f"{path} has users of Locust's own ({_list(found['users'])}), and arrivals by a schedule "
                "need SwarmUser (locustfiles/README.md): use a plan of closed loops, such as quick"
            )
        say(
            f"note: {name} has users of Locust's own, which are slower than most servers: their throughput "
            "does not show what a server can do (docs/own-app.md)"
        )
    if found["idle"]:
        say(f"note: {name}: {_list(found['idle'])} has no task as it is loaded; Locust wants one (@task)")
    if found["waits"]:
        say(
            f"note: users of {name} wait between their tasks (wait_time): servers get the load of so many "
            "users, which may be less than they can serve"
        )
    if found["shapes"]:
        say(f"note: {name} has a LoadTestShape, which is not used: the plan says how many users there are")


def _users(plan: Plan, scenario: str) -> list[int]:
    """The numbers of users of a scenario in a plan."""
    loads = plan.scenarios.get(scenario)
    of_loads = [] if loads is None else [*(loads.users or []), loads.most_users]
    return sorted({*of_loads, *(probe.users for probe in plan.probes if probe.scenario == scenario)})


def _is_open(plan: Plan, scenario: str) -> bool:
    """Whether a scenario has an open loop."""
    loads = plan.scenarios.get(scenario)
    probed = any(probe.scenario == scenario for probe in plan.probes)
    return probed or (loads is not None and bool(loads.open or loads.search))


def _list(items: Sequence[object]) -> str:
    return ", ".join(map(str, items))
