from bench.cli.trust.replay import markdown
from bench.model.records.replay import Replay
from bench.studies.replay.figures import Summary
from bench.studies.replay.tables import tables

LEGACY, OLD = "gunicorn-uvicorn-legacy", "gunicorn-sanic"


def measured(make):
    found, cells = [], []
    for repeat in (1, 2, 3):
        found += make.executions(OLD, repeat, 20.0 + repeat) + make.executions(
            LEGACY, repeat, 2 * (20.0 + repeat)
        )
        cells += [make.beside(OLD, repeat, 20_000), make.beside(LEGACY, repeat, 10_000)]
    own = make.figures(300.0, client_cpu_us=19_000.0)
    found += [make.execution(OLD, repeat, own, client="request") for repeat in (1, 2, 3)]
    return make.replay(found, cells, repeats=3)


def test_the_means_stand_as_they_were_printed(make):
    means, *_ = tables(Summary(measured(make)))
    assert means.rows[0] == [OLD, "21.00, 22.00, 23.00", "22.00", "21.00, 22.00, 23.00", "22.00", "0"]
    assert "6.11, 5.59, 6.11, 5.97, 6.19; 7.64" in means.notes[0]


def test_failures_are_shown_in_place_of_a_mean_and_counted(make):
    bad = make.execution(OLD, 4, None, failures={"ReadTimeout": 3})
    of_three = measured(make)
    means, *_ = tables(Summary(of_three.model_copy(update={"executions": [*of_three.executions, bad]})))
    assert means.rows[0][1:3] == ["21.00, 22.00, 23.00, failed", "22.00"] and means.rows[0][5] == "3"


def test_the_suite_stands_beside(make):
    _, beside, *_ = tables(Summary(measured(make)))
    row = dict(zip(beside.headings, beside.rows[0], strict=True))
    assert row["old: requests/s"] == "1,600" and row["suite: requests/s"] == "20,000"
    assert row["old: server CPU µs"] == "60" and row["suite: server CPU µs"] == "30"
    assert row["old: server busy"] == "10%" and row["suite: server busy"] == "97%"
    assert row["suite: p50 ms"] == "1.00"


def test_every_reading_of_the_mean(make):
    _, _, readings, *_ = tables(Summary(measured(make)))
    assert readings.rows[0] == [OLD, "22.00", "24.20", "27.50", "0.86", "300.00", "11.72"]
    assert readings.rows[1][-2:] == ["unknown", "unknown"]  # to be measured, and was not


def test_where_the_time_went(make):
    *_, steps, _ = tables(Summary(measured(make)))
    assert steps.rows[0] == [OLD, "not pinned", "8.00", "10.00", "2.00", "0.600", "0.060", "30.0", "30.0"]


def test_the_pair_is_compared_within_each_repeat(make):
    *_, pair = tables(Summary(measured(make)))
    by = {row[0]: row[1] for row in pair.rows}
    assert pair.headings[1] == f"{LEGACY} / {OLD}"
    assert by["the mean, pinned"] == "2.00 (2.00 to 2.00)"
    assert by["the suite: time per request (1 / throughput)"] == "2.00 (2.00 to 2.00)"
    assert by["a client for each request"] == "unknown"


def test_figures_that_are_missing_are_unknown(make):
    alone = make.replay([make.execution("sanic", 1, make.figures(), split="pinned")])
    for table in tables(Summary(alone)):
        assert any("unknown" in row for row in table.rows)


def test_the_document_says_where_its_figures_come_from(make):
    text = markdown(measured(make))
    assert "### The mean in ms, as the old benchmark printed it\n\n| configuration |" in text
    assert "### What it really measured\n\n* No request failed" in text
    assert (
        "Measured on 2026-11-22 by `make replay` on Some CPU, 2 CPUs, Linux 6.1: 3 repeats of 32 processes"
        in text
    )
    assert "httpx 0.28.1" in text and "not pinned: both on CPUs 0, 1." in text


def test_a_replay_is_written_whole_and_read_again(make, tmp_path):
    written = measured(make)
    written.write(tmp_path)
    assert Replay.read(tmp_path) == written
    assert '"schema": 1' in (tmp_path / "replay.json").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["replay.json"]
