"""The generators of a run that are on other machines: where they join, and what is known of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.experiment.dialogue import Event
from bench.launch.launcher import Launcher
from bench.launch.stacks import Say
from bench.model.errors import UsageError, UserError
from bench.model.generators import PORT, GeneratorsTable
from bench.model.plan import Plan

# What `ready` and `finished` say of a generator that does not change.
_LASTING = ("name", "hostname", "system", "python", "cpus", "processes")
# What its cells need not repeat.
_OF_RUN = ("hostname", "system", "python", "clock")


@dataclass(frozen=True)
class Gathering:
    """Where the generators of a run join, if it has any on other machines."""

    table: GeneratorsTable | None
    where: str

    def expected(self, before: Mapping[str, Any] | None, say: Say) -> "Generators | None":
        """Those of the run, none of which is there yet; for the rest see ``Generators``."""
        return None if self.table is None else Generators(self.table, self.where, before, say)


def gathering(plan: Plan, address: str | None, launcher: Launcher) -> Gathering:
    """Where generators join, at an ``address`` of this machine (``HOST[:PORT]``); servers listen there, too.

    Raises:
        UsageError: that is no address, or nobody joins.
    """
    if plan.generators is None:
        if address is not None:
            raise UsageError(
                "--address (ADDRESS=) is for generators on other machines: give --expect-generators too"
            )
        return Gathering(None, "")
    host, _, port = (address or launcher.address).partition(":")
    if not host or (port and not port.isdigit()):
        raise UsageError(f"--address {address}: write the address of this machine, or address:port")
    if launcher.servers_here:
        launcher.address = host
    return Gathering(plan.generators, f"{host}:{port or PORT}")


class Generators:
    """Counts those that join and those that are lost; ``facts`` are what ``run.json`` has of them."""

    def __init__(
        self, table: GeneratorsTable, where: str, before: Mapping[str, Any] | None, say: Say
    ) -> None:
        """They join at ``where``, an address of this machine; ``say`` hears who has.

        ``before`` are the ``facts`` of a run that goes on.
        """
        self._table = table
        self._where = where
        self._say = say
        self._left = table.expected
        known = [] if before is None else before["machines"]
        self._known: dict[str, dict[str, Any]] = {each["name"]: each for each in known}
        self._lost: list[str] = []
        self._clocks: list[dict[str, Any]] = [] if before is None else list(before["clocks"])

    @property
    def words(self) -> list[str]:
        """What tells a session of them; of one that is started again those that were lost are no part."""
        return ["--generators", str(self._left), "--master", self._where]

    def hear(self, event: Event) -> None:
        """Tell people who has joined, if an event is about that."""
        if event["event"] != "joining":
            return
        joined: Sequence[str] = event["joined"]
        if joined:
            self._say(f"generators: {len(joined)} of {self._left} are there: {', '.join(joined)}")
        else:
            many = "generator" if self._left == 1 else "generators"
            self._say(f"waiting for {self._left} {many}; on each machine: make worker MASTER={self._where}")

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

    def lose(self, names: Sequence[str]) -> None:
        """Note that some were lost."""
        self._lost += names
        self._left = max(1, self._left - len(names))

    def check(self) -> None:
        """Raise ``UserError`` where the run is to end because generators were lost."""
        if not self._lost:
            return
        lost = ", ".join(self._lost)
        if len(self._lost) >= self._table.expected:
            raise UserError(f"no generator is left: {lost} were lost. Give the same command again to go on")
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
                {**facts, "lost": name in self._lost} for name, facts in sorted(self._known.items())
            ],
            "clocks": self._clocks,
        }
