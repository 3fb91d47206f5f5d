"""The names in a plan, held against those that exist."""

from collections.abc import Collection, Mapping

from bench.model.errors import UsageError, unknown
from bench.model.plans.plan import Plan
from bench.model.plans.settings import check_variants
from targets.catalogue.configurations import Configuration


def resolve(
    plan: Plan, configurations: Mapping[str, Configuration], scenarios: Collection[str], where: str
) -> Plan:
    """Check the plan's names against those that exist and spell out "all", which includes its aliases.

    Variants of other configurations are left out of "all" unless the plan says ``variants = true``.
    ``where`` the plan was found stands in the errors about its own names.

    Raises:
        UsageError: a name does not exist; offers the nearest one. Or a configuration cannot recycle
            without a key that is missing.
    """
    for name in plan.loaded:
        if name not in scenarios:
            raise UsageError(unknown("scenario", name, scenarios))
    if plan.requirements is not None:
        plan.requirements.check_scenarios(scenarios, where)
    for alias, original in plan.aliases.items():
        key = f'{where}: key "aliases.{alias}"'
        if alias in configurations:
            raise UsageError(f"{key}: {alias} is a configuration; an alias needs another name")
        if original not in configurations:
            raise UsageError(f"{key}: {unknown('configuration', original, configurations)}")
    plan = plan.model_copy(update={"configurations": plan.named(configurations)})
    if plan.settings:
        check_variants(plan.configurations, configurations, where)
    both = list(dict.fromkeys([*plan.configurations, *plan.befores]))
    plan = plan.model_copy(update={"configurations": both})
    known = [*configurations, *plan.aliases, *plan.befores]
    for name in plan.configurations:
        if name not in known:
            raise UsageError(unknown("configuration", name, known))
        for scenario in plan.scenarios:
            recycling = plan.recycling_in(scenario)
            lacking = recycling and recycling.lacks(configurations[plan.original(name)])
            if lacking:
                raise UsageError(f'{where}: [recycling] lacks "{lacking}", by which {name} replaces workers')
    return plan
