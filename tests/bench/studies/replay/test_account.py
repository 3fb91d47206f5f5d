import pytest

from bench.model.records.replay import Failed, Occupancy
from bench.studies.replay.account import account
from bench.studies.replay.figures import Summary

LEGACY, OLD = "gunicorn-uvicorn-legacy", "gunicorn-sanic"


def text(replay):
    return "\n".join(account(Summary(replay)))


@pytest.fixture
def both(make):
    """Two repeats of the two compared workers; keys change the figures, `slower` the mean of the second."""

    def both(slower=1.0, **changes):
        found = []
        for repeat in (1, 2):
            found += make.executions(OLD, repeat, 20.0, **changes)
            found += make.executions(LEGACY, repeat, 20.0 * slower, **changes)
        return found

    return both


def test_clients_that_keep_their_cpus_busy_are_what_was_measured(make, both):
    said = text(make.replay(both()))
    assert (
        "took its client 600 µs of CPU time and the server 60 µs: the clients used 10.0 times as much" in said
    )
    assert "The server was busy for 10% of the time" in said
    assert "Pinned, a request" in said and "Not pinned, a request" in said
    assert "With every configuration, the clients kept their CPUs 96% busy" in said
    # Not pinned: 1.8 + 0.1 CPU seconds a second on two CPUs, of which the server's are 60 of 660 µs.
    assert "clients and server together kept all CPUs 95% busy" in said and "the server's is 9%" in said


def test_a_server_at_its_limit_is_named(make, both):
    found = both() + make.executions("slow", 1, server_busy=0.93, clients_busy=0.4)
    said = text(make.replay(found))
    assert "With slow, the server was at its limit (93% busy)" in said
    assert f"With {OLD}, {LEGACY}, the clients kept their CPUs 96% busy" in said


def test_where_nothing_was_busy_the_cause_cannot_be_told(make, both):
    said = text(make.replay(both(server_busy=0.2, clients_busy=0.3)))
    assert "neither the server nor the CPUs of the clients (30% busy)" in said
    assert "cannot be told from CPU times" in said and "the mean follows" not in said


def test_connections_that_are_kept(make, both):
    said = text(make.replay(both()))
    assert "Connections opened by each process: 1, for each request 0.01; it kept the one it had." in said


def test_connections_that_are_not_kept(make, both):
    said = text(make.replay(both(recorded=make.steps(connections=3200))))
    assert "Connections opened by each process: 100, for each request 1." in said and "it kept" not in said


def test_the_first_request_and_its_share_of_the_mean(make, both):
    said = text(make.replay(both()))
    # 10 ms more, once in 100 requests of 20 ms.
    assert "took 30.0 ms, 0.50 ms of it to open the connection, a later one 20.0 ms" in said
    assert "that changed the mean by +0.5%" in said


def test_the_start_of_the_pool(make, both):
    said = text(make.replay(both()))
    assert "began to send 50 ms after the pool was about to be made, the last one after 200 ms" in said
    assert "20% of the mean was no request" in said  # 1 - 1 / 1.25


def test_a_client_for_each_request(make, both):
    own = make.figures(300.0, client_cpu_us=19_000.0, server_cpu_us=1_000.0)
    found = both() + [make.execution(OLD, repeat, own, client="request") for repeat in (1, 2)]
    said = text(make.replay(found))
    assert "15.0 times as long" in said and "19.0 ms of CPU time" in said and "5.0% of both" in said
    assert "With a client made" not in text(make.replay(both()))


@pytest.mark.parametrize(
    ("together", "verdict"),
    [
        (0.9, "do make simultaneous requests"),
        (0.3, "for a part of the time"),
        (0.02, "hardly any simultaneous requests"),
    ],
)
def test_whether_requests_were_simultaneous_follows_from_the_data(make, both, together, verdict):
    waiting = Occupancy(mean=1.5, peak=9, together=together)
    said = text(make.replay(both(recorded=make.steps(waiting=waiting))))
    assert "the 32 together had 30.0 on average, of which 1.5 had been sent and not answered" in said
    assert verdict in said and "the server had nothing to do for 90% of the time" in said


