import pytest

from analysis.recycling.model import QUESTIONS
from analysis.words import MISSING
from tests.fixtures.make_recycling import Life, Lost, Story, generation

EVEN = generation(11, 1.0)
ALONE = [Life(1, -2, -1)]
NAMES = ("restarts", "per_life", "keep_alive", "close", "stall", "memory", "kill", "terminate")
ASKED = dict(zip(NAMES, QUESTIONS, strict=True))


def answer(analysed, question, configuration="sanic"):
    (row,) = [row for row in analysed.recycling.configurations if row.configuration == configuration]
    return row.answers[QUESTIONS.index(ASKED[question])]


def test_a_row_for_each_configuration_in_the_catalogues_order(told):
    recycling = told(Story("hypercorn", EVEN), Story("sanic", EVEN), Story("uvicorn", EVEN)).recycling
    assert [row.configuration for row in recycling.configurations] == ["sanic", "uvicorn", "hypercorn"]
    assert recycling.columns == ("configuration", *QUESTIONS)
    assert all(len(row.texts()) == len(recycling.columns) for row in recycling.configurations)


def test_what_was_not_measured_is_not_answered(told):
    (row,) = told(Story("sanic", ALONE, "control")).recycling.configurations
    assert row.texts() == ["sanic", *[MISSING] * 8]
    assert {each.verdict for each in row.answers} == {"unknown"}


@pytest.mark.parametrize(
    "configuration, text, verdict",
    [
        ("sanic", "yes", "good"),
        ("uvicorn", "needs a process manager", "fair"),
        ("granian", "only by RSS", "fair"),
    ],
)
def test_who_restarts(told, configuration, text, verdict):
    found = answer(told(Story(configuration, EVEN)), "restarts", configuration)
    assert (found.text, found.verdict) == (text, verdict)
    assert found.evidence == (f"{configuration}/index/o100-constant-w1-n100/r1",)


def test_who_cannot(told):
    found = answer(told(Story("sanic-single", ALONE, "control")), "restarts", "sanic-single")
    assert (found.text, found.verdict) == ("no", "bad")


def test_who_does_not(told):
    analysed = told(Story("sanic", EVEN), Story("sanic", ALONE, scenario="slow"))
    assert answer(analysed, "restarts").text == "yes, but not in slow, 1 worker"
    assert answer(analysed, "restarts").verdict == "fair"


def test_who_does_nowhere(told):
    found = answer(told(Story("sanic", ALONE)), "restarts")
    assert found.text.startswith("no: no worker was replaced, although") and found.verdict == "bad"


def test_one_broken_cell_is_enough(told):
    broken = Story("sanic", [Life(1, -2, -1, died=2.0)], scenario="slow", server_ended=(2.0, 0))
    found = answer(told(Story("sanic", EVEN), broken), "restarts")
    assert found.text.startswith("broken: the server ended by itself") and found.verdict == "bad"
    assert found.evidence == ("sanic/slow/o100-constant-w1-n100/r1",)


def test_a_server_that_never_became_ready_is_broken(told):
    failed = Story("gunicorn-sanic", ALONE, failed="it keeps starting workers that die")
    analysed = told(Story("sanic", EVEN), failed)
    found = answer(analysed, "restarts", "gunicorn-sanic")
    assert (found.text, found.verdict) == ("broken: it keeps starting workers that die", "bad")
    assert analysed.recycling.finding.endswith("gunicorn-sanic is broken.")


def test_requests_per_life(told):
    assert answer(told(Story("sanic", EVEN)), "per_life").text == "100 (100)"
    two = told(Story("sanic", EVEN), Story("sanic", generation(3, 4.0), scenario="slow", max_requests=300))
    assert answer(two, "per_life").text == "100 (100) for N = 100; 400 (400) for N = 300"
    late = answer(told(Story("sanic", EVEN, max_requests=40)), "per_life")
    assert late.verdict == "fair"


def test_several_workers_of_a_server_that_only_ends_have_a_manager(told):
    pair = [Life(1, -2, -1, died=2.0), Life(2, -2, -1), Life(3, 2.1, 2.4)]
    several = Story("uvicorn", pair, workers=2)
    assert answer(told(several), "restarts", "uvicorn").text == "yes, with several workers"
    both = answer(told(several, Story("uvicorn", EVEN)), "restarts", "uvicorn")
    assert (both.text, both.verdict) == ("needs a process manager with 1 worker", "fair")


def test_losses_by_kind_of_connection_and_workers(told):
    pair = [Life(1, -2, -1, died=2.0), Life(2, -2, -1), Life(3, 2.1, 2.4)]
    analysed = told(
        Story("sanic", EVEN),
        Story("sanic", pair, workers=2, lost=(Lost(2.0), Lost(2.1))),
        Story("sanic", EVEN, scenario="index-close", keep_alive=False, lost=(Lost(2.0),)),
        Story("sanic", EVEN, scenario="index-close", keep_alive=False, lost=(Lost(5.0), Lost(5.1)), repeat=2),
    )
    kept = answer(analysed, "keep_alive")
    assert kept.text == "1 worker: 0 of 10 recycles (up to 369); 2 workers: 2,000 (242 to 7,220)"
    assert kept.verdict == "bad" and kept.evidence == ("sanic/index/o100-constant-w2-n100/r1",)
    # 3 in 20 replacements: the repeats are one.
    assert answer(analysed, "close").text.startswith("1 worker: 150 (")
    assert answer(analysed, "close").verdict == "fair"
    assert answer(told(Story("sanic", EVEN)), "keep_alive").verdict == "good"


