"""The settings of a configuration, from the runs that tried them: what is worth it, and what is open."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from analysis.recommend.evidence import Tuned, Tuning
from analysis.settings import Judged, measured
from analysis.study import Study, study
from bench.model.errors import UserError
from bench.model.files import ROOT
from bench.model.records.run import Run
from targets import configurations


def runs_of_settings(root: Path, like: Run) -> list[Study]:
    """The runs under `root` that tried settings, of the app and machine of another run, the latest first.

    Those that cannot be read are left out: a verdict can do without.
    """
    studies = []
    for folder in measured(root, like.host.machine_id, like.app):
        with suppress(UserError):
            studies.append(study(folder))
    return studies


def tuning(name: str, recycle: str | None, tried: Sequence[Study]) -> Tuning:
    """What the runs in `tried`, the latest first, and the catalogue know of a configuration's settings.

    `recycle` is how it replaces workers, which no setting changes.
    """
    mine: dict[str, tuple[Judged, str]] = {}
    for each in tried:
        for judged in each.settings.of(name):
            mine.setdefault(judged.name, (judged, each.results.run.run))
    latest = next((each for each in tried if each.settings.of(name)), None)
    tuned = None if latest is None else _tuned(name, latest)
    if tuned is not None and tuned.entry.recycle != recycle:
        tuned = None
    carried = {} if tuned is None or latest is None else dict.fromkeys(latest.settings.worth(name))
    figures = {
        variant: f"{judged.facts.varies} as it is: {_figure(judged)} ({judged.fate}; {run})"
        for variant, (judged, run) in mine.items()
        if (judged.decisive or judged.broken) and variant not in carried
    }
    known = {judged.facts.varies for variant, (judged, _) in mine.items() if variant in {*figures, *carried}}
    return Tuning(
        tuned=tuned,
        figures=tuple(figures.values()),
        untried=tuple(each for each in dict.fromkeys(_varied(name)) if each not in known),
    )


def _varied(name: str) -> Iterator[str]:
    """The settings of a configuration that the suite's variants change."""
    for entry in configurations.load().variants(name).values():
        assert entry.variant is not None
        yield entry.variant.varies


def _figure(judged: Judged) -> str:
    """What changes, and the figure that decides."""
    decisive = judged.decisive
    return f"{judged.facts.change}, {decisive.text if decisive else judged.broken}"


def _tuned(name: str, tried: Study) -> Tuned | None:
    """A configuration with what a run found worth it: as its second run confirmed, else a single setting."""
    second = tried.together
    if second is not None and second.settings.of(name):
        together = second.settings.of(name)[0]
        return _of_entry(together, second) if together.fate == "worth it" else None
    worth = tried.settings.worth(name)
    alone = [each for each in tried.settings.of(name) if [each.name] == worth]
    return _of_entry(alone[0], tried) if alone else None


def _of_entry(judged: Judged, tried: Study) -> Tuned | None:
    """The entry of a variant in the catalogue that its run chose from; None where that has none any more."""
    run = tried.results.run
    own = run.plan.get("catalogue")
    path = configurations.CONFIGURATIONS if own is None else ROOT / own
    if not path.is_file():
        return None
    catalogue = configurations.load(path).on(len(run.cpu_split.server))
    entry = catalogue.configurations.get(judged.name)
    return None if entry is None else Tuned(entry, f"{_figure(judged)} ({run.run})")
