"""A run and what is computed from it, once: what notebooks, charts and the report start from."""

import os
import pickle
from functools import cached_property, lru_cache
from pathlib import Path

import pandas as pd

from analysis import findings as checks
from analysis.cells.capacity import capacity, searches
from analysis.cells.sittings import Sittings, sittings
from analysis.cells.summary import closed_loads, open_loads, summarise
from analysis.cells.thresholds import Violation, violations
from analysis.proxy.cost import ProxyCost, proxy_cost
from analysis.proxy.idle import IdleRace, idle_race
from analysis.proxy.losses import Proxied, View, proxied
from analysis.rankings.aliases import Alike, alike
from analysis.rankings.overview import Rankings, rankings
from analysis.reading import results
from analysis.recycling import Deploys, Recycling, analyse, beside, deploys
from analysis.recycling.price import PriceOfN, prices
from analysis.settings import Settings, seconds, settings
from analysis.settings.loads import ByLoad, by_load
from analysis.table import Listing
from bench.model.files import ROOT
from targets.catalogue import configurations
from targets.catalogue.configurations import Catalogue

RUN_VARIABLE = "WHICHWORKER_RUN"
REPORT_VARIABLE = "WHICHWORKER_REPORT"
"""Names the folder in which `analysis.report.build` collects what notebooks publish."""
STUDY_VARIABLE = "WHICHWORKER_STUDY"
"""Names the file in which `analysis.report.build` has handed its study over to the notebooks."""


