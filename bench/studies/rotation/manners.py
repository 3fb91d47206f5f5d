"""Manners: what servers serve to a generator that polls and to one that sleeps, with steering and without."""

from collections.abc import Iterator, Mapping
from itertools import product

import pandas as pd

from analysis.cells.rotation import MANNERS, valued
from analysis.study import Study
from analysis.words import listed
from bench.model.documents import ShownTable
from bench.stats.comparison import MATERIAL, Ratio, compare
from bench.studies.rotation.figures import told
from bench.studies.rotation.series import Leg, Series

QUESTION, MARKER = "manners", "manners of the generator"
REFERENCE = "uvicorn"
STEERED, UNSTEERED = "steered", "not steered"
_METRICS = {"throughput": "requests/s", "cpu_us": "requests per CPU-second"}


def legs(series: Series) -> Iterator[Leg]:
    """A rotation in both manners without steering, and one with it."""
    changes = {"sittings": series.settings["sittings"]}
    yield Leg(UNSTEERED, QUESTION, changes, steered=False)
    yield Leg(STEERED, QUESTION, changes)


def tables(series: Series) -> list[ShownTable]:
    """Ratios of requests/s to the reference under every manner, what the manner changes, and of what."""
    return [_table(series)]


def command(series: Series) -> str:
    """What measures it again."""
    return f"make {QUESTION} SITTINGS={series.settings['sittings']}"


def _table(series: Series) -> ShownTable:
    studies = {how: study for how in (UNSTEERED, STEERED) if (study := series.studies.get(how))}
    values = {how: _service(study, "throughput") for how, study in studies.items()}
    moved = {
        how: {metric: _depending(_service(study, metric)) for metric in _METRICS}
        for how, study in studies.items()
    }
    headings = ["configuration", *(f"{manner}, {how}" for how, manner in product(values, MANNERS))]
    changed = [f"polls / sleeps, {how}" for how in values]
    rows = []
    for name in next(iter(studies.values())).results.configurations:
        if name == REFERENCE or not any(name in frames[0] for frames in values.values()):
            continue
        ratios = [_versus(frame, name) for frames in values.values() for frame in frames]
        changes = [
            told(_moved(frames, name), marked=name in moved[how]["throughput"])
            for how, frames in values.items()
        ]
        rows.append([name, *map(told, ratios), *changes])
    notes = [_note(how, study, moved[how]) for how, study in studies.items()]
    title = f"{_METRICS['throughput']}, each over that of {REFERENCE}"
    brief = [headings[0], *(f"polls, {how}" for how in values), *changed]
    return ShownTable(title, [*headings, *changed], rows, notes, brief)


def _note(steering: str, study: Study, moved: Mapping[str, list[str]]) -> str:
    network = study.results.run.network
    steered_to = None if network is None else network.steered_to
    if (steered_to is not None) != (steering == STEERED):
        why = "" if network is None or not network.note else f": {network.note}"
        return f"**Not what it says:** the run {steering!r} was {'' if steered_to else 'not '}steered{why}"
    counts = (
        f"{len(names)} of {_METRICS[metric]}{f' ({listed(names)})' if names else ''}"
        for metric, names in moved.items()
    )
    return (
        f"Ratios that depend on the manner by more than {MATERIAL - 1:.0%}, {steering}: {', '.join(counts)}"
    )


def _service(study: Study, metric: str) -> list[pd.DataFrame]:
    """A frame for each manner: more is better, a row per sitting; without aliases."""
    cells = study.summary[study.summary["rotated"]]
    aliases = study.results.run.plan.get("aliases", {})
    frames = valued(cells[~cells["configuration"].isin(aliases)], metric)
    if len(frames) != len(MANNERS):  # one of them was not measured in every cell
        frames = [frame.iloc[:0] for frame in frames * len(MANNERS)]
    return frames if metric == "throughput" else [1 / frame for frame in frames]


def _versus(frame: pd.DataFrame, name: str) -> Ratio | None:
    return compare(frame[name], frame[REFERENCE]) if {name, REFERENCE} <= set(frame) else None


def _moved(frames: list[pd.DataFrame], name: str) -> Ratio | None:
    """The ratio to the reference under polling over that under sleeping, within sittings."""
    if not all({name, REFERENCE} <= set(frame) for frame in frames):
        return None
    polls, sleeps = (frame[name] / frame[REFERENCE] for frame in frames)
    return compare(polls, sleeps)


def _depending(frames: list[pd.DataFrame]) -> list[str]:
    """The configurations whose ratio to the reference the manner certainly changes."""
    changes = {name: _moved(frames, name) for name in map(str, frames[0]) if name != REFERENCE}
    return [name for name, change in changes.items() if change is not None and change.beyond(MATERIAL)]
