"""The `make` command that measures what a run measured: its plan, and to what that was narrowed."""

import shlex
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.schema import Run

ROOT = Path(__file__).parents[1]
PLANS, CATALOGUE = ROOT / "bench" / "plans", ROOT / "targets" / "configurations.toml"
Plan = Mapping[str, Any]


def command(run: Run, plans: Path = PLANS) -> str:
    """The command; beside the plan it names what the plan says otherwise today, in its file in `plans`.

    A plan that has no file there is named with all that narrows one, since nobody knows what it says.
    """
    written = _written(run, plans)
    what = "recycle" if run.plan.get("recycling") else "bench"
    every = _all(written, plans) if written.get("configurations") == "all" else written.get("configurations")
    where = [f"URL={run.external}"] if run.external else []
    where += own(run, plans)
    changes = (
        f"{variable}={_text(value)}" for variable, value in _changes(run.plan, written, every) if value
    )
    return " ".join([f"make {what} PLAN={run.plan['name']}", *where, *changes])


def own(run: Run, plans: Path = PLANS) -> tuple[str, ...]:
    """The part of the command that brings in an app and a locustfile of one's own; empty without them."""
    given = _own(run.plan, _written(run, plans))
    return tuple(f"{name}={shlex.quote(text)}" for name, text in given)


def _written(run: Run, plans: Path) -> dict[str, Any]:
    """The plan as its file has it; empty where there is none."""
    path = plans / f"{run.plan['name']}.toml"
    return _toml(path) if path.exists() else {}


def _own(plan: Plan, written: Plan) -> Iterator[tuple[str, str]]:
    """The variables that bring in an app and a locustfile of one's own, unless the plan as written does."""
    app = plan.get("own_app")
    if app is not None and "own_app" not in written:
        yield "APP", app["app"]
        yield "APP_DIR", app["folder"]
        if app.get("requirements"):
            yield "REQUIREMENTS", app["requirements"]
    if _other_users(plan, written):
        yield "SCENARIO", plan["locustfiles"]
    if app is not None and app.get("environment") and "own_app" not in written:
        yield "ENVIRONMENT", " ".join(app["environment"])


def _other_users(plan: Plan, written: Plan) -> bool:
    """Whether a locustfile of one's own took the place of a plan's scenarios."""
    return plan.get("locustfiles") is not None and "locustfiles" not in written


def _changes(plan: Plan, written: Plan, every: Sequence[str] | None) -> Iterator[tuple[str, Any]]:
    """The variables of `make` and their values, in the order in which its help has them.

    `every` are the configurations of the plan as written.
    """
    if plan.get("configurations") != every and "external" not in plan:
        yield "CONFIGURATIONS", plan.get("configurations")
    if _loaded(plan) != _loaded(written) and not _other_users(plan, written):
        yield "SCENARIOS", _loaded(plan)
    yield from _loads(plan, written)
    for variable, key in (("WORKERS", "workers"), ("REPEATS", "repeats"), ("DURATION", "measured_s")):
        if plan.get(key) != written.get(key):
            yield variable, plan.get(key)
    recycling, planned = plan.get("recycling") or {}, written.get("recycling", {})
    for key in ("max_requests", "replacements"):
        if recycling.get(key) != planned.get(key):
            yield key.upper(), recycling.get(key)


def _all(written: Plan, plans: Path) -> list[str]:
    """What a plan that says "all" measures: its catalogue but for variants, and its aliases."""
    catalogue = plans / written["catalogue"] if "catalogue" in written else CATALOGUE
    tables = _toml(catalogue)["configuration"]
    variants = written.get("variants", False)
    names = [name for name, table in tables.items() if variants or "variant_of" not in table]
    return [*names, *written.get("aliases", {})]


def _toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _loaded(plan: Plan) -> list[str]:
    """The scenarios of a plan, those of its probes included, each once."""
    probed = [probe["scenario"] for probe in plan.get("probes", [])]
    return list(dict.fromkeys([*plan.get("scenarios", {}), *probed]))


def _loads(plan: Plan, written: Plan) -> Iterator[tuple[str, Any]]:
    """The loads that took the place of a plan's own: the same in every scenario."""
    scenarios = written.get("scenarios", {})
    for name, now in plan.get("scenarios", {}).items():
        before = _every(scenarios.values()) if _other_users(plan, written) else scenarios.get(name)
        if before is None or _same(now, before):
            continue
        for entry in now.get("open") or []:
            yield "RATES", entry["rates_per_s"]
            yield "ARRIVALS", entry["arrivals"]
            yield "USERS", entry["users"]
        yield "USERS", now.get("users")
        return


def _every(scenarios: Iterable[Plan]) -> Plan:
    """All loads of a plan's scenarios, each once: what a scenario that it does not name is run under."""
    users = sorted({count for each in scenarios for count in each.get("users", [])})
    opened = [
        {**entry, "rates_per_s": [rate]}
        for each in scenarios
        for entry in each.get("open", [])
        for rate in entry["rates_per_s"]
    ]
    distinct = {(entry.get("arrivals", "constant"), entry["rates_per_s"][0]): entry for entry in opened}
    return {"users": users or None, "open": [distinct[key] for key in sorted(distinct)]}


def _same(now: Plan, before: Plan) -> bool:
    """Whether a scenario has the loads that were written, where those leave no key to its default."""
    opened, planned = now.get("open") or [], before.get("open", [])
    return (
        now.get("users") == before.get("users")
        and len(opened) == len(planned)
        and all(_within(entry, one) for entry, one in zip(opened, planned, strict=True))
        and bool(now.get("search")) == bool(before.get("search"))
    )


def _within(recorded: Plan, written: Plan) -> bool:
    """Whether all that was written stands in what was recorded."""
    return all(recorded.get(key) == value for key, value in written.items())


def _text(value: Any) -> str:
    """A value as a variable of `make`."""
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ",".join(_text(each) for each in value)
    return f"{value:.10g}" if isinstance(value, float) else str(value)
