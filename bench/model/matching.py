"""Whether runs match: to go on as one, to be compared, or to be evidence about one machine."""

from collections.abc import Iterator, Mapping
from typing import Any

from bench.model.plans.plan import LIMITS
from bench.model.records.run import Run

# What makes a machine the same: its ceilings are kept by it.
MACHINE = ("machine_id", "system", "cpu", "cpus")

# What must agree for cells of two sittings to stand in one run.
_SAME = ("methodology", "plan", "launcher", "cpu_split", "stacks")
# Only runs with packages of the user's own in the generator have it.
_OF_LOCUSTFILES = "locustfile_requirements"


def same_machine(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two ``host`` objects of ``run.json`` are of one machine."""
    return all(one[key] == other[key] for key in MACHINE)


def same_network(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two ``network`` objects of ``run.json`` are alike to what meets there."""
    same = all(one[key] == other[key] for key in ("namespace", "steered_to"))
    return same and _address(one) == _address(other)


def _address(network: Mapping[str, Any]) -> str | None:
    """Where servers on another machine listen."""
    wire = network.get("wire")
    return None if wire is None else str(wire["address"])


def differences(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The keys that keep a recorded run from going on under ``now`` (both as ``run.json``)."""
    found = [key for key in _SAME if _without_limits(recorded[key]) != _without_limits(now[key])]
    if recorded.get(_OF_LOCUSTFILES) != now.get(_OF_LOCUSTFILES):
        found.append(_OF_LOCUSTFILES)
    elif _OF_LOCUSTFILES in now and recorded["suite"] != now["suite"]:
        found.append("suite")
    if recorded.get("proxy") != now.get("proxy"):
        found.append("proxy")
    found += [key for key in ("host", "server_host") if not _same_machine(recorded.get(key), now.get(key))]
    return found


def _same_machine(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> bool:
    return one == other if one is None or other is None else same_machine(one, other)


def _without_limits(value: Any) -> Any:
    """A plan without the limits that a resumed run may change; other values as they are."""
    return {k: v for k, v in value.items() if k not in LIMITS} if isinstance(value, dict) else value


def _network(run: Run) -> str:
    """What of the network makes numbers others."""
    if run.generators is not None:
        return "between the server and generators on other machines"
    if run.network is None:
        return "not recorded"
    if run.network.wire is not None:
        return "between two machines"
    whose = "of the run's own" if run.network.namespace else "of the machine"
    to = run.network.steered_to
    return f"{whose}, {'not steered' if to is None else f'steered to CPUs {to}'}"


def unlike(one: Run, other: Run, *, setup: bool = True) -> Iterator[str]:
    """What keeps the numbers of two runs from being compared, in words.

    Without ``setup`` CPU split, proxy, launcher and network may differ, as between runs of performance and of
    recycling.
    """
    if one.host.machine_id != other.host.machine_id:
        yield f"host {one.host.hostname} and {other.host.hostname}"
    if one.host.cpu != other.host.cpu:
        yield f"CPU {one.host.cpu} and {other.host.cpu}"
    if (one.generators is None) != (other.generators is None):
        yield "load from this machine and, over a network, from others"
    if (one.server_host is None) != (other.server_host is None):
        yield "servers on this machine and, over a network, on another"
    elif one.server_host is not None and one.served_by.machine_id != other.served_by.machine_id:
        yield f"servers on {one.served_by.hostname} and {other.served_by.hostname}"
    if setup:
        for side in ("server", "generator"):
            cpus = [getattr(run.cpu_split, side) for run in (one, other)]
            if cpus[0] != cpus[1]:
                yield f"{side} on CPUs {cpus[0]} and {cpus[1]}"
        if one.behind != other.behind:
            yield f"proxy {one.behind or 'none'} and {other.behind or 'none'}"
        if one.launcher != other.launcher:
            yield f"launcher {one.launcher} and {other.launcher}"
            for stack in sorted(one.stacks.keys() & other.stacks.keys()):
                pythons = [run.stacks[stack].python for run in (one, other)]
                if pythons[0] != pythons[1]:
                    yield f"Python {pythons[0]} and {pythons[1]} in the stack {stack}"
        if _rotates(one) != _rotates(other):
            yield f"{_design(one)} and {_design(other)}"
        networks = [_network(run) for run in (one, other)]
        if networks[0] != networks[1]:
            yield f"network {networks[0]} and {networks[1]}"
    if one.methodology != other.methodology:
        yield f"methodology {one.methodology} and {other.methodology}"


def _rotates(run: Run) -> bool:
    return run.rotation is not None and run.rotation.sittings > 0


def _design(run: Run) -> str:
    return "a rotation" if _rotates(run) else "blocks"
