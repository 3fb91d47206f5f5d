"""A soak's folder as frames: what was kept of each server (docs/contracts.md), read strictly."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pandas as pd

from analysis.reading import csv_files
from analysis.words import counted
from bench.model.errors import UserError
from bench.model.files import shortened
from bench.model.plans.soak import histogram
from bench.model.records import schema
from bench.model.records.columns import INTERVALS, INTERVALS_FILE
from bench.model.records.lane import Lane as LaneRecord
from bench.model.records.run import Run
from bench.model.tables import size_bytes

LANE_FILE = "lane.json"


@dataclass(frozen=True, eq=False)
class Lane:
    """One configuration, its workers replaced or not.

    `place` tells it from others of its name, where there are some: its scenario, its number of workers.
    `intervals` has a row for each, in the order of their time, with the columns of intervals.csv but
    `latency`: those counts are in `latencies`, by their buckets (µs), one for each row.
    """

    record: LaneRecord
    path: str
    intervals: pd.DataFrame
    latencies: tuple[dict[int, int], ...]
    place: str = ""

    @property
    def name(self) -> str:
        """What it is, for people."""
        return f"{self.record.configuration}{self.treatment}{self.place}"

    @property
    def treatment(self) -> str:
        """What is done to its workers, to be put behind its name."""
        if not self.record.recycles:
            return ""
        return (
            " recycled"
            if self.record.max_requests is None
            else f" recycled after {self.record.max_requests:,}"
        )

    @cached_property
    def hours(self) -> float:
        """Hours under load."""
        return float(self.intervals["loaded_s"].sum()) / 3600

    @cached_property
    def requests(self) -> int:
        """Those that succeeded."""
        return int(self.intervals["requests"].sum())

    @cached_property
    def failures(self) -> int:
        """Those that were lost or rejected."""
        return int(self.intervals["failures"].sum())

    @cached_property
    def replaced(self) -> int:
        """Workers that ended."""
        return int(self.intervals["replaced"].sum())


@dataclass(frozen=True, eq=False)
class Soak:
    """A soak, as far as it has come."""

    directory: Path
    run: Run
    lanes: tuple[Lane, ...]

    @property
    def allowance_bytes(self) -> int | None:
        """What a server may take in all, as the plan says; None where it does not."""
        stated = self.run.plan["soak"].get("allowance")
        return None if stated is None else size_bytes(str(stated))

    @property
    def hours(self) -> float:
        """Hours of load that were asked for."""
        return float(self.run.plan["soak"].get("hours", 0.0))


def load(directory: Path) -> Soak | None:
    """The soak in the folder of a run; None where the run is none.

    Raises:
        UserError: a file of it is missing, damaged, or has what cannot be; names file and line.
    """
    path = directory / "run.json"
    run = schema.read(path, Run) if path.is_file() else None
    if run is None or not isinstance(run.plan.get("soak"), dict):
        return None
    paths = sorted(directory.glob(f"*/*/*/*/{LANE_FILE}"))
    known = [configuration.name for configuration in run.configurations]
    lanes = [_lane(directory, each.parent) for each in paths]
    for lane in lanes:
        if lane.record.configuration not in known:
            raise UserError(
                f"{directory / lane.path / LANE_FILE}: configuration: run.json knows no "
                f"{shortened(lane.record.configuration)!r}; restore it"
            )
    order = {name: place for place, name in enumerate(known)}
    lanes.sort(key=lambda lane: (order[lane.record.configuration], lane.record.recycles, lane.path))
    soak = Soak(directory, run, tuple(_told_apart(lanes)))
    if all(lane.intervals.empty for lane in lanes):
        raise UserError(f"{directory} has no interval of its soak yet ({run.status}): look again in a minute")
    return soak


def _told_apart(lanes: list[Lane]) -> Iterator[Lane]:
    """The lanes with what tells them apart beside configuration and N."""
    scenarios = {lane.record.scenario for lane in lanes}
    workers = {lane.record.workers for lane in lanes}
    rates = {lane.record.load.rate_per_s for lane in lanes}
    for lane in lanes:
        record = lane.record
        parts = [record.scenario] if len(scenarios) > 1 else []
        parts += [counted(record.workers, "worker")] if len(workers) > 1 else []
        parts += [f"{record.load.rate_per_s:g}/s"] if len(rates) > 1 else []
        yield replace(lane, place=f" ({', '.join(parts)})" if parts else "")


def _lane(directory: Path, folder: Path) -> Lane:
    record = schema.read(folder / LANE_FILE, LaneRecord, directory)
    path = folder / INTERVALS_FILE
    where = str(folder.relative_to(directory))
    if not path.exists():  # its server never started, or the first lap goes on
        return Lane(record, where, pd.DataFrame({name: [] for name in INTERVALS.types}, dtype=float), ())
    frame = csv_files.one(path, INTERVALS, directory)
    if not frame["start"].is_monotonic_increasing or (frame["span_s"] <= 0).any():
        raise UserError(f"{path}: its intervals are not in the order of their time; restore it")
    if (again := frame.duplicated(["start", "leg"])).any():
        raise UserError(
            f"{path}, line {csv_files.line_of(path, int(again.argmax()))}: is there twice; restore it"
        )
    texts = frame.pop("latency").astype(object)
    latencies = tuple(_histogram(path, row, text) for row, text in enumerate(texts))
    return Lane(record, where, frame, latencies)


def _histogram(path: Path, row: int, text: object) -> dict[int, int]:
    """The counts of a row; raises ``UserError``."""
    if not isinstance(text, str):  # nothing was answered
        return {}
    try:
        return histogram(text)
    except ValueError as error:
        line = csv_files.line_of(path, row)
        raise UserError(f"{path}, line {line}: latency: {error}; restore it") from error
