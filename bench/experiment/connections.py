"""What connections meet, beside what requests do: pauses around a keep-alive, bursts, more of them than fit.

The servers that are compared by it are started side by side. Bursts and overload visit one after the other,
in random order; pauses pass for all of them at the same time. The clients are a program of the generator's
(``swarm/connections.py``), on its CPUs and in the run's network.
"""

import csv
import io
import json
import random
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.experiment.blocks import duration, possible_workers
from bench.experiment.results import RunFolder
from bench.experiment.runner import Runner
from bench.launch.server import Options, Server, ServerError
from bench.launch.starting import ServerRequest
from bench.machine import host
from bench.machine.loopback import SOMAXCONN
from bench.machine.processes import outcome
from bench.model.errors import UserError
from bench.model.files import ROOT, check_space, read_text, write_text
from bench.model.plans.plan import Plan
from bench.model.plans.settings import BURSTS, OVERLOAD, PAUSES, ConnectionsTable, expecting
from bench.model.records.columns import CONNECTIONS, CONNECTIONS_FILE, LOST
from targets.catalogue.configurations import Configuration
from targets.catalogue.recycling import NEVER

PROGRAM = ROOT / "swarm" / "connections.py"

_OPTIONS = Options(sample_interval_s=1.0, memory_interval_s=30.0)
# Between two loads, so that a server has put away the connections of the one before.
_SETTLE_S = 0.3
# For estimates: the start of a server beside others; a burst, some of which take a second and more; what an
# overload and pauses take beyond what is stated, which is at most so many keep-alives.
_START_S, _BURST_S, _OVERLOAD_S, _PAUSES_S, _LONGEST = 0.8, 1.5, 1.5, 8.0, 1.2
# Clients may take so much longer than expected: each of them waits for 5 s where a server answers nothing.
_SLACK_S = 60.0

Row = dict[str, Any]


class ClientsError(Exception):
    """The clients could not carry out a load; the text says why, for people."""


