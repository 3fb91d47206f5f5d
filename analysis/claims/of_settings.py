"""Claims about settings: what people say of each variant, held against the latest run that tried it."""

from collections.abc import Iterator
from functools import lru_cache

from analysis.claims.material import Material
from analysis.claims.model import Claim, ClaimAnswer, Outcome
from analysis.settings import Judged
from analysis.study import Study
from bench.model.plans import plan
from bench.model.records.run import Variant
from targets.catalogue import configurations
from targets.catalogue.configurations import Configuration


def of_settings(material: Material) -> Iterator[Claim]:
    """A claim for each variant of which anybody says anything: of the catalogue, and of the runs' own."""
    judged: dict[str, tuple[Judged, Study]] = {}
    for study in reversed(material.settings):
        judged |= {each.name: (each, study) for each in study.settings.judged}
    entries = configurations.load().configurations
    said = {
        name: Variant.model_validate(vars(each.variant)) for name, each in entries.items() if each.variant
    }
    # What was measured is held against what was said then.
    said |= {name: each.facts for name, (each, _) in judged.items()}
    for name, facts in said.items():
        if facts.claim:
            answer = _answer(material, name, facts, judged.get(name), _how(facts, entries.get(name)))
            untried = answer.outcome == "not measured" and not answer.runs
            yield Claim(facts.claim, answer, facts.source, name, untried)


def _how(facts: Variant, entry: Configuration | None) -> str:
    """What measures a variant."""
    if entry is not None and entry.least_workers is not None:
        by = _plans().get(entry.name, "several")
        return f"`make settings PLAN={by} CONFIGURATIONS={entry.name}` measures it"
    where = " where servers have several CPUs" if entry is not None and entry.workers == "cpus" else ""
    return f"`make settings CONFIGURATIONS={facts.of}` measures it{where}"


@lru_cache(maxsize=1)
def _plans() -> dict[str, str]:
    """The plan of settings that names a variant, by the variant."""
    every = {name: plan.load(name) for name in plan.names()}
    return {
        variant: name
        for name, each in every.items()
        for variant in (each.configurations if each.settings and each.configurations != "all" else [])
    }


def _answer(
    material: Material, name: str, facts: Variant, found: tuple[Judged, Study] | None, how: str
) -> ClaimAnswer:
    """What the latest run that tried a variant says, or why none could."""
    if found is None:
        run, reason = _unavailable(material, name)
        return ClaimAnswer("not measured", f"{facts.change}: {reason or how}.", run)
    judged, study = found
    outcome: Outcome = "not measured" if judged.unmeasured else judged.claim
    return ClaimAnswer(outcome, f"{judged.figure}.", (study.results.run.run,))


def _unavailable(material: Material, name: str) -> tuple[tuple[str, ...], str | None]:
    """The latest run that could not try a variant, and why; nothing where none says so."""
    for study in material.settings:
        for entry in study.results.run.unavailable:
            if entry.configuration == name:
                return (study.results.run.run,), f"it could not be measured: {entry.reason}"
    return (), None
