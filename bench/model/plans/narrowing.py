"""A plan narrowed by the command line: fewer names, other loads, other numbers."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from bench.model.errors import UsageError
from bench.model.plans.loads import Loads
from bench.model.plans.plan import Plan, validate
from bench.model.plans.rotation import RotationTable

_LOADS = ("users", "rates_per_s", "arrivals")
_RECYCLING = ("max_requests", "replacements")
_SOAK = ("hours", "allowance")
_ROTATION = ("sittings", "precision", "limit_s", "blocks")
# Of another server, another load, or by other rates: what replaces no workers, or cannot say at which rate.
_WITHOUT_RECYCLING = ("external", "locustfiles", "rates_per_s")
# In a plan of settings the rates are those of the loads under which workers stay.
_SETTINGS_WITHOUT_RECYCLING = ("external", "locustfiles")


def narrow(plan: Plan, changes: Mapping[str, Any]) -> Plan:
    """The plan with some of its values replaced, as the command line says.

    ``changes`` maps the keys of a plan to their values, except that ``scenarios`` is a list of names;
    that ``users``, ``rates_per_s`` and ``arrivals`` are loads that take the place of those of every
    scenario; that ``max_requests`` and ``replacements`` are those of every scenario's recycling; and that
    ``sittings``, ``precision``, ``limit_s`` and ``blocks`` are those of the rotation, ``hours`` and
    ``allowance`` those of a soak. Without ``precision``, so many ``sittings`` are meant exactly. ``repeats``
    and ``measured_s`` narrow a rotation as well.
    A scenario the plan does not name gets every closed and open loop the plan has, unless it is that of a
    probe; probes stay with their scenarios.

    A plan that both compares servers and replaces workers keeps the second part as it is, with loads of its
    own, and loses it where other rates, other locustfiles or a server that runs already are measured. In a
    plan of settings other rates take the place of those under which workers stay; all else stays.

    Raises:
        UsageError: a value is out of range; names the key.
    """
    without = _SETTINGS_WITHOUT_RECYCLING if plan.settings else _WITHOUT_RECYCLING
    if any(key in changes for key in without):
        plan = plan.without_recycling()
    changed = {**changes, **_external(changes)}
    loads = {key: changed.pop(key) for key in _LOADS if key in changed}
    instead = _only(**loads) if loads else None
    recycling = {key: changed.pop(key) for key in _RECYCLING if key in changed}
    if recycling:
        changed["recycling"] = _recycling(plan, recycling)
    soak = {key: changed.pop(key) for key in _SOAK if key in changed}
    if soak:
        if plan.soak is None:
            raise UsageError(f"{_options(soak)} narrow a plan with [soak], and this has none: --plan soak")
        changed["soak"] = plan.soak.model_dump() | soak
    rotation = {key: changed.pop(key) for key in _ROTATION if key in changed}
    if plan.rotation is not None and "external" not in changed:
        changed["rotation"] = _rotation(plan.rotation, changed, rotation)
    elif rotation.keys() - {"blocks"}:  # without a rotation all is in blocks
        raise UsageError(
            f"{_options(rotation)} narrow a plan with [rotation], and this has none (bench plans)"
        )
    if "generators" in changed:
        before = {} if plan.generators is None else plan.generators.model_dump()
        if "machines" in changed["generators"]:  # which are counted anew
            before.pop("expected", None)
        changed["generators"] = {**before, **changed["generators"]}
    names = changed.pop("scenarios", None) or plan.loaded
    probed = {probe.scenario for probe in plan.probes}
    changed["scenarios"] = {
        name: _loads(plan, name, instead, recycling)
        for name in names
        if name in plan.scenarios or name not in probed
    }
    changed["probes"] = [probe.model_dump() for probe in plan.probes if probe.scenario in names]
    changed["thresholds"] = {
        name: limits for name, limits in plan.thresholds.items() if name == "all" or name in names
    }
    return validate(plan.model_dump() | changed, "command line")


def _external(changes: Mapping[str, Any]) -> dict[str, Any]:
    """What else an external server changes: it is alone, its workers are unknown, and it is not started."""
    if "external" not in changes:
        return {}
    only = {"configurations": [changes["external"]["name"]], "variants": False, "catalogue": None}
    # It goes round among several, and has no variants.
    only |= {"rotation": None, "settings": False, "connections": None}
    return {**only, "workers": None, "startup_timeout_s": changes.get("startup_timeout_s")}


def _recycling(plan: Plan, changes: Mapping[str, Any]) -> dict[str, Any]:
    """``[recycling]`` with some of its values replaced."""
    if plan.recycling is None:
        raise UsageError(
            f"{_options(changes)} narrow a plan of recycling, and this is none: give --plan recycle too"
        )
    return {**plan.recycling.model_dump(), **changes}


def _rotation(table: RotationTable, changes: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """``[rotation]`` with some of its values replaced; what says how much is measured holds for both."""
    changed = dict(given)
    if "repeats" in changes:
        changed.setdefault("sittings", changes["repeats"])
    if "measured_s" in changes:
        changed["load_s"] = changes["measured_s"]
    if "sittings" in changed:
        changed["most_sittings"] = max(table.most_sittings, changed["sittings"])
        changed.setdefault("precision", None)
    return {**table.model_dump(), **changed}


def _options(keys: Iterable[str]) -> str:
    """The options of the command line for some keys."""
    named = {"limit_s": "time-limit"}
    return " and ".join(f"--{named.get(key, key.replace('_', '-'))}" for key in keys)


def _loads(
    plan: Plan, scenario: str, instead: Mapping[str, Any] | None, recycling: Collection[str]
) -> dict[str, Any]:
    """A scenario's loads and its own keys of recycling, without those that are given for all."""
    own = plan.scenarios.get(scenario)
    loads = own.model_dump() if own is not None else _every_load(plan)
    keys = loads.get("recycling")
    kept = keys and {key: value for key, value in keys.items() if key not in recycling}
    if instead is not None and plan.settings and "open" in instead:
        kept_open = [loop for loop in loads["open"] if loop.get("recycled", True)] if plan.both else []
        given_open = [{**loop, "recycled": False} for loop in instead["open"]]
        return {**loads, "open": [*kept_open, *given_open], "recycling": kept}
    if instead is not None and (plan.both or plan.settings):
        # What is given are closed loops: `narrow` has taken the rest out of the plan otherwise.
        given = instead if loads["users"] is not None else {}
        return {**loads, **given, "recycling": kept}
    return {**(loads if instead is None else instead), "recycling": kept}


def _every_load(plan: Plan) -> dict[str, Any]:
    """The loads of a scenario that the plan does not name; workers are replaced in those of the plan only."""
    return every_load(plan.without_recycling().scenarios.values())


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


def every_load(scenarios: Collection[Loads]) -> dict[str, Any]:
    """Every closed and open loop of some scenarios, each once; searches belong to their scenario."""
    users = sorted({users for loads in scenarios for users in loads.users or []})
    loops = {
        (loads.arrivals, rate): {"arrivals": loads.arrivals, "rates_per_s": [rate], "users": loads.users}
        for scenario in scenarios
        for loads in scenario.open
        for rate in loads.rates_per_s
    }
    return {"users": users or None, "open": [loops[key] for key in sorted(loops)]}
