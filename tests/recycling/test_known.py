"""From sockets to verdicts: servers whose recycling is known, one worker each, measured in one run.

What a server loses and serves is compared with its own books, request by request. Times are not asserted,
but that a stall cannot be shorter than the server's sleep.
"""

import pytest

from tests.recycling.conftest import HERE
from tests.recycling.measured import EDGE_S, measured

N, JITTER, STALL_S = 100, 20, 0.3
RECYCLES = ["honest", "jittered", "lossy", "stalling", "respawned"]
BROKEN = ["early", "dies-at-once", "changing-pid", "exits", "answers-500", "leaks-workers"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The plan, measured once."""
    folder = tmp_path_factory.mktemp("known")
    return measured(folder, HERE / "plan.toml")


def test_every_cell_is_finished_whatever_the_server_did(run):
    assert run.status == 0, run.output
    assert run.study.results.run.status == "finished"
    assert (run.study.results.cells["status"] == "finished").all()


@pytest.mark.parametrize("name", RECYCLES)
def test_one_that_replaces_its_workers_is_said_to(run, name):
    assert run.cell(name).row["verdict"] == "recycles", run.cell(name).row["reason"]
    assert run.cell(name, "control").row["verdict"] == "steady", run.cell(name, "control").row["reason"]


@pytest.mark.parametrize("name", BROKEN)
def test_a_false_positive_is_refused(run, name):
    assert run.cell(name).row["verdict"] == "broken", run.cell(name).row["reason"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("early", "20"),
        ("dies-at-once", "1"),
        ("exits", "ended"),
        ("answers-500", "5xx"),
    ],
)
def test_the_reason_names_what_was_seen(run, name, words):
    assert words in run.cell(name).row["reason"]


def test_one_that_ignores_n_is_not_called_broken(run):
    cell = run.cell("never")
    assert cell.row["verdict"] == "not replaced"
    assert cell.row["replaced"] == 0


@pytest.mark.parametrize("name", [*RECYCLES, "early", "dies-at-once"])
def test_replacements_are_those_of_the_books(run, name):
    low, high = run.cell(name).replaced_by_the_books()
    assert low <= run.cell(name).row["replaced"] <= high
    assert high >= 4


@pytest.mark.parametrize("name", [*RECYCLES, "early", "dies-at-once"])
def test_each_life_served_what_the_books_say(run, name):
    cell = run.cell(name)
    books, lives = cell.ended(), cell.whole_lives()
    assert lives == {pid: books[pid][0] for pid in lives}
    end = cell.facts["window_end"]
    assert set(lives) >= {pid for pid, (_, moment) in books.items() if moment < end - EDGE_S}
    assert (cell.row["served_low"], cell.row["served_high"]) == (min(lives.values()), max(lives.values()))


@pytest.mark.parametrize(
    ("name", "served"),
    [
        ("honest", N),
        ("lossy", N - 1),
        ("stalling", N),
        ("respawned", N),
        ("early", N / 5),
        ("dies-at-once", 1),
    ],
)
def test_requests_per_life(run, name, served):
    row = run.cell(name).row
    assert (row["served_low"], row["served_median"], row["served_high"]) == (served, served, served)
    assert row["overshoot_median"] == served - N
    assert row["jitter_seen"] == 0


def test_jitter_is_seen_where_there_is_some(run):
    row = run.cell("jittered").row
    assert N <= row["served_low"] < row["served_high"] <= N + JITTER
    assert row["jitter_seen"] == row["served_high"] - row["served_low"]


@pytest.mark.parametrize(
    "name",
    [
        "honest",
        "jittered",
        "lossy",
        "stalling",
        "never",
        "early",
        "dies-at-once",
        "changing-pid",
        "leaks-workers",
    ],
)
def test_losses_are_those_of_the_books_one_by_one(run, name):
    for treatment in ("recycled", "control"):
        cell = run.cell(name, treatment)
        assert cell.lost() == cell.lost_by_the_books()
        assert cell.row["lost"] == len(cell.lost())
    assert bool(run.cell(name).lost()) == (name == "lossy")


def test_losses_are_told_apart_by_how_far_their_handler_came(run):
    cell = run.cell("lossy")
    handled = [stage for stage, _ in cell.lost_by_the_books().values()]
    assert min(handled.count(stage) for stage in ("no", "started", "finished")) >= 4
    counted = [cell.row[column] for column in ("lost_not_handled", "lost_started", "lost_finished")]
    assert counted == [handled.count(stage) for stage in ("no", "started", "finished")]
    assert set(cell.frame("losses")["kind"]) == {"closed_unanswered"}


def test_a_loss_belongs_to_the_replacement_of_the_worker_that_handled_it(run):
    cell = run.cell("lossy")
    number_of = dict(
        zip(cell.frame("replacements")["old_pid"], cell.frame("replacements")["number"], strict=True)
    )
    losses = cell.frame("losses")
    of_workers = losses[losses["pid"].isin(number_of)]
    assert len(of_workers) >= 3 * (len(number_of) - 1)
    assert list(of_workers["replacement"]) == [number_of[pid] for pid in of_workers["pid"]]


def test_what_is_lost_for_each_replacement(run):
    row = run.cell("lossy").row
    assert row["per_replacement"] == pytest.approx(row["lost"] / row["replaced"])
    assert row["per_1000"] == pytest.approx(1000 * row["per_replacement"])
    assert row["per_1000_low"] <= row["per_1000"] <= row["per_1000_high"]
    honest = run.cell("honest").row
    assert (honest["per_1000"], honest["per_1000_low"]) == (0, 0)
    assert honest["per_1000_high"] > 0


def test_a_stall_is_at_least_as_long_as_the_server_slept(run):
    cell = run.cell("stalling")
    assert cell.row["gap_s"] >= STALL_S
    inner = cell.frame("replacements").iloc[1:-1]
    assert len(inner) >= 2
    # An answer from before a stall that a busy generator reads late shortens what it sees of the stall: by
    # what it did not look, and by what it waited for a CPU between a look and the clock.
    generator = run.study.results.generator
    deaf_s = generator["loop_lag_ms"][generator["cell"] == cell.number].max() / 1000
    assert (inner["gap_s"] >= 0.9 * STALL_S - deaf_s).all()


def test_what_is_refused_while_the_server_is_started_again_belongs_to_that_replacement(run):
    cell = run.cell("respawned")
    assert set(cell.frame("losses")["handled"]) == {"no"}
    refused = cell.lost_while_down("refused")
    assert len(refused) > 0
    assert list(refused["replacement"]) == list(refused["down_for"])


def test_nobody_restarts_one_that_exits(run):
    cell = run.cell("exits")
    assert cell.facts["server_exit_status"] == 0
    assert cell.ended().popitem()[1][0] == N
    assert (cell.frame("losses")["handled"] == "no").all()


def test_every_request_that_ended_is_answered_or_lost(run):
    for number, row in run.recycling.cells.iterrows():
        trace = run.study.results.trace
        mine = trace[trace["cell"] == number]
        ended = mine[
            (mine["ended"] >= run.study.results.cells.loc[number, "window_start"])
            & (mine["ended"] < run.study.results.cells.loc[number, "window_end"])
        ]
        assert row["requests"] == len(ended)
        assert row["lost"] == ended["kind"].notna().sum()


def test_the_deciding_table_and_the_finding_name_the_broken(run):
    for name in BROKEN:
        assert run.answers(name)["restarts after N"].verdict == "bad", name
        assert name in run.recycling.finding
    for name in RECYCLES[:-1]:
        assert run.answers(name)["restarts after N"].verdict == "good", name
    assert run.answers("honest")["restarts after N"].evidence
