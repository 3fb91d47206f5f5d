"""A whole run behind nginx: workers that are replaced, and a server whose losses are known."""

import json
import signal
from contextlib import suppress
from dataclasses import replace

import psutil
import pytest

from analysis.recycling.requests import ran_twice, within
from analysis.report import exports
from analysis.report.facts import facts
from analysis.study import Study, study
from bench.launch.proxy import installed
from bench.model.files import ROOT
from tests.bench.commands import gone, start_run, told_of_run
from tests.patience import LONG_S, wait_until

pytestmark = pytest.mark.skipif(installed("nginx") is None, reason="nginx is not installed")

CATALOGUE = f"""
[stack.current]
python = ["3.14", "3.13", "3.12", "3.11"]
requirements = "{ROOT / "targets/stacks/current.txt"}"

[configuration.dropping]
summary = "Drops every twentieth request after its handler has begun."
stack = "current"
argv = ["python", "{ROOT / "tests/fixtures/dropping.py"}", "--port", "{{port}}"]
recycle = "none"
loop = "asyncio"
parser = "none"
keep_alive_s = 3600
backlog = 100
max_workers = 1

[configuration.gunicorn]
summary = "Gunicorn with the Uvicorn worker, whose app is imported once."
stack = "current"
argv = [
    "gunicorn", "{{app}}", "--bind", "{{host}}:{{port}}", "--workers", "{{workers}}",
    "--worker-class", "uvicorn_worker.UvicornWorker", "--preload",
    "--keep-alive", "75", "--no-control-socket",
]
recycle = "flag"
recycle_argv = ["--max-requests", "{{max_requests}}"]
loop = "uvloop"
parser = "httptools"
keep_alive_s = 75
backlog = 2048
"""
PLAN = """
summary = "workers replaced behind nginx and past it"
configurations = ["dropping", "gunicorn"]
workers = [1]
repeats = 1
warmup_s = 0.3
measured_s = 60
catalogue = "configurations.toml"
[recycling]
max_requests = 80
replacements = 2
requests = 200
[[scenarios.index.open]]
rates_per_s = [150]
users = 8
[[scenarios.upload.open]]
rates_per_s = [150]
users = 8
"""
ROTATED = """
summary = "a load that goes round behind nginx and past it, and two copies that are swapped"
configurations = ["gunicorn"]
workers = [1]
repeats = 1
warmup_s = 0.3
measured_s = 6
catalogue = "configurations.toml"
proxy = "nginx"
proxy_keepalive = "off"
proxy_tls = true
[rotation]
sittings = 2
load_s = 0.2
settle_s = 0.1
[recycling]
max_requests = 80
replacements = 2
requests = 200
[scenarios.index]
users = [4]
[[probes]]
kind = "swap"
scenario = "index"
rate_per_s = 50
users = 8
after_s = 0.5
measured_s = 9
"""


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    """The folder of both plans."""
    folder = tmp_path_factory.mktemp("plan")
    (folder / "configurations.toml").write_text(CATALOGUE)
    (folder / "plan.toml").write_text(PLAN)
    (folder / "rotated.toml").write_text(ROTATED)
    return folder


@pytest.fixture(scope="module")
def plan(plans):
    return str(plans / "plan.toml")


@pytest.fixture(scope="module")
def folder(plan, tmp_path_factory):
    """The run, measured once."""
    results = tmp_path_factory.mktemp("results")
    done = told_of_run("--plan", plan, "--proxy", "nginx", "--results", str(results), "--no-report")
    assert done.exit_code == 0, done.output
    (made,) = results.glob("*/run.json")
    return made.parent


@pytest.fixture(scope="module")
def analysed(folder):
    return study(folder)


def dropped(one, scenario):
    """How many handlers of the requests of the window began and made no answer, as the server logged."""
    cells = one.results.cells
    mine = cells[(cells["configuration"] == "dropping") & (cells["scenario"] == scenario)]
    ended = within(one.results.trace, cells, "ended")
    ids = set(ended.loc[ended["cell"].isin(mine.index), "id"].astype(str))
    log = one.results.handled[one.results.handled["cell"].isin(mine.index)]
    events = log[log["id"].astype(str).isin(ids)]["event"].value_counts()
    return int(events["started"] - events["finished"])


