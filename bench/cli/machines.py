"""What ``bench doctor --cpus 64`` shows: how the suite would share out a machine that is not this one."""

import resource
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from rich.table import Table

from bench.cli.terminal import console, say
from bench.experiment.inputs import Inputs
from bench.experiment.rotation.schedule import most_connections
from bench.machine import cpus, host, topology
from bench.machine.cpus import CpuSplit
from bench.machine.topology import Topology
from bench.model.plans import plan as plans

# Whose loads decide how many files are open: what `make bench` runs.
_PLAN = "quick"


@dataclass(frozen=True)
class Shared:
    """How CPUs are shared out for servers of up to so many workers, and the files one process may need."""

    workers: int
    split: CpuSplit
    open_files: int

    def cells(self) -> Sequence[str]:
        """The row of the table."""
        generator = self.split.generator
        sides = (topology.ranges(side) for side in (self.split.server, generator, self.split.own))
        return [str(self.workers), *sides, str(len(generator)), f"{self.open_files:,}"]


def shared_out(places: Topology, connections: int) -> Iterator[Shared]:
    """The shares for 1, 2, 4, … workers and for as many as there are CPUs."""
    powers = takewhile(lambda workers: workers < len(places), (1 << n for n in range(len(places))))
    for workers in (*powers, len(places)):
        split = cpus.split(sorted(places), None, workers, places)
        yield Shared(workers, split, host.open_files(connections, split.processes))


def show(number: int, sockets: int, threads_per_core: int) -> None:
    """Print how such a machine would be shared out; nothing of this one is looked at but its limits.

    Raises:
        UsageError: there is no such machine.
    """
    places = topology.imagined(number, sockets, threads_per_core)
    inputs = Inputs.of(_PLAN, plans.load(_PLAN), _PLAN)
    rows = list(shared_out(places, most_connections(inputs.plan, inputs.configurations)))
    say(f"A machine that is only imagined: {topology.described(places)}. Nothing is measured or checked.")
    table = Table(box=None, pad_edge=False)
    for heading in ("workers", "server", "generator", "own work", "processes", "open files"):
        table.add_column(heading, no_wrap=True)
    for row in rows:
        table.add_row(*row.cells())
    console.print(table)
    for row in rows:
        if row.split.note:
            say(f"{row.workers} workers: {row.split.note}.")
    say(
        "workers: the most that a plan asks for; own work: the suite's, a database's, a proxy's; "
        "processes: of the load generator."
    )
    say(f'open files: what each process may need for the plan "{_PLAN}"; the more users, the more.')
    _, hard = host.open_file_limits()
    most = max(row.open_files for row in rows)
    if hard != resource.RLIM_INFINITY and hard < most:
        say(f"This machine allows {hard:,} open files; that one must allow {most:,} (ulimit -Hn {most}).")
