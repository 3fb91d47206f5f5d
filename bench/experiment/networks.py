"""The network of a run: which one it is to have, and what is recorded of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.launch.containers.compose import Compose
from bench.launch.databases.database import Given, Source
from bench.launch.local import Processes
from bench.launch.network import Wanted
from bench.launch.remote.launcher import Remote
from bench.launch.stacks import Say
from bench.machine.cpus import CpuSplit
from bench.model.errors import UsageError, UserError, unknown
from bench.model.matching import same_network
from bench.model.plans.plan import Plan

OWN, HOST = "own", "host"
NAMES = (OWN, HOST)

_STEER = "--steer-host-loopback (STEER=host)"


@dataclass(frozen=True)
class Asked:
    """What was asked for: a network by name, the host's loopback device steered, a port of the host.

    With ``steered`` false the network of the run's own is left as it is, which only studies ask for.
    """

    network: str | None = None
    steer_host: bool = False
    port: int | None = None
    steered: bool = True


NOTHING = Asked()


def wanted(
    plan: Plan, launcher: str, split: CpuSplit, source: Source | None, asked: Asked = NOTHING
) -> Wanted | None:
    """The network that a run is to have; ``None``: that of a server that runs already.

    It is one of its own, unless something outside of it is needed.

    Raises:
        UsageError: as ``check``.
    """
    check(plan, launcher, asked)
    if plan.external is not None or launcher == Remote.name:
        return None
    if launcher == Compose.name:
        return Wanted(split.generator)
    because = _why_host(plan, source, asked)
    if asked.network == OWN or (because is None and not asked.steer_host):
        return Wanted(split.generator, steered=asked.steered)
    return Wanted(split.generator, own=False, because=because, steer_host=asked.steer_host)


def check(plan: Plan, launcher: str, asked: Asked) -> None:
    """Raise ``UsageError`` where what was asked for contradicts itself, the launcher, or the plan."""
    _check(launcher, asked)
    if plan.generators is not None:
        _check_generators(launcher, asked)


def _check(launcher: str, asked: Asked) -> None:
    if asked.network is not None and asked.network not in NAMES:
        raise UsageError(unknown("network", asked.network, NAMES))
    if launcher != Processes.name and (asked.network is not None or asked.steer_host):
        given = _STEER if asked.steer_host else "--network (NETWORK=)"
        raise UsageError(f"{given} is for local processes, the launcher is {launcher}: leave it out")
    if asked.network == OWN and (asked.steer_host or asked.port is not None):
        given = _STEER if asked.steer_host else "--port"
        raise UsageError(f"{given} is of this machine's own network: leave out --network {OWN}")


def _check_generators(launcher: str, asked: Asked) -> None:
    """Raise ``UsageError`` where generators of other machines cannot reach what they are to load."""
    if launcher == Compose.name:
        raise UsageError("generators on other machines reach no container of this one: leave out LAUNCHER=")
    if asked.network == OWN:
        raise UsageError(f"generators on other machines do not reach --network {OWN}: leave it out")


def _why_host(plan: Plan, source: Source | None, asked: Asked) -> str | None:
    """Why a run keeps this machine's network; ``None`` if nothing speaks for it."""
    if plan.generators is not None:
        return "it is this machine's network, where generators of other machines reach its servers"
    if asked.network == HOST:
        return f"it is this machine's network, as --network {HOST} asks"
    if asked.port is not None:
        return "it is this machine's network, as --port asks"
    if plan.own_app is not None:
        return "it is this machine's network, where an app of one's own finds its services"
    if isinstance(source, Given):
        return "it is this machine's network, where the database of DATABASE_URL is"
    return None


def note(now: Mapping[str, Any] | None, record: dict[str, Any], say: Say) -> None:
    """Put the network into ``run.json``; raises ``UserError`` if the run was begun in another."""
    if now is None:
        return
    say(f"network: {shown(now)}" + (f" ({now['note']})" if now["note"] else ""))
    before = record["network"]
    if before is not None and not same_network(before, now):
        raise UserError(
            f"the run was begun in another network: {shown(before)}; now it is {shown(now)}.\n"
            "Go on under the same conditions, or start a new run: --fresh"
        )
    record["network"] = dict(now)


def clocks(network: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """What a ``network`` of ``run.json`` has of the clock of the servers' machine around loads."""
    wire = None if network is None else network.get("wire")
    return [] if wire is None else list(wire.get("clocks", ()))


def with_clocks(
    network: Mapping[str, Any] | None, read: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:
    """A ``network`` with such readings, where its servers are on another machine; else as it is."""
    if network is None or network.get("wire") is None:
        return None if network is None else dict(network)
    return {**network, "wire": {**network["wire"], "clocks": list(read)}}


def shown(network: Mapping[str, Any]) -> str:
    """A ``network`` of ``run.json`` for people."""
    if (wire := network.get("wire")) is not None:
        usual = wire["connect_us"]["median"]
        return f"to {wire['host']} ({wire['address']}), a connection takes {usual:,.0f} µs"
    whose = "one of the run's own" if network["namespace"] else "this machine's"
    to = network["steered_to"]
    return f"{whose}, {'not steered' if to is None else f'steered to CPUs {to}'}"