def test_losses_whose_handler_ran_are_told_apart(told):
    lost = (Lost(2.0), Lost(5.0, far="finished", pid=1005), Lost(6.0, far="started", pid=1006))
    text = answer(told(Story("sanic", EVEN, lost=lost)), "keep_alive").text
    assert text.startswith("1 worker: 300 (") and text.endswith("), of them 200 whose handler ran")


def test_what_is_broken_has_no_price(told):
    broken = Story("sanic", EVEN, max_requests=500, lost=(Lost(2.0),))
    assert answer(told(broken), "keep_alive").text == answer(told(broken), "stall").text == MISSING


def test_the_longest_stall_beside_the_controls(told):
    analysed = told(
        Story("sanic", EVEN),
        Story("sanic", generation(4, 2.0, gap_s=1.2), scenario="slow"),
        Story("sanic", ALONE, "control"),
    )
    found = answer(analysed, "stall")
    assert found.text == "1.21 s (slow, 1 worker; without recycling 10 ms)" and found.verdict == "bad"
    assert found.evidence == ("sanic/slow/o100-constant-w1-n100/r1",)
    assert answer(told(Story("sanic", EVEN)), "stall").text == "10 ms (index, 1 worker)"
    assert answer(told(Story("sanic", EVEN)), "stall").verdict == "good"


def test_a_bound_is_judged_where_the_control_leaks(told):
    leaking = {"scenario": "leak", "leak_mib": 0.5}
    bounded = [Story("sanic", EVEN, **leaking), Story("sanic", ALONE, "control", **leaking)]
    found = answer(told(*bounded), "memory")
    assert found.text.startswith("yes: ") and found.text.endswith("without 600") and found.verdict == "good"
    assert len(found.evidence) == 2
    loose = [Story("sanic", ALONE, **leaking), Story("sanic", ALONE, "control", **leaking)]
    assert answer(told(*loose), "memory").verdict == "bad"
    tight = [Story("sanic", EVEN), Story("sanic", ALONE, "control")]
    assert answer(told(*tight), "memory").text == MISSING
    never = Story("sanic-single", ALONE, "control", **leaking)
    assert answer(told(never), "memory", "sanic-single").text == "no: grew to 600 MiB"


def test_probes_are_told_by_the_worst(told):
    killed = Life(1, -2, -1, died=3.0, exit_status=-9)
    shared = {"workers": 2, "probe": (3.0, 1)}
    back = Story("sanic", [killed, Life(2, -2, -1), Life(3, 3.1, 3.4)], "kill", **shared)
    assert answer(told(back), "kill").text == "another worker after 400 ms, 0 lost"
    gone = Story("sanic", [killed, Life(2, -2, -1)], "kill", repeat=2, lost=(Lost(3.0),), **shared)
    found = answer(told(back, gone), "kill")
    assert (found.text, found.verdict) == ("nothing restarts it, the others serve on, 1 lost", "bad")
    assert found.evidence == ("sanic/index/o100-constant-w2-kill/r2",)


def test_a_server_that_ends_with_its_worker(told):
    killed = [Life(1, -2, -1, died=3.0, exit_status=-9)]
    ends = Story("sanic-single", killed, "kill", probe=(3.0, 1), server_ended=(3.1, -9), seconds=4)
    assert answer(told(ends), "kill", "sanic-single").text == "the server ends, 100 lost"


def test_sigterm(told):
    shared = {"answer_s": 2.0, "probe": (3.0, 99), "rate": 10}
    analysed = told(
        Story("sanic", [Life(1, -2, -1, died=5.1)], "terminate", **shared),
        Story("hypercorn", [Life(1, -2, -1, died=4.0)], "terminate", **shared),
        Story("granian", ALONE, "terminate", failed="no port was free"),
    )
    assert answer(analysed, "terminate").text == "finishes all 21"
    assert answer(analysed, "terminate", "hypercorn").text == "cuts 10 of 21 after 1.00 s"
    assert answer(analysed, "terminate", "granian").text == "not measured: no port was free"


def test_the_finding_names_who_pays_what(told):
    analysed = told(
        Story("sanic", EVEN),
        Story("gunicorn-uvicorn", EVEN, lost=[Lost(2 + i / 100) for i in range(9)]),
        Story("hypercorn", EVEN, lost=[Lost(2 + i / 100) for i in range(18)]),
        Story("gunicorn-sanic", ALONE),
        Story("uvicorn", [Life(1, -2, -1, died=2.0)], server_ended=(2.0, 0)),
    )
    assert analysed.recycling.finding == (
        "sanic replaces workers without losing a request; lost per 1000 recycles: 900 with gunicorn-uvicorn "
        "and 1,800 with hypercorn; gunicorn-sanic does not replace workers; uvicorn is broken."
    )
    assert analysed.verdict.finding == analysed.recycling.finding
    assert analysed.verdict.tables == analysed.verdict.rates == ()
