"""What it does to figures that servers and generator are on two machines."""

from collections.abc import Iterator

from analysis import counters
from analysis.findings.finding import Finding, Kind, Measurements, finds

# How well the clock of the other machine must be known, and keep, in milliseconds.
CLOCK_MS = 5.0
# Of the servers' CPUs, spent on the network and in no process.
SOFTIRQ_SHARE = 0.05

WIRE = Kind(
    "wire", "note", "What else happened?", "another machine",
    "the servers are on another machine",
    "latencies hold the network; such runs are not compared with runs over loopback",
)  # fmt: skip
CLOCKS = Kind(
    "clocks", "number", "What else happened?", "clocks",
    f"`CLOCK_MS` = {CLOCK_MS:g}",
    "that of the servers' machine is known to half of the quickest round trip of a message, and moves",
    topics=("circumstances",),
)  # fmt: skip

SOFTIRQ = Kind(
    "softirq", "number", "What else happened?", "interrupts",
    f"`SOFTIRQ_SHARE` = {SOFTIRQ_SHARE:g}",
    "with several machines, the share of the servers' CPUs that the kernel spent on interrupts, mostly the "
    "network's, which no process has; in a rotation of the whole sitting",
    topics=("cost",),
)  # fmt: skip


@finds(WIRE)
def wire(measured: Measurements) -> Iterator[Finding]:
    """Servers on another machine."""
    network = measured.results.run.network
    if network is None or network.wire is None:
        return
    yield WIRE.found(
        f"the servers are on another machine, {network.wire.host}: a connection takes "
        f"{network.wire.connect_us.median:,.0f} µs to open, {network.wire.connect_us.max:,.0f} µs at most",
        spoils="latencies as figures of the server alone, for they hold the way to it",
        advice="compare them with those of runs over the same network",
    )


@finds(CLOCKS)
def clocks(measured: Measurements) -> Iterator[Finding]:
    """A clock of the servers' machine that is not known well enough."""
    network = measured.results.run.network
    clock = None if network is None or network.wire is None else network.wire.clock
    if clock is None or max(clock.uncertain_ms, clock.moved_ms) <= CLOCK_MS:
        return
    yield CLOCKS.found(
        f"the clock of the servers' machine is known to ±{clock.uncertain_ms:.1f} ms and moved by "
        f"{clock.moved_ms:.1f} ms beside this one's, and {CLOCK_MS:g} ms are allowed",
        spoils="CPU time per request, and what was lost at which replacement; latencies are by one clock",
        advice="have both machines keep their time (chrony, systemd-timesyncd), and measure again",
    )


@finds(SOFTIRQ)
def softirq(measured: Measurements) -> Iterator[Finding]:
    """CPU time of the servers' machine that is no process's."""
    run = measured.results.run
    if not run.over_wire:
        return
    share = counters.softirq(measured.results)
    for scenario, group in measured.summary[share > SOFTIRQ_SHARE].groupby("scenario"):
        yield SOFTIRQ.found(
            f"the kernel spent up to {share[group.index].max():.0%} of the servers' CPUs on interrupts",
            spoils="CPU time per request as the cost of serving one, which lacks that",
            advice="count it in when you size a machine (softirq_s of server_host.csv or host.csv)",
            scenario=scenario,
            cells=group,
        )
