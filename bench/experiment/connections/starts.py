"""The starts of servers of which connections are told, one after the other, and what is kept of them.

The servers that are compared are started side by side. Connections pause with servers of their own, so that
a server that is visited has no others.
"""

import csv
import io
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from bench.experiment.blocks import duration, possible_workers
from bench.experiment.connections.clients import Pauses, Row, Start, Visit, failed
from bench.experiment.results import RunFolder
from bench.experiment.rotation.schedule import START_S
from bench.experiment.runner import Runner
from bench.launch.server import Options, Server, ServerError
from bench.launch.starting import ServerRequest
from bench.machine import host
from bench.machine.loopback import SOMAXCONN
from bench.model.errors import UserError
from bench.model.files import check_space, read_text, write_text
from bench.model.plans.plan import Plan
from bench.model.plans.settings import BURSTS, OVERLOAD, PAUSES, ConnectionsTable, expecting
from bench.model.records.columns import CONNECTIONS, CONNECTIONS_FILE, LOST
from targets.catalogue.configurations import Configuration
from targets.catalogue.recycling import NEVER

_OPTIONS = Options(sample_interval_s=1.0, memory_interval_s=30.0)


@dataclass(frozen=True)
class Connections:
    """What is to be measured of a plan's connections: the starts of servers that are ``left``.

    ``configurations`` are those that can be served, by the plan's names.
    """

    table: ConnectionsTable
    workers: int
    configurations: Mapping[str, Configuration]
    left: tuple[int, ...]

    @property
    def announcement(self) -> str:
        """What is about to be measured, and how long it takes."""
        starts = [self.start(repeat) for repeat in self.left]
        names = {name for start in starts for name in (*start.visited, *start.pausing)}
        kinds = ", ".join(dict.fromkeys(kind for start in starts for kind in start.kinds))
        servers = sum(len(start.visited) + len(start.pausing) for start in starts)
        seconds = START_S * servers + sum(start.seconds for start in starts)
        return f"then the connections of {len(names)} servers ({kinds}), about {duration(seconds)}"

    def run(self, runner: Runner) -> None:
        """Measure what is left while the runner's rig is entered; connections.csv grows by each start.

        Raises:
            UserError: something that every further start would meet as well.
        """
        self._tell_cap(runner)
        launcher = runner.rig.launcher
        for repeat in self.left:
            start = self.start(repeat, runner.seed)
            visited = self._started(runner, f"{repeat}", start.visited)
            pausing = self._started(runner, f"{repeat}-pauses", start.pausing)
            facts = {"workers": self.workers, "repeat": repeat}
            rows = [{**row, **facts} for row in start.carry_out(runner, visited, pausing)]
            for server in (*visited.values(), *pausing.values()):
                launcher.stop(server)
            launcher.settle()
            check_space(runner.folder.path)
            _append(runner.folder, rows)
            runner.progress.say(f"connections, start {repeat} of {self.table.starts}: {_said(rows)}")

    def _concerned(self, what: str) -> tuple[str, ...]:
        """The configurations that are measured for the sake of ``what`` a change may do."""
        names = expecting((what,), self.configurations, self.configurations)
        return tuple(name for name in self.configurations if name in names)

    def start(self, repeat: int, seed: int = 0) -> Start:
        """The loads of a start, in an order which the run's seed decides."""
        table, chance = self.table, random.Random(f"{seed} connections {repeat}")
        bursts, overloaded = self._concerned(BURSTS), self._concerned(OVERLOAD)
        visits = [
            Visit.burst(name, size, turn)
            for size in table.bursts
            for turn in range(1, table.bursts_each + 1)
            for name in chance.sample(bursts, len(bursts))
        ]
        visits += [
            Visit.overload(name, table.overload, table.overload_s)
            for name in chance.sample(overloaded, len(overloaded))
        ]
        times_s = {name: self.configurations[name].keep_alive_s for name in self._concerned(PAUSES)}
        pausing = {name: seconds for name, seconds in times_s.items() if seconds}
        if not pausing or repeat > 1:
            return Start(visits)
        return Start(visits, Pauses(pausing, table.pauses, chance.randrange(1 << 16)))

    def _started(self, runner: Runner, place: str, names: Collection[str]) -> dict[str, Server]:
        """The servers that could be started; why others could not is told, unless it was before."""
        rig, broken = runner.rig, runner.broken
        wanted = [name for name in self.configurations if name in names and (name, NEVER) not in broken]
        folder = rig.scratch / f"connections-{place}"
        cpus, resting = rig.split.for_workers(self.workers), rig.split.resting(self.workers)
        requests = [
            ServerRequest(self.configurations[name], self.workers, folder / name, cpus, _OPTIONS, resting)
            for name in wanted
        ]
        servers = {}
        outcomes = rig.launcher.start_all(requests)
        rig.launcher.settle()
        for name, started in zip(wanted, outcomes, strict=True):
            if isinstance(started, ServerError):
                broken[name, NEVER] = f"not tried again: {str(started).splitlines()[0]}"
                failed(runner, f"{name}, connections", str(started))
            else:
                servers[name] = started
        return servers

    def _tell_cap(self, runner: Runner) -> None:
        """Say so where the kernel grants smaller backlogs than servers ask for."""
        most = ((runner.rig.launcher.network or {}).get("sysctls") or {}).get(SOMAXCONN)
        backlogs = {name: self.configurations[name].backlog or 0 for name in self._concerned(BURSTS)}
        capped = [name for name, backlog in backlogs.items() if most is not None and backlog > most]
        if capped:
            runner.progress.say(f"note: {SOMAXCONN} = {most} caps the backlog of {', '.join(capped)}")


