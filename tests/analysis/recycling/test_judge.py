import pandas as pd
import pytest

from analysis.study import study
from tests.fixtures.make_recycling import Life, Lost, Story, generation, make_recycling

# One worker a second, of N = 100 requests.
EVEN = generation(11, 1.0)
LONG = {"seconds": 30}


def verdict(cell, *args, **changes):
    row = cell(Story(*args, **changes))
    return row["verdict"], row["reason"]


def test_workers_that_are_replaced_after_n_requests_recycle(cell):
    assert verdict(cell, "sanic", EVEN, lost=(Lost(3.0),)) == (
        "recycles", "10 replacements after 99 to 100 requests (N = 100); 1 of 1,000 requests lost",
    )  # fmt: skip


def test_jitter_is_named(cell):
    _, reason = verdict(cell, "sanic", EVEN, max_requests=90, max_requests_jitter=15)
    assert "(N = 90, jitter 15)" in reason


def test_served_is_held_against_n(cell):
    row = cell(Story("sanic", EVEN, max_requests=90))
    assert row[["served_low", "served_median", "served_high"]].tolist() == [100, 100, 100]
    assert (row["overshoot_median"], row["jitter_seen"]) == (10, 0)


@pytest.mark.parametrize("asked, judged", [(111, "recycles"), (112, "broken")])
def test_workers_that_end_early_are_no_recycling(cell, asked, judged):
    said, reason = verdict(cell, "hypercorn", EVEN, max_requests=asked)
    assert said == judged
    if judged == "broken":
        assert reason == (
            "10 workers ended after 100 requests, 1.00 s after they were ready (medians), instead of "
            "after 112 requests"
        )


def test_workers_that_die_at_once_are_no_recycling(cell):
    said, reason = verdict(cell, "gunicorn-sanic", generation(200, 0.05), rate=20)
    assert said == "broken" and "workers ended after 1 request, 0.05 s after they were ready" in reason


def test_workers_that_die_before_they_are_ready_are_a_loop(cell):
    stillborn = [Life(50 + i, 2 + i, None, died=2.5 + i, exit_status=1) for i in range(3)]
    said, reason = verdict(cell, "sanic", [*generation(3, 1.5), *stillborn])
    assert said == "broken"
    assert reason == "3 workers died before they were ready, in a loop, while 2 were replaced"
    # Two may be an accident, and so may three beside many that are replaced.
    assert verdict(cell, "sanic", [*generation(3, 1.5), *stillborn[:2]], repeat=2)[0] == "recycles"
    assert verdict(cell, "sanic", [*EVEN, *stillborn], repeat=3)[0] == "recycles"


def test_another_pid_is_no_replaced_worker(cell):
    strangers = [Life(5000 + i, -1 + i, -1 + i, died=float(i), announced=False) for i in range(11)]
    said, reason = verdict(cell, "sanic", [Life(1, -2, None), *strangers])
    assert said == "broken"
    assert reason == (
        "100% of the requests were answered by processes that never announced themselves as workers (11 of "
        "them, 100 requests each): another pid alone is not a replaced worker"
    )


def test_a_server_that_ends_was_not_replaced(cell):
    workers = [Life(1, -2, -1, died=2.0)]
    assert verdict(cell, "uvicorn", workers, server_ended=(2.0, 0)) == (
        "broken",
        "the server ended by itself 2.0 s into the window (exit status 0) after 300 requests, and nothing "
        "restarted it",
    )


def test_its_exit_status_may_be_unknown_and_its_end_in_the_warm_up(cell):
    _, reason = verdict(cell, "uvicorn", [Life(1, -2, -1, died=-0.5)], server_ended=(-0.5, None))
    assert reason.startswith("the server ended by itself in the warm-up after 50 requests")


@pytest.mark.parametrize("count, judged", [(10, "recycles"), (11, "broken")])
def test_answers_of_500_are_no_service(cell, count, judged):
    errors = tuple(Lost(2 + i / 100, "http_5xx", "finished", 1003) for i in range(count))
    said, reason = verdict(cell, "sanic", EVEN, lost=errors)
    assert said == judged
    if judged == "broken":
        assert reason == "11 of 1,000 requests were answered with an error of the server (5xx)"


