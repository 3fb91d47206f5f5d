"""What a soak finds of its servers: leaks, limits that were met, and what it could not tell."""

from collections.abc import Iterator, Sequence

from analysis.findings.finding import GROUPS, Finding, Kind, know
from analysis.soak import growth
from analysis.soak.judging import LEAST, MEASURES, LaneVerdict
from analysis.soak.reading import Soak
from analysis.words import counted, figures, listed

FAILED = 0.01

LEAK = Kind(
    "soak-leak", "answer", "A soak", "a leak",
    "memory, open files or threads certainly grew in the second half of the time, and over all of it "
    f"by {LEAST['memory'][0] / 2**20:g} MiB, {LEAST['descriptors'][0]:g} or {LEAST['threads'][0]:g} or more "
    f"and by {LEAST['memory'][1]:.0%} of the level",
    f"the first {growth.WARM_UP_S / 60:g} minutes of a server ({growth.WARM_UP:.0%} if that is more) are no "
    "part of it; a leak goes on at its pace, a cache that fills slows down",
)  # fmt: skip
UNDECIDED = Kind(
    "soak-undecided", "note", "A soak", "undecided",
    "; or ".join(growth.RULES[kind][1] for kind in ("undecided", "slows", "short")),
    "values that resemble those before them tell little: the interval says how little",
)  # fmt: skip
EXCEEDED = Kind(
    "soak-exceeded", "answer", "A soak", "the limit was met",
    "a sample above the allowance, or open files at what a process may have",
    "a server that is killed for its memory, or opens no more files, serves nobody",
)  # fmt: skip
GAP = Kind(
    "soak-gap", "note", "A soak", "a gap",
    "a server was started more than once",
    "a new server has leaked nothing yet; slopes are those of each start",
)  # fmt: skip
UNANSWERED = Kind(
    "soak-unanswered", "answer", "A soak", "unanswered",
    f"more than `FAILED` = {FAILED:g} of the requests had no good answer",
    "what answers with errors, or not at all, does other work than the app",
)  # fmt: skip
know(LEAK, UNDECIDED, EXCEEDED, GAP, UNANSWERED)


def check(soak: Soak, verdicts: Sequence[LaneVerdict]) -> list[Finding]:
    """The findings of a soak, in the order of their groups."""
    found = [
        *_unanswered(verdicts),
        *_leaks(verdicts),
        *_exceeded(verdicts),
        *_undecided(soak, verdicts),
        *_gaps(verdicts),
    ]
    return sorted(found, key=lambda each: GROUPS.index(each.group))


def _finding(kind: Kind, verdict: LaneVerdict, message: str, spoils: str, advice: str) -> Finding:
    record = verdict.lane.record
    return Finding(kind.name, kind.group, message, spoils, advice, record.scenario, (record.configuration,))


def _unanswered(verdicts: Sequence[LaneVerdict]) -> Iterator[Finding]:
    for verdict in verdicts:
        share = verdict.lost_per_million / 1e6
        if share > FAILED:
            yield _finding(
                UNANSWERED,
                verdict,
                f"{share:.0%} of the requests to {verdict.lane.name} had no good answer",
                "what is said of it: it did other work than asked for",
                "ask for what the app has, at a lower rate (RATES=); make bench says how requests fail",
            )


def _leaks(verdicts: Sequence[LaneVerdict]) -> Iterator[Finding]:
    for verdict in verdicts:
        for judged in verdict.leaks:
            pace = judged.per_hour
            what = f"{figures(pace.mean / 2**20)} MiB of memory" if judged.measure == "memory" else (
                f"{figures(pace.mean)} {MEASURES[judged.measure]}"
            )  # fmt: skip
            below = verdict.keeps_below if judged.measure == "memory" else None
            advice = "find what holds it; until then replace workers (MAX_REQUESTS=)"
            if below:
                advice = f"find what holds it; until then replace workers after N = {below:,} requests"
            elif verdict.lane.record.recycles:
                advice = "replace workers after fewer requests, or look for what is outside of them"
            yield _finding(
                LEAK, verdict, f"{verdict.lane.name} takes {what} more each hour", "its life", advice
            )


def _exceeded(verdicts: Sequence[LaneVerdict]) -> Iterator[Finding]:
    for verdict in verdicts:
        for judged in verdict.measures.values():
            if judged.exceeded and judged.limit is not None:
                had = f"{figures(judged.most)} {MEASURES[judged.measure]}"
                yield _finding(
                    EXCEEDED,
                    verdict,
                    f"{verdict.lane.name} had {had}, and {figures(judged.limit)} are its limit",
                    "what it serves from then on",
                    "replace workers after fewer requests, or allow more",
                )


def _undecided(soak: Soak, verdicts: Sequence[LaneVerdict]) -> Iterator[Finding]:
    for verdict in verdicts:
        held = [verdict.measures[name] for name in ("memory", "descriptors", "threads")]
        unsure = [each.measure for each in held if each.growth.kind in ("undecided", "slows", "short")]
        if unsure:
            yield _finding(
                UNDECIDED,
                verdict,
                f"{verdict.lane.name}: whether {listed(list(unsure))} will grow for ever cannot be told",
                "the verdict on it",
                f"go on for longer: HOURS={figures(3 * soak.hours)}",
            )


def _gaps(verdicts: Sequence[LaneVerdict]) -> Iterator[Finding]:
    for verdict in verdicts:
        legs = verdict.lane.record.legs
        if len(legs) < 2:
            continue
        reasons = list(dict.fromkeys(leg.reason.splitlines()[0] for leg in legs if leg.reason))
        paused = sum(leg.reason is None for leg in legs[:-1])
        why = [*reasons, *([f"{counted(paused, 'pause')} of the soak"] if paused else [])]
        yield _finding(
            GAP,
            verdict,
            f"{verdict.lane.name} was started {len(legs)} times: {'; '.join(why) or 'the soak was killed'}",
            "how long the longest of its lives was",
            "read its legs in lane.json",
        )
