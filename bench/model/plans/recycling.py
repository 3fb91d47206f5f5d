"""When workers are replaced, and what else is done to servers: two tables of a plan."""

from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveInt, model_validator

from bench.model.errors import unknown
from bench.model.tables import PlanTable, Rate, Window
from targets.catalogue.configurations import Configuration
from targets.catalogue.recycling import NEVER, Recycling

ProbeKind = Literal["kill", "terminate", "deploy", "swap"]
PROBES: tuple[ProbeKind, ...] = get_args(ProbeKind)
DEPLOYS: tuple[ProbeKind, ...] = ("deploy", "swap")
"""The probes in which the app has a new release."""


def _probe(kind: object) -> object:
    if kind not in PROBES:
        raise ValueError(unknown("kind of probe", str(kind), PROBES))
    return kind


class RecyclingKeys(PlanTable):
    """``[scenarios.NAME.recycling]``: what is different for one scenario."""

    max_requests: PositiveInt | None = None
    max_requests_jitter: NonNegativeInt | None = None
    max_rss_mib: PositiveInt | None = None
    replacements: PositiveInt | None = None
    requests: PositiveInt | None = None


class RecyclingTable(PlanTable):
    """``[recycling]``: when workers are replaced, and how much of it a cell must have seen to end.

    ``max_rss_mib`` is for configurations that recycle by memory, ``max_requests`` for all others.
    """

    max_requests: PositiveInt | None = None
    """Requests after which a worker is replaced."""
    max_requests_jitter: NonNegativeInt = 0
    """At most so many more, at random."""
    also_max_requests: list[PositiveInt] = Field(default_factory=list, exclude_if=lambda value: not value)
    """Further N, with cells of their own: does a replacement cost the same at each?"""
    max_rss_mib: PositiveInt | None = None
    """MiB at which a worker is replaced, for configurations that recycle by memory."""
    replacements: PositiveInt
    """A cell ends when it has seen so many (the control: none) and, in its window, `requests`."""
    requests: PositiveInt
    """So many requests completed."""
    # Recorded only where they are, so that runs from before there were any can go on.
    repeats: PositiveInt | None = Field(default=None, exclude_if=lambda value: value is None)
    """How often each cell of recycling is measured, if not the plan's."""
    measured_s: Window | None = Field(default=None, exclude_if=lambda value: value is None)
    """The most seconds that its window may take, if not the plan's."""

    @model_validator(mode="after")
    def _some(self) -> "RecyclingTable":
        if self.max_requests is None and self.max_rss_mib is None:
            raise ValueError('says not when; give it "max_requests", "max_rss_mib" or both')
        if self.max_requests is None and self.also_max_requests:
            raise ValueError('"also_max_requests" are further than "max_requests"; give both, or neither')
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

    def every(self, configuration: Configuration) -> list[Recycling]:
        """When a configuration is to replace its workers, for each N."""
        further = [self.model_copy(update={"max_requests": each}) for each in self.also_max_requests]
        return list(dict.fromkeys(each._told(configuration) for each in (self, *further)))

    def _told(self, configuration: Configuration) -> Recycling:
        """When a configuration is to replace its workers; ``NEVER`` where it cannot."""
        if configuration.recycle == "none":
            return NEVER
        if configuration.recycle == "rss":
            return Recycling(max_rss_mib=self.max_rss_mib)
        own = configuration.max_requests_jitter
        jitter = self.max_requests_jitter if own is None else own
        return Recycling(self.max_requests, jitter if configuration.takes_jitter else None)


class Probe(PlanTable):
    """``[[probes]]``: what is done to a server under a constant load, ``after_s`` seconds into the window."""

    kind: Annotated[ProbeKind, BeforeValidator(_probe)]
    """`"kill"`: SIGKILL to the worker that became ready first. `"terminate"`: SIGTERM to the server, with
    30 s to end. `"deploy"`: a new release, [as the server takes it up](deploys.md); `"swap"`, behind a proxy:
    by a second copy."""
    scenario: str
    """The scenario that loads the server."""
    rate_per_s: Rate
    """Constant arrivals per second."""
    users: PositiveInt = 256
    """As in an open loop."""
    after_s: Annotated[float, Field(ge=0)]
    """Seconds into the window at which that is done."""
    measured_s: Window
    """Length of the window, whole seconds."""

    @model_validator(mode="after")
    def _within(self) -> "Probe":
        if self.after_s >= self.measured_s:
            raise ValueError(f"after_s = {self.after_s:g} lies beyond its window of {self.measured_s} s")
        return self


def check_probes(probes: list[Probe]) -> list[Probe]:
    """The probes, if no two of them would be the same cell; raises ``ValueError``."""
    cells = [f"{probe.kind} ({probe.scenario}, {probe.rate_per_s:.10g}/s)" for probe in probes]
    for cell in cells:
        if cells.count(cell) > 1:
            raise ValueError(f"has the probe {cell} twice")
    return probes