class Study:
    """A run and what is computed from it, each part when it is first needed, and then kept.

    `results` is the run as it was read.
    """

    def __init__(self, loaded: results.Results) -> None:
        self.results = loaded

    @cached_property
    def catalogue(self) -> Catalogue | None:
        """The catalogue that the run chose from, as it is today; None where there is none any more."""
        own = self.results.run.plan.get("catalogue")
        path = configurations.CONFIGURATIONS if own is None else self._own_catalogue(Path(own))
        return configurations.load(path) if path.is_file() else None

    def _own_catalogue(self, written: Path) -> Path:
        """Where a run's own catalogue is: beside its folder if it was there, wherever that is today."""
        folder = self.results.directory.parent
        beside = folder / written.name
        return beside if folder.name == written.parent.name and beside.is_file() else ROOT / written

    @cached_property
    def summary(self) -> pd.DataFrame:
        """A row per finished cell, steps of searches included."""
        return summarise(self.results)

    @cached_property
    def loads(self) -> pd.DataFrame:
        """A row per configuration and closed load over all repeats."""
        return closed_loads(self.results, self.summary)

    @cached_property
    def rates(self) -> pd.DataFrame:
        """A row per configuration and planned open load."""
        return open_loads(self.results, self.summary)

    @cached_property
    def searches(self) -> pd.DataFrame:
        """A row per search and repeat."""
        return searches(self.summary)

    @cached_property
    def capacity(self) -> pd.DataFrame:
        """A row per configuration and search."""
        return capacity(self.searches)

    @cached_property
    def violations(self) -> list[Violation]:
        """The cells that do not keep the plan's thresholds."""
        return violations(self.results, self.summary)

    @cached_property
    def findings(self) -> list[checks.Finding]:
        """What may be wrong with it, what spoils the answer first."""
        return checks.check(self.results, self.summary, self.recycling)

    @cached_property
    def alike(self) -> Alike:
        """Aliases, compared with what they stand for."""
        return alike(self.results, self.summary)

    @cached_property
    def sittings(self) -> Sittings:
        """How the rotation went; without rows where there was none."""
        return sittings(self.results, self.summary)

    @cached_property
    def recycling(self) -> Recycling | None:
        """What recycling did; None where the run has no cells of it."""
        return analyse(self.results)

    @cached_property
    def prices(self) -> tuple[PriceOfN, ...]:
        """What a replacement of a worker costs at each N that was measured; none without recycling."""
        return prices(self.results, self.summary, self.recycling)

    @cached_property
    def direct(self) -> "Study | None":
        """Of a run behind a proxy the cells whose clients went past it; None where there are none."""
        beside = self.results.direct
        return None if beside is None else Study(beside)

    @cached_property
    def every_cell(self) -> pd.DataFrame:
        """The cells of the run, those past its proxy included, as `Results.cells` but with other numbers."""
        beside = [] if self.direct is None else [self.direct.results.cells]
        return pd.concat([self.results.cells, *beside], ignore_index=True)

    @cached_property
    def proxied(self) -> Proxied | None:
        """What clients lose behind the run's proxy and past it; None where workers were not replaced so."""
        direct = self.direct
        if direct is None or self.recycling is None or direct.recycling is None:
            return None
        return proxied(View(self.results, self.recycling), View(direct.results, direct.recycling))

    @cached_property
    def proxy_cost(self) -> ProxyCost | None:
        """What the run's proxy costs closed loops; None where they did not go round both ways."""
        if (direct := self.direct) is None:
            return None
        run, order = self.results.run, self.results.configurations
        return proxy_cost(str(run.behind), self.summary, direct.summary, order, run.proxy_settings)

    @cached_property
    def idle_race(self) -> IdleRace | None:
        """What a keep-alive shorter than the proxy's loses; None where no users paused around it."""
        return idle_race(self.results, self.summary)

    @property
    def asked(self) -> Listing | None:
        """The table that answers what the run's plan asks, where it does not ask which server is best."""
        match self.results.run.plan.get("name"):
            case "proxy-cost":
                return self.proxy_cost
            case "proxy-idle":
                return self.idle_race
            case _:
                return None

    @property
    def headline(self) -> str:
        """The sentence that the run opens with."""
        if self.asked is not None:
            return self.asked.finding
        return self.settings.finding if self.settings.alone else self.verdict.finding

    @cached_property
    def deploys(self) -> Deploys | None:
        """What deploys cost, behind the run's proxy and past it; None where the run has none."""
        if self.recycling is None:
            return None
        found = deploys(self.results, self.recycling.cells, self.recycling.losses)
        if self.direct is not None and self.direct.deploys is not None:
            found = beside(found, self.direct.deploys, self.results.configurations)
        return found if found.rows else None

    @cached_property
    def settings(self) -> Settings:
        """What each variant is worth beside its parent; without rows where none was tried."""
        return settings(self.results, self.summary, self.recycling)

    @cached_property
    def settings_by_load(self) -> ByLoad | None:
        """What each variant does to each closed load; None where none was rotated beside its parent."""
        return by_load(self.settings, self.summary, self.results.configurations)

    @cached_property
    def seconds(self) -> "tuple[Study, ...]":
        """The second runs of one that tried settings, of what is worth it, together; the latest first.

        There are several where different things were to come first.

        Raises:
            UserError: see `results.load`.
        """
        return tuple(study(folder) for folder in seconds(self.results.directory))

    @property
    def together(self) -> "Study | None":
        """The latest of the second runs; None without any."""
        return next(iter(self.seconds), None)

    @cached_property
    def verdict(self) -> Rankings:
        """What the run says: its finding, and the tables that it is read from."""
        return rankings(
            self.results,
            self.summary,
            self.loads,
            self.rates,
            self.searches,
            self.capacity,
            self.findings,
            self.recycling,
        )

    def about(self, topic: checks.Topic) -> list[checks.Finding]:
        """The findings that a notebook on `topic` shows."""
        return [finding for finding in self.findings if topic in checks.KINDS[finding.kind].topics]

    def found(self, kind: str) -> list[checks.Finding]:
        """The findings of one kind."""
        return [finding for finding in self.findings if finding.kind == kind]


def study(directory: Path) -> Study:
    """Load a run, to analyse it.

    Raises:
        UserError: see `results.load`.
    """
    return Study(results.load(directory))


def hand_over(analysed: Study, path: Path) -> None:
    """Write a study for `open_study` of another process, with all that is computed of it by now."""
    with path.open("wb") as stream:
        pickle.dump(analysed, stream, pickle.HIGHEST_PROTOCOL)


def open_study() -> Study:
    """The study that a report hands over, else that of the run which `WHICHWORKER_RUN` names, or the latest.

    It is read, and computed, once per process.
    """
    handed, named = os.environ.get(STUDY_VARIABLE), os.environ.get(RUN_VARIABLE)
    if handed:
        return _handed_over(Path(handed))
    directory = Path(named) if named else results.latest()
    return _study_as_of(directory, (directory / "run.json").stat().st_mtime if named is None else 0.0)


@lru_cache(maxsize=1)
def _handed_over(path: Path) -> Study:
    with path.open("rb") as stream:
        handed: Study = pickle.load(stream)
    return handed


@lru_cache(maxsize=1)
def _study_as_of(directory: Path, _modified: float) -> Study:
    return study(directory)
