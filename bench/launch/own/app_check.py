"""Can an app that a user has brought be measured? Before a run it is imported once."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.launch.launcher import Launcher
from bench.launch.server import ended
from bench.launch.stacks import Environment, Say, UnavailableError
from bench.machine.processes import interruptible
from bench.model import folders
from bench.model.errors import UserError
from bench.model.files import plain
from bench.model.plans.own_app import OwnApp
from targets.catalogue.stack import Stack
from targets.inside.own_app import LATE, SERVES_ITSELF

_GETS = (
    "It gets only the packages of REQUIREMENTS and of the servers, and the variables that ENVIRONMENT names. "
    "Correct that and give the same command again"
)
# What Python and Sanic, or a container, may take to start before anything of the user's is imported.
START_S = 20.0
# Of what an import has printed so many last lines are shown, and so much of each.
_LINES, _LONGEST = 8, 200


def check_app(
    own: OwnApp, stack: Stack, environment: Environment, launcher: Launcher, import_s: float, say: Say
) -> None:
    """Import the app in the environment of a stack, where servers would; it may take ``import_s``.

    Raises:
        UnavailableError: it cannot be imported, in a stack that is for a certain version of something.
        UserError: it cannot be imported, or not in time.
    """
    folder = launcher.at_servers(own.path)
    words = ["-m", "targets.check_app", own.app, "--folder", folder, "--timeout", f"{import_s:g}"]
    words += [word for name in own.environment for word in ("--variable", name)]
    with opened_briefly(launcher, {stack.name: environment}, [own.path], own, say):
        try:
            done = launcher.once(stack.name, words, import_s + START_S)
        except subprocess.TimeoutExpired:
            # Python runs nothing else while a library of another language keeps it.
            raise UserError(f"APP={own.app}: {late(import_s)}") from None
    if done.returncode == 0 and done.stdout:
        found = json.loads(done.stdout)
        say(f'app: {found["app"]}, "{found["title"]}" with {found["routes"]} routes, in "{stack.name}"')
        return
    if done.returncode == LATE and done.stdout:
        raise UserError(f"APP={own.app}: {late(import_s)}\n{done.stdout.strip()}")
    if done.returncode == SERVES_ITSELF and done.stdout:
        raise UserError(f"APP={own.app} cannot be served: {done.stdout.strip()}")
    said = done.stdout.strip() or ended_by_import(done)
    where = f'{own.app} cannot be served in the stack "{stack.name}" (Python {environment.version})'
    if stack.fixed:
        last = said.splitlines()[-1].strip()
        raise UnavailableError(f"{where}: {last}", f"have the app run with {stack.requirements.name}, too")
    raise UserError(f"APP={where}: {said}\n{_GETS}")


def late(import_s: float) -> str:
    """That an import takes too long, what usually does, and what to do."""
    return (
        f"its import takes longer than {import_s:g} s. Does it run a server (which belongs under "
        '`if __name__ == "__main__":`), load a model, or wait for a database or the network?\n'
        "If it needs the time, give more with --import-timeout (IMPORT_TIMEOUT=)"
    )


def ended_by_import(done: subprocess.CompletedProcess[str]) -> str:
    """How an import ended the program that did it, which could say nothing of it; and what it printed."""
    # In a container 128 stands for a signal, as a shell has it.
    status = 128 - done.returncode if done.returncode > 128 else done.returncode
    how = f"was killed ({ended(status)})" if status < 0 else f"ended the process ({ended(status)}, os._exit?)"
    printed = [plain(line)[:_LONGEST] for line in done.stderr.splitlines()[-_LINES:]]
    return "\n  ".join([f"its import {how} without an error", *printed])


@contextmanager
def opened_briefly(
    launcher: Launcher,
    environments: dict[str, Environment],
    read: Sequence[Path],
    own: OwnApp | None,
    say: Say,
) -> Iterator[None]:
    """Have a launcher open for a moment, in which it writes nothing that stays."""
    with interruptible(), folders.temporary("whichworker-look-") as scratch:
        launcher.open(environments, scratch, say, files=read)
        if own is not None:
            launcher.shared.update(own.values())
        with launcher:
            yield
