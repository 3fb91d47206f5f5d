"""The `make` command that measures what a run measured: its plan, and to what that was narrowed."""

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

from bench.model.errors import UserError
from bench.model.files import ROOT
from bench.model.plans.loads import Loads
from bench.model.plans.narrowing import every_load
from bench.model.plans.plan import PLANS, Plan, load
from bench.model.plans.proxy import CHOICES
from bench.model.plans.settings import without_variants
from bench.model.records.run import Run
from targets.catalogue import configurations

Recorded = Mapping[str, Any]


def command(run: Run, plans: Path = PLANS) -> str:
    """The command; beside the plan it names what the plan says otherwise today, in its file in `plans`.

    A plan without a file there is named with everything that can narrow one.
    """
    written = _written(run, plans)
    # A plan with a rotation has closed loops beside its recycling.
    only_recycles = run.plan.get("recycling") and not run.plan.get("rotation")
    what = "settings" if run.plan.get("settings") else "recycle" if only_recycles else "bench"
    where = [f"URL={run.external}"] if run.external else []
    changes = (f"{variable}={_text(value)}" for variable, value in _changes(run.plan, written) if value)
    return " ".join([f"make {what} PLAN={run.plan['name']}", *where, *own(run, plans), *changes])


def own(run: Run, plans: Path = PLANS) -> tuple[str, ...]:
    """The part of the command that brings in an app and a locustfile of one's own, and a proxy, if any."""
    given = _own(run.plan, _written(run, plans))
    return tuple(f"{name}={shlex.quote(text)}" for name, text in given)


def _written(run: Run, plans: Path) -> Plan | None:
    """The plan as its file has it; None where there is none."""
    path = plans / f"{run.plan['name']}.toml"
    try:
        return load(str(path)) if path.exists() else None
    except UserError:  # another version's, or being edited: it says nothing of this run
        return None


def _own(plan: Recorded, written: Plan | None) -> Iterator[tuple[str, str]]:
    """The variables that bring in what is one's own, unless the plan as written does, and the proxy."""
    app = plan.get("own_app") if written is None or written.own_app is None else None
    if app is not None:
        yield "APP", app["app"]
        yield "APP_DIR", app["folder"]
        if app.get("requirements"):
            yield "REQUIREMENTS", app["requirements"]
    if _other_users(plan, written):
        yield "SCENARIO", plan["locustfiles"]
    packages = plan.get("locustfile_requirements")
    if packages and (written is None or written.locustfile_requirements is None):
        yield "SCENARIO_REQUIREMENTS", packages
    if app is not None and app.get("environment"):
        yield "ENVIRONMENT", " ".join(app["environment"])
    if plan.get("proxy"):  # also where the plan has one: what is measured next is to be behind it, too
        yield "PROXY", plan["proxy"]
        for key in CHOICES:
            if plan.get(key):
                yield key.upper(), plan[key]
        if plan.get("proxy_tls"):
            yield "PROXY_TLS", "on"


def _other_users(plan: Recorded, written: Plan | None) -> bool:
    """Whether a locustfile of one's own took the place of a plan's scenarios."""
    return plan.get("locustfiles") is not None and (written is None or written.locustfiles is None)


def _changes(plan: Recorded, written: Plan | None) -> Iterator[tuple[str, Any]]:
    """The variables of `make` and their values, in the order in which its help has them."""
    planned = {} if written is None else written.model_dump()
    every = None if written is None else written.named(_catalogue(written).configurations)
    names = _asked(every, plan, written)
    chosen = _asked(plan.get("configurations"), plan, written)
    if chosen != names and "external" not in plan:
        yield "CONFIGURATIONS", chosen
    if _loaded(plan) != _loaded(planned) and not _other_users(plan, written):
        yield "SCENARIOS", _loaded(plan)
    yield from _loads(plan, written)
    for variable, key in (("WORKERS", "workers"), ("REPEATS", "repeats"), ("DURATION", "measured_s")):
        if plan.get(key) != planned.get(key):
            yield variable, plan.get(key)
    yield from _rotation(plan.get("rotation") or {}, planned.get("rotation") or {})
    recycling, before = plan.get("recycling") or {}, planned.get("recycling") or {}
    for key in ("max_requests", "replacements"):
        if recycling.get(key) != before.get(key):
            yield key.upper(), recycling.get(key)


