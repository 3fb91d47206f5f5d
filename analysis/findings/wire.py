"""What it does to figures that servers and generator are on two machines."""

import math
from collections.abc import Iterator, Mapping

from analysis.cells import counters
from analysis.cells.clocks import CLOCK_MS, MOVED_MS, of_servers, why_lost
from analysis.findings.finding import Finding, Kind, Measurements, at_loads, finds
from analysis.words import counted, figures, listed
from bench.model.records.hosts import Wire
from bench.model.records.run import Run

# Of what the network carries raw, beyond which it was the limit.
LIMIT_SHARE = 0.8
# Of the servers' CPUs, spent on the network and in no process.
SOFTIRQ_SHARE = 0.05

WIRE = Kind(
    "wire", "note", "What else happened?", "another machine",
    "servers and load are on several machines",
    "latencies hold the network; such runs are not compared with runs over loopback",
)  # fmt: skip
CLOCKS = Kind(
    "clocks", "number", "What else happened?", "clocks",
    f"not known better than `CLOCK_MS` = {CLOCK_MS:g}, or moved by more than `MOVED_MS` = {MOVED_MS:g} ms "
    "during a load",
    "that of the servers' machine is read before each load and after it, to half of the quickest round trip "
    "of a message; beyond this no CPU time per request is concluded, nor when what was lost or late",
    topics=("circumstances",),
)  # fmt: skip

SOFTIRQ = Kind(
    "softirq", "number", "What else happened?", "interrupts",
    f"`SOFTIRQ_SHARE` = {SOFTIRQ_SHARE:g}",
    "with several machines, the share of the servers' CPUs that the kernel spent on interrupts, mostly the "
    "network's, which no process has; in a rotation of the whole sitting",
    topics=("cost",),
)  # fmt: skip


LIMIT = Kind(
    "network-limit", "number", "Whose number is it?", "the network's limit",
    f"`LIMIT_SHARE` = {LIMIT_SHARE:g} of what one connection carried before the run, into a generator's "
    "machine or out of it, on average while there was load",
    "a raw transfer is measured once, of all generators at the same time; all that their machines carry is "
    "counted",
    topics=("throughput",), note="the network was the limit",
)  # fmt: skip


@finds(WIRE)
def wire(measured: Measurements) -> Iterator[Finding]:
    """Servers and load on several machines, and how far these are from each other."""
    run = measured.results.run
    if not run.over_wire:
        return
    there = None if run.network is None or run.network.wire is None else run.network.wire.host
    where = "the load comes from other machines"
    if there is not None:
        where = f"the servers are on another machine, {there}"
    told = [f"{_way(each)}{f' from {name}' if name else ''}" for name, each in _ways(run).items()]
    parts = [*([f"to open a connection takes {listed(told)}"] if told else []), *_by_hand(run)]
    yield WIRE.found(
        f"{where}: {'; '.join(parts)}" if parts else where,
        spoils="latencies as figures of the server alone, for they hold the way to it",
        advice="compare them with those of runs over the same network",
    )


@finds(CLOCKS)
def clocks(measured: Measurements) -> Iterator[Finding]:
    """A clock of the servers' machine that is not known well enough."""
    network, lost = measured.results.run.network, ~of_servers(measured.results)
    wire = None if network is None else network.wire
    if wire is None or wire.clock is None or not lost.any():
        return
    clock = wire.clock
    whys = [why for each in wire.clocks if (why := why_lost(each)) is not None]
    over_all = f"is known to ±{clock.uncertain_ms:.1f} ms and moved by {clock.moved_ms:.1f} ms"
    told = whys[0] if whys else over_all
    yield CLOCKS.found(
        f"the clock of the servers' machine {told} beside this one's ({counted(int(lost.sum()), 'cell')})",
        spoils="CPU time per request there, which is left out, as is what was lost or late at which "
        "replacement; latencies are by one clock",
        advice="have both machines keep their time (chrony, systemd-timesyncd), and measure again",
    )


def _ways(run: Run) -> dict[str, Wire]:
    """The ways to the servers that are known, by generator; "" is the machine of bench."""
    machines = () if run.generators is None else run.generators.machines
    if machines:
        return {each.name: each.wire for each in machines if each.wire is not None}
    return {} if run.network is None or run.network.wire is None else {"": run.network.wire}


def _by_hand(run: Run) -> Iterator[str]:
    """What is known of the way of generators that the suite did not start, which it cannot measure."""
    told = run.generators
    names = [] if told is None else [each.name for each in told.machines if each.wire is None]
    if told is None or not names:
        return
    yield (
        f"from {listed(names)}, started by hand, it is not known what a connection to servers takes and "
        "carries"
    )
    clocks = [clock for clock in told.clocks if clock.generator in names]
    read = [each for clock in clocks for each in (clock.before, clock.after)]
    trips = [each.round_trip_ms for each in read if each is not None]
    if trips:
        least, most = min(trip.least for trip in trips), max(trip.most for trip in trips)
        yield f"a message of the run takes {figures(least)} to {figures(most)} ms there and back"


def _way(wire: Wire) -> str:
    mtu = "" if wire.mtu is None else f", packets have up to {wire.mtu:,} bytes"
    times = wire.connect_us
    return f"{times.median:,.0f} µs ({times.min:,.0f} to {times.max:,.0f}{mtu})"


@finds(LIMIT)
def limit(measured: Measurements) -> Iterator[Finding]:
    """Cells during which the network carried about as much as it can."""
    ways = _ways(measured.results.run)
    speeds = measured.results.finished["speeds"].reindex(measured.summary.index)
    share = speeds.map(lambda of_each: _share_of_limit(of_each, ways))
    for scenario, group in measured.summary[share > LIMIT_SHARE].groupby("scenario"):
        yield LIMIT.found(
            f"the network carried up to {share[group.index].max():.0%} of what it can at {at_loads(group)}",
            spoils="throughput and latency there, which are the network's",
            advice="have a faster network between the machines, or compare CPU per request",
            scenario=scenario,
            cells=group,
        )


def _share_of_limit(speeds: Mapping[str, tuple[float, float]], ways: Mapping[str, Wire]) -> float:
    """What the busiest way carried, as a share of what it can; NaN where neither is known."""
    shares = [
        max(speeds[name][0] / way.raw.from_bytes_per_s, speeds[name][1] / way.raw.to_bytes_per_s)
        for name, way in ways.items()
        if way.raw is not None and name in speeds
    ]
    return max(shares, default=math.nan)


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
