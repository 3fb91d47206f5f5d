"""Can what a user has brought be measured? Before a run the app is imported once, and so are locustfiles."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.launch import ONCE_S, Launcher
from bench.launchers import Kind, Work
from bench.own_app import OwnApp
from bench.plan import Plan
from bench.processes import ROOT, kill_tree
from bench.stacks import Environment, Say, UnavailableError
from targets.configurations import Stack

_GETS = (
    "It gets the packages of REQUIREMENTS and of the servers, and the variables that ENVIRONMENT names, and "
    "no others. Mend that and give the same command again"
)
# Classes of users that Locust runs by itself.
_PLAIN = "locust"


def examine_app(own: OwnApp, stack: Stack, environment: Environment, kind: Kind, say: Say) -> None:
    """Import the app in the environment of a stack, where servers would.

    Raises:
        UnavailableError: it cannot be imported, in a stack that is for a certain version of something.
        UserError: it cannot be imported.
    """
    words = ["-m", "targets.check_app", own.app, "--folder", str(own.path)]
    words += [word for name in own.environment for word in ("--variable", name)]
    with _launcher(kind, {stack.name: environment}, [own.path], own, say) as launcher:
        try:
            done = launcher.once(stack.name, words)
        except subprocess.TimeoutExpired:
            raise UserError(f"APP={own.app}: its import takes longer than {ONCE_S:g} s") from None
    if done.returncode == 0:
        found = json.loads(done.stdout.splitlines()[-1])
        say(f'app: {found["app"]}, "{found["title"]}" with {found["routes"]} routes, in "{stack.name}"')
        return
    said = done.stderr.strip() or f"exit status {done.returncode}"
    where = f'{own.app} cannot be served in the stack "{stack.name}" (Python {environment.version})'
    if stack.fixed:
        last = said.splitlines()[-1].strip()
        raise UnavailableError(f"{where}: {last}", f"have the app run with {stack.requirements.name}, too")
    raise UserError(f"APP={where}: {said}\n{_GETS}")


def examine_scenarios(chosen: Plan, files: Sequence[Path], kind: Kind, say: Say) -> None:
    """Load locustfiles that are not the suite's, where the generator would; tell what is to be known of them.

    Raises:
        UserError: one cannot be loaded, has no user class, or its users cannot make the plan's loads.
    """
    if chosen.locustfiles is None or not files:
        return
    home = folder_of_users(chosen)
    with _launcher(kind, {}, [*files, *([home] if home else [])], chosen.own_app, say) as launcher:
        words = ["-m", "swarm.describe", *session_folder(launcher, chosen)]
        for path in files:
            _tell(path, _described(launcher, [*words, launcher.inside(path)], path), chosen, say)


def folder_of_users(chosen: Plan) -> Path | None:
    """Where the users of a plan are at home: an app's folder, or that of the only locustfile.

    ``None``: in the suite's.
    """
    if chosen.own_app is not None:
        return chosen.own_app.path
    path = None if chosen.locustfiles is None else ROOT / chosen.locustfiles
    return path.parent if path is not None and path.is_file() else None


def session_folder(launcher: Launcher, chosen: Plan) -> list[str]:
    """The arguments that tell a generator where its users are at home."""
    home = folder_of_users(chosen)
    return [] if home is None else ["--folder", launcher.inside(home)]


@contextmanager
def _launcher(
    kind: Kind, environments: dict[str, Environment], read: Sequence[Path], own: OwnApp | None, say: Say
) -> Iterator[Launcher]:
    """A launcher that is there for a moment, and writes nothing that stays."""
    with tempfile.TemporaryDirectory(prefix="whichworker-look-") as scratch:
        launcher = kind.launcher(Work(environments, Path(scratch), say, files=read))
        if own is not None:
            launcher.shared.update(own.values())
        with launcher:
            yield launcher


def _described(launcher: Launcher, words: Sequence[str], path: Path) -> dict[str, Any]:
    """What ``swarm.describe`` says of a locustfile; raises ``UserError`` if it cannot be loaded."""
    process = launcher.suite(
        words, sorted(os.sched_getaffinity(0)), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        try:
            output, said = process.communicate(timeout=ONCE_S)
        except BaseException:
            kill_tree(process)
            raise
    if process.returncode != 0:
        why = said.decode(errors="replace").strip() or f"exit status {process.returncode}"
        raise UserError(
            f"SCENARIO={path} cannot be used: {why}\n"
            "Locustfiles run in the suite's environment (requirements/suite.txt) and may import what lies "
            "beside them"
        )
    described: dict[str, Any] = json.loads(output.splitlines()[-1])
    return described


def _tell(path: Path, found: dict[str, Any], chosen: Plan, say: Say) -> None:
    """Say what kind of load a locustfile makes; raises ``UserError`` for one it cannot make."""
    name = path.name
    if found["engine"] == _PLAIN:
        if _is_open(chosen):
            raise UserError(
                f"{path} has users of Locust's own ({', '.join(found['users'])}), and arrivals by a schedule "
                "need SwarmUser (docs/adding-a-scenario.md): take a plan of closed loops, such as quick"
            )
        say(
            f"note: {name} has users of Locust's own, which are slower than most servers: what they get is "
            "no proof of what a server can do (docs/own-app.md)"
        )
    if found["waits"]:
        say(
            f"note: users of {name} wait between their tasks, as its wait_time says: servers are asked for "
            "what so many users want, not for all that they can do"
        )
    if found["shapes"]:
        say(f"note: {name} has a LoadTestShape, which is not used: the plan says how many users there are")


def _is_open(chosen: Plan) -> bool:
    """Whether any load of a plan goes by a schedule."""
    return bool(chosen.probes) or any(loads.open or loads.search for loads in chosen.scenarios.values())