def lost(one, scenario):
    """What clients of the dropping server lost, by kind and how far the handler came."""
    losses = one.recycling.losses
    mine = losses[(losses["configuration"] == "dropping") & (losses["scenario"] == scenario)]
    return {key: int(count) for key, count in mine.groupby(["kind", "handled"]).size().items() if count}


def twice(one, scenario):
    again = ran_twice(one.results).join(one.results.cells[["configuration", "scenario"]], on="cell")
    return int(((again["configuration"] == "dropping") & (again["scenario"] == scenario)).sum())


def test_direct_clients_lose_what_the_server_drops(analysed):
    for scenario in ("index", "upload"):
        count = dropped(analysed.direct, scenario)
        assert count > 0 and lost(analysed.direct, scenario) == {("closed_unanswered", "started"): count}
        assert twice(analysed.direct, scenario) == 0


def test_nginx_sends_a_get_again_whose_handler_then_runs_twice(analysed):
    count = dropped(analysed, "index")
    assert count > 0 and lost(analysed, "index") == {} and twice(analysed, "index") == count


def test_nginx_sends_no_post_again_and_answers_502(analysed):
    count = dropped(analysed, "upload")
    assert count > 0 and lost(analysed, "upload") == {("http_5xx", "started"): count}
    assert twice(analysed, "upload") == 0
    failures = analysed.results.failures
    told = set(failures.loc[failures["configuration"] == "dropping", "detail"].astype(str))
    assert len(told) == 1 and "502" in told.pop()


def test_recycled_workers_are_counted_on_both_ways(analysed):
    rows = exports.proxy(analysed).set_index(["configuration", "scenario", "proxy"])
    assert set(rows.index) == {
        ("gunicorn", s, way) for s in ("index", "upload") for way in ("direct", "nginx")
    }
    assert (
        (rows["replacements"] >= 2).all() and (rows["requests"] >= 200).all() and (rows["p50_ms"] > 0).all()
    )
    assert list(rows["method"]) == ["GET", "GET", "POST", "POST"] and set(rows["connections"]) == {"kept"}
    for one, way in ((analysed, "nginx"), (analysed.direct, "direct")):
        cells = one.recycling.cells[one.recycling.cells["treatment"] == "recycled"]
        mine = rows.xs(way, level="proxy")
        assert (mine["answers_5xx"] + mine["lost"]).sum() == cells["lost"].sum()
    assert len(analysed.proxied.rows) == 2


def test_what_is_recorded_of_the_proxy(folder):
    run = json.loads((folder / "run.json").read_text())
    assert (
        run["plan"]["proxy"] == "nginx"
        and "proxy_next_upstream error timeout;" in run["proxy"]["configuration"]
    )
    assert set(run["proxy"]["cpus"]).isdisjoint(run["cpu_split"]["server"]) or not run["cpu_split"]["trusted"]
    cells = {path.parent: json.loads(path.read_text()) for path in folder.glob("*/*/*/*/cell.json")}
    assert len(cells) == 12 and {cell["status"] for cell in cells.values()} == {"finished"}
    for path, cell in cells.items():
        if "nginx" in path.parent.name:
            assert cell["proxy"]["kind"] == "nginx" and cell["proxy"]["cpu_s"] > 0
        else:
            assert cell["proxy"] is None


@pytest.fixture(scope="module")
def rotated(plans, tmp_path_factory):
    """The run of the other plan: its cells by their folder, and what is analysed of them."""
    results = tmp_path_factory.mktemp("rotated")
    done = told_of_run("--plan", str(plans / "rotated.toml"), "--results", str(results), "--no-report")
    assert done.exit_code == 0, done.output
    (made,) = results.glob("*/run.json")
    cells = {path.parent: json.loads(path.read_text()) for path in made.parent.glob("*/*/*/*/cell.json")}
    return cells, study(made.parent)


