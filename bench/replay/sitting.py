"""One sitting of the replay: its environments, its description, and its blocks one after the other."""

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import cpus, host, stacks
from bench.cpus import CpuSplit
from bench.errors import UserError
from bench.launch_processes import Processes
from bench.processes import ROOT
from bench.replay.measure import Block, Replaying
from bench.replay.records import Failed, Replay
from bench.stacks import Environment
from bench.yardsticks import measure
from targets.configurations import Catalogue, Stack

# The clients' environment: its interpreter is that of the suite, which is there.
CLIENTS = Stack("replay", ("{}.{}".format(*sys.version_info),), ROOT / "requirements" / "replay.txt")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """What is to be measured: ``processes`` with so many ``requests`` each, cells of so many ``seconds``."""

    configurations: Sequence[str]
    repeats: int
    processes: int
    requests: int
    seconds: int
    seed: int


@dataclass(frozen=True)
class Environments:
    """The clients' environment, those of the servers by stack, and what is unavailable without one."""

    clients: Environment
    servers: dict[str, Environment]
    unavailable: list[dict[str, str]]


def environments(catalogue: Catalogue, names: Sequence[str], say: Say) -> Environments:
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
    return Environments(clients, servers, unavailable)


def describe(name: str, asked: Asked, split: CpuSplit, having: Environments) -> Replay:
    """``replay.json`` before anything was measured. Call it before this process is pinned."""
    without = {entry["configuration"] for entry in having.unavailable}
    every = having.servers | {CLIENTS.name: having.clients}
    return Replay(
        replay=name,
        status="running",
        started=time.time(),
        ended=None,
        repeats=asked.repeats,
        processes=asked.processes,
        requests=asked.requests,
        seconds=asked.seconds,
        seed=asked.seed,
        configurations=[each for each in asked.configurations if each not in without],
        host=host.facts(),
        cpu_split={key: list(v) if isinstance(v, tuple) else v for key, v in asdict(split).items()},
        cpus=sorted(os.sched_getaffinity(0)),
        stacks={key: {"python": each.version, "packages": each.packages} for key, each in every.items()},
        suite=host.suite_versions(),
        git=host.git_state(),
        unavailable=having.unavailable,
    )


def measure_all(
    replay: Replay,
    folder: Path,
    catalogue: Catalogue,
    split: CpuSplit,
    having: Environments,
    begins: Callable[[Block, int], None],
    done: Callable[[Failed | None], None],
) -> None:
    """Measure every block of every repeat into ``replay``, which is written to its folder after each.

    ``begins`` hears of a block and its repeat, ``done`` why it could not be measured, ``None`` if it was.

    Raises:
        UserError: the load generator does not work here.
    """
    shuffled = random.Random(replay.seed)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="whichworker-replay-")))
        stack.enter_context(cpus.pinned(split.own))
        launcher = stack.enter_context(Processes(having.servers))
        null_server = stack.enter_context(measure.null_server(split.for_workers(1)))
        session, generator = stack.enter_context(measure.generator(split.generator, null_server, scratch))
        rounds = measure.Rounds(
            arms=[],
            configurations=catalogue.configurations,
            split=split,
            launcher=launcher,
            session=session,
            generator=generator,
            null_server=null_server,
            users=replay.processes,
            seconds=replay.seconds,
            scratch=scratch,
            random=shuffled,
            on_arm=lambda _arm: None,
        )
        replaying = Replaying(
            replay=replay,
            folder=folder,
            configurations=catalogue.configurations,
            split=split,
            launcher=launcher,
            python=having.clients.python,
            rounds=rounds,
            random=shuffled,
        )
        for repeat in range(1, replay.repeats + 1):
            for block in replaying.blocks():
                begins(block, repeat)
                failed = replaying.measure(block, repeat)
                replay.write(folder)
                done(failed)
