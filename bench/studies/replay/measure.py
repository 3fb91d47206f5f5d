"""The measurements of a replay: in each repeat every block once, in random order, on a server of its own."""

import os
import random
import resource
import sys
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from bench.experiment.progress import Progress
from bench.launch import stacks
from bench.launch.server import Server, ServerError
from bench.launch.stacks import Environment
from bench.machine import host
from bench.machine.cpus import CpuSplit
from bench.machine.processes import spawn
from bench.model.errors import UserError
from bench.model.files import ROOT
from bench.model.records.hosts import Host
from bench.model.records.replay import Beside, Client, Execution, Failed, Replay, Report
from bench.studies.replay import figures
from bench.studies.self_check import clocks
from bench.studies.self_check.measure import Rounds, await_end, rounds
from bench.studies.self_check.readings import SWARM, Arm, MeasurementError
from targets.catalogue.configurations import Catalogue
from targets.catalogue.stack import Stack

# The clients' environment: its interpreter is that of the suite, which is there.
CLIENTS = Stack("replay", ("{}.{}".format(*sys.version_info),), ROOT / "requirements" / "replay.txt")

# The workers that the old answer compared: they are also asked with a client for each request.
COMPARED = ("gunicorn-uvicorn-legacy", "gunicorn-sanic")
WARMUP_REQUESTS = 200

# For estimates (seconds): what a block takes beyond its executions, an execution beyond its requests, and
# each of these, by what a client is made for.
_BLOCK_S, _EXECUTION_S, _TYPICAL_S = 4.0, 1.0, {"process": 0.001, "request": 0.015}
# How long the clients may take at most: to start, and for each request.
_START_S, _REQUEST_S = 60.0, 0.2
# httpx would heed the proxies of the environment, loopback or not.
_NO_PROXY = {"NO_PROXY": "*", "no_proxy": "*"}

Say = Callable[[str], None]


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
        return f"client-per-{self.client}{'-recorded' if self.recorded else ''}"


PLAIN, RECORDED, OWN_CLIENTS = Variant("process", False), Variant("process", True), Variant("request", False)


def variants(block: Block) -> list[Variant]:
    """How the old benchmark is executed in a block.

    A client for each request takes the clients ten times as long and more: it is run where the old answer
    drew its conclusion, and as it ran, without a split of the CPUs.
    """
    both = [PLAIN, RECORDED]
    return [*both, OWN_CLIENTS] if block.kind == "unpinned" and block.configuration in COMPARED else both


def estimate_s(replay: Replay) -> float:
    """How long a replay takes, in seconds."""
    seconds = 0.0
    for block in (Block(name, kind) for name in replay.configurations for kind in KINDS):
        seconds += _BLOCK_S + (replay.seconds if block.kind == "suite" else 0)
        for variant in variants(block):
            requests_s = replay.processes * replay.requests * _TYPICAL_S[variant.client]
            seconds += _EXECUTION_S + requests_s
    return seconds * replay.repeats


@dataclass(frozen=True)
class ReplayEnvironments:
    """The clients' environment, those of the servers by stack, and what is unavailable without one."""

    clients: Environment
    servers: dict[str, Environment]
    unavailable: list[dict[str, str]]


def environments(catalogue: Catalogue, names: Sequence[str], say: Say) -> ReplayEnvironments:
    """Have every environment that is needed, made when missing.

    Raises:
        UserError: the clients cannot be had, or no server can.
    """
    try:
        clients = stacks.ensure(CLIENTS, say)
    except stacks.UnavailableError as error:
        raise UserError(
            f"the clients of the old benchmark cannot be had: {error.reason}\n"
            f"Mend that (they need what {CLIENTS.requirements.name} lists) and give the same command again."
        ) from error
    servers: dict[str, Environment] = {}
    unavailable = []
    for stack in dict.fromkeys(catalogue.get(name).stack for name in names):
        try:
            servers[stack] = stacks.ensure(catalogue.stacks[stack], say)
        except stacks.UnavailableError as error:
            without = [name for name in names if catalogue.get(name).stack == stack]
            say(f"{', '.join(without)}: unavailable: {error.reason}\n  to have it: {error.remedy}")
            unavailable += [
                {"configuration": name, "reason": error.reason, "remedy": error.remedy} for name in without
            ]
    if not servers:
        raise UserError("none of the configurations can be served here: see above for what they need")
    return ReplayEnvironments(clients, servers, unavailable)


