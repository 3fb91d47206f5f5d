"""The generators of a run that are on other machines: where they join, and what is known of them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.experiment.generator.dialogue import Event
from bench.launch.external import External
from bench.launch.launcher import Launcher
from bench.launch.remote import reach
from bench.launch.remote.fleet import Fleet
from bench.launch.remote.launcher import Remote
from bench.launch.remote.reach import Listening
from bench.launch.stacks import Say
from bench.machine import host as machine
from bench.machine.cpus import CpuSplit
from bench.model.errors import UsageError, UserError
from bench.model.plans.generators import PORT, GeneratorsTable
from bench.model.plans.plan import Plan

# What `ready` and `finished` say of a generator that does not change.
_LASTING = ("name", "hostname", "system", "python", "cpus", "processes")
# What its cells need not repeat.
_OF_RUN = ("hostname", "system", "python", "clock")
# How long those that the suite starts wait for the run, which they are started beside.
_WAIT_S = 600.0


@dataclass(frozen=True)
class Gathering:
    """Where the generators of a run join, if it has any on other machines; the ``fleet`` is started by it."""

    table: GeneratorsTable | None
    where: str
    fleet: Fleet | None = None

    def beside(self, split: CpuSplit, launcher: Launcher, say: Say) -> CpuSplit:
        """The CPUs of a run, where generators may have some of the servers': then ``say`` hears of it."""
        boot = launcher.machine.facts["boot"] if isinstance(launcher, Remote) else machine.boot()
        shared = [] if self.fleet is None else self.fleet.on(boot, split.server)
        if not shared:
            return split
        note = f"the servers' CPUs are those of a generator as well: {', '.join(shared)}"
        say(f"note: {note}")
        return replace(split, trusted=False, note=note)

    def equip(self, plan: Plan, scenarios: Mapping[str, Path]) -> None:
        """Have what generators need where the suite starts them; raises as ``Fleet.equip``."""
        if self.fleet is not None:
            self.fleet.equip(list(scenarios.values()), plan.packages, plan.most_users)

    def expected(self, before: Mapping[str, Any] | None, say: Say) -> "Generators | None":
        """Those of the run, none of which is there yet; for the rest see ``Generators``."""
        return None if self.table is None else Generators(self.table, self.where, before, say, self.fleet)


def gathering(plan: Plan, address: str | None, launcher: Launcher, say: Say = lambda _: None) -> Gathering:
    """Where generators join, at an ``address`` of this machine (``HOST[:PORT]``).

    What this machine has of servers and proxies listens there, too.

    Machines that the plan names are connected to; ``say`` hears of what is copied there.

    Raises:
        UsageError: that is no address, or nobody joins.
        RemoteError: a machine cannot be reached, or does not reach this one.
    """
    if plan.generators is None:
        if address is not None:
            raise UsageError(
                "--address (ADDRESS=) is for generators on other machines: give --expect-generators too"
            )
        return Gathering(None, "")
    fleet = Fleet.connect(plan.generators.machines, say) if plan.generators.machines else None
    host, _, port = (address or _seen(launcher, fleet)).partition(":")
    if not host or (port and not port.isdigit()):
        raise UsageError(f"--address {address}: write the address of this machine, or address:port")
    launcher.proxy_address = host
    if launcher.servers_here:
        launcher.address = host
    if fleet is not None:
        with reach.here(host, int(port or PORT)) as listening:
            fleet.check_way(listening)
    return Gathering(plan.generators, f"{host}:{port or PORT}", fleet)


def _seen(launcher: Launcher, fleet: Fleet | None) -> str:
    """The address of this machine that generators reach, as far as that is known."""
    if fleet is not None:
        return fleet.address
    if not launcher.servers_here:
        raise UsageError("name the address of this machine that generators reach: --address (ADDRESS=)")
    return launcher.address


def _to_be_loaded(launcher: Launcher, *, proxied: bool) -> Iterator[AbstractContextManager[Listening]]:
    """What listens where load will go, servers first; nothing where that is not the suite's to decide."""
    if isinstance(launcher, Remote):
        yield launcher.reachable()
        if proxied:
            yield reach.here(launcher.proxy_address)
    elif not isinstance(launcher, External):
        yield reach.here(launcher.address)


