"""What the network of a run does to what its servers ask of it."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from analysis.findings.finding import Finding, Kind, Measurements, finds
from analysis.words import listed

SOMAXCONN, MIGRATE = "net.core.somaxconn", "net.ipv4.tcp_migrate_req"
# Programs each of whose workers listens on a socket of its own (SO_REUSEPORT): with a worker its queue goes.
REBINDING = ("granian",)

CAPPED = Kind(
    "backlog-capped", "note", "What else happened?", "capped backlog",
    f"`{SOMAXCONN}` below the backlog of a configuration",
    "the kernel grants no more, whatever the flag says",
)  # fmt: skip
QUEUE_LOST = Kind(
    "queue-lost", "note", "Recycling", "a replaced worker's queue is lost",
    f"`{MIGRATE}` = 0, and workers were replaced that listen on sockets of their own",
    "what waits at a worker that ends is reset; with 1 another one gets it, as Granian asks "
    "(https://github.com/emmett-framework/granian#workers-and-threads)",
)  # fmt: skip


@finds(CAPPED)
def capped(measured: Measurements) -> Iterator[Finding]:
    """Backlogs that the kernel does not grant."""
    run = measured.results.run
    most = None if run.network is None else run.network.sysctls.get(SOMAXCONN)
    tried = set(measured.results.cells["configuration"])
    beyond = {
        each.name: each.backlog
        for each in run.configurations
        if most is not None and each.name in tried and (each.backlog or 0) > most
    }
    if beyond:
        told = listed([f"{name} ({backlog:,})" for name, backlog in beyond.items()])
        yield CAPPED.found(
            f"{SOMAXCONN} is {most:,}, which caps the backlog of {told}",
            spoils="what these backlogs do",
            advice=f"raise it, as root: sysctl -w {SOMAXCONN}={max(filter(None, beyond.values()))}",
        )


@finds(QUEUE_LOST)
def queue_lost(measured: Measurements) -> Iterator[Finding]:
    """Replaced workers whose waiting connections the kernel resets."""
    network, recycling = measured.results.run.network, measured.recycling
    if recycling is None or network is None or network.sysctls.get(MIGRATE) != 0:
        return
    commands = measured.results.cells.loc[recycling.cells.index, "command"]
    migrating = [each.name for each in measured.results.run.configurations if each.sysctls.get(MIGRATE)]
    resets = commands.map(_rebinds) & ~recycling.cells["configuration"].astype(str).isin(migrating)
    replaced = recycling.cells[(recycling.cells["treatment"] == "recycled") & resets]
    for scenario, group in replaced.groupby("scenario"):
        yield QUEUE_LOST.found(
            f"workers of {listed(list(group['configuration'].unique()))} listen on sockets of their own, and "
            f"{MIGRATE} is 0: what waits at a worker that ends is reset",
            spoils="what it loses at each replacement, which may be less",
            advice=f"set it, as root, and measure again: sysctl -w {MIGRATE}=1 (make settings PLAN=migrate "
            "measures Granian with both)",
            scenario=scenario,
            cells=group,
        )


def _rebinds(command: object) -> bool:
    """Whether each worker of a command has a listening socket of its own; not where it is not known."""
    return isinstance(command, str) and Path(shlex.split(command)[0]).name in REBINDING