def describe(
    replay: str,
    configurations: Sequence[str],
    split: CpuSplit,
    having: ReplayEnvironments,
    *,
    repeats: int,
    processes: int,
    requests: int,
    seconds: int,
    seed: int,
) -> Replay:
    """``replay.json`` before anything was measured. Call it before this process is pinned.

    ``processes`` send so many ``requests`` each; a cell of the suite is ``seconds`` long.
    """
    unavailable = {entry["configuration"] for entry in having.unavailable}
    environments = having.servers | {CLIENTS.name: having.clients}
    return Replay(
        replay=replay,
        status="running",
        started=time.time(),
        ended=None,
        repeats=repeats,
        processes=processes,
        requests=requests,
        seconds=seconds,
        seed=seed,
        configurations=[name for name in configurations if name not in unavailable],
        host=Host.model_validate(host.facts()),
        cpu_split=split.record(),
        cpus=sorted(os.sched_getaffinity(0)),
        stacks={
            stack: {"python": environment.version, "packages": environment.packages}
            for stack, environment in environments.items()
        },
        suite=host.suite_versions(),
        git=host.git_state(),
        unavailable=having.unavailable,
    )


def measure_all(
    replay: Replay,
    folder: Path,
    catalogue: Catalogue,
    split: CpuSplit,
    having: ReplayEnvironments,
    progress: Progress,
) -> None:
    """Measure every block of every repeat into ``replay``, which is written to its folder after each.

    ``progress`` counts blocks, with a line for each repeat and for each block that failed.

    Raises:
        UserError: the load generator does not work here.
    """
    cells = rounds(
        catalogue.configurations,
        having.servers,
        split,
        progress.say,
        users=replay.processes,
        seconds=replay.seconds,
        random=random.Random(replay.seed),
    )
    with cells as entered:
        replaying = Replaying(replay, folder, having.clients.python, entered)
        for repeat in range(1, replay.repeats + 1):
            progress.say(f"[{repeat}/{replay.repeats}] repeats; {progress.left}")
            for block in replaying.blocks():
                progress.begin(block)
                failed = replaying.measure(block, repeat)
                replay.write(folder)
                if failed is not None:
                    progress.tell_failure(f"{block}, repeat {repeat}", failed.reason)
                progress.done()


@dataclass
class Replaying:
    """Measures blocks into ``replay``.

    ``folder`` is the replay's; ``python`` the interpreter of the clients; ``cells`` measures what the suite
    does, and has the rig of all blocks.
    """

    replay: Replay
    folder: Path
    python: Path
    cells: Rounds

    def blocks(self) -> list[Block]:
        """The blocks of a repeat, in random order."""
        blocks = [Block(name, kind) for name in self.replay.configurations for kind in KINDS]
        return self.cells.random.sample(blocks, len(blocks))

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
        for reading in self.cells.measure([Arm(configuration, 1, SWARM)], repeat):
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
        server_cpus = self.cells.rig.split.for_workers(1) if pinned else everywhere
        client_cpus = self.cells.rig.split.generator if pinned else everywhere
        place = self.folder / block.configuration / split / f"r{repeat}"
        launcher = self.cells.rig.launcher
        configuration = self.cells.configurations[block.configuration]
        server = launcher.start(configuration, 1, place / "server", server_cpus)
        launcher.settle()
        try:
            self._run(server, PLAIN, 1, WARMUP_REQUESTS, client_cpus, place / "warm-up")
            for variant in self.cells.random.sample(variants(block), len(variants(block))):
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
                        failures=figures.failures(report),
                        figures=figures.figures(report, server_cpu_s),
                    )
                )
        finally:
            launcher.stop(server)

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
        command = [str(self.python), "-m", "bench.studies.replay.clients", f"{server.url}/index"]
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
    with output.open("wb") as stdout, log.open("wb") as stderr:
        process = spawn(command, cpus, stdout=stdout, stderr=stderr, environment=_NO_PROXY)
    await_end("the old benchmark", process, timeout_s, server.failure, log)
    report = Report.model_validate_json(output.read_bytes())
    output.replace(folder / "clients.json")
    return report