def test_a_load_goes_round_behind_the_proxy_and_past_it_to_the_same_servers(rotated):
    cells, one = rotated
    sat = {path: cell for path, cell in cells.items() if cell["rotation"] is not None}
    assert len(sat) == 2 * 2 * 2, "sittings, names and ways"
    for path, cell in sat.items():
        name = cell["configuration"]
        assert set(cell["rotation"]["targets"]) == {
            *("gunicorn", "gunicorn-again", "gunicorn@nginx", "gunicorn-again@nginx"),
        }
        (beside,) = (
            other
            for other in sat.values()
            if (other["configuration"], other["repeat"]) == (name, cell["repeat"])
            and other["proxy"] != cell["proxy"]
        )
        assert beside["server"]["pid"] == cell["server"]["pid"] and cell["measured"]["requests"] > 0
        assert (path.parent.name == "c4-w1-nginx") == (cell["proxy"] is not None)
        # What it did for the other way is no idling.
        assert cell["measured"]["idle_cpu_s"] < cell["measured"]["cpu_s"]
    (row, again) = one.proxy_cost.rows
    assert (row.configuration, again.configuration) == ("gunicorn", "gunicorn-again")
    assert row.throughput.low < row.throughput.mean < row.throughput.high
    assert list(exports.proxy_costs(one)["sittings"]) == [2, 2]
    # Servers are what such a run compares, unless its plan asks about the proxy.
    run = one.results.run
    asking = run.model_copy(update={"plan": run.plan | {"name": "proxy-cost"}})
    assert Study(replace(one.results, run=asking)).headline == one.proxy_cost.finding != one.headline


def test_two_copies_are_swapped_and_the_second_one_serves(rotated):
    cells, one = rotated
    ((path, cell),) = ((path, cell) for path, cell in cells.items() if cell["probe"] is not None)
    assert path.parent.name == "o50-constant-w1-swap-nginx" and cell["server"]["deploys_by"] == "swap"
    (row,) = one.deploys.rows
    assert (row.proxy, row.way, row.verdict) == ("nginx", "swap", "deploys")
    events = [line.split(",") for line in (path / "workers.csv").read_text().splitlines()[1:]]
    ready = [int(pid) for _, event, pid, *_ in events if event == "ready"]
    assert len(ready) == 2 and ready[1:] == cell["probe"]["renewed"]
    assert len({pid for _, _, pid, role, _ in events if role == "manager"}) == 2


def test_clients_check_the_certificate_of_the_proxy_and_its_settings_are_recorded(rotated):
    _, one = rotated
    run = one.results.run
    assert "listen 127.0.0.1:8080 ssl" in run.proxy.configuration
    assert "Connection close" in run.proxy.configuration and "keepalive 256" not in run.proxy.configuration
    assert (run.plan["proxy_keepalive"], run.plan["proxy_tls"]) == ("off", True)
    assert f"nginx {run.proxy.version} (keepalive=off, tls) on CPU " in facts(run, one.results.cells)["Proxy"]
    assert one.proxy_cost.title == "What nginx (keepalive=off, tls) costs"


def named(process, name):
    with suppress(psutil.NoSuchProcess):  # it may be gone by now
        return process.name() == name
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_of_a_run_that_is_ended(number, plan, tmp_path):
    asked = ["--plan", plan, "--proxy", "nginx", "--configurations", "dropping", "--scenarios", "index"]
    run = start_run([*asked, "--rates", "50", "--results", str(tmp_path), "--no-report"])
    tree = []

    def serves():
        assert run.poll() is None, run.stdout.read()
        tree[:] = psutil.Process(run.pid).children(recursive=True)
        return any(named(process, "nginx") for process in tree)

    wait_until(serves, "nginx was never started")
    run.send_signal(number)
    run.communicate(timeout=LONG_S)
    assert gone(tree)
