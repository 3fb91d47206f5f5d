"""What a soak keeps: exact sums, coarser when old, bounded whatever its length."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.reading import csv_files
from bench.experiment.soak.intervals import Intervals, Sample
from bench.experiment.soak.lane import LANE_FILE, Lane
from bench.experiment.soak.sources import Metered, take_lap
from bench.model.cells import Cell, OpenLoop
from bench.model.errors import UserError
from bench.model.plans.soak import bucket_us, histogram, histogram_text
from bench.model.records.columns import INTERVALS
from tests.damage import damaged, damaged_table, examples

BEGIN = 1_800_000_000
DAY = 8640  # intervals of 10 s


def fill(kept, first, count, leg=1):
    for number in range(first, first + count):
        interval = kept.at(BEGIN + 10 * number + 3, leg)
        interval.counts.update(loaded_s=10, requests=500, failures=1)
        interval.sampled(Sample(0, 1000 + number, 900, 20, 4))
        kept.completed(BEGIN + 10 * number, leg, 1234.5, 500)


def rows(path):
    return [line.split(",") for line in path.read_text().splitlines()[1:]]


def test_a_week_has_some_thousands_of_rows_and_loses_nothing(tmp_path):
    kept = Intervals(tmp_path / "intervals.csv", 10)
    for day in range(7):
        fill(kept, DAY * day, DAY)
        kept._coarsen()
    kept.save()
    assert len(kept) < 360 + 1380 + 864 + 100
    assert (tmp_path / "intervals.csv").stat().st_size < 5e6
    found = rows(tmp_path / "intervals.csv")
    assert sum(int(row[4]) for row in found) == 7 * DAY * 500
    assert sum(int(row[1]) for row in found) == 7 * DAY * 10, "every second is in one interval"
    assert {int(row[1]) for row in found} == {10, 60, 600}
    counted = sum(sum(histogram(row[-1]).values()) for row in found)
    assert counted == 7 * DAY * 500
    edges = [(int(row[0]), int(row[0]) + int(row[1])) for row in found]
    assert all(one[1] == other[0] for one, other in pairwise(edges))


def test_it_goes_on_with_what_a_file_has(tmp_path):
    path = tmp_path / "intervals.csv"
    kept = Intervals(path, 10)
    fill(kept, 0, 400)
    kept.save()
    again = Intervals(path, 10)
    assert len(again) == len(kept)
    again.save()
    before = path.read_text()
    Intervals(path, 10).save()
    assert path.read_text() == before
    fill(again, 500, 10, leg=2)
    again.save()
    assert [row[2] for row in rows(path)].count("2") == 10


def test_legs_are_not_mixed(tmp_path):
    kept = Intervals(tmp_path / "intervals.csv", 10)
    fill(kept, 0, 3, leg=1)
    fill(kept, 3, 1000, leg=2)
    kept.save()
    first = [row for row in rows(tmp_path / "intervals.csv") if row[2] == "1"]
    assert sum(int(row[4]) for row in first) == 1500


def test_a_damaged_file_is_refused_by_its_line(tmp_path):
    path = tmp_path / "intervals.csv"
    kept = Intervals(path, 10)
    fill(kept, 0, 3)
    kept.save()
    path.write_text(path.read_text().replace("1232:500", "1232:x", 1))
    with pytest.raises(UserError, match=r"intervals.csv, line 2: no bucket:count"):
        Intervals(path, 10)
    path.write_text("nonsense\n")
    with pytest.raises(UserError, match="line 1"):
        Intervals(path, 10)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (",500,", ",-500,"),
        (",500,", ",1" + "0" * 20 + ","),
        ("900.000", "nan"),
        (",10,1,", ",9223372036854775808,1,"),
    ],
)
def test_what_cannot_be_measured_is_not_gone_on_with(tmp_path, old, new):
    path = tmp_path / "intervals.csv"
    kept = Intervals(path, 10)
    fill(kept, 0, 3)
    kept.save()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(UserError, match=r"intervals\.csv, line 2: has a number that cannot be measured"):
        Intervals(path, 10)


def test_an_interval_that_is_there_twice_is_not_gone_on_with(tmp_path):
    path = tmp_path / "intervals.csv"
    kept = Intervals(path, 10)
    fill(kept, 0, 3)
    kept.save()
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines, lines[-1]]))
    with pytest.raises(UserError, match=r"line 5: is there twice"):
        Intervals(path, 10)


@examples(30)
@given(st.data())
def test_a_soak_with_a_fuzzed_file_goes_on_with_what_can_be_read_or_is_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "intervals.csv"
    path.unlink(missing_ok=True)
    kept = Intervals(path, 10)
    fill(kept, 0, 20)
    kept.save()
    content = path.read_bytes()
    path.write_bytes(data.draw(damaged(content) | damaged_table(content)))
    try:
        again = Intervals(path, 10)
    except UserError as error:
        said = str(error)
        assert path.name in said and len(said.splitlines()) == 1 and len(said) < 900
    else:
        again.save()
        csv_files.one(path, INTERVALS, path.parent)


def test_buckets_are_at_most_1_6_percent_wide():
    for latency in (1, 63.9, 64, 100, 1234.5, 99_999, 3.2e7):
        edge = bucket_us(latency)
        assert edge <= latency < edge + max(1, edge / 64) + 1e-9
    assert histogram(histogram_text({64: 1, 5: 2})) == {5: 2, 64: 1}


LATENCY = f"""second,method,name,kind,bucket_us,count
{BEGIN},GET,/index,service,1000,10
{BEGIN},GET,/index,from_schedule,1500,10
{BEGIN},GET,/index,lateness,20,10
{BEGIN + 2},GET,/index,service,1000,5
{BEGIN + 2},GET,/index,from_schedule,1000,5
"""
FAILURES = f"time,method,name,kind,count\n{BEGIN + 1}.5,GET,/index,refused,3\n"


def test_a_lap_is_taken_in(tmp_path):
    (tmp_path / "latency.csv").write_text(LATENCY)
    (tmp_path / "failures.csv").write_text(FAILURES)
    kept = Intervals(tmp_path / "intervals.csv", 10)
    assert take_lap(tmp_path, BEGIN + 4, kept, 1) == 15
    counts = kept.at(BEGIN, 1).counts
    assert (counts["requests"], counts["failures"], counts["loaded_s"]) == (15, 3, 4)
    assert kept.at(BEGIN, 1).latency == {bucket_us(1500): 10, bucket_us(1000): 5}
    (tmp_path / "latency.csv").write_text(LATENCY.splitlines()[0] + "\n")
    (tmp_path / "failures.csv").write_text("time,method,name,kind,count\n")
    assert take_lap(tmp_path, BEGIN + 99, kept, 1) == 0 and len(kept) == 1


PROCESSES = "time,pid,role,cpu_s,rss_bytes,pss_bytes,descriptors,threads\n"


def test_what_serve_writes_is_taken_in_as_it_grows(tmp_path):
    processes = tmp_path / "processes.csv"
    (tmp_path / "workers.csv").write_text("time,event,pid,role,exit_status\n")
    processes.write_text(
        PROCESSES
        + f"{BEGIN}.0,1,manager,0.1,100,60,10,2\n{BEGIN}.0,2,worker,0.1,200,140,30,3\n"
        + f"{BEGIN}.0,3,meter,0.1,999,999,99,9\n{BEGIN}.5,1,manager,0.1,,,,\n{BEGIN + 1}.0,1,man"
    )
    kept, metered = Intervals(tmp_path / "intervals.csv", 10), Metered(tmp_path)
    metered.take(kept, 1)
    interval = kept.at(BEGIN, 1)
    assert interval.counts["samples"] == 1
    assert (interval.memory.most, interval.heaviest.most) == (200, 140)
    assert (interval.descriptors.most, interval.threads.most) == (30, 5)
    with processes.open("a") as file:
        file.write(f"ager,0.1,300,,12,2\n{BEGIN + 2}.0,1,manager,0.1,1,1,1,1\n")
    with (tmp_path / "workers.csv").open("a") as file:
        file.write(f"{BEGIN + 1}.0,died,2,worker,0\n{BEGIN + 1}.0,born,4,worker,\n")
    metered.take(kept, 1)
    assert (interval.counts["samples"], interval.counts["replaced"]) == (2, 1)
    assert interval.memory.most == 300, "RSS where there is no PSS"
    metered.take(kept, 1)
    assert (interval.counts["samples"], interval.counts["replaced"]) == (2, 1), "nothing is taken twice"


def test_what_was_sampled_after_the_clock_was_set_back_is_left_out(tmp_path):
    times = (BEGIN + 20, BEGIN + 21, BEGIN + 5, BEGIN + 6, BEGIN + 22)
    rows = [f"{time}.0,2,worker,0.1,{time - BEGIN},,30,3\n" for time in times]
    (tmp_path / "processes.csv").write_text(PROCESSES + "".join(rows))
    (tmp_path / "workers.csv").write_text("time,event,pid,role,exit_status\n")
    kept = Intervals(tmp_path / "intervals.csv", 10)
    Metered(tmp_path).take(kept, 1)
    assert len(kept) == 1 and kept.at(BEGIN + 20, 1).memory.most == 21


def test_a_lane_that_never_began_leaves_no_folder(tmp_path):
    cell = Cell("one", "index", OpenLoop("constant", 40.0, 4), 1, 1, 1)
    folder = tmp_path / "run" / cell.path
    lane = Lane(cell, folder, 10, None)
    assert not (tmp_path / "run").exists() and lane.legs == 0
    lane.refused("it did not start")
    assert [path.name for path in folder.iterdir()] == [LANE_FILE] and lane.legs == 1
    assert Lane(cell, folder, 10, None).legs == 1
