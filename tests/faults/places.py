"""Where the commands of a kind of run are given: here, beside other machines, in containers."""

import contextlib
import fcntl
import json
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.launch.containers import images
from bench.launch.containers.cleanup import CHECKOUT_LABEL, this_checkout
from bench.machine.loopback import STEERING
from bench.machine.network import STATE
from bench.model.files import ROOT
from tests.bench.launch.containers.stand_in import Docker, resident, variables
from tests.bench.launch.remote.wire import Elsewhere, Wire, kept, namespace
from tests.compose.real.engine import containers, inspect
from tests.faults.roles import below


@dataclass
class Where:
    """Where commands run: the words of what becomes them, their options, and those that change a plan.

    `left` says what is left there when nothing of a run is. `others` are processes that somebody else runs
    for them, an engine for one, which may outlive the command: the next one ends them.
    """

    through: Sequence[str] = ()
    options: Sequence[str] = ()
    changes: Sequence[str] = ()
    left: Callable[[], list[str]] = list
    others: Callable[[], list[psutil.Process]] = list


@contextlib.contextmanager
def here(_folder: Path) -> Iterator[Where]:
    """On this machine, as most runs."""
    yield Where()


def wired(option: str) -> Callable[[Path], contextlib.AbstractContextManager[Where]]:
    """With servers, or generators, on another machine at the other end of a wire, as an option says."""

    @contextlib.contextmanager
    def place(folder: Path) -> Iterator[Where]:
        cpus = sorted(os.sched_getaffinity(0))
        with Wire(folder, there=Elsewhere(kept(folder / "cache"), cpus[:1])) as wire:
            os.environ.update(wire.environment)
            yield Where(wire.here("taskset", "-c", str(cpus[-1])), changes=[option, "there"])

    return place


@contextlib.contextmanager
def _alone(name: str) -> Iterator[None]:
    """One trial of this checkout at a time."""
    STATE.parent.mkdir(exist_ok=True)
    with STATE.with_name(f"faults-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def contained(_folder: Path) -> Iterator[Where]:
    """In containers, of which the next command removes what a killed one has left."""

    label = f"{CHECKOUT_LABEL}={this_checkout()}"

    def left() -> list[str]:
        return [f"the container {identifier} was left" for identifier in containers(label)]

    def inside() -> list[psutil.Process]:
        """The processes of all containers, by the numbers that this machine has for them."""
        found = []
        # One may be gone before it is asked for.
        for identifier in containers(label, running=True):
            with contextlib.suppress(AssertionError, psutil.NoSuchProcess):
                first = psutil.Process(inspect(identifier)["State"]["Pid"])
                found += [first, *below(first)]
        return found

    with _alone("containers"):
        yield Where(left=left, others=inside)


@contextlib.contextmanager
def stood_in(folder: Path) -> Iterator[Where]:
    """In containers as a stand-in for Docker has them: processes of this machine."""
    docker = Docker(folder / "docker")
    (docker.state / "images" / images.of_proxy("nginx")).touch()

    def left() -> list[str]:
        return [f"{kind} was left" for kind in (*docker.containers(), *docker.networks())]

    def inside() -> list[psutil.Process]:
        """The processes of all containers, whatever became of the command that started each, and commands."""
        found = below(psutil.Process(process.pid))
        # A detached one is not below it any more, or never was.
        for facts in docker.state.glob("containers/*/facts.json"):
            with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError):
                program = psutil.Process(json.loads(facts.read_text())["pid"])
                parent = program.parent()
                first = program if parent is None or parent.pid == os.getpid() else parent
                found += [first, *below(first)]
        return found

    with resident() as (process, port):
        os.environ.update(variables(folder, port))
        yield Where(left=left, others=inside)


@contextlib.contextmanager
def steered(_folder: Path) -> Iterator[Where]:
    """In a network namespace whose loopback device a run steers as if it were this machine's."""
    with (
        _alone("steered"),
        namespace("--mount", first="mount -t sysfs none /sys && ip link set lo up") as holder,
    ):
        inside = ["nsenter", f"--net=/proc/{holder}/ns/net", f"--mount=/proc/{holder}/ns/mnt"]

        def steering() -> str:
            return subprocess.run([*inside, "cat", str(STEERING)], capture_output=True, text=True).stdout

        def left() -> list[str]:
            changed = [] if steering() == before else [f"lo is steered to {steering()}, as it was not before"]
            return changed + ([f"{STATE} was left"] if STATE.exists() else [])

        before = steering()
        yield Where(
            # Whoever enters another mount namespace is at its root.
            [*inside, "sh", "-c", 'cd "$0" && exec "$@"', str(ROOT)],
            options=["--steer-host-loopback"],
            left=left,
        )
