"""What holds for every verdict, whatever the evidence: tried on evidence that chance makes up."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.recommend.decision import decide
from analysis.recommend.evidence import NOTHING
from analysis.recommend.judging import ORDER
from bench.model.requirements import Requirements
from tests.analysis.recommend.builders import (
    NO,
    YES,
    both,
    evidence,
    known,
    latency,
    losses,
    performance,
    recycled,
)

NAMES = ("a", "b", "c", "d")
SEEN = st.sampled_from([YES, NO, NOTHING])
# What can be required on top of anything else.
MORE = {
    "process_manager": st.just(False),
    "retryable_per_1000": st.floats(0, 500),
    "stall_s": st.floats(0.01, 2),
    "memory_bounded": st.just(True),
    "survive_kill": st.just(True),
    "graceful_stop": st.just(True),
    "p99_ms": st.fixed_dictionaries({"index": st.floats(5, 50)}),
}
ASKED = st.fixed_dictionaries(
    {"lost_per_1000": st.floats(0, 500)},
    optional=MORE | {"restart": st.sampled_from(["requests", "memory", "any", "none"])},
)


@st.composite
def configurations(draw, name):
    recycles = draw(st.integers(1, 60))
    outcomes = st.sampled_from(["replaced", "replaced", "replaced", "not replaced", "too few", "broken"])
    cells = draw(st.lists(st.tuples(outcomes, st.integers(1, 2), st.floats(0, 2)), max_size=3))
    return known(
        name,
        draw(st.sampled_from(["flag", "flag", "app", "respawn", "rss", "none"])),
        recycled=tuple(recycled(each, workers, stall_s=stall_s) for each, workers, stall_s in cells),
        prices=both(ran=draw(st.integers(0, 20)), retryable=draw(st.integers(0, 60)), recycles=recycles),
        latencies=tuple(latency(each) for each in draw(st.lists(st.floats(1, 60), max_size=2))),
        memory=draw(SEEN),
        killed=draw(SEEN),
        terminated=draw(SEEN),
    )


@st.composite
def evidences(draw):
    servers = [draw(configurations(name)) for name in NAMES]
    tables = [
        performance({name: draw(st.floats(50, 500)) for name in NAMES}, scenario)
        for scenario in ("index", "sleep")
    ]
    return evidence(*servers, performance=tables)


def passing(verdict):
    return with_outcome(verdict, "passed")


def with_outcome(verdict, outcome):
    return {each.configuration for each in verdict.candidates if each.outcome == outcome}


def standing(verdict):
    return {each.configuration: (each.outcome, each.rank) for each in verdict.candidates}


@settings(deadline=None, max_examples=60)
@given(evidences(), ASKED, st.sampled_from(sorted(MORE)), st.data())
def test_one_more_requirement_never_lets_more_pass(found, asked, key, data):
    less = {name: value for name, value in asked.items() if name != key}
    more = less | {key: data.draw(MORE[key])}
    assert passing(decide(found, Requirements(**more))) <= passing(decide(found, Requirements(**less)))


@settings(deadline=None, max_examples=60)
@given(evidences(), ASKED, st.floats(0, 1))
def test_a_tighter_limit_never_lets_more_pass(found, asked, part):
    tighter = asked | {
        key: asked[key] * part for key in ("lost_per_1000", "retryable_per_1000") if key in asked
    }
    assert passing(decide(found, Requirements(**tighter))) <= passing(decide(found, Requirements(**asked)))


@settings(deadline=None, max_examples=60)
@given(evidences(), ASKED)
def test_names_decide_nothing(found, asked):
    names = dict(zip(NAMES, ("zeta", "y", "x1", "a"), strict=True))
    renamed = replace(
        found,
        configurations=tuple(replace(each, name=names[each.name]) for each in found.configurations),
        performance=tuple(
            replace(table, values={names[name]: values for name, values in table.values.items()})
            for table in found.performance
        ),
    )
    before, after = (decide(each, Requirements(**asked)) for each in (found, renamed))
    assert standing(after) == {names[name]: each for name, each in standing(before).items()}
    assert after.recommended == tuple(names[name] for name in before.recommended)
    assert after.decision == before.decision


@settings(deadline=None, max_examples=60)
@given(evidences(), ASKED, st.floats(1, 3))
def test_better_performance_never_worsens_a_rank(found, asked, factor):
    """Better in every repeat alike: what varies more may be less certain of its place."""
    better = replace(found, performance=tuple(_faster(table, "a", factor) for table in found.performance))
    (outcome, before), (same, after) = (
        standing(decide(each, Requirements(**asked)))["a"] for each in (found, better)
    )
    assert same == outcome
    assert (after is None) == (before is None)
    assert before is None or after <= before


def _faster(table, name, factor):
    own = {repeat: value * factor for repeat, value in table.values[name].items()}
    return replace(table, values={**table.values, name: own})


@settings(deadline=None, max_examples=60)
@given(evidences(), ASKED, st.integers(0, 20))
def test_fewer_losses_and_shorter_stalls_never_worsen_an_outcome(found, asked, fewer):
    better = replace(
        found,
        configurations=tuple(
            replace(
                each,
                prices=tuple(_cheaper(price, fewer) for price in each.prices),
                recycled=tuple(replace(cell, stall_s=cell.stall_s / 2) for cell in each.recycled),
            )
            for each in found.configurations
        ),
    )
    before, after = (standing(decide(each, Requirements(**asked))) for each in (found, better))
    for name in NAMES:
        assert ORDER.index(after[name][0]) >= ORDER.index(before[name][0])


def _cheaper(price, fewer):
    less = [losses(max(0, each.lost - fewer), price.recycles) for each in (price.ran, price.retryable)]
    return replace(price, ran=less[0], retryable=less[1])


@settings(deadline=None, max_examples=60)
@given(evidences(), ASKED)
def test_a_verdict_is_made_of_its_evidence_alone(found, asked):
    one, other = (decide(found, Requirements(**asked)) for _ in range(2))
    assert one.json_text() == other.json_text()
    # What is likely to pass is recommended where nothing certainly does.
    assert set(one.recommended) <= with_outcome(one, "likely" if one.provisional else "passed")
    assert (one.decision == "recommended") == (len(one.recommended) == 1)
    assert (one.decision == "tie") == (len(one.recommended) > 1)
    for each in one.candidates:
        decisive = [judgement.outcome for judgement in each.judgements if judgement.outcome is not None]
        assert (each.outcome == "passed") == (set(decisive) <= {"passed"})
        assert (each.outcome == "failed") == ("failed" in decisive)
