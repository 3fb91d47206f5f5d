"""What the form offers: the first line that `bench ui` sends (docs/contracts.md, *The cockpit*)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
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
    """A scenario and the locustfile that defines it; `unavailable` as of a configuration."""

    name: str
    file: str
    unavailable: str | None

    def label(self, user_class: str) -> str:
        """How Locust's class picker lists one of its user classes."""
        return user_class if self.unavailable is None else f"{user_class} (unavailable: {self.unavailable})"


@dataclass(frozen=True)
class Offer:
    """What can be asked for, and where the web UI is served.

    `target` is a URL that is already being served: then there are no configurations, nothing is started
    and nothing is metered. `full` is the share of its CPUs from which on the generator counts as the limit,
    `processes` how many processes it has to run users. `report` is the folder that reports appear in, None
    where nothing is recorded. `socket` is the path of a Unix socket to listen on, where `host` and `port` are
    served by somebody else; `names` are host names under which people may call it.
    """

    configurations: tuple[Choice, ...]
    scenarios: tuple[Scenario, ...]
    warmup_s: float
    most_users: int
    processes: int
    host: str
    port: int
    socket: str | None
    names: tuple[str, ...]
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
        fields["names"] = tuple(given["names"])
        return cls(**fields)

    def lacking(self, classes: Mapping[str, Iterable[str]]) -> dict[str, str]:
        """In words, why some entries of the class picker cannot be had; `classes` are those of each file."""
        return {
            scenario.label(name): f"{name} is unavailable: {scenario.unavailable}"
            for scenario in self.scenarios
            if scenario.unavailable is not None
            for name in classes[scenario.file]
        }

    def picked(self, classes: Mapping[str, Sequence[str]], chosen: Collection[str]) -> dict[str, str]:
        """The scenarios of the chosen user classes in their order, each with what a cell calls it.

        Of a file of which only some classes were chosen, their names are said, too.
        """
        found = {}
        for scenario in self.scenarios:
            of_file = list(classes[scenario.file])
            some = [name for name in of_file if name in chosen]
            if some:
                found[scenario.name] = scenario.name if some == of_file else ".".join([scenario.name, *some])
        return found

    def choice(self, text: str) -> Choice | None:
        """The configuration that the form names, by its label or by its bare name."""
        return next((each for each in self.configurations if text in (each.label, each.name)), None)
