"""Generators that the suite starts itself, on machines that ssh reaches.

Each is a ``swarm.generator`` in an environment made there, which an agent runs: it ends with the connection.
"""

import contextlib
import hashlib
import itertools
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from bench.launch.certificates import AUTHORITY
from bench.launch.remote import files, reach
from bench.launch.remote.machine import Machine
from bench.launch.remote.reach import Listening
from bench.launch.remote.serve import RemoteServe
from bench.launch.remote.sharing import allowed
from bench.launch.remote.ssh import Host, RemoteError
from bench.launch.server import last_lines
from bench.launch.stacks import Say, requirement_files
from bench.machine import host
from bench.model.errors import UsageError
from bench.model.files import ROOT

# What `swarm` imports beside the standard library and what Locust needs itself.
_PACKAGES = ("gevent", "httptools", "locust", "msgpack", "numpy")
# What it may take to end in order: Locust's workers there end their users first.
_END_S, _LOOK_S = 12.0, 0.05
_numbers = itertools.count(1)


@dataclass(frozen=True)
class _Outfit:
    """What a generator runs with, as paths there: ``home`` is that of a user's own scenarios."""

    python: str
    suite: str
    home: str | None


@dataclass
class Fleet:
    """The machines of a plan's generators, by the names that the plan has for them."""

    machines: dict[str, Machine]
    _outfits: dict[str, _Outfit] = field(default_factory=dict)
    _running: dict[str, tuple[RemoteServe, Path]] = field(default_factory=dict)

    @classmethod
    def connect(cls, names: Sequence[str], say: Say) -> Self:
        """Connect to all; ``say`` hears of what is copied and installed. Raises ``RemoteError``."""
        known = {name: Host.parse(name) for name in names}
        return cls({name: Machine(each, say) for name, each in known.items()})

    @property
    def address(self) -> str:
        """The address of this machine that all have been reached from.

        Raises:
            UsageError: there is none, or more than one.
        """
        of_each = {name: machine.facts["client"] for name, machine in self.machines.items()}
        found = set(of_each.values())
        if len(found) == 1 and None not in found:
            return str(found.pop())
        seen = ", ".join(f"{address or 'unknown'} by {name}" for name, address in of_each.items())
        raise UsageError(
            f"this machine is seen at several addresses ({seen}): name one that all generators reach "
            "(ADDRESS=)"
        )

    def cpus(self, name: str) -> Sequence[int]:
        """Those that a generator makes its load with: all that it may use there."""
        facts = self.machines[name].facts
        return allowed(facts["usable"], facts["quota"])

    def on(self, boot: str, cpus: Sequence[int]) -> list[str]:
        """The generators that have some of these CPUs, of the machine that was started as ``boot``."""
        return [
            name
            for name, machine in self.machines.items()
            if machine.facts["boot"] == boot and {*cpus} & {*self.cpus(name)}
        ]

    def equip(self, scenarios: Sequence[Path], packages: Path | None, users: int) -> None:
        """Have there what is run there: the generator, the scenarios, their ``packages`` (for pip).

        ``users`` is the most that a load has.

        Raises:
            RemoteError: it cannot be had there, or so many connections cannot.
            UsageError: the scenarios' folder has too much.
        """
        home = Path(os.path.commonpath([path.resolve().parent for path in scenarios]))
        for name, machine in self.machines.items():
            self._check_open_files(name, users)
            suite = machine.copy(files.of_generator(home), "generators", "the load generator and scenarios")
            wanted = _wanted(machine, suite, packages)
            python = machine.interpreter(environment_name(packages), wanted, "the load generator")
            own = None if home.is_relative_to(ROOT) else machine.put(home)
            self._outfits[name] = _Outfit(python, suite, own)

    def _check_open_files(self, name: str, users: int) -> None:
        """Each of its processes has a share of the connections."""
        processes, most = len(self.cpus(name)), self.machines[name].facts["open_files"]
        wanted = host.open_files(-(-users // processes), processes)
        if most is not None and most < wanted:
            raise RemoteError(
                f"{name}: a process may have {most} files open there, {wanted} are needed; raise its hard "
                "limit (ulimit -Hn, LimitNOFILE of sshd), or ask for fewer users"
            )

    def check_way(self, listening: Listening) -> None:
        """Raise ``RemoteError`` if one of them does not reach what listens, of this machine or another."""
        for machine in self.machines.values():
            reach.check_from(machine.link, listening)

    def measure(self, listening: Listening) -> dict[str, dict[str, Any]]:
        """The ``wire`` of each in ``run.json``: its way to what listens where servers are; raises so, too."""
        return reach.measure_from({name: each.link for name, each in self.machines.items()}, listening)

    @contextlib.contextmanager
    def at_work(
        self, master: str, variables: Mapping[str, str], folder: Path, wait_s: float
    ) -> Iterator[None]:
        """Have all join a master, ``HOST:PORT``, while this context lasts; nothing of them is left behind it.

        ``variables`` are for the users' code, ``folder`` takes what generators say, as logs; they wait so
        long for the master. Raises ``RemoteError``.
        """
        try:
            for name in self.machines:
                self._start(name, master, variables, folder, wait_s)
            yield
            self._await_end()
        finally:
            self.end(list(self._running))

    def _start(
        self, name: str, master: str, variables: Mapping[str, str], folder: Path, wait_s: float
    ) -> None:
        machine, outfit, cpus = self.machines[name], self._outfits[name], self.cpus(name)
        words = [outfit.python, "-P", "-m", "swarm.generator", "--master", master, "--name", name]
        words += ["--processes", str(len(cpus)), "--wait", f"{wait_s:g}"]
        words += [] if outfit.home is None else ["--locustfiles", outfit.home]
        # A certificate of servers comes with the master's welcome.
        own = {key: value for key, value in variables.items() if key != AUTHORITY}
        log = folder / f"generator-{name.replace('/', '-')}.log"
        started = RemoteServe(
            machine.link,
            f"generator-{next(_numbers)}",
            folder,
            log,
            words,
            {**own, "PYTHONPATH": outfit.suite},
            cpus,
            guarded=True,
        )
        self._running[name] = (started, log)

    def _await_end(self) -> None:
        """Leave time to those who have heard that the run is over: users' code may say goodbye."""
        deadline = time.monotonic() + _END_S
        while time.monotonic() < deadline and any(each.poll() is None for each, _ in self._running.values()):
            time.sleep(_LOOK_S)

    def why_gone(self, name: str) -> str | None:
        """Why a generator that was started is not there any more, for people; ``None`` while it runs."""
        if name not in self._running:
            return None
        program, log = self._running[name]
        status = program.poll()
        if status is None:
            return None
        if status == -signal.SIGHUP and (why := program.cause()) is not None:
            return why
        return f"{name}: the generator there has ended (status {status}){last_lines(log)}"

    def end(self, names: Sequence[str]) -> None:
        """End some of those that were started; of one whose connection is lost its agent sees to that."""
        ending = [self._running.pop(name)[0] for name in names if name in self._running]
        for program in ending:
            program.terminate()
        deadline = time.monotonic() + _END_S
        for program in ending:
            program.settle(max(0.0, deadline - time.monotonic()))


def environment_name(packages: Path | None) -> str:
    """The name there of the environment of a generator, which tells it from any that has other packages."""
    whole = hashlib.sha256(" ".join(map(files.pinned, _PACKAGES)).encode())
    own = [] if packages is None else requirement_files(packages)
    for path in (ROOT / "requirements" / "constraints.txt", *own):
        whole.update(path.read_bytes())
    return f"generator-{whole.hexdigest()[:12]}"


def _wanted(machine: Machine, suite: str, packages: Path | None) -> list[str]:
    """What pip is told to install, with paths there: the suite's own versions, and what scenarios need.

    As here, only what the suite does not pin itself may give way to that.
    """
    pins = [files.pinned(name) for name in _PACKAGES]
    if packages is None:
        return [*pins, "--constraint", f"{suite}/requirements/constraints.txt"]
    return [*pins, "--requirement", machine.put_together(packages, requirement_files(packages))]