def arrange(plan: Plan, available: Mapping[str, Configuration], folder: RunFolder) -> Connections | None:
    """What is left of a plan's connections, which the run's folder does not have; ``None``: nothing.

    ``available`` are the configurations that can be served, by the plan's names.

    Raises:
        UserError: this process may not open as many files.
    """
    table = plan.connections
    if table is None or plan.own_app is not None or plan.workers is None:
        return None
    workers = min(plan.workers)
    chosen = {
        name: available[name]
        for name in plan.configurations
        if name in available
        and name not in plan.aliases
        and workers in possible_workers(plan, available[name])
    }
    done = {int(row["repeat"]) for row in _rows(folder)}
    left = tuple(repeat for repeat in range(1, table.starts + 1) if repeat not in done)
    found = Connections(table, workers, chosen, left)
    most = max((found.start(repeat).most_connections for repeat in left), default=0)
    if not most:
        return None
    host.allow_open_files(most)
    return found


def _rows(folder: RunFolder) -> list[dict[str, str]]:
    """What the run's folder has of connections."""
    path = folder.path / CONNECTIONS_FILE
    if not path.exists():
        return []
    rows = list(csv.DictReader(io.StringIO(read_text(path, folder.path), newline="")))
    for number, row in enumerate(rows, start=2):
        if list(row) != list(CONNECTIONS.types) or None in row.values():
            raise UserError(f"{path}, line {number}: is not as this suite writes it; start a new run instead")
    return rows


def _append(folder: RunFolder, rows: Sequence[Row]) -> None:
    """Add the rows of a start."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(CONNECTIONS.types), lineterminator="\n")
    writer.writeheader()
    writer.writerows([*_rows(folder), *rows])
    write_text(folder.path / CONNECTIONS_FILE, text.getvalue())


def _said(rows: Sequence[Row]) -> str:
    """What was lost under each kind of load, in a line."""
    parts = []
    for kind in dict.fromkeys(row["load"] for row in rows):
        mine = [row for row in rows if row["load"] == kind]
        lost = sum(row[how] for row in mine for how in LOST)
        refused = sum(row["answers_503"] for row in mine)
        every = lost + refused + sum(row["answered"] + row["closed_in_time"] for row in mine)
        parts.append(
            f"{kind}: {lost:,} of {every:,} lost" + (f", {refused:,} answered 503" if refused else "")
        )
    return "; ".join(parts) or "nothing could be measured"
