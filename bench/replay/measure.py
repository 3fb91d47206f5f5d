"""The measurements of a replay: in each repeat every block once, in random order, on a server of its own."""

import random
import resource
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self

from bench import host
from bench.cpus import CpuSplit
from bench.errors import UserError
from bench.launch import Launcher, Server, ServerError, last_lines
from bench.processes import kill_tree, spawn
from bench.replay import arithmetic
from bench.replay.records import Beside, Client, Execution, Failed, Replay, Report
from bench.yardsticks import clocks
from bench.yardsticks.measure import Rounds
from bench.yardsticks.readings import SWARM, Arm, MeasurementError
from targets.configurations import Configuration

# The workers that the old answer compared: they are also asked with a client for each request.
COMPARED = ("gunicorn-uvicorn-legacy", "gunicorn-sanic")
WARMUP_REQUESTS = 200

_POLL_S = 0.1
# How long the clients may take at most: to start, and for each request.
_START_S, _REQUEST_S = 60.0, 0.2
# httpx would heed the proxies of the environment, loopback or not.
_NO_PROXY = {"NO_PROXY": "*", "no_proxy": "*"}

Kind = Literal["unpinned", "pinned", "suite"]
KINDS: tuple[Kind, ...] = ("unpinned", "pinned", "suite")


@dataclass(frozen=True)
class Block:
    """One start of a server: the old benchmark, pinned or not, or the suite's cell beside it."""

    configuration: str
    kind: Kind

    def __str__(self) -> str:
        return f"{self.configuration}, {self.kind}"


@dataclass(frozen=True)
class Variant:
    """How the old benchmark is executed."""

    client: Client
    recorded: bool

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return f"client-per-{self.client}{'-recorded' if self.recorded else ''}"


PLAIN, RECORDED, OWN_CLIENTS = Variant("process", False), Variant("process", True), Variant("request", False)


def variants(block: Block) -> list[Variant]:
    """How the old benchmark is executed in a block.

    A client for each request takes the clients ten times as long and more: it is run where the old answer
    drew its conclusion, and as it ran, without a split of the CPUs.
    """
    both = [PLAIN, RECORDED]
    return [*both, OWN_CLIENTS] if block.kind == "unpinned" and block.configuration in COMPARED else both


@dataclass
class Replaying:
    """Measures blocks into ``replay``.

    ``folder`` is the replay's; ``python`` the interpreter of the clients; ``rounds`` are the yardsticks' of
    the same launcher, whose arms do not matter.
    """

    replay: Replay
    folder: Path
    configurations: Mapping[str, Configuration]
    split: CpuSplit
    launcher: Launcher
    python: Path
    rounds: Rounds
    random: random.Random

    def blocks(self) -> list[Block]:
        """The blocks of a repeat, in random order."""
        blocks = [Block(name, kind) for name in self.replay.configurations for kind in KINDS]
        return self.random.sample(blocks, len(blocks))

    def measure(self, block: Block, repeat: int) -> Failed | None:
        """Measure one block; returns why it could not be measured, which is recorded as well."""
        try:
            if block.kind == "suite":
                self._suite(block.configuration, repeat)
            else:
                self._old(block, block.kind, repeat)
        except (ServerError, MeasurementError, UserError) as error:
            failed = Failed(
                configuration=block.configuration, repeat=repeat, block=block.kind, reason=str(error)
            )
            self.replay.failed.append(failed)
            return failed
        return None

    def _suite(self, configuration: str, repeat: int) -> None:
        """A closed loop of as many users as the old benchmark had processes."""
        rounds = replace(self.rounds, arms=[Arm(configuration, 1, SWARM)], random=self.random)
        for reading in rounds.measure(repeat):
            self.replay.beside.append(
                Beside(
                    configuration=configuration,
                    repeat=repeat,
                    requests_per_s=reading.requests_per_s,
                    latency_us=dict(reading.latency_us or {}),
                    cpu_us=reading.cpu_us,
                    server_busy=reading.server_busy,
                    generator_busy=reading.generator_busy,
                )
            )

    def _old(self, block: Block, split: Literal["unpinned", "pinned"], repeat: int) -> None:
        """The old benchmark, plain and recorded, on one server that has answered before."""
        pinned = split == "pinned"
        everywhere = tuple(self.replay.cpus)
        server_cpus = self.split.for_workers(1) if pinned else everywhere
        client_cpus = self.split.generator if pinned else everywhere
        place = self.folder / block.configuration / split / f"r{repeat}"
        server = self.launcher.start(
            self.configurations[block.configuration], 1, place / "server", server_cpus
        )
        self.launcher.settle()
        try:
            self._run(server, PLAIN, 1, WARMUP_REQUESTS, client_cpus, place / "warm-up")
            for variant in self.random.sample(variants(block), len(variants(block))):
                started = time.time()
                here = place / variant.folder
                with Others({*server_cpus, *client_cpus}) as others:
                    report, server_cpu_s = self._run(
                        server, variant, self.replay.processes, self.replay.requests, client_cpus, here
                    )
                self.replay.executions.append(
                    Execution(
                        configuration=block.configuration,
                        repeat=repeat,
                        split=split,
                        client=variant.client,
                        recorded=variant.recorded,
                        started=started,
                        folder=str(here.relative_to(self.folder)),
                        server_cpus=list(server_cpus),
                        client_cpus=list(client_cpus),
                        others_busy=others.busy(server_cpu_s),
                        failures=arithmetic.failures(report),
                        figures=arithmetic.figures(report, server_cpu_s),
                    )
                )
        finally:
            self.launcher.stop(server)

    def _run(
        self,
        server: Server,
        variant: Variant,
        processes: int,
        requests: int,
        cpus: Sequence[int],
        folder: Path,
    ) -> tuple[Report, float]:
        """Execute the clients once; what they report, and the CPU seconds of all the server's processes."""
        command = [str(self.python), "-m", "bench.replay.clients", f"{server.url}/index"]
        command += ["--processes", str(processes), "--requests", str(requests), "--client", variant.client]
        command += ["--record"] if variant.recorded else []
        clock = clocks.Clocks({"server": clocks.tree(server.facts["pid"])})
        before = clock.read()
        report = run_clients(command, cpus, folder, server, _START_S + processes * requests * _REQUEST_S)
        return report, clock.read().cpu_s["server"] - before.cpu_s["server"]


