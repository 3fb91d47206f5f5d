"""A server that runs already: what is asked of it, what is refused, and what is known of it."""

import contextlib
import json
import re
import socket
import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bench.experiment import ceiling
from bench.experiment.blocks import expand
from bench.launch import external as launch_external
from bench.launch.external import External
from bench.launch.selection import choose_launcher
from bench.launch.server import ServerError
from bench.machine.cpus import split_beside_external
from bench.model.errors import UsageError, UserError
from bench.model.files import ROOT
from bench.model.plans import deployed, plan
from bench.model.plans.deployed import Deployed
from bench.model.plans.narrowing import narrow
from tests import plans
from tests.bench.commands import told
from tests.certificates import issue
from tests.patience import wait_until
from tests.ports import free_port

URL = "http://127.0.0.1:8000"
TINY = plans.tiny(workers=[1, 2], loads="[scenarios.index]\nusers = [2]\n")


@pytest.fixture
def listening():
    """A socket that takes connections, and its URL."""
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        yield listener, f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def server(tmp_path):
    """The URL of a server that answers everything as `/index` is answered."""
    port = free_port()
    program = [sys.executable, str(ROOT / "swarm" / "nullserver.py"), "--port", str(port)]
    process = subprocess.Popen(program, stdout=subprocess.DEVNULL)

    def serves():
        assert process.poll() is None
        return answers(port)

    wait_until(serves, "the null server answers")
    yield f"http://127.0.0.1:{port}"
    process.kill()
    process.wait()


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("http://127.0.0.1:8000/", URL),
        ("https://shop.example", "https://shop.example"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_a_base_url_is_recorded_without_its_slash(given, kept):
    assert deployed.checked("--url", given) == kept


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("127.0.0.1:8000", "no URL like http"),
        ("ftp://127.0.0.1", "no URL like http"),
        ("http://", "no URL like http"),
        ("http://127.0.0.1:99999", "no URL like http"),
        ("http://127.0.0.1:8000/api", "give http://127.0.0.1:8000, and put the rest into the paths"),
        ("http://127.0.0.1:8000?a=1", "more than a base URL"),
        ("http://me:secret@127.0.0.1:8000", "would be recorded"),
    ],
)
def test_what_is_no_base_url_is_refused(given, why):
    with pytest.raises(UsageError, match=why) as refused:
        deployed.checked("--url", given)
    assert str(refused.value).startswith("--url: ") and "secret" not in str(refused.value)


def test_another_machine_is_loaded_only_by_who_confirms_it():
    for here in (URL, "http://localhost:1", "http://[::1]:8000", "http://127.3.2.1"):
        deployed.check_permission(here, confirmed=False)
    # Addresses that RFC 5737 gives to documents.
    with pytest.raises(UsageError, match=r"192\.0\.2\.1 is not this machine.*\n.*--allow-remote"):
        deployed.check_permission("http://192.0.2.1", confirmed=False)
    deployed.check_permission("http://192.0.2.1", confirmed=True)


def test_a_name_that_has_one_address_elsewhere_is_another_machine(monkeypatch):
    def resolved(*_arguments, **_options):
        return [(None, None, None, "", (address, 0)) for address in ("127.0.0.1", "192.0.2.1")]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    assert not deployed.is_loopback("two.example")


def test_a_name_that_nobody_knows_is_an_error(monkeypatch):
    def unknown(*_arguments, **_options):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(UsageError, match=r"no host shop\.invalid: Name or service not known"):
        deployed.check_permission("http://shop.invalid", confirmed=False)


def narrowed(name, **changes):
    return narrow(plan.load(name), {"external": {"url": URL, "name": "shop"}, **changes})


def test_a_plan_is_put_on_the_one_server_with_all_its_loads():
    chosen = narrowed("full")
    assert (chosen.configurations, chosen.workers) == (["shop"], None)
    assert chosen.scenarios == plan.load("full").scenarios
    known = chosen.external.catalogue().configurations
    blocks = expand(chosen, 1, known)
    assert {block.workers for block in blocks} == {None} and len(blocks) == chosen.repeats
    paths = [str(cell.path) for block in blocks for cell in block.cells]
    assert "shop/index/c64/r1" in paths and not any(re.search(r"-w\d", path) for path in paths)
    again = plan.validate(chosen.model_dump(), "run.json")
    assert again == chosen


