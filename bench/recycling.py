"""The part of a plan that says when workers are replaced, and what else is done to servers."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveInt, model_validator

from bench.errors import unknown
from bench.tables import Rate, Table, Window
from targets.configurations import NEVER, Configuration, Recycling

PROBES = ("kill", "terminate")


def _probe(kind: object) -> object:
    if kind not in PROBES:
        raise ValueError(unknown("kind of probe", str(kind), PROBES))
    return kind


class RecyclingKeys(Table):
    """``[scenarios.NAME.recycling]``: what is different for one scenario."""

    max_requests: PositiveInt | None = None
    max_requests_jitter: NonNegativeInt | None = None
    max_rss_mib: PositiveInt | None = None
    replacements: PositiveInt | None = None
    requests: PositiveInt | None = None


class RecyclingTable(Table):
    """``[recycling]``: when workers are replaced, and how much of it a cell must have seen to end.

    ``max_rss_mib`` is for configurations that recycle by memory, ``max_requests`` for all others.
    """

    max_requests: PositiveInt | None = None
    max_requests_jitter: NonNegativeInt = 0
    max_rss_mib: PositiveInt | None = None
    replacements: PositiveInt
    requests: PositiveInt

    @model_validator(mode="after")
    def _some(self) -> "RecyclingTable":
        if self.max_requests is None and self.max_rss_mib is None:
            raise ValueError('says not when; give it "max_requests", "max_rss_mib" or both')
        if self.max_requests is None and self.max_requests_jitter:
            raise ValueError('"max_requests_jitter" spreads "max_requests"; give both, or neither')
        return self

    def altered(self, keys: RecyclingKeys | None) -> "RecyclingTable":
        """The same with what one scenario has instead."""
        return self if keys is None else self.model_copy(update=keys.model_dump(exclude_none=True))

    def lacks(self, configuration: Configuration) -> str | None:
        """The key that a configuration cannot do without and that is not given."""
        if configuration.recycle == "none":
            return None
        key = "max_rss_mib" if configuration.recycle == "rss" else "max_requests"
        return key if getattr(self, key) is None else None

    def told(self, configuration: Configuration) -> Recycling:
        """What serve is told so that a configuration replaces its workers; ``NEVER`` where it cannot."""
        if configuration.recycle == "none":
            return NEVER
        if configuration.recycle == "rss":
            return Recycling(max_rss_mib=self.max_rss_mib)
        jitter = self.max_requests_jitter if configuration.takes_jitter else None
        return Recycling(self.max_requests, jitter)


class Probe(Table):
    """``[[probes]]``: a signal to a server under a constant load, ``after_s`` seconds into the window."""

    kind: Annotated[Literal["kill", "terminate"], BeforeValidator(_probe)]
    scenario: str
    rate_per_s: Rate
    users: PositiveInt = 256
    after_s: Annotated[float, Field(ge=0)]
    measured_s: Window

    @model_validator(mode="after")
    def _within(self) -> "Probe":
        if self.after_s >= self.measured_s:
            raise ValueError(f"after_s = {self.after_s:g} lies beyond its window of {self.measured_s} s")
        return self


def check_probes(probes: list[Probe]) -> list[Probe]:
    """The probes, if no two of them would be the same cell; raises ``ValueError``."""
    cells = [f"{each.kind} ({each.scenario}, {each.rate_per_s:.10g}/s)" for each in probes]
    for cell in cells:
        if cells.count(cell) > 1:
            raise ValueError(f"has the probe {cell} twice")
    return probes