def test_without_recorded_executions_that_cannot_be_told(make, both):
    said = text(make.replay([each for each in both() if not each.recorded]))
    assert "How many connections were opened cannot be told" in said
    assert "whether requests were simultaneous cannot be told" in said
    assert "Recording" not in said


def test_failed_requests_are_told_and_have_no_figures(make, both):
    bad = make.execution("bad", 1, None, failures={"ReadTimeout": 3, "status 503": 1})
    said = text(make.replay([*both(), bad]))
    assert "4 requests failed (ReadTimeout, status 503) in 1 of 17 executions" in said
    assert "No request failed in 16 executions." in text(make.replay(both()))


def test_what_is_missing_is_told(make, both):
    failed = Failed(configuration="sanic", repeat=2, block="pinned", reason="sanic did not start:\n  log")
    missing = {"configuration": "granian", "reason": "no wheel", "remedy": "another machine"}
    said = text(make.replay(both(), status="interrupted", failed=[failed], unavailable=[missing], repeats=1))
    assert "not finished" in said and "one repeat" in said
    assert "Not measured: sanic, pinned, repeat 2: sanic did not start." in said
    assert "Unavailable: granian: no wheel." in said


def test_a_process_that_did_the_work_of_two_is_told(make, both):
    assert "the work of two" in text(make.replay(both(processes=31)))
    assert "the work of two" not in text(make.replay(both()))


def test_a_machine_that_was_not_quiet_is_told(make, both):
    busy = make.execution("sanic", 1, make.figures(), others_busy=0.6)
    assert "took up to 60% of the CPUs" in text(make.replay([*both(), busy]))
    assert "Other programs took at most 1% of the CPUs." in text(make.replay(both()))


def test_nothing_at_all_is_no_error(make):
    said = text(make.replay([]))
    assert "nothing was measured" in said and "too few configurations" in said
    assert "which of them is faster cannot be told" in said


def test_the_order_of_the_two_methods(make, both):
    cells = [
        make.beside(name, repeat, rate)
        for repeat in (1, 2)
        for name, rate in ((OLD, 10_000), (LEGACY, 20_000))
    ]
    said = text(make.replay(both(slower=1.2), cells))
    assert f"{LEGACY} takes 1.20 times as long as {OLD}" in said
    assert f"{OLD} takes 2.00 times as long as {LEGACY}" in said
    assert "Of 1 pairs of configurations 0 come in the same order." in said
    assert "Of 1 pairs of configurations 1 come in the same order." in text(
        make.replay(both(slower=0.9), cells)
    )


def test_the_pair_by_both_methods(make, both):
    cells = [
        make.beside(name, repeat, rate)
        for repeat in (1, 2)
        for name, rate in ((OLD, 10_000), (LEGACY, 20_000))
    ]
    said = text(make.replay(both(slower=1.2), cells))
    assert f"The old mean of {LEGACY} is 1.20 (1.20 to 1.20) not pinned and 1.20" in said
    assert "the suite measures 0.50 (0.50 to 0.50) times the time per request" in said
    assert "were 1.20 apart" in said and "do not agree" not in said


def test_repeats_that_do_not_agree_are_told(make):
    cells = [make.beside(name, repeat, 10_000) for repeat in (1, 2) for name in (OLD, LEGACY)]
    found = []
    for repeat, loop in ((1, 18.0), (2, 22.0)):
        found += make.executions(OLD, repeat, 20.0) + make.executions(LEGACY, repeat, loop)
    said = text(make.replay(found, cells))
    assert "Pinned, the repeats do not agree" in said and "Not pinned, the repeats do not agree" in said


def test_what_recording_cost(make, both):
    found = [
        each.model_copy(update={"figures": each.figures.model_copy(update={"means": double(each)})})
        if each.recorded
        else each
        for each in both()
    ]
    assert "Recording made the mean 2.00 times as long" in text(make.replay(found))


def double(each):
    return each.figures.means.model_copy(update={"loop": each.figures.means.loop * 2})
