"""What the claims are answered from: the runs of one machine, and what its replay says."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from analysis.reading import results
from analysis.recommend import latest
from analysis.recommend.evidence import Evidence, Known, ReplacementPrice
from analysis.recommend.reading import of_kind, read
from analysis.settings import measured
from analysis.study import RUN_VARIABLE, Study, study
from bench.model.errors import UserError
from bench.model.records import schema
from bench.model.records.replay import Replay
from bench.model.records.replay import latest as latest_replay
from bench.model.records.run import Run


@dataclass(frozen=True)
class Material:
    """A run of each kind and a replay, each of which may be missing; `evidence` is what both runs show.

    One run may be of both kinds. `settings` are the runs that tried variants, the latest first.
    """

    performance: Study | None
    recycling: Study | None
    replay: Replay | None
    evidence: Evidence
    settings: tuple[Study, ...] = ()

    @classmethod
    def of(
        cls, studies: Sequence[Study], replayed: Replay | None, settings: Sequence[Study] = ()
    ) -> "Material":
        """From one or two runs, one of each kind, and those that tried variants.

        Of two that replaced workers it is the one with more configurations, as claims compare these.
        """
        fast, recycling = of_kind(studies, "performance"), of_kind(studies, "recycling")
        first = fast[0] if fast else None
        widest = max(
            recycling, key=lambda each: each.results.finished["configuration"].nunique(), default=None
        )
        return cls(first, widest, replayed, read(first, *recycling), tuple(settings))

    @property
    def studies(self) -> list[Study]:
        """The runs that are there."""
        found = [self.performance, None if self.recycling is self.performance else self.recycling]
        return [each for each in found if each is not None]

    def known(self, configuration: str) -> Known | None:
        """What is known of a configuration; None where it was not measured."""
        found = [each for each in self.evidence.configurations if each.name == configuration]
        return found[0] if found else None

    def unavailable(self, configuration: str) -> str:
        """Why a configuration was not measured, as a run says."""
        for each in self.studies:
            for entry in each.results.run.unavailable:
                if entry.configuration == configuration:
                    return f"{configuration} was not measured: {entry.reason}"
        return f"{configuration} was not measured"

    def worst(self, configuration: str) -> ReplacementPrice | None:
        """What recycling costs it where it costs most requests whose handler ran; None without a price."""
        known = self.known(configuration)
        prices = [] if known is None else list(known.prices)
        return max(prices, key=lambda each: (each.ran.per_1000, each.recycles), default=None)


def gather(root: Path, machine_id: str) -> Material:
    """What there is of a machine under `root`: the runs that a verdict goes by, replay, runs of settings."""
    tried = []
    for folder in measured(root, machine_id):
        with suppress(results.NothingFinished):
            tried.append(study(folder))
    return Material.of(
        [study(folder) for folder in latest(root, machine_id)], latest_replay(root, machine_id), tried
    )


def open_material() -> Material:
    """For the notebook: the runs beside that of `WHICHWORKER_RUN`, else beside the latest, of its machine.

    Raises:
        UserError: there is no run.
    """
    named = os.environ.get(RUN_VARIABLE)
    folder = Path(named) if named else results.latest()
    machine_id = schema.read(folder / "run.json", Run).host.machine_id
    found = gather(folder.parent, machine_id)
    if not found.studies and not found.settings:
        raise UserError(f"no finished run in {folder.parent}: run `make bench` first")
    return found
