import pytest

from bench.studies.replay import figures


@pytest.fixture
def two_processes(make):
    """Two processes with two requests each, 0.2 s apart; the first request takes 0.6 s, the second 0.4 s."""

    def rows(shift, connect_s):
        return [
            make.asked(0.2 + shift, 0.3 + shift, 0.7 + shift, 0.8 + shift, connect_s),
            make.asked(0.8 + shift, 0.9 + shift, 1.1 + shift, 1.2 + shift),
        ]

    return [
        make.task(11, 0.1, 0.2, 1.2, rows(0.0, 0.05), cpu_s=0.15),
        make.task(12, 0.3, 0.4, 1.4, rows(0.2, 0.07), cpu_s=0.05),
    ]


def test_the_four_readings_of_the_mean(make, two_processes):
    means = figures.figures(make.report(two_processes), 0.3).means
    assert means.loop == pytest.approx(500)  # 1.0 s for two requests
    assert means.task == pytest.approx(550)  # 1.1 s, with the client
    assert means.pool == pytest.approx(750)  # 1.5 s for the two requests of a process
    assert means.all == pytest.approx(375)  # 1.5 s for all four


def test_cpu_time_is_per_request_and_per_second_of_sending(make, two_processes):
    found = figures.figures(make.report(two_processes, recorded=False), 0.3)
    assert (found.requests, found.processes) == (4, 2)
    assert (found.first_request_s, found.last_process_s) == (0.2, 0.4)
    assert found.sending_s == pytest.approx(1.2)
    assert found.client_cpu_us == pytest.approx(50_000) and found.server_cpu_us == pytest.approx(75_000)
    assert found.clients_busy == pytest.approx(0.2 / 1.2) and found.server_busy == pytest.approx(0.25)
    assert found.steps is None


def test_where_the_time_of_recorded_requests_went(make, two_processes):
    found = figures.figures(make.report(two_processes), 0.3).steps
    assert found.connections == 2 and found.connect_ms == pytest.approx(60)
    assert found.first_ms == pytest.approx(600) and found.later_ms == pytest.approx(400)
    assert [found.before_ms, found.waiting_ms, found.after_ms] == pytest.approx([100, 300, 100])


def test_how_many_were_under_way_at_once(make, two_processes):
    found = figures.figures(make.report(two_processes), 0.3).steps
    # Called: 0.2 to 1.2 and 0.4 to 1.4, so both from 0.4 to 1.2.
    assert found.called.mean == pytest.approx(2.0 / 1.2)
    assert found.called.peak == 2 and found.called.together == pytest.approx(0.8 / 1.2)
    # Unanswered: 0.3 to 0.7, 0.9 to 1.1 and 0.5 to 0.9, 1.1 to 1.3, so both from 0.5 to 0.7.
    assert found.waiting.mean == pytest.approx(1.0)
    assert found.waiting.together == pytest.approx(0.2 / 1.2)
    assert found.most_in_a_process == 1


def test_requests_of_one_process_at_once_would_be_seen(make, two_processes):
    one = [two_processes[0], two_processes[1].model_copy(update={"pid": 11})]
    found = figures.figures(make.report(one), 0.3)
    assert found.processes == 1 and found.steps.most_in_a_process == 2


def test_a_single_request_has_no_later_ones(make):
    alone = [make.task(11, 0.0, 0.1, 0.2, [make.asked(0.1, 0.12, 0.18, 0.2)])]
    found = figures.figures(make.report(alone, requests=1), 0.1).steps
    assert found.later_ms is None and found.connect_ms is None and found.connections == 0


def test_an_execution_in_which_a_request_failed_has_no_figures(make, two_processes):
    bad = [make.task(13, 0.1, 0.2, 1.2, [], failures={"ConnectError": 2}), two_processes[1]]
    report = make.report(
        [*bad, make.task(14, 0.1, 0.2, 0.3, [], failures={"ConnectError": 1, "status 503": 1})]
    )
    assert figures.failures(report) == {"ConnectError": 3, "status 503": 1}
    assert figures.figures(report, 0.3) is None


def test_what_ends_when_another_begins_does_not_overlap_it():
    found = figures.occupancy([(1.0, 2.0), (2.0, 3.0)], 0.0, 4.0)
    assert (found.mean, found.peak, found.together) == (0.5, 1, 0.0)


def test_three_at_once_count_as_together_once():
    found = figures.occupancy([(0.0, 4.0), (1.0, 3.0), (1.0, 2.0)], 0.0, 4.0)
    assert (found.mean, found.peak, found.together) == (7 / 4, 3, 0.5)