@pytest.mark.parametrize(
    ("name", "changes", "why"),
    [
        ("recycle", {}, "a plan of recycling cannot be measured at a URL"),
        ("aa", {}, r"\[aliases\] cannot be measured at a URL"),
        ("database", {"thresholds": {"all": ["cpu_us < 50"]}}, '"cpu_us < 50" cannot be measured at a URL'),
        ("quick", {"workers": None}, '"workers" may be unknown of an external server only'),
    ],
)
def test_what_takes_a_server_of_benchs_own_is_refused(name, changes, why):
    chosen = plan.load(name).model_dump() | changes
    if changes != {"workers": None}:
        alone = {"configurations": ["shop"], "workers": None}
        chosen |= {**alone, "external": {"url": URL, "name": "shop"}}
    with pytest.raises(UsageError, match=why):
        plan.validate(chosen, "plan.toml")


def test_a_plan_as_written_has_no_external_server():
    assert "external" not in plan.load("quick").model_dump()


def test_a_name_that_is_no_folder_is_refused():
    with pytest.raises(UsageError, match=r"external\.name"):
        narrow(plan.load("quick"), {"external": {"url": URL, "name": "../x"}})


def test_the_launcher_is_that_of_the_url(listening):
    _, url = listening
    launcher, why = choose_launcher(None, None, Deployed(url=url))
    assert launcher.name == "external" and url in why
    assert choose_launcher("external", None, Deployed(url=url))[0].name == "external"
    with pytest.raises(UsageError, match="leave out --launcher compose"):
        choose_launcher("compose", None, Deployed(url=url))
    with pytest.raises(UsageError, match="leave out --port"):
        choose_launcher(None, 8000, Deployed(url=url))
    with pytest.raises(UsageError, match="needs a server that runs already: bench run --url"):
        choose_launcher("external")


def test_a_server_that_is_not_there_is_told_before_a_run_is_begun():
    with pytest.raises(UserError, match=r"cannot be reached: Connection refused.\nStart the server"):
        choose_launcher(None, None, Deployed(url=f"http://127.0.0.1:{free_port()}"))


def test_what_speaks_no_tls_is_not_reached_by_https(server):
    with pytest.raises(UserError, match=r"cannot be reached: .*SSL"):
        launch_external.check_presence(server.replace("http:", "https:"))


def start(url, tmp_path):
    (configuration,) = Deployed(url=url).catalogue().configurations.values()
    return External(Deployed(url=url)).start(configuration, None, tmp_path / "serve", ())


def test_nothing_is_known_of_a_server_but_where_it_is(listening, tmp_path):
    _, url = listening
    found = start(url, tmp_path)
    assert (found.url, found.cpus, found.failure(), found.ending()) == (url, None, None, None)
    known = {key: value for key, value in found.facts.items() if value is not None}
    assert known == {"configuration": "external", "url": url}
    assert {"command", "whoami", "pid", "started", "workers"} <= set(found.facts)
    (entry,) = [Deployed(url=url).entry()]
    assert {key for key, value in entry.items() if value is None} == {
        "stack", "recycle", "keep_alive_s", "backlog", "variant_of",
    }  # fmt: skip


def test_a_server_that_goes_is_noticed_and_one_that_returns_is_back(listening, tmp_path, monkeypatch):
    listener, url = listening
    found = start(url, tmp_path)
    monkeypatch.setattr(launch_external, "_LOOK_EVERY_S", 0.0)
    assert found.failure() is None
    listener.close()
    assert found.failure() == f"{url} does not take connections any more: Connection refused"
    with pytest.raises(ServerError, match="cannot be reached: Connection refused"):
        start(url, tmp_path)
    with socket.create_server(("127.0.0.1", int(url.rpartition(":")[2]))):
        assert found.failure() is None


def test_who_does_not_answer_in_time_may_be_busy(listening, tmp_path, monkeypatch):
    _, url = listening
    found = start(url, tmp_path)

    def silent(_url):
        raise TimeoutError("timed out")

    monkeypatch.setattr(launch_external, "_LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(launch_external, "_connect", silent)
    assert found.failure() is None


def test_no_cpu_is_the_servers():
    split = split_beside_external()
    assert split.server == () and split.for_workers(None) == () and split.generator
    assert not set(split.generator) & set(split.spare) and "not pinned" in split.note


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--workers", "2"], "leave out --configurations and --workers"),
        (["--configurations", "sanic"], "leave out --configurations and --workers"),
        (["--plan", "recycle-smoke"], "a plan of recycling cannot be measured at a URL"),
        (["--launcher", "processes"], "leave out --launcher processes"),
        (["--resume", "x"], "cannot change: external"),
    ],
)
def test_options_that_do_not_go_with_a_url(arguments, why, tmp_path):
    done = told("run", "--url", URL, "--results", str(tmp_path), *arguments)
    assert done.exit_code == 2 and why in done.output.replace("\n", " ")
    assert not list(tmp_path.iterdir())


def test_another_machine_is_asked_for_by_nobody_who_may_not(tmp_path):
    done = told("run", "--url", "http://192.0.2.1", "--results", str(tmp_path))
    assert done.exit_code == 2 and "--allow-remote" in done.output


