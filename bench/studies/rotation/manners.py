"""Manners: what servers serve to a generator that polls and to one that sleeps, with steering and without."""

from collections.abc import Iterator
from itertools import product

import pandas as pd

from analysis.rotation import MANNERS, valued
from analysis.study import Study
from bench.model.documents import Table
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


def tables(series: Series) -> list[Table]:
    """A table of each figure: ratios to the reference under every manner, and what the manner changes."""
    return [_table(series, metric) for metric in _METRICS]


def command(series: Series) -> str:
    """What measures it again."""
    return f"make {QUESTION} SITTINGS={series.settings['sittings']}"


def _table(series: Series, metric: str) -> Table:
    studies = [
        (steering, study) for steering in (UNSTEERED, STEERED) if (study := series.studies.get(steering))
    ]
    values = {steering: _service(study, metric) for steering, study in studies}
    names = [
        name for name in studies[0][1].results.configurations if any(name in v[0] for v in values.values())
    ]
    headings = ["configuration", *(f"{manner}, {steering}" for steering, manner in product(values, MANNERS))]
    headings += [f"polls / sleeps, {steering}" for steering in values]
    moved: dict[str, list[str]] = {steering: [] for steering in values}
    rows = []
    for name in names:
        if name == REFERENCE:
            continue
        ratios = [_versus(frame, name) for frames in values.values() for frame in frames]
        changes = {steering: _moved(frames, name) for steering, frames in values.items()}
        for steering, change in changes.items():
            if change is not None and change.beyond(MATERIAL):
                moved[steering].append(name)
        told_changes = [told(change, marked=name in moved[steering]) for steering, change in changes.items()]
        rows.append([name, *map(told, ratios), *told_changes])
    notes = [_note(steering, study, moved[steering]) for steering, study in studies]
    return Table(f"{_METRICS[metric]}, each over that of {REFERENCE}", headings, rows, notes)


def _note(steering: str, study: Study, moved: list[str]) -> str:
    network = study.results.run.network
    steered_to = None if network is None else network.steered_to
    if (steered_to is not None) != (steering == STEERED):
        why = "" if network is None or not network.note else f": {network.note}"
        return f"**Not what it says:** the run {steering!r} was {'' if steered_to else 'not '}steered{why}"
    which = f": {', '.join(moved)}" if moved else ""
    return (
        f"Ratios that depend on the manner by more than {MATERIAL - 1:.0%}, {steering}: {len(moved)}{which}"
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
