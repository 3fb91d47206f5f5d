"""The idle race, in a run whose lost orders are known, and where it is shown."""

import json

import pytest

from analysis.cells.waves import SCENARIO
from analysis.documents import pages
from analysis.proxy.idle import FRAME
from analysis.report import exports
from analysis.report.build import _tables
from analysis.report.page import page
from analysis.study import study
from tests.analysis.report_page import Page
from tests.fixtures.imagined import WAITS

KEPT = {"sanic": 75, "uvicorn": 5}
NGINX = "upstream app {\n  server 127.0.0.1:80;\n  keepalive_timeout 60s;\n}\nkeepalive_timeout 75s;"
HEAD = "time,method,name,kind,latency_us,connection_age_s,connection_requests,bytes_received,count,id,detail"


@pytest.fixture
def idle(run, monkeypatch):
    """Makes a run behind nginx whose uvicorn, which keeps connections for 5 s, answers so many 502."""
    monkeypatch.setitem(WAITS, SCENARIO, 0.0)

    def make(answers_502, lost=0, **plan):
        folder = run(scenarios={SCENARIO: (64,)}, repeats=1)
        path = folder / "run.json"
        record = json.loads(path.read_text())
        record["plan"] |= {"name": "proxy-idle", "proxy": "nginx", **plan}
        record["proxy"] = {"version": "1.22.1", "cpus": [1], "configuration": NGINX}
        for each in record["configurations"]:
            each["keep_alive_s"] = KEPT.get(each["name"])
        path.write_text(json.dumps(record))
        for cell in list(folder.glob("*/*/*/*/cell.json")):
            told = json.loads(cell.read_text()) | {"proxy": {"kind": "nginx", "cpu_s": 0.5}}
            cell.write_text(json.dumps(told))
            if told["configuration"] == "uvicorn":
                at, tail = told["window"]["start"] + 0.5, "900.0,1.5,12,0,1,"
                failed = [("http_5xx", "502")] * answers_502 + [("closed_unanswered", "reset")] * lost
                rows = [f"{at},POST,/upload,{kind},{tail},{detail}" for kind, detail in failed]
                (cell.parent / "failures.csv").write_text("\n".join([HEAD, *rows]) + "\n")
            load = cell.parent.parent
            load.rename(load.with_name(f"{load.name}-nginx"))
        return study(folder)

    return make


def test_orders_that_fail_are_counted_by_the_servers_keep_alive(idle):
    found = idle(3, lost=1).idle_race
    rows = {row.configuration: row for row in found.rows}
    assert rows["sanic"].outlasts and not rows["uvicorn"].outlasts
    losing = rows["uvicorn"]
    assert (losing.answers_5xx, losing.lost, losing.proxy_s) == (3, 1, 60)
    assert losing.failed.mean == pytest.approx(4e5 / losing.requests)
    assert losing.failed.low < losing.failed.mean < losing.failed.high
    assert rows["sanic"].failed.mean == 0 < rows["sanic"].failed.high
    assert found.finding.startswith("Failed per 100,000 orders behind nginx: ")
    assert "with uvicorn (5 s); none with sanic (75 s)." in found.finding
    assert found.finding.endswith("A server that keeps connections for longer than nginx ends the race.")
    assert all(len(row.texts()) == len(found.columns) for row in found.rows)


def test_where_nothing_fails_nothing_is_ended(idle):
    assert idle(0).idle_race.finding == "No order failed behind nginx with sanic (75 s) and uvicorn (5 s)."


def test_a_proxy_that_keeps_no_connection_has_no_time_out(idle):
    found = idle(2, proxy_keepalive="off").idle_race
    assert {row.outlasts for row in found.rows} == {None} and "ends the race" not in found.finding


def test_its_cells_need_no_repeats(idle):
    assert idle(3).found("one-repeat") == []


def test_it_opens_the_page_the_terminal_and_the_table_people_take_away(idle, tmp_path):
    analysed = idle(3)
    assert analysed.headline == analysed.idle_race.finding
    assert _tables(analysed) == (analysed.idle_race,)
    heads = [head.text for head in Page(page(analysed, tmp_path)).all("h1", "h2")]
    assert heads[0] == analysed.idle_race.finding and analysed.idle_race.title in heads[1:3]
    frame = exports.proxy_idle_race(analysed)
    assert list(frame) == FRAME and frame.set_index("configuration")["answers_5xx"].to_dict() == {
        "sanic": 0, "uvicorn": 3,
    }  # fmt: skip


def test_it_has_a_part_of_the_page_about_proxies(idle, tmp_path):
    analysed = idle(3)
    assert (pages.document_of(analysed), pages.part_of(analysed)) == (pages.PROXY, "proxy-idle nginx")
    document = tmp_path / "project" / pages.PROXY
    document.parent.mkdir(parents=True)
    document.write_text("<!-- measured: proxy-idle nginx -->\nbefore\n<!-- /measured -->\n")
    pages.rewrite(analysed, tmp_path / "project")
    text = document.read_text()
    assert f"**{analysed.idle_race.finding}**" in text and "In all rows: workers 1, users 64." in text
    assert text.count("\n| uvicorn | 5 s | 60 s |") == 1 and "Measured on" in text


def test_a_run_without_a_proxy_or_without_pauses_has_none(run):
    plain = study(run())
    assert plain.idle_race is None and plain.asked is None
    assert exports.proxy_idle_race(plain).empty
