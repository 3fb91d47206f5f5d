import numpy as np
import pandas as pd

from analysis.reading.frames import DIMENSIONS
from analysis.recycling.model import CELLS, LIVES, LOSSES, REPLACEMENTS
from analysis.study import study
from tests.fixtures.make_recycling import MIB, Life, Lost, Story, generation, make_recycling
from tests.fixtures.make_run import Spec, make_run

# A worker a second, each of which serves the 100 requests of that second.
EVEN = generation(11, 1.0)


def test_frames_have_the_columns_they_promise(told):
    recycling = told(Story("sanic", EVEN)).recycling
    for frame, columns in (
        (recycling.lives, LIVES), (recycling.replacements, REPLACEMENTS), (recycling.losses, LOSSES),
    ):  # fmt: skip
        assert list(frame) == [*DIMENSIONS, *columns]
        assert frame[list(columns)].dtypes.astype(str).to_dict() == columns
    assert list(recycling.cells) == [*DIMENSIONS[1:], *CELLS] and recycling.cells.index.name == "cell"


def test_a_run_without_recycling_has_none(tmp_path):
    spec = Spec(configurations=("sanic",), scenarios={"index": (8,)}, repeats=1)
    analysed = study(make_run(tmp_path / "run", spec))
    assert analysed.recycling is None
    assert analysed.results.trace.empty and analysed.results.handled.empty
    assert "kind" in analysed.results.trace and "event" in analysed.results.handled


def test_every_life_has_its_times_and_requests(told):
    lives = told(Story("sanic", EVEN)).recycling.lives.set_index("pid")
    start = told_start(lives)
    assert list(lives.index) == list(range(1000, 1011))
    # The first is ready a second before the window, the last lives on.
    np.testing.assert_allclose(lives["ready"] - start, np.arange(-1, 10), atol=1e-5)
    np.testing.assert_allclose(lives["born"] - start, np.arange(-1, 10) - 0.3, atol=1e-5)
    np.testing.assert_allclose(lives["died"].iloc[:10] - start, np.arange(10), atol=1e-5)
    assert np.isnan(lives.loc[1010, "died"])
    assert (lives["served"].iloc[:10] == 100).all() and (lives["exit_status"].iloc[:10] == 0).all()
    assert lives["whole"].tolist() == [True] * 10 + [False]
    assert (lives["rss_peak_bytes"].iloc[:10] == 40 * MIB).all()
    np.testing.assert_allclose(lives.loc[1003, ["first", "last"]].astype(float) - start, [2.0001, 2.9918])


def told_start(lives):
    """The start of the window, to which generations are told."""
    return lives["ready"].iloc[0] + 1


def test_a_death_after_the_window_is_the_end_of_the_cell(told):
    lives = told(Story("sanic", [*EVEN[:-1], Life(1010, 8.7, 9.0, died=10.1)])).recycling.lives
    assert lives[lives["pid"] == 1010]["died"].isna().all()
    assert not lives["whole"].iloc[-1]


def test_a_handler_that_began_and_one_that_finished_differ(told):
    lost = (Lost(2.5, far="started", pid=1003), Lost(2.6, far="finished", pid=1003), Lost(2.7))
    lives = told(Story("sanic", EVEN, lost=lost)).recycling.lives.set_index("pid")
    # Of 100 requests one was begun and not finished, and one met no handler.
    assert lives.loc[1003, ["served", "started"]].tolist() == [98, 99]


def test_processes_that_answer_without_being_known_have_lives_of_their_own(told):
    lives = told(Story("sanic", [Life(1, -2, -1), Life(2, -2, -1, announced=False)])).recycling.lives
    stranger = lives[lives["pid"] == 2].iloc[0]
    assert pd.isna(stranger["ready"]) and stranger["served"] > 500 and not stranger["whole"]


def test_ids_are_told_apart_by_cell(tmp_path):
    stories = [Story("sanic", EVEN, repeat=1), Story("sanic", generation(1, 1.0, pid=7), repeat=2)]
    lives = study(make_recycling(tmp_path / "run", stories)).recycling.lives
    assert lives.groupby("cell")["served"].sum().tolist() == [1100, 1100]
    assert set(lives[lives["pid"] == 7]["repeat"]) == {2}


def test_a_killed_worker_did_not_die_by_itself(told):
    two = [Life(1, -2, -1, died=3.0, exit_status=-9), Life(2, -2, -1), Life(3, 3.0, 3.4)]
    lives = told(Story("sanic", two, "kill", workers=2, probe=(3.0, 1))).recycling.lives
    assert not lives["whole"].any()
    assert lives.set_index("pid")["exit_status"][1] == -9


def test_nor_did_those_of_a_server_that_was_told_to_end(told):
    ended = [Life(1, -2, -1, died=1.0), Life(2, 0.7, 1.0, died=4.0)]
    lives = told(Story("sanic", ended, "terminate", probe=(3.0, 99))).recycling.lives
    assert lives["whole"].tolist() == [True, False]