def _asked(names: list[str] | None, plan: Recorded, written: Plan | None) -> list[str] | None:
    """Of some configurations of a plan those that were asked for.

    A rotation adds its control by itself, under an alias, and a plan of settings what is compared.
    """
    if names is None or written is None or not plan.get("rotation"):
        return names
    added = set(plan.get("aliases") or {}) - set(written.aliases)
    asked = [name for name in names if name not in added]
    return without_variants(asked, _catalogue(written).configurations) if plan.get("settings") else asked


def _rotation(rotation: Recorded, planned: Recorded) -> Iterator[tuple[str, Any]]:
    """What of a rotation the plan does not say."""
    precision = rotation.get("precision")
    fixed = precision is None and planned.get("precision") is not None
    if rotation.get("sittings") != planned.get("sittings") or (rotation and fixed):
        yield "SITTINGS", rotation.get("sittings")
    if precision != planned.get("precision"):
        yield "PRECISION", precision
    if rotation.get("limit_s") != planned.get("limit_s"):
        yield "TIME_LIMIT", rotation.get("limit_s")
    if rotation.get("blocks") and not planned.get("blocks"):
        yield "BLOCKS", 1


def _catalogue(written: Plan) -> configurations.Catalogue:
    own = written.catalogue
    return configurations.load() if own is None else configurations.load(ROOT / own)


def _loaded(plan: Recorded) -> list[str]:
    """The scenarios of a plan, those of its probes included, each once."""
    probed = [probe["scenario"] for probe in plan.get("probes", [])]
    return list(dict.fromkeys([*plan.get("scenarios", {}), *probed]))


def _loads(plan: Recorded, written: Plan | None) -> Iterator[tuple[str, Any]]:
    """The loads that took the place of a plan's own: they do in every scenario.

    If they differ in some scenarios only, the plan was another one when it was measured. No variable says so.
    """
    planned = {} if written is None else written.scenarios
    now = {
        name: Loads.model_validate(loads).model_dump(exclude={"recycling"})
        for name, loads in plan.get("scenarios", {}).items()
    }
    if _other_users(plan, written):
        every = {"search": None, **every_load(planned.values())}
        before = dict.fromkeys(now, every)
    else:
        before = {name: planned[name].model_dump(exclude={"recycling"}) for name in now if name in planned}
    if plan.get("settings") or (written is not None and written.both and plan.get("recycling")):
        # Loads under which workers are replaced stay as they are.
        yield from _rates(_instead(now, before, _staying))
        closed = {name: loads for name, loads in now.items() if loads["users"] is not None}
        yield "USERS", _instead(closed, before, itemgetter("users"))
        return
    instead = _instead(now, before, dict)
    if instead is not None and instead["search"] is None:
        yield from _rates(instead["open"])
        yield "USERS", instead["users"] or next((loop["users"] for loop in instead["open"]), None)


def _instead(now: Recorded, before: Recorded, part: Callable[[Any], Any]) -> Any:
    """A part of the loads that differs from before, and is the same in every scenario; None without any."""
    parts = [part(loads) for loads in now.values()]
    differs = any(part(now[name]) != part(before[name]) for name in now if name in before)
    return parts[0] if differs and all(each == parts[0] for each in parts) else None


def _staying(loads: Recorded) -> list[Recorded]:
    """The open loops under which workers are not replaced."""
    return [loop for loop in loads["open"] if not loop.get("recycled", True)]


def _rates(loops: Sequence[Recorded] | None) -> Iterator[tuple[str, Any]]:
    for loop in loops or []:
        yield "RATES", loop["rates_per_s"]
        yield "ARRIVALS", loop["arrivals"]


def _text(value: Any) -> str:
    """A value as a variable of `make`."""
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ",".join(_text(part) for part in value)
    return f"{value:.10g}" if isinstance(value, float) else str(value)
