"""Network namespaces of one's own, and the steering of this machine's own loopback device.

Both need root. A namespace is held by an open descriptor: it goes with the last of this process and of what
runs in it.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from bench.machine import host, loopback
from bench.machine.processes import outcome, spawn, uninterrupted, wait_or_kill
from bench.model import folders
from bench.model.errors import UserError
from bench.model.files import ROOT, read_text, write_text

PROGRAM = Path(loopback.__file__)
# The steering that a run has changed on this machine's own device; outside of results, which may be moved.
STATE = ROOT / ".cache" / "loopback.json"

_END_S = 5.0
_NEEDS_ROOT = "that needs root"
_AS_ROOT = "run as root (sudo), or in containers (LAUNCHER=compose)"
_IN_CONTAINER = "where this is a container, start it with --privileged"


@dataclass(frozen=True)
class Namespace:
    """A network namespace; ``path`` names it to other processes while this one lives.

    ``why`` it is not steered, if it is not. ``sysctls`` are its ``loopback.SYSCTLS``.
    """

    descriptor: int
    why: str | None
    sysctls: Mapping[str, int]

    @property
    def path(self) -> Path:
        """Where other processes of this machine can open it."""
        return Path(f"/proc/{os.getpid()}/fd/{self.descriptor}")


class _Left(BaseModel):
    """What a run notes before it steers this machine's own device: where that is, and what was set."""

    model_config = ConfigDict(extra="forbid", strict=True)

    boot: str
    namespace: str
    value: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{1,8}(,[0-9a-fA-F]{1,8})*$")]


class NoNamespaceError(Exception):
    """There can be no namespace; the text is the reason, and what would allow it."""


@contextlib.contextmanager
def namespace(cpus: Sequence[int]) -> Iterator[Namespace]:
    """A network namespace with nothing but a loopback device, steered to CPUs (if any) if that is possible.

    Raises:
        NoNamespaceError: it cannot be made.
    """
    with uninterrupted():
        made = _make(cpus)
    try:
        yield made
    finally:
        os.close(made.descriptor)


def _make(cpus: Sequence[int]) -> Namespace:
    if os.geteuid() != 0:
        raise NoNamespaceError(f"{_NEEDS_ROOT}: {_AS_ROOT}")
    helper = spawn(
        [sys.executable, "-I", "-S", str(PROGRAM), "own", ",".join(map(str, cpus))],
        sorted(os.sched_getaffinity(0)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with helper:
        try:
            assert helper.stdin is not None and helper.stdout is not None
            said: dict[str, Any] = json.loads(helper.stdout.readline() or b"{}")
            if not said.get("namespace"):
                why = said.get("why") or "the helper ended"
                raise NoNamespaceError(f"{why}: root lacks CAP_SYS_ADMIN here; {_IN_CONTAINER}")
            descriptor = os.open(f"/proc/{helper.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            helper.stdin.close()
        finally:
            wait_or_kill(helper, _END_S)
    return Namespace(descriptor, said["why"], said["sysctls"])


def set_sysctls(path: Path, values: Mapping[str, int]) -> str | None:
    """Set sysctls of the network namespace at a path; returns why that is not possible, if so."""
    words = [f"{name}={value}" for name, value in values.items()]
    helper = spawn(
        [sys.executable, "-I", "-S", str(PROGRAM), "set", ",".join(words)],
        sorted(os.sched_getaffinity(0)),
        network=path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    said = outcome(helper, _END_S)
    return None if said.returncode == 0 else (said.stderr.strip() or f"{', '.join(words)} could not be set")


@contextlib.contextmanager
def steered_here(cpus: Sequence[int], state: Path = STATE) -> Iterator[str | None]:
    """Steer this machine's own loopback device while the context lasts; yields why that is not possible.

    What was set before is put back, by ``put_back`` of the next run if this process is killed or cannot.
    """
    state.parent.mkdir(exist_ok=True)
    with _lock(state) as ours:
        if not ours:
            yield "another run of this checkout steers it at this moment"
            return
        left = _put_back(state)
        if left is not None and state.exists():  # else what is set now would be taken for what was before
            yield left
            return
        if os.geteuid() != 0:
            yield f"{_NEEDS_ROOT}: run as root (sudo), or once: {command(cpus)}"
            return
        before = loopback.steering()
        if before is not None:
            write_text(state, json.dumps({**_here(), "value": before}))
        try:
            yield loopback.steer(loopback.mask(cpus))
        finally:
            # Where it cannot be put back, for want of a descriptor, say, the next run knows what it was.
            if before is not None and loopback.steer(before) is None:
                state.unlink()


def put_back(state: Path = STATE) -> str | None:
    """Undo the steering that a run which was killed has left; returns what became of it, for people."""
    if not state.exists():
        return None
    with _lock(state) as ours:
        return _put_back(state) if ours else None


def command(cpus: Sequence[int]) -> str:
    """What an administrator types to have this machine's own loopback device steered until it restarts."""
    return f"echo {loopback.mask(cpus)} | sudo tee {loopback.STEERING}"


def _put_back(state: Path) -> str | None:
    if not state.exists():
        return None
    try:
        left = _Left.model_validate_json(read_text(state))
    except (UserError, ValidationError):
        return (
            f"{state} is damaged: nobody knows how this machine's loopback device was steered before a run.\n"
            f"To have it not steered: echo 0 | sudo tee {loopback.STEERING}; then remove that file"
        )
    here = _here()
    if left.boot != here["boot"]:  # the device is another since
        state.unlink()
        return None
    if left.namespace != here["namespace"]:  # of a container with the same checkout, say
        return None
    if (why := loopback.steer(left.value)) is not None:
        return (
            f"a run that was killed has left this machine's loopback device steered, and {why}.\n"
            f"To put it back: echo {left.value} | sudo tee {loopback.STEERING}"
        )
    state.unlink()
    return "put back the steering of this machine's loopback device, which a killed run had changed"


def _here() -> dict[str, str]:
    """What the device of this moment is known by: it is another after a restart, and in another namespace."""
    return {"boot": host.boot(), "namespace": str(Path("/proc/self/ns/net").readlink())}


@contextlib.contextmanager
def _lock(state: Path) -> Iterator[bool]:
    """Hold the state unless another process does; yields whether this one does."""
    with state.with_name(f".{state.name}.lock").open("w") as lock:
        yield folders.claim(lock)