@dataclass(frozen=True)
class Load:
    """A load on some servers, with further ``arguments`` of the clients. ``seconds`` is what it may take."""

    kind: str
    names: tuple[str, ...]
    connections: int
    seconds: float
    arguments: tuple[str, ...] = ()
    turn: int = 1


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
        loads = {repeat: self.loads(repeat, random.Random(0)) for repeat in self.left}
        names = {name for found in loads.values() for load in found for name in load.names}
        seconds = sum(_START_S * len(names) + sum(load.seconds for load in found) for found in loads.values())
        kinds = ", ".join(dict.fromkeys(load.kind for found in loads.values() for load in found))
        return f"then the connections of {len(names)} servers ({kinds}), about {duration(seconds)}"

    def run(self, runner: Runner) -> None:
        """Measure what is left while the runner's rig is entered; connections.csv grows by each start.

        Raises:
            UserError: something that every further start would meet as well.
        """
        self._tell_cap(runner)
        for repeat in self.left:
            loads = self.loads(repeat, random.Random(f"{runner.seed} connections {repeat}"))
            servers = self._start(runner, repeat, {name for load in loads for name in load.names})
            rows = [row for load in loads for row in self._carry_out(runner, load, repeat, servers)]
            for server in servers.values():
                runner.rig.launcher.stop(server)
            runner.rig.launcher.settle()
            check_space(runner.folder.path)
            _append(runner.folder, rows)
            runner.progress.say(f"connections, start {repeat} of {self.table.starts}: {_said(rows)}")

    def _concerned(self, what: str) -> tuple[str, ...]:
        """The configurations that are measured for the sake of ``what`` a change may do."""
        names = expecting((what,), self.configurations, self.configurations)
        return tuple(name for name in self.configurations if name in names)

    def loads(self, repeat: int, chance: random.Random) -> list[Load]:
        """The loads of a start, in their order."""
        table = self.table
        bursts = [
            Load("burst", self._concerned(BURSTS), size, _BURST_S, turn=turn)
            for size in table.bursts
            for turn in range(1, table.bursts_each + 1)
        ]
        overload_s = table.overload_s + _OVERLOAD_S
        window = ("--seconds", str(table.overload_s))
        overload = Load("overload", self._concerned(OVERLOAD), table.overload, overload_s, window)
        found = [
            replace(load, names=(name,))
            for load in (*bursts, overload)
            for name in chance.sample(load.names, len(load.names))
        ]
        pausing = tuple(name for name in self._concerned(PAUSES) if self.configurations[name].keep_alive_s)
        if pausing and repeat == 1:
            longest_s = max(self.configurations[name].keep_alive_s or 0.0 for name in pausing)
            seed = ("--seed", str(chance.randrange(1 << 16)))
            found.append(Load("pause", pausing, table.pauses, _LONGEST * longest_s + _PAUSES_S, seed))
        return found

    def _start(self, runner: Runner, repeat: int, names: set[str]) -> dict[str, Server]:
        """The servers that could be started; why others could not is told, unless it was before."""
        rig, broken = runner.rig, runner.broken
        wanted = [name for name in self.configurations if name in names and (name, NEVER) not in broken]
        place, cpus = rig.scratch / f"connections-{repeat}", rig.split.for_workers(self.workers)
        requests = [
            ServerRequest(self.configurations[name], self.workers, place / name, tuple(cpus), _OPTIONS)
            for name in wanted
        ]
        servers = {}
        outcomes = rig.launcher.start_all(requests)
        rig.launcher.settle()
        for name, started in zip(wanted, outcomes, strict=True):
            if isinstance(started, ServerError):
                broken[name, NEVER] = f"not tried again: {str(started).splitlines()[0]}"
                _failed(runner, f"{name}, connections", str(started))
            else:
                servers[name] = started
        return servers

    def _carry_out(
        self, runner: Runner, load: Load, repeat: int, servers: Mapping[str, Server]
    ) -> Iterator[Row]:
        """The rows of a load; none where it could not be carried out, which is told."""
        names = [name for name in load.names if name in servers and servers[name].failure() is None]
        urls = [f"{servers[name].url}/index" for name in names]
        if load.kind == "pause":
            times = [self.configurations[name].keep_alive_s for name in names]
            urls = [f"{url}={seconds:g}" for url, seconds in zip(urls, times, strict=True)]
        if not names:
            return
        words = [load.kind, "--connections", str(load.connections), *load.arguments, *urls]
        try:
            tallies = _clients(runner, words, load.seconds)
        except ClientsError as error:
            ended = [why for name in names if (why := servers[name].failure()) is not None]
            _failed(runner, f"{', '.join(names)}, {load.kind}", next(iter(ended), str(error)))
            return
        facts = {"load": load.kind, "workers": self.workers, "repeat": repeat, "turn": load.turn}
        for name, tally in zip(names, tallies, strict=True):
            yield {"configuration": name, **facts, "connections": load.connections, **tally}
        time.sleep(_SETTLE_S)

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
    loads = [load for repeat in left for load in found.loads(repeat, random.Random(0))]
    if not loads:
        return None
    host.allow_open_files(max(load.connections * len(load.names) for load in loads))
    return found


def _clients(runner: Runner, words: Sequence[str], expected_s: float) -> list[Row]:
    """Have clients carry out a load; returns what they print of each server. Raises ``ClientsError``."""
    launcher = runner.rig.launcher
    process = launcher.start_program(
        [launcher.inside(PROGRAM), *words],
        runner.rig.split.generator,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        done = outcome(process, expected_s + _SLACK_S)
    except subprocess.TimeoutExpired as error:
        raise ClientsError(f"the clients took longer than {error.timeout:g} s") from error
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"the clients ended with status {done.returncode}"]
        raise ClientsError(said[-1])
    tallies: list[Row] = json.loads(done.stdout)
    return tallies


def _failed(runner: Runner, step: str, why: str) -> None:
    runner.outcome.failed += 1
    runner.progress.tell_failure(step, why)


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