def test_other_losses_are_a_price_and_no_flaw(cell):
    assert verdict(cell, "sanic", EVEN, lost=[Lost(2 + i / 100) for i in range(300)])[0] == "recycles"


def test_workers_that_nobody_comes_for(cell):
    workers = [Life(1, -2, -1, died=3.0), Life(2, -2, -1, died=6.0), Life(3, 3.1, 3.4)]
    said, reason = verdict(cell, "sanic", workers, workers=2, **LONG)
    assert (said, reason) == ("broken", "1 worker ended without a successor within 10 s")
    # The window may end before a successor comes.
    assert verdict(cell, "sanic", workers, workers=2, seconds=12, repeat=2)[0] == "recycles"


def test_workers_that_live_on_beside_their_successors(cell):
    # All of the first 30 are there at once: more than the two there may be while one takes the other's place.
    left = [Life(i, i - 1.3, i - 1.0) for i in range(4)]
    said, reason = verdict(cell, "sanic", left)
    assert (said, reason) == (
        "broken",
        "4 workers were alive at the end instead of 1: old ones live on",
    )
    lingering = [Life(1, -2, -1), Life(2, 2, 2.3)]
    assert verdict(cell, "sanic", lingering, repeat=2, seconds=9)[0] == "not replaced"
    said, reason = verdict(cell, "sanic", [Life(1, -2, -1), Life(2, 2, 2.3)], repeat=3, **LONG)
    assert said == "broken" and "2 workers were alive at the end" in reason


def test_nobody_replaced_says_what_they_served(cell):
    pair = [Life(1, -2, -1), Life(2, -2, -1)]
    assert verdict(cell, "gunicorn-sanic", pair, workers=2, shares={1: 4}) == (
        "not replaced", "no worker was replaced, although they served 880, 220 requests (N = 100)",
    )  # fmt: skip
    said, reason = verdict(cell, "gunicorn-sanic", pair, workers=2, max_requests=500, repeat=2)
    assert said == "not replaced" and reason.endswith("served 550, 550 requests, too few to tell (N = 500)")


MEMORY = {"max_requests": None, "max_requests_jitter": None, "max_rss_mib": 60.0}


def test_recycling_by_memory_is_held_against_the_limit(cell):
    said, reason = verdict(cell, "granian", EVEN, leak_mib=0.3, **MEMORY)
    assert said == "recycles"
    assert reason.startswith("10 replacements at 6") and "MiB (limit: 60), after 100 req" in reason
    said, reason = verdict(cell, "granian", EVEN, repeat=2, **MEMORY)
    assert said == "broken" and reason == "10 workers ended at 40.0 MiB instead of at 60 MiB"
    said, reason = verdict(cell, "granian", [Life(1, -2, -1)], repeat=3, **MEMORY)
    assert said == "not replaced"
    assert reason == "no worker was replaced: the largest had 40.0 MiB, the limit was 60"


def test_memory_that_nobody_saw_proves_nothing(cell):
    short = [Life(i, i / 4 + 0.03, i / 4 + 0.05, died=i / 4 + 0.2) for i in range(5)]
    said, reason = verdict(cell, "granian", [*short, Life(99, 1.4, 1.5)], **MEMORY)
    assert said == "broken" and "ended before their memory could be read" in reason


def test_a_control_is_steady_or_broken(cell):
    assert verdict(cell, "sanic", [Life(1, -2, -1)], "control") == ("steady", "0 of 1,000 requests lost")
    assert verdict(cell, "sanic", generation(3, 4.0), "control", repeat=2) == (
        "broken", "2 workers ended although nothing told them to",
    )  # fmt: skip
    said, _ = verdict(cell, "sanic", [Life(1, -2, -1, died=3.0)], "control", repeat=3, server_ended=(3.0, 1))
    assert said == "broken"