class Others:
    """How busy some CPUs were with what is none of ours, while the context was open."""

    def __init__(self, cpus: Collection[int]) -> None:
        self._cpus = cpus

    def __enter__(self) -> Self:
        self._began, self._busy_s, self._own_s = time.monotonic(), self._all(), _own_cpu_s()
        return self

    def __exit__(self, *_: object) -> None:
        self._lasted_s = time.monotonic() - self._began
        self._busy_s = self._all() - self._busy_s
        self._own_s = _own_cpu_s() - self._own_s

    def busy(self, server_cpu_s: float) -> float:
        """The share of the CPUs, time stolen by a hypervisor included. The server is ours as well."""
        others_s = self._busy_s - self._own_s - server_cpu_s
        return max(0.0, others_s / self._lasted_s / len(self._cpus))

    def _all(self) -> float:
        """CPU seconds in which the CPUs were not idle."""
        return sum(
            user + system + irq + softirq + steal
            for cpu, (user, system, _idle, _iowait, irq, softirq, steal) in host.cpu_times()
            if cpu in self._cpus
        )


def _own_cpu_s() -> float:
    """User and system time of this process and of its children that have ended, the clients."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def run_clients(
    command: Sequence[str], cpus: Sequence[int], folder: Path, server: Server, timeout_s: float
) -> Report:
    """Run the clients to their end on some CPUs; ``folder``, which is made, keeps what they report.

    Raises:
        MeasurementError: they failed or did not end in time, or the server ended.
    """
    folder.mkdir(parents=True)
    output, log = folder / ".clients.json.tmp", folder / "clients.log"
    deadline = time.monotonic() + timeout_s
    with output.open("wb") as stdout, log.open("wb") as stderr:
        process = spawn(command, cpus, stdout=stdout, stderr=stderr, environment=_NO_PROXY)
    try:
        while process.poll() is None:
            if (reason := server.failure()) is not None:
                raise MeasurementError(reason)
            if time.monotonic() > deadline:
                raise MeasurementError(f"the clients did not end within {timeout_s:.0f} s{last_lines(log)}")
            time.sleep(_POLL_S)
    finally:
        if process.returncode is None:
            kill_tree(process)
    if process.returncode != 0:
        raise MeasurementError(f"the clients failed (exit status {process.returncode}){last_lines(log)}")
    report = Report.model_validate_json(output.read_bytes())
    output.replace(folder / "clients.json")
    return report
