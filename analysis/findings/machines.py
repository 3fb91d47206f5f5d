"""What generators on other machines do to a run: their clocks, and those that were lost."""

from collections.abc import Iterator

from analysis.cells.clocks import MOVED_MS, why_moved, why_unknown
from analysis.findings.finding import Finding, Kind, Measurements, finds
from analysis.words import counted, listed
from bench.model.records.hosts import ClockReading

# How far the clocks of two machines may be apart.
APART_MS = 5.0
# Share of the segments that may be sent again.
RESENT = 0.001

CLOCKS = Kind(
    "generator-clocks", "number", "What else happened?", "clocks apart",
    f"a generator's on another machine is more than `APART_MS` = {APART_MS:g} ms off, or not known better, "
    f"or moved by more than `MOVED_MS` = {MOVED_MS:g} ms during a load",
    "times are corrected by the offset before each load; a rotation of several machines during which one was "
    "not known, or moved, counts for nothing but its latencies, which are by one clock",
)  # fmt: skip
RETRANSMITTED = Kind(
    "retransmitted", "note", "What else happened?", "packets lost",
    f"one of the machines sent more than `RESENT` = {RESENT:g} of its TCP segments again",
    "each holds up a request by 200 ms or more",
    topics=("latency",),
)  # fmt: skip
LOST = Kind(
    "lost-generator", "note", "What else happened?", "lost generator",
    "any",
    "later cells had the load of those that were left",
)  # fmt: skip


@finds(CLOCKS)
def clocks(measured: Measurements) -> Iterator[Finding]:
    """Generators whose clock may have been elsewhere than it was taken for."""
    told = measured.results.run.generators
    worst: dict[str, str] = {}
    for reading in () if told is None else told.clocks:
        if (why := why_apart(reading)) is not None:
            worst.setdefault(reading.generator, why)
    if worst:
        yield CLOCKS.found(
            f"clocks are apart: {listed([f'{name} {why}' for name, why in worst.items()])}",
            spoils="what compares times of two machines: whose request a replacement met, and whether slices "
            "of a rotation overlap; not latencies, which the generator's clock alone tells",
            advice="have one NTP server keep the clocks of all machines (chronyc tracking); measure again",
        )


def why_apart(reading: ClockReading) -> str | None:
    """What is wrong with a clock around a load, in words; None if nothing is."""
    return why_unknown(reading) or _why_far(reading) or why_moved(reading)


def _why_far(reading: ClockReading) -> str | None:
    offsets_ms = [each.offset_ms for each in (reading.before, reading.after) if each is not None]
    apart_ms = max(offsets_ms, key=abs, default=0.0)
    if abs(apart_ms) <= APART_MS:
        return None
    return f"is {abs(apart_ms):,.1f} ms {'ahead' if apart_ms > 0 else 'behind'}"


@finds(RETRANSMITTED)
def retransmitted(measured: Measurements) -> Iterator[Finding]:
    """Loads of other machines during which packets were lost."""
    shares = measured.results.finished["retransmitted"].dropna().astype(float)
    above = shares[shares > RESENT]
    if len(above):
        yield RETRANSMITTED.found(
            f"up to {above.max():.1%} of what TCP sent was sent again ({counted(len(above), 'cell')} above "
            f"{RESENT:.1%})",
            spoils="the tail of latencies, which has the time-outs of the network",
            advice="look for a full queue or a bad link between the machines (ethtool -S, nstat), and try a "
            "lower rate",
        )


@finds(LOST)
def lost(measured: Measurements) -> Iterator[Finding]:
    """Generators that were lost on the way."""
    told = measured.results.run.generators
    names = [each.name for each in told.machines if each.lost] if told is not None else []
    if names:
        which = "a generator was" if len(names) == 1 else "generators were"
        yield LOST.found(
            f"{which} lost during the run: {listed(names)}",
            spoils="how cells before and after compare: later ones had fewer generators",
            advice="mend what happened there, and measure again",
        )
