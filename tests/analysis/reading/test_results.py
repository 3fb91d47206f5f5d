import json
import re
import shutil

import pandas as pd
import pytest

from analysis.reading import frames, results
from bench.model.errors import UserError
from bench.model.records.columns import FILES
from tests.fixtures.make_run import EPOCH, Open, Search


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def cell_folder(run):
    return run / "sanic" / "index" / "c64-w1" / "r1"


def wrong(folder):
    """What is wrong with the damaged cells of a run, of which others are left."""
    loaded = results.load(folder)
    assert set(loaded.finished["configuration"]) == {"uvicorn"}
    (why,) = loaded.damage.cells.values()
    return why


def test_every_frame_carries_the_dimensions_of_its_cell(small):
    loaded = results.load(small)
    assert len(loaded.cells) == 3 * 3 * 3
    for name in ("latencies", "generator", "processes", "host"):
        frame = getattr(loaded, name)
        assert len(frame), name
        row = frame.iloc[-1]
        cell = loaded.cells.loc[row["cell"]]
        dimensions = frames.DIMENSIONS[1:]
        pd.testing.assert_series_equal(
            row[dimensions], cell[dimensions], check_names=False, check_dtype=False
        )


def test_latencies_and_failures_are_cut_to_the_window(run):
    folder = run(configurations=("gunicorn-asgi",), repeats=1, seconds=3)
    loaded = results.load(folder)
    start, end = loaded.cells.loc[0, ["window_start", "window_end"]]
    assert set(loaded.latencies["second"]) == {start, start + 1, start + 2}
    assert end == start + 3
    assert set(loaded.failures["time"]) == {start + 0.5, start + 1.5, start + 2.5}
    # The warm-up is in the file, so the cut did something.
    assert f"\n{int(start) - 1}," in next(folder.rglob("latency.csv")).read_text()


def test_a_missing_value_is_missing_and_not_zero(run):
    loaded = results.load(run(repeats=1))
    memory = loaded.processes["pss_bytes"]
    assert memory.isna().any() and (memory.dropna() > 0).all()


def test_texts_that_look_like_numbers_stay_texts(run):
    folder = run(repeats=1)
    for latency in folder.rglob("latency.csv"):
        latency.write_text(latency.read_text().replace("/index", "404"))
    assert set(results.load(folder).latencies["name"]) == {"404"}


def test_no_run_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"no results in .*: run `make bench` first"):
        results.load(tmp_path)
    with pytest.raises(UserError, match=r"no results in .*: run `make bench` first"):
        results.latest(tmp_path / "nowhere")


def test_latest_goes_by_the_start_of_the_run(run, tmp_path):
    first = run(repeats=1)
    second = tmp_path / "results" / "a-later-run"
    shutil.copytree(first, second)
    edit(second / "run.json", started=EPOCH + 1000)
    assert results.latest(tmp_path / "results") == second


@pytest.mark.parametrize(
    "name",
    sorted(name for name, file in FILES.items() if not file.of_some),
)
def test_a_missing_file_is_named(run, name):
    folder = run(repeats=1)
    (cell_folder(folder) / f"{name}.csv").unlink()
    assert wrong(folder) == f"sanic/index/c64-w1/r1/{name}.csv is missing"


@pytest.mark.parametrize(
    "name",
    sorted(name for name, file in FILES.items() if not file.of_some),
)
def test_an_empty_file_is_named(run, name):
    folder = run(repeats=1)
    (cell_folder(folder) / f"{name}.csv").write_text("")
    assert wrong(folder) == f"sanic/index/c64-w1/r1/{name}.csv is empty"


def test_a_broken_value_and_a_missing_column_are_named(run):
    folder = run(repeats=1)
    latency = cell_folder(folder) / "latency.csv"
    whole = latency.read_text()
    latency.write_text(whole + "later,GET,/index,service,1.0,1\n")
    assert re.search(r"latency\.csv, line \d+: second is no whole number: 'later'$", wrong(folder))
    latency.write_text(whole.replace("bucket_us", "bucket", 1))
    assert "latency.csv has no column bucket_us" in wrong(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("{", "is not JSON"),
        ("[]", "has results schema None, this version of Whichworker reads 3"),
        ('{"schema": 2}', "has results schema 2, this version of Whichworker reads 3"),
        ('{"schema": 3}', "Field required"),
    ],
)
def test_broken_json_is_named(run, text, message):
    """Without run.json there is no run, without a cell.json there are the other cells."""
    folder = run(repeats=1)
    path = cell_folder(folder) / "cell.json"
    whole = path.read_text()
    path.write_text(text)
    assert re.search(f"^sanic/index/c64-w1/r1/cell.json.*{message}", wrong(folder))
    path.write_text(whole)
    (folder / "run.json").write_text(text)
    with pytest.raises(UserError, match=f"run.json.*{message}"):
        results.load(folder)


def test_a_finished_cell_must_have_a_window(run):
    folder = run(repeats=1)
    edit(cell_folder(folder) / "cell.json", window=None)
    assert "a finished cell needs window, server, generator and measured" in wrong(folder)
    edit(cell_folder(folder) / "cell.json", window={"start": 2, "end": 2})
    assert "ends before it starts" in wrong(folder)