KILLED = Life(1, -2, -1, died=3.0, exit_status=-9)


def test_a_killed_worker_may_be_replaced(cell):
    row = cell(
        Story("uvicorn", [KILLED, Life(2, -2, -1), Life(3, 3.1, 3.4)], "kill", workers=2, probe=(3.0, 1))
    )
    assert row["verdict"] == "recovers" and row["recovery_s"] == pytest.approx(0.4)
    assert row["reason"].startswith("another worker was ready after 0.40 s; 0 requests lost, ")


def test_or_the_others_serve_on(cell):
    row = cell(
        Story("sanic", [KILLED, Life(2, -2, -1)], "kill", workers=2, probe=(3.0, 1), lost=(Lost(3.0),))
    )
    assert row["verdict"] == "degraded"
    assert row["reason"].startswith("no worker came within 7 s; 1 of 2 served on; 1 request lost, ")


def test_or_nobody_serves(cell):
    assert (
        verdict(cell, "sanic-single", [KILLED], "kill", probe=(3.0, 1), server_ended=(3.1, -9))[0] == "ends"
    )
    said, reason = verdict(cell, "sanic-single", [KILLED], "kill", probe=(3.0, 1), repeat=2)
    assert said == "ends" and "nothing answered at the end" in reason


def test_losses_before_the_signal_are_not_the_probes(told):
    story = Story(
        "sanic", [KILLED, Life(2, -2, -1)], "kill", workers=2, probe=(3.0, 1), lost=(Lost(1.0), Lost(4.0))
    )
    losses = told(story).recycling.losses
    assert losses["in_probe"].tolist() == [False, True]


def told_to_end(configuration, died, **changes):
    """A server that is told to end at 3.0; each request takes two seconds."""
    fields = {"answer_s": 2.0, "probe": (3.0, 99), "rate": 10} | changes
    return Story(configuration, [Life(1, -2, -1, died=died)], "terminate", **fields)


def test_requests_in_flight_are_answered(cell):
    row = cell(told_to_end("sanic", 5.1))
    # Sent from 1.0 to 3.0; what was sent later met a server that had been told to end.
    assert row["in_flight"] == row["answered"] == 21
    assert (row["verdict"], row["reason"]) == ("finishes", "all 21 requests in flight were answered")


def test_or_cut(cell):
    row = cell(told_to_end("hypercorn", 4.0))
    assert (row["verdict"], row["in_flight"], row["answered"]) == ("cuts", 21, 11)
    assert row["cut_after_s"] == pytest.approx(1.0) and row["lost"] == 10
    assert row["reason"] == "11 of 21 requests in flight were answered, 10 were cut, the first after 1.0 s"


def test_or_neither(cell):
    row = cell(told_to_end("sanic", None, slow={2.5: 60.0}))
    assert row["verdict"] == "cuts"
    assert row["reason"] == "20 of 21 requests in flight were answered, 1 had neither when the cell ended"


def test_an_answer_that_was_made_and_never_came_is_one_request(tmp_path):
    folder = make_recycling(tmp_path / "run", [told_to_end("sanic", None, slow={2.5: 60.0})])
    (path,) = folder.rglob("requests.csv")
    log = pd.read_csv(path, dtype=str)
    ended = pd.read_csv(next(folder.rglob("trace.csv")), dtype=str)["id"]
    unanswered = log[
        ~log["id"].isin(ended) & (log["time"].astype(float) < log["time"].astype(float).min() + 3.8)
    ]
    assert unanswered["event"].tolist() == ["started"]
    pd.concat([log, unanswered.assign(event="finished")]).to_csv(path, index=False)
    assert study(folder).recycling.cells["in_flight"].tolist() == [21]


def test_nothing_in_flight_says_nothing(cell):
    assert verdict(cell, "sanic", [Life(1, -2, -1)], "terminate", probe=(3.5, 99), rate=1)[0] == "unknown"
    said, reason = verdict(cell, "sanic", [Life(1, -2, -1)], "kill", repeat=2)
    assert (said, reason) == ("unknown", "no worker was killed")
