"""A plan narrowed by the command line: fewer names, other loads, other numbers."""

from collections.abc import Collection, Mapping
from typing import Any

from bench.errors import UsageError
from bench.loads import Loads
from bench.plan import Plan, validate

_LOADS = ("users", "rates_per_s", "arrivals")
_RECYCLING = ("max_requests", "replacements")


def narrow(plan: Plan, changes: Mapping[str, Any]) -> Plan:
    """The plan with some of its values replaced, as asked for on the command line.

    ``changes`` maps the keys of a plan to their values, except that ``scenarios`` is a list of names;
    that ``users``, ``rates_per_s`` and ``arrivals`` are loads that take the place of those of every
    scenario; and that ``max_requests`` and ``replacements`` are those of every scenario's recycling.
    A scenario the plan does not name gets every closed and open loop the plan has, unless it is that of a
    probe; probes stay with their scenarios.

    Raises:
        UsageError: a value is out of range; names the key.
    """
    changed = {**changes, **_external(changes)}
    loads = {key: changed.pop(key) for key in _LOADS if key in changed}
    instead = _only(**loads) if loads else None
    recycling = {key: changed.pop(key) for key in _RECYCLING if key in changed}
    if recycling:
        changed["recycling"] = _recycling(plan, recycling)
    chosen = changed.pop("scenarios", None) or plan.loaded
    probed = {probe.scenario for probe in plan.probes}
    changed["scenarios"] = {
        name: _loads(plan, name, instead, recycling)
        for name in chosen
        if name in plan.scenarios or name not in probed
    }
    changed["probes"] = [probe.model_dump() for probe in plan.probes if probe.scenario in chosen]
    changed["thresholds"] = {
        name: limits for name, limits in plan.thresholds.items() if name == "all" or name in chosen
    }
    return validate(plan.model_dump() | changed, "command line")


def _external(changes: Mapping[str, Any]) -> dict[str, Any]:
    """What else a server that runs already changes: it is alone, and nobody knows how many workers it has."""
    if "external" not in changes:
        return {}
    only = {"configurations": [changes["external"]["name"]], "variants": False, "catalogue": None}
    return {**only, "workers": None}


def _recycling(plan: Plan, changes: Mapping[str, Any]) -> dict[str, Any]:
    """``[recycling]`` with some of its values replaced."""
    if plan.recycling is None:
        options = " and ".join(f"--{key.replace('_', '-')}" for key in changes)
        raise UsageError(f"{options} narrow a plan of recycling, and this is none: give --plan recycle too")
    return {**plan.recycling.model_dump(), **changes}


def _loads(
    plan: Plan, scenario: str, instead: Mapping[str, Any] | None, recycling: Collection[str]
) -> dict[str, Any]:
    """A scenario's loads and its own keys of recycling, without those that are given for all."""
    own = plan.scenarios.get(scenario)
    loads = own.model_dump() if own is not None else _everything(plan.scenarios.values())
    keys = loads.get("recycling")
    kept = keys and {key: value for key, value in keys.items() if key not in recycling}
    return {**(loads if instead is None else instead), "recycling": kept}


def _only(
    users: list[int] | None = None, rates_per_s: list[float] | None = None, arrivals: str | None = None
) -> dict[str, Any]:
    """The loads of a scenario that the command line asks for; without rates, closed loops."""
    if rates_per_s is None:
        if arrivals is not None:
            raise UsageError("--arrivals says how --rates arrive; give --rates too")
        return {"users": users}
    loads: dict[str, Any] = {"rates_per_s": rates_per_s}
    if arrivals is not None:
        loads["arrivals"] = arrivals
    if users is not None:
        if len(users) != 1:
            raise UsageError("with --rates, --users is one number: the most that may be in flight")
        loads["users"] = users[0]
    return {"open": [loads]}


def _everything(scenarios: Collection[Loads]) -> dict[str, Any]:
    """Every closed and open loop of some scenarios, each once; searches belong to their scenario."""
    users = sorted({users for loads in scenarios for users in loads.users or []})
    loops = {
        (loads.arrivals, rate): {"arrivals": loads.arrivals, "rates_per_s": [rate], "users": loads.users}
        for scenario in scenarios
        for loads in scenario.open
        for rate in loads.rates_per_s
    }
    return {"users": users or None, "open": [loops[key] for key in sorted(loops)]}
