"""The settings of a configuration, from the runs that tried them: what is worth it, and what is open."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from analysis.recommend.evidence import Tuned, Tuning
from analysis.settings import Judged, measured
from analysis.study import Study, study
from bench.model.errors import UserError
from bench.model.records.run import Run
from bench.model.requirements import First
from targets.catalogue import configurations
from targets.catalogue.configurations import Catalogue, Configuration
from targets.catalogue.variants import Changes, Together, together


def runs_of_settings(root: Path, like: Run) -> list[Study]:
    """The runs under `root` that tried settings, of the app and machine of another run, the latest first.

    Those that cannot be read are left out: a verdict can do without.
    """
    studies = []
    for folder in measured(root, like.host.machine_id, like.app):
        with suppress(UserError):
            studies.append(study(folder))
    return studies


def tuning(
    name: str,
    recycle: str | None,
    tried: Sequence[Study],
    first: First | None = None,
    *,
    suites: Catalogue | None = None,
) -> Tuning:
    """What the runs in `tried`, the latest first, and the catalogue know of a configuration's settings.

    `recycle` is how it replaces workers, which no setting changes. Which settings the command has follows
    what comes `first`; where nobody says so (None), it is what is worth it. `suites` is the suite's
    catalogue, if it was read already.
    """
    mine: dict[str, tuple[Judged, str]] = {}
    for each in tried:
        for judged in each.settings.of(name):
            if not judged.facts.default:
                mine.setdefault(judged.name, (judged, each.results.run.run))
    # A run of one plan of settings says nothing of what others tried: the one that tried most decides.
    widest = max(tried, key=lambda each: len(each.settings.of(name)), default=None)
    tuned: Tuned | None = None
    carried: tuple[str, ...] = ()
    if widest is not None:
        tuned, carried = _tuned(name, widest, first)
    if tuned is not None and tuned.entry.recycle != recycle:
        tuned, carried = None, ()
    settled = {mine[each][0].facts.varies for each in carried}
    figures = {
        variant: f"{judged.facts.varies} as it is: {_figure(judged)} ({_fate(judged, first)}; {run})"
        for variant, (judged, run) in mine.items()
        if (judged.decisive or judged.broken) and judged.facts.varies not in settled
    }
    known = settled | {mine[variant][0].facts.varies for variant in figures}
    suites = suites or configurations.load()
    settings = dict.fromkeys([*_varied(name, suites), *_stated(name, suites)])
    return Tuning(
        tuned=tuned,
        figures=tuple(figures.values()),
        untried=tuple(each for each in settings if each not in known),
    )


def _varied(name: str, suites: Catalogue) -> Iterator[str]:
    """The settings of a configuration that the suite's variants change."""
    for entry in suites.variants(name).values():
        assert entry.variant is not None
        if not entry.variant.default:
            yield entry.variant.varies


def _stated(name: str, suites: Catalogue) -> Iterator[str]:
    """What a configuration's command has beyond the server's plain default, and no other variant changes."""
    plain = suites.defaults(name)
    others = [each for each in suites.variants(name) if each not in plain]
    tried = {word for each in others for word in _touched(each, suites)}
    for default in plain:
        yield from (word for word in _touched(default, suites) if word not in tried)
    if name in suites.configurations and suites.get(name).takes_jitter:
        yield "jitter"


def _touched(variant: str, suites: Catalogue) -> Iterator[str]:
    """The flags and variables of a parent that a variant takes away or changes."""
    changes = suites.changes.get(variant, Changes())
    yield from (*changes.drop, *changes.replace, *changes.environment)


def _figure(judged: Judged) -> str:
    """What changes, and the figure that decides."""
    decisive = judged.decisive
    return f"{judged.facts.change}, {decisive.text if decisive else judged.broken}"


def _fate(judged: Judged, first: First | None) -> str:
    """What it is worth, and why it is not in the command nevertheless."""
    if judged.chosen_for(first) is not None:
        return "worth it alone, and not shown together with the others"
    return f"worth it, but not where {first} comes first" if judged.fate == "worth it" else judged.fate


def _gain(judged: Judged, first: First | None) -> str:
    """What changes, what it is chosen for, and what it costs."""
    chosen = judged.chosen_for(first)
    costs = [each.text for each in judged.measured if each.fate == "costs"]
    texts = [judged.facts.change, *([] if chosen is None else [chosen.text])]
    return ", ".join(texts) + (f"; costs {' and '.join(costs)}" if costs else "")


def _tuned(name: str, tried: Study, first: First | None) -> tuple[Tuned | None, tuple[str, ...]]:
    """A configuration with what a run found worth it, and the names of the variants that it then has.

    Several settings are what a second run found of just these, together; where none measured that, the best
    of them alone.
    """
    worth = tried.settings.worth(name, first)
    catalogue = _catalogue(tried)
    if catalogue is None or not worth or name not in catalogue.configurations:
        return None, ()
    changes = {each: catalogue.changes[each] for each in worth if each in catalogue.changes}
    several = together(catalogue.get(name).argv, changes)
    judged = {each.name: each for each in tried.settings.of(name)}
    for second in tried.seconds if several.parts else ():
        found = _of_second(name, second, several)
        if found is None:
            continue
        combined, entry = found
        if combined.chosen_for(first) is None:
            return None, ()
        figure = f"{_gain(combined, first)} ({second.results.run.run})"
        alone = _alone([judged[each] for each in several.parts], first, tried.results.run.run)
        return Tuned(entry, figure, alone), several.parts
    best = judged[worth[0]]
    only = catalogue.configurations.get(best.name)
    if only is None:
        return None, ()
    return Tuned(only, f"{_gain(best, first)} ({tried.results.run.run})"), (best.name,)


def _alone(parts: Sequence[Judged], first: First | None, run: str) -> tuple[str, ...]:
    """The figure of each of several settings that are measured together; nothing of a single one."""
    if len(parts) == 1:
        return ()
    return tuple(f"{each.facts.varies} alone: {_gain(each, first)} ({run})" for each in parts)


def _of_second(name: str, second: Study, wanted: Together) -> tuple[Judged, Configuration] | None:
    """What a second run found of just these variants together; None where it measured others."""
    catalogue = _catalogue(second)
    for judged in () if catalogue is None else second.settings.of(name):
        assert catalogue is not None
        entry = catalogue.configurations.get(judged.name)
        same = catalogue.changes.get(judged.name) == wanted.changes
        # Its file may have been written anew since, for something else that comes first.
        if same and entry is not None and entry.variant and entry.variant.change == judged.facts.change:
            return judged, entry
    return None


def _catalogue(tried: Study) -> Catalogue | None:
    """The catalogue that a run chose from, as it is today, on the CPUs that its servers had."""
    known = tried.catalogue
    return None if known is None else known.on(len(tried.results.run.cpu_split.server))
