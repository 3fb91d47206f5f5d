"""Measures one sitting: all its servers are alive at once, and each load goes round among them.

A server that is measured behind a proxy and past it is two targets of the load, and one candidate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.experiment.generator.dialogue import Event
from bench.experiment.generator.session import CellError, RotatedLoad, Target
from bench.experiment.record import CellRecord
from bench.experiment.rotation.schedule import seed_of
from bench.experiment.runner import Runner
from bench.launch.launcher import Readings
from bench.launch.server import Options, Server, ServerError
from bench.launch.starting import ServerRequest
from bench.model.cells import Cell, ClosedLoop, Sitting
from bench.model.files import check_space
from bench.model.plans.rotation import RotationTable
from targets.catalogue.recycling import NEVER

# CPU time is read by the generator. Samples tell the memory only, and taking them of all servers takes time
# from the one that is loaded.
_OPTIONS = Options(sample_interval_s=1.0, memory_interval_s=5.0)
# How the generator waits, one round after the other. Where its CPUs process what the loopback device
# receives, no server pays for waking it, and the manner does not matter.
# But where a proxy runs on them: one that polls would take them from it.
_STEERED, _BESIDE_PROXY, _BOTH = ("polls",), ("sleeps",), ("polls", "sleeps")


@dataclass
class Candidates:
    """The servers of a sitting that run, by the names of their configurations, and why others do not."""

    servers: dict[str, Server] = field(default_factory=dict)
    out: dict[str, str] = field(default_factory=dict)

    def died(self) -> dict[str, str]:
        """Those that have ended since the last look, and why; they are out from now on."""
        found = {name: why for name, server in self.servers.items() if (why := server.failure()) is not None}
        for name, why in found.items():
            del self.servers[name]
            self.out[name] = why
        return found


class SittingRunner:
    """What measures one sitting; ``runner`` is that of the blocks of the same run."""

    def __init__(
        self,
        runner: Runner,
        table: RotationTable,
        sitting: Sitting,
        slices_s: Mapping[tuple[str, int, int], float],
    ) -> None:
        """``slices_s`` is the length of a slice by scenario, users and workers, where it was drawn before."""
        self._runner = runner
        self._table = table
        self._sitting = sitting
        self._slices_s = slices_s
        self._candidates = Candidates()
        self._place = Path()

    def run(self) -> None:
        """Start all servers, have each load go round, and take the cells into the run, all at once.

        Raises:
            UserError: something every further sitting would meet as well.
        """
        runner, sitting = self._runner, self._sitting
        self._place = runner.unfinished = runner.folder.begin_sitting(sitting.number)
        self._start()
        for scenario in dict.fromkeys(cell.scenario for cell in sitting.cells):
            for load in sitting.loads(scenario):
                self._rotate(scenario, load)
        for server in self._candidates.servers.values():
            runner.rig.launcher.stop(server)  # they end while those of the next sitting start
        runner.folder.keep_sitting(self._place)
        runner.unfinished = None

    def _start(self) -> None:
        """Start the servers of a sitting side by side, each of them on all the CPUs for servers.

        One that cannot be started is noted as broken, and is not tried again.
        """
        runner, rig, broken = self._runner, self._runner.rig, self._runner.broken
        sitting, found = self._sitting, self._candidates
        wanted = [name for name in sitting.configurations if (name, NEVER) not in broken]
        if rig.database is not None and wanted:
            scenarios = {cell.scenario for cell in sitting.cells}
            rig.database.prepare(scenarios, runner.configurations[wanted[0]].stack)
        requests = [self._request(name) for name in wanted]
        try:
            outcomes = rig.launcher.start_all(requests)
        finally:
            rig.launcher.settle()
            check_space(runner.folder.path)
        found.out |= {name: broken[name, NEVER] for name in sitting.configurations if name not in wanted}
        for name, outcome in zip(wanted, outcomes, strict=True):
            if isinstance(outcome, ServerError):
                found.out[name] = str(outcome)
                broken[name, NEVER] = f"not tried again: {str(outcome).splitlines()[0]}"
                runner.progress.tell_failure(f"{name}, sitting {sitting.repeat}", str(outcome))
            else:
                found.servers[name] = outcome

    def _request(self, name: str) -> ServerRequest:
        rig, sitting = self._runner.rig, self._sitting
        place = rig.scratch / f"sitting-{sitting.number}" / name
        configuration, options = self._runner.configurations[name], replace(_OPTIONS, proxy=rig.proxy)
        workers = configuration.serving(sitting.workers)
        cpus, resting = rig.split.for_workers(workers), rig.split.resting(workers)
        return ServerRequest(configuration, workers, place, cpus, options, resting)

    def _rotate(self, scenario: str, load: ClosedLoop) -> None:
        """Have a load go round among the servers that run, and record what each of them did."""
        runner, sitting, candidates = self._runner, self._sitting, self._candidates
        runner.progress.rotates(sitting, f"{scenario}, {load}")
        self._note_deaths()
        cells = sitting.under(scenario, load)
        records = {cell.target: self._record(cell) for cell in cells}
        event, failure = None, ""
        if candidates.servers:
            try:
                event = self._load(load, cells, records)
            except CellError as error:
                check_space(runner.folder.path)
                failure = str(error)
        rates = []
        for cell in cells:
            record = records[cell.target]
            reason = candidates.out.get(cell.configuration) or failure or _dropped(event, cell)
            if not reason:
                assert event is not None
                try:
                    rates.append(self._finish(cell, record, event))
                    continue
                except CellError as error:
                    reason = str(error)
            record.failed(reason, runner.rig.host)
            runner.outcome.failed += 1
        if failure:
            runner.progress.tell_failure(f"{scenario}, {load}, sitting {sitting.repeat}", failure)
        runner.progress.rotated(f"{scenario}, {load}", rates)

    def _record(self, cell: Cell) -> CellRecord:
        table = self._table
        facts = {"warmup_s": table.settle_s, "measured_s": table.load_s}
        record = CellRecord(
            self._place / cell.path, cell, {"launcher": self._runner.rig.launcher.name, **facts}
        )
        if (server := self._candidates.servers.get(cell.configuration)) is not None:
            record.serve(server)
        return record

    def _load(self, load: ClosedLoop, cells: Sequence[Cell], records: Mapping[str, CellRecord]) -> Event:
        """Have the generator rotate; returns its ``finished`` event. Servers that die meanwhile are dropped.

        ``cells`` are those of one scenario and load, ``records`` theirs by their target.

        Raises:
            CellError: there is nothing to be had of this load.
        """
        runner, rig, table = self._runner, self._runner.rig, self._table
        sitting, candidates = self._sitting, self._candidates
        scenario, targets = cells[0].scenario, []
        for cell in cells:
            if (server := candidates.servers.get(cell.configuration)) is not None:
                url = server.url if cell.proxy else server.facts["url"]
                folder, pids = records[cell.target].folder, rig.launcher.pids(server)
                targets.append(Target(cell.target, url, folder, pids, cell.configuration))
        rotated = RotatedLoad(
            rig.launcher.inside(runner.scenarios[scenario]),
            load.users,
            seed_of(runner.seed, sitting, scenario, load),
            table.load_s,
            table.settle_s,
            table.slice_s or self._slices_s.get((scenario, load.users, sitting.workers)),
            self._manners,
            sorted({*self._cpus, *(rig.split.generator if rig.session.generators is None else ())}),
            targets,
            elsewhere=not rig.launcher.servers_here,
        )
        clocks: list[Readings] = []  # that are read elsewhere

        def on_progress(event: Event) -> None:
            if event["event"] == "timetable":
                alive = {each.name: each.server for each in targets if each.server in candidates.servers}
                ways = {name: candidates.servers[server] for name, server in alive.items()}
                clocks.append(rig.launcher.read_clocks(ways, event["edges"]))
            else:
                runner.progress.rate(event)

        def watch() -> str | None:
            if clocks and (readings := clocks[-1]()) is not None:
                clocks.clear()
                rig.session.metered(readings)
            died = self._note_deaths()
            for cell in cells:
                if cell.configuration in died:
                    rig.session.drop(cell.target, died[cell.configuration].splitlines()[0])
            if not candidates.servers:
                return "no server is left"
            return None if rig.database is None else rig.database.failure()

        event = rig.session.rotate(rotated, watch, on_progress)
        for target in targets:
            records[target.name].generator = rig.session.describe(rotated.scenario)
            records[target.name].rotation = {
                "targets": event["order"],
                **{key: event[key] for key in ("rounds", "slice_s")},
                **{key: event["targets"][target.name][key] for key in ("warm_s", "gap_s")},
                "manners": list(rotated.manners),
            }
        return event

    @property
    def _cpus(self) -> set[int]:
        """The CPUs of its servers here."""
        if not self._runner.rig.launcher.servers_here:
            return set()
        return {cpu for server in self._candidates.servers.values() for cpu in server.cpus or ()}

    @property
    def _manners(self) -> tuple[str, ...]:
        network = self._runner.rig.launcher.network
        # Another machine sends nothing that this one's CPUs would have to take in for it.
        steered = network is not None and (network["steered_to"] is not None or "wire" in network)
        steered |= self._runner.rig.session.generators is not None
        if not steered or self._table.both_manners:
            return _BOTH
        return _STEERED if self._runner.rig.proxy is None else _BESIDE_PROXY

    def _note_deaths(self) -> dict[str, str]:
        """The servers that have ended since the last look, and why, which is told."""
        died = self._candidates.died()
        for name, why in died.items():
            self._runner.progress.tell_failure(f"{name}, sitting {self._sitting.repeat}", why)
        return died

    def _finish(self, cell: Cell, record: CellRecord, event: Event) -> float:
        """Write the record of a cell that was measured; returns its requests per second.

        Raises:
            CellError: the clock was set meanwhile.
        """
        of_target = event["targets"][cell.target]
        measured = record.finished({"window": event["window"], **of_target}, self._runner.rig.host)
        seconds = float(measured["loaded_s"])
        outcome = self._runner.outcome
        outcome.finished += 1
        outcome.load_s += self._table.settle_s + seconds * (1 + of_target["warm_s"] / event["slice_s"])
        return float(measured["requests"]) / seconds if seconds else 0.0


def _dropped(event: Event | None, cell: Cell) -> str | None:
    """Why the generator left a cell's server out; ``None`` if it did not."""
    if event is None:
        return "no server is left"
    reason: str | None = event["targets"][cell.target]["reason"]
    return reason
