"""What the form offers: the first line that `bench ui` sends (swarm/README.md)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..control.workers import LIMIT_S


@dataclass(frozen=True)
class OfferedConfiguration:
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
class OfferedScenario:
    """A scenario and the locustfile that defines it; `unavailable` as of a configuration."""

    name: str
    file: str
    unavailable: str | None

    def label(self, user_class: str) -> str:
        """How Locust's class picker lists one of its user classes."""
        return user_class if self.unavailable is None else f"{user_class} (unavailable: {self.unavailable})"


@dataclass(frozen=True)
class OfferedClass:
    """A user class of a scenario, by its name."""

    scenario: OfferedScenario
    user_class: str


def lacking(classes_offered: Mapping[str, OfferedClass]) -> dict[str, str]:
    """A sentence for each entry of the class picker that is unavailable."""
    return {
        label: f"{offered.user_class} is unavailable: {offered.scenario.unavailable}"
        for label, offered in classes_offered.items()
        if offered.scenario.unavailable is not None
    }


def named(classes_offered: Mapping[str, OfferedClass], chosen: Collection[str]) -> dict[str, str]:
    """The scenarios of the chosen labels in their order, each with what a cell calls it.

    Of a file of which only some classes were chosen, their names are said, too.
    """
    found = {}
    for scenario in dict.fromkeys(offered.scenario for offered in classes_offered.values()):
        of_file = {
            label: offered.user_class
            for label, offered in classes_offered.items()
            if offered.scenario is scenario
        }
        some = [name for label, name in of_file.items() if label in chosen]
        if some:
            all_of_them = len(some) == len(of_file)
            found[scenario.name] = scenario.name if all_of_them else ".".join([scenario.name, *some])
    return found


@dataclass(frozen=True)
class Offer:
    """What can be asked for, and where the web UI is served.

    `target` is a URL that is already being served: then there are no configurations, nothing is started
    and nothing is metered. `full` is the share of its CPUs from which on the generator counts as the limit,
    `processes` how many processes it has to run users. `report` is the folder that reports appear in, None
    where nothing is recorded. `socket` is the path of a Unix socket to listen on, where `host` and `port` are
    served by another process; `names` are host names under which people may call it. `options` are what the
    locustfiles' own options are given, `folder` is the one that users run in, None where it is that of this
    process; `log` is where people find the log of this process.
    `import_timeout_s` is how long processes may take to start. `proxies` are those that loads can go through.
    """

    configurations: tuple[OfferedConfiguration, ...]
    scenarios: tuple[OfferedScenario, ...]
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
    options: tuple[str, ...] = ()
    folder: str | None = None
    log: str = "generator.log"
    import_timeout_s: float = LIMIT_S
    proxies: tuple[str, ...] = ()

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Offer:
        """Read the line. Raises KeyError or TypeError where it is not an offer."""
        fields = {key: value for key, value in given.items() if key != "command"}
        fields["configurations"] = tuple(OfferedConfiguration(**each) for each in given["configurations"])
        fields["scenarios"] = tuple(OfferedScenario(**each) for each in given["scenarios"])
        fields["names"] = tuple(given["names"])
        fields |= {name: tuple(given.get(name, ())) for name in ("options", "proxies")}
        return cls(**fields)

    def classes_offered(self, names: Mapping[str, Sequence[str]]) -> dict[str, OfferedClass]:
        """What the class picker lists, by its labels; `names` are those of the classes of each file.

        Of classes of one name in several files the label says whose they are.
        """
        all_names = [name for scenario in self.scenarios for name in names[scenario.file]]
        found = {}
        for scenario in self.scenarios:
            for name in names[scenario.file]:
                shown = name if all_names.count(name) == 1 else f"{name} of {scenario.name}"
                found[scenario.label(shown)] = OfferedClass(scenario, name)
        return found

    def configuration(self, text: str) -> OfferedConfiguration | None:
        """The configuration that the form names, by its label or by its bare name."""
        return next((each for each in self.configurations if text in (each.label, each.name)), None)