@pytest.mark.parametrize("status", ["running", "interrupted"])
def test_a_partial_run_is_read_with_a_note(run, status):
    folder = run(status=status)
    shutil.rmtree(folder / "sanic" / "index" / "c64-w1" / "r3")
    # A cell that is being measured has files, but no cell.json yet.
    (folder / "uvicorn" / "index" / "c64-w1" / "r3" / "cell.json").unlink()
    loaded = results.load(folder)
    assert len(loaded.cells) == 4
    assert loaded.notes == (
        f"This run is not complete ({status}): 4 of 6 cells are here. Resume it for the rest.",
    )
    assert results.load(run_again(folder)).notes == ()


def run_again(folder):
    edit(folder / "run.json", status="finished")
    return folder


def test_a_failed_cell_keeps_its_reason_and_needs_no_files(run):
    loaded = results.load(run(failed=frozenset({("uvicorn", "index")})))
    failed = loaded.cells[loaded.cells["status"] == "failed"]
    assert set(failed["reason"]) == {"the server ended by itself (exit status 1)"}
    assert failed["window_start"].isna().all()
    assert set(loaded.finished["configuration"]) == {"sanic"} == set(loaded.latencies["configuration"])


def test_a_run_without_a_finished_cell_says_why(run):
    folder = run(failed=frozenset({("sanic", "index"), ("uvicorn", "index")}), repeats=1)
    with pytest.raises(UserError, match=r"all 2 cells of .* failed; the first: the server ended"):
        results.load(folder)
    for cell in folder.rglob("cell.json"):
        cell.unlink()
    with pytest.raises(UserError, match="has no finished cell yet"):
        results.load(folder)


def test_open_loads_and_steps_of_searches_are_told_from_closed_loops(run):
    folder = run(
        open={"index": (Open((2500,), "poisson", users=32),)}, searches={"index": Search(1.0)}, repeats=1
    )
    loaded = results.load(folder)
    cells = loaded.cells[loaded.cells["configuration"] == "sanic"]
    closed, opened, steps = (
        cells[cells["load_kind"] == "closed"],
        cells[(cells["load_kind"] == "open") & cells["search_p99_ms"].isna()],
        cells[cells["search_p99_ms"].notna()],
    )
    assert closed["users"].tolist() == [64]
    assert closed[["arrivals", "rate_per_s"]].isna().all(axis=None)
    assert opened[["arrivals", "rate_per_s", "users"]].to_numpy().tolist() == [["poisson", 2500.0, 32]]
    assert set(steps["search_p99_ms"]) == {1.0} and len(steps) > 3
    # The kinds of latency of open loops are in the frames, with the load of their cell.
    rows = loaded.latencies[loaded.latencies["rate_per_s"] == 2500]
    assert set(rows["kind"]) == {"service", "from_schedule", "lateness"}
    assert set(rows["arrivals"]) == {"poisson"}
    # How arrivals come is no count of them: the counter has another name in the frame.
    generator = loaded.generator[loaded.generator["rate_per_s"] == 2500]
    assert set(generator["arrivals"]) == {"poisson"} and generator["due"].max() == 3 * 2500


def test_seconds_are_whole_and_begin_in_the_warm_up(run):
    folder = run(
        configurations=("gunicorn-asgi",), repeats=1, noise=0, warmup_s=3, seconds=2, shape=(0.1, 0.5)
    )
    loaded = results.load(folder)
    start = int(loaded.cells.loc[0, "window_start"])
    seconds = loaded.seconds
    # The first of the warm-up began before its load did, and what came after the window is nobody's.
    assert seconds["second"].tolist() == [start - 2, start - 1, start, start + 1]
    assert seconds["in_window"].tolist() == [False, False, True, True]
    per_second = round(0.985e6 / 60)
    all_requests = (seconds["requests"] + seconds["failures"]).tolist()
    assert all_requests == [round(per_second * 0.5), per_second, per_second, per_second]
    assert (seconds["failures"] > 0).all()


def test_a_second_without_an_answer_counts_as_none(run):
    folder = run(configurations=("sanic",), repeats=1, seconds=3)
    start = int(results.load(folder).cells.loc[0, "window_start"])
    (latency,) = folder.rglob("latency.csv")
    lines = latency.read_text().splitlines()
    kept = [line for line in lines if not line.startswith((f"{start + 1},", f"{start - 1},"))]
    latency.write_text("\n".join(kept) + "\n")
    # Neither the stalled second is missing, nor the first of the window, before which nothing was answered.
    seconds = results.load(folder).seconds
    assert seconds["second"].tolist() == [start, start + 1, start + 2]
    assert (seconds["requests"] > 0).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"search": {"p99_ms": 5.0, "resolution": 0.1}}, "a step of a search is an open loop"),
        ({"load": {"kind": "half-open", "users": 3}}, "load: .*half-open"),
        (
            {"load": {"kind": "open", "users": 3, "arrivals": "constant"}},
            "load.open.rate_per_s: Field required",
        ),
        (
            {"load": {"kind": "open", "users": 3, "arrivals": "evenly", "rate_per_s": 5}},
            "load.open.arrivals: .*poisson",
        ),
    ],
)
def test_a_load_that_makes_no_sense_is_named(run, changes, message):
    folder = run(repeats=1)
    edit(cell_folder(folder) / "cell.json", **changes)
    assert re.search(rf"cell\.json: .*{message}", wrong(folder))


def test_ceilings_are_read(run):
    (ceiling,) = results.load(run(repeats=1, ceilings={"index": 150_000.0})).run.ceilings
    assert (ceiling.scenario, ceiling.users, ceiling.requests_per_s, ceiling.at_least) == (
        "index", 64, 150_000.0, False,
    )  # fmt: skip
