"""What the form offers: the first line that `bench ui` sends (docs/contracts.md, *The cockpit*)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Choice:
    """A configuration. `unavailable` is the reason why it cannot be had, None where it can.

    `recycles` is what its workers are replaced by: "requests", "memory" or "never".
    """

    name: str
    summary: str
    unavailable: str | None
    most_workers: int
    recycles: str

    @property
    def label(self) -> str:
        """How the form lists it."""
        if self.unavailable is not None:
            return f"{self.name} (unavailable: {self.unavailable})"
        return f"{self.name}: {self.summary}"


@dataclass(frozen=True)
class Scenario:
    """A scenario and the locustfile that defines it."""

    name: str
    file: str


@dataclass(frozen=True)
class Offer:
    """What can be asked for, and where the web UI is served.

    `target` is a URL that is already being served: then there are no configurations, nothing is started
    and nothing is metered. `full` is the share of its CPU from which on the generator counts as the limit.
    `report` is the folder that reports appear in, None where nothing is recorded.
    """

    configurations: tuple[Choice, ...]
    scenarios: tuple[Scenario, ...]
    warmup_s: float
    most_users: int
    host: str
    port: int
    password: str | None
    target: str | None
    report: str | None
    full: float

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Offer:
        """Read the line. Raises KeyError or TypeError where it is not an offer."""
        fields = {key: value for key, value in given.items() if key != "command"}
        fields["configurations"] = tuple(Choice(**each) for each in given["configurations"])
        fields["scenarios"] = tuple(Scenario(**each) for each in given["scenarios"])
        return cls(**fields)

    def choice(self, text: str) -> Choice | None:
        """The configuration that the form names, by its label or by its bare name."""
        return next((each for each in self.configurations if text in (each.label, each.name)), None)