class Generators:
    """Counts those that join and those that are lost; ``facts`` are what ``run.json`` has of them."""

    def __init__(
        self,
        table: GeneratorsTable,
        where: str,
        before: Mapping[str, Any] | None,
        say: Say,
        fleet: Fleet | None = None,
    ) -> None:
        """They join at ``where``, an address of this machine; ``say`` hears who has.

        ``before`` are the ``facts`` of a run that goes on; ``fleet`` are those that the suite starts itself.
        """
        self._table = table
        self._fleet = fleet
        self._wires: dict[str, dict[str, Any]] = {}
        self._where = where
        self._say = say
        self._left = table.expected
        known = [] if before is None else before["machines"]
        self._known: dict[str, dict[str, Any]] = {each["name"]: each for each in known}
        self._lost: list[str] = []
        self._clocks: list[dict[str, Any]] = [] if before is None else list(before["clocks"])

    @contextmanager
    def at_work(self, launcher: Launcher, folder: Path, *, proxied: bool = False) -> Iterator[None]:
        """Start those that the suite starts, and leave none behind; their logs go to a ``folder``.

        The launcher is entered: their way to its servers is measured first, or that to proxies before them.
        Raises ``RemoteError``.
        """
        if self._fleet is None:
            yield
            return
        for reachable in _to_be_loaded(launcher, proxied=proxied):
            with reachable as listening:
                self._wires = self._fleet.measure(listening)
        for name, wire in self._wires.items():
            raw = min(wire["raw"].values()) / 1e6
            usual = wire["connect_us"]["median"]
            self._say(f"{name}: a connection to servers takes {usual:,.0f} µs and carries {raw:,.0f} MB/s")
        with self._fleet.at_work(self._where, launcher.shared, folder, _WAIT_S):
            yield

    @property
    def words(self) -> list[str]:
        """What tells a session of them; of one that is started again those that were lost are no part."""
        return ["--generators", str(self._left), "--master", self._where]

    def hear(self, event: Event) -> None:
        """Tell people who has joined, if an event is about that."""
        if event["event"] != "joining":
            return
        joined: Sequence[str] = event["joined"]
        by_hand = self._left - len(self._table.machines)
        if joined:
            self._say(f"generators: {len(joined)} of {self._left} are there: {', '.join(joined)}")
        elif by_hand > 0:
            many = "generator" if by_hand == 1 else "generators"
            self._say(f"waiting for {by_hand} {many}; on each machine: make worker MASTER={self._where}")

    def ready(self, told: Sequence[Mapping[str, Any]]) -> None:
        """Note what generators say of themselves."""
        for each in told:
            self._known[each["name"]] = {key: each[key] for key in _LASTING}

    def finished(self, event: Event) -> list[dict[str, Any]]:
        """Note the clocks that were read around a load; returns the ``machines`` of its cells."""
        machines = []
        for each in event["generators"]:
            clock = each["clock"]
            self._clocks.append({"generator": each["name"], "window": event["window"], **clock})
            machines.append({key: value for key, value in each.items() if key not in _OF_RUN})
        return machines

    def lose(self, names: Sequence[str]) -> str:
        """Note that some were lost, and end what may be left of them; returns what more is known of why."""
        self._lost += names
        self._left = max(1, self._left - len(names))
        if self._fleet is None:
            return ""
        whys = [why for name in names if (why := self._fleet.why_gone(name)) is not None]
        self._fleet.end(names)
        return "".join(f" ({why.splitlines()[0]})" for why in whys)

    def check_started(self) -> None:
        """Raise ``UserError`` where one that the suite has started has ended, and will not join."""
        if self._fleet is None:
            return
        for name in self._fleet.machines:
            if (why := self._fleet.why_gone(name)) is not None:
                raise UserError(why)

    def check(self) -> None:
        """Raise ``UserError`` where the run is to end because generators were lost."""
        if not self._lost:
            return
        lost = ", ".join(self._lost)
        if len(self._lost) >= self._table.expected:
            were = "was" if len(self._lost) == 1 else "were"
            raise UserError(f"no generator is left: {lost} {were} lost. Give the same command again to go on")
        if self._table.lost == "end":
            raise UserError(
                f"the generator {lost} was lost, and the run ends with it. Give the same command again to go "
                'on, or add --lost-generator "go on"'
            )

    @property
    def facts(self) -> dict[str, Any]:
        """The ``generators`` of ``run.json``."""
        return {
            "machines": [
                {**facts, "lost": name in self._lost, **self._wire(name)}
                for name, facts in sorted(self._known.items())
            ],
            "clocks": self._clocks,
        }

    def _wire(self, name: str) -> dict[str, Any]:
        return {"wire": self._wires[name]} if name in self._wires else {}
