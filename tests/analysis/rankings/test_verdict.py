import math

import pytest

from analysis.findings.finding import Load
from analysis.study import study
from analysis.words import Value, figures, listed


def test_the_ranking_of_a_saturated_scenario_goes_by_throughput(analysed):
    table = analysed.verdict.tables[0]
    assert (table.scenario, table.users, table.metric) == ("index", 64, "throughput")
    ranks = {row.configuration: row.rank for row in table.rows}
    # 70 and 72 µs cannot be told apart at this noise; 35 µs can.
    assert ranks == {"sanic": 1, "uvicorn": 2, "gunicorn-uvicorn-worker": 2}
    assert table.leaders == ["sanic"]
    assert table.finding.startswith("sanic served index at 64 users 2.0")
    assert "as many requests per second as uvicorn, the next" in table.finding
    assert "every server used its CPUs up" in table.basis


def test_cpu_per_request_decides_where_servers_were_not_saturated(analysed):
    table = analysed.verdict.tables[1]
    assert (table.scenario, table.metric) == ("sleep", "cpu_us")
    assert table.leaders == ["sanic"]
    assert "as many requests per CPU-second as" in table.finding
    assert "2.0" in table.finding
    assert all(row.texts()[3].startswith("≥ ") for row in table.rows)


def test_the_finding_speaks_for_all_scenarios(analysed):
    assert analysed.verdict.finding == analysed.verdict.tables[0].finding + " sanic leads or ties everywhere."


def test_tables_come_in_the_order_of_the_plan(run):
    folder = run(scenarios={"sleep": (64,), "index": (8, 64)}, repeats=2)
    assert [table.scenario for table in study(folder).verdict.tables] == ["sleep", "index"]


def test_the_deciding_load_is_the_highest_that_most_finished(run):
    folder = run(configurations=("sanic", "uvicorn", "granian"), scenarios={"index": (8, 64)})
    for name in ("sanic", "uvicorn"):
        for cell in (folder / name / "index" / "c64-w1").rglob("cell.json"):
            cell.unlink()
    assert study(folder).verdict.tables[0].users == 8


def test_a_tie_is_called_a_tie(run):
    verdict = study(run(configurations=("uvicorn", "gunicorn-uvicorn"))).verdict
    assert [row.rank for row in verdict.tables[0].rows] == [1, 1]
    assert verdict.finding.startswith("No configuration is clearly best in index at 64 users: ")
    assert verdict.finding.endswith(" tie.")


def test_leaders_that_tie_are_ahead_of_the_rest(run):
    finding = study(run(configurations=("uvicorn", "gunicorn-uvicorn", "hypercorn"))).verdict.finding
    assert " tie in index at 64 users; " in finding and "as hypercorn, the next" in finding


def test_one_repeat_ranks_nothing(run):
    verdict = study(run(repeats=1)).verdict
    assert {row.rank for row in verdict.tables[0].rows} == {None}
    assert verdict.finding.startswith("Nothing can be ranked in index at 64 users")
    assert verdict.tables[0].rows[0].texts()[0] == "\N{EN DASH}"


def test_failing_requests_win_nothing(run):
    table = study(run(configurations=("gunicorn-asgi", "uvicorn", "hypercorn"))).verdict.tables[0]
    assert table.leaders == ["uvicorn"]
    last = table.rows[-1]
    assert (last.configuration, last.rank) == ("gunicorn-asgi", None)
    assert last.notes == ("not ranked: errors",) and last.texts()[8] == "0.40%"


def test_no_successful_request_is_not_zero_latency(run):
    folder = run(configurations=("sanic", "uvicorn"))
    header = "second,method,name,kind,bucket_us,count\n"
    for path in (folder / "sanic").rglob("latency.csv"):
        path.write_text(header)
    row = {row.configuration: row for row in study(folder).verdict.tables[0].rows}["sanic"]
    assert row.rank is None and math.isnan(row.p99_us) and math.isnan(row.cpu_us.mean)
    assert row.texts()[4:7] == ["\N{EN DASH}"] * 3


def test_different_leaders_are_named(run):
    """CPU per request of `sleep` turned round: nobody is best everywhere."""
    folder = run(configurations=("sanic", "uvicorn"), scenarios={"index": (64,), "sleep": (64,)})
    for path in (folder / "sanic" / "sleep").rglob("processes.csv"):
        lines = path.read_text().splitlines()
        fields = [line.split(",") for line in lines[1:]]
        grown = [",".join([*f[:3], str(float(f[3]) * 3), *f[4:]]) for f in fields]
        path.write_text("\n".join([lines[0], *grown]) + "\n")
    verdict = study(folder).verdict
    assert verdict.finding.endswith(
        "It is not best everywhere. First elsewhere: sleep: 64 users, 1 worker: uvicorn."
    )


def test_notes_are_about_the_load_of_the_table(run):
    folder = run(scenarios={"index": (8, 64)})
    path = folder / "sanic" / "index" / "c8-w1" / "r2" / "latency.csv"
    second, *rest = path.read_text().splitlines()[-1].split(",")
    path.write_text(path.read_text() + ",".join([second, *rest[:-1], "30000"]) + "\n")
    study_ = study(folder)
    assert [finding.loads for finding in study_.found("spread")] == [{Load(1, 8)}]
    assert [row.notes for row in study_.verdict.tables[0].rows] == [(), ()]


def test_workers_are_ranked_apart(run):
    tables = study(run(workers=(1, 2), repeats=2)).verdict.tables
    assert [(table.workers, table.title) for table in tables] == [
        (1, "index: 64 users, 1 worker"),
        (2, "index: 64 users, 2 workers"),
    ]


def test_every_column_has_a_text(analysed):
    for table in analysed.verdict.tables:
        assert all(len(row.texts()) == len(table.columns) for row in table.rows)


@pytest.mark.parametrize(
    "value, text",
    [(28268.4, "28,300"), (1.3949, "1.39"), (0.0123456, "0.0123"), (98, "98.0"), (0, "0"), (999.6, "1,000")],
)
def test_three_significant_digits(value, text):
    assert figures(value) == text


def test_values_and_lists():
    assert Value(2000, 1000, 3000).text(scale=1e-3) == "2.00 (1.00 to 3.00)"
    assert Value(2.0).text() == "2.00"
    assert Value(math.nan).text() == "\N{EN DASH}"
    assert listed(["a"]) == "a" and listed(["a", "b", "c"]) == "a, b and c"