def test_a_run_of_a_server_that_is_there(server, tmp_path):
    (tmp_path / "tiny.toml").write_text(TINY)
    results = tmp_path / "results"
    done = told(
        "run", "--url", server, "--url-name", "shop", "--plan", str(tmp_path / "tiny.toml"),
        "--results", str(results), "--no-report",
    )  # fmt: skip
    (folder,) = results.iterdir()
    assert "launcher: none" in done.output and "[1/1] shop, repeat 1: " in done.output, done.output
    run = json.loads((folder / "run.json").read_text())
    assert (run["launcher"], run["status"], run["stacks"]) == ("external", "finished", {})
    assert run["plan"]["external"] == {"url": server, "name": "shop"} and run["plan"]["workers"] is None
    assert [entry["name"] for entry in run["configurations"]] == ["shop"]
    assert run["cpu_split"]["server"] == []
    # On a machine that is busy otherwise there may be none, and why is told.
    assert [each["scenario"] for each in run["ceilings"]] == ["index"] or "no ceiling" in done.output
    cell = json.loads((folder / "shop" / "index" / "c2" / "r1" / "cell.json").read_text())
    assert (cell["status"], cell["workers"], cell["launcher"]) == ("finished", None, "external")
    assert cell["measured"]["requests"] > 0 == cell["measured"]["failures"]
    assert {key for key, value in cell["server"].items() if value is not None} == {"configuration", "url"}
    files = {path.name for path in (folder / "shop" / "index" / "c2" / "r1").iterdir()}
    assert "latency.csv" in files and not files & {"processes.csv", "workers.csv", "server.log"}
    assert not list(Path(folder).glob(".serve-*"))


# -- By https

# A certificate that nobody signed, and users who do not look at it: for a whole class (locustio/locust#1104),
# and by a context of their own (locustio/locust#2066).
TRUSTING = """
import ssl
from locust import FastHttpUser, HttpUser, constant, task
from swarm import SwarmUser

class Swarm(SwarmUser):
    verify = False
    wait_time = constant(0.1)
    @task
    def a(self):
        yield self.get("/api/products/", name="swarm")

class Plain(HttpUser):
    host = "https://127.0.0.1:4443"
    wait_time = constant(0.1)
    def on_start(self):
        self.client.verify = False
    @task
    def a(self):
        self.client.get("/api/products/", name="http")

def trusting(*_):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context

class Fast(FastHttpUser):
    insecure = True
    ssl_context_factory = trusting
    wait_time = constant(0.1)
    @task
    def a(self):
        self.client.get("/api/products/", name="fast")
"""


class Products(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving_by_tls(folder):
    """The URL of a server with a certificate, in a folder, that only the tests trust."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(**issue(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), Products) as served:
        served.daemon_threads = True
        served.handle_error = lambda *_: None  # users who leave reset their connections
        served.socket = context.wrap_socket(served.socket, server_side=True)
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        try:
            yield f"https://127.0.0.1:{served.server_port}"
        finally:
            served.shutdown()
            thread.join()


@pytest.fixture
def tls_server(tmp_path):
    with serving_by_tls(tmp_path) as url:
        yield url


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://127.0.0.1:8443", "the null server speaks no TLS"),
        ("HTTPS://[::1]/", "the null server speaks no TLS"),
        ("http://127.0.0.1:8443", None),
        (None, None),
    ],
)
def test_where_there_cannot_be_a_ceiling_is_known_beforehand(url, why):
    changes = {} if url is None else {"external": {"url": url, "name": "shop"}}
    assert ceiling.why_none(narrow(plan.load("quick"), changes)) == why


def test_https_is_measured_and_what_cannot_be_had_of_it_is_one_sentence(tls_server, tmp_path):
    (tmp_path / "tiny.toml").write_text(TINY.replace("users = [2]", "users = [3]"))
    (tmp_path / "users.py").write_text(TRUSTING)
    results = tmp_path / "results"
    done = told(
        "run", "--url", tls_server, "--plan", str(tmp_path / "tiny.toml"), "--results", str(results),
        "--locustfile", str(tmp_path / "users.py"), "--no-report",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    about = [line for line in lines if "ceiling" in line or "null server" in line or "usage" in line]
    assert about == ["no ceiling: the null server speaks no TLS"]
    assert lines.index(about[0]) < next(n for n, line in enumerate(lines) if str(results) in line)
    (folder,) = results.iterdir()
    assert json.loads((folder / "run.json").read_text())["ceilings"] == []
    (cell,) = [json.loads(path.read_text()) for path in folder.glob("external/users/*/r1/cell.json")]
    assert cell["status"] == "finished" and cell["measured"]["requests"] > cell["measured"]["failures"] == 0
