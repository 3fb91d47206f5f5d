"""Proxies before servers: how they are configured, what becomes of them, and what is left (nothing)."""

import os
import signal
import socket
import ssl
import tempfile
import threading
import urllib.request
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from bench.launch import proxied, proxy
from bench.launch.local import Processes
from bench.launch.proxy import Proxy, find_installed
from bench.launch.server import Options, ServerError
from bench.launch.starting import ServerRequest
from bench.model.errors import UserError
from targets.answering import lacking, main
from tests.bench.commands import gone
from tests.patience import LONG_S, wait_until
from tests.ports import free_port

CPU = max(os.sched_getaffinity(0))
KINDS = ("nginx", "haproxy")


def needing(kind):
    return pytest.param(
        kind, marks=pytest.mark.skipif(proxy.installed(kind) is None, reason=f"{kind} is not installed")
    )


@pytest.fixture
def program(tmp_path):
    """A proxy that is a shell script."""

    def make(script):
        path = tmp_path / "program"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return Proxy("nginx", str(path), "0", (CPU,))

    return make


def written(kind, folder, server="127.0.0.1:8123", **keys):
    made = Proxy(kind, kind, "1", (0,), **keys)
    made.configure(folder, server, "127.0.0.1:8124", 2)
    return (folder / made._file).read_text()


@pytest.mark.parametrize(
    ("kind", "stated"),
    [
        ("nginx", ["server 127.0.0.1:8123;", "listen 127.0.0.1:8124 ", "worker_processes 2;",
                   "keepalive 256;", "keepalive_timeout 60s;", "proxy_http_version 1.1;",
                   "worker_connections 4000;"]),
        ("haproxy", ["server app 127.0.0.1:8123 ", "bind 127.0.0.1:8124 ", "nbthread 2", "http-reuse safe",
                     "pool-purge-delay 5s", "timeout server 60s", "noreuseport", "maxconn 4000"]),
    ],
)  # fmt: skip
def test_what_matters_is_stated(kind, stated, tmp_path):
    text = written(kind, tmp_path, connections=4000)
    assert all(each in text for each in stated), text
    assert "{{" not in text and "{%" not in text


@pytest.mark.parametrize(
    ("kind", "default", "off"),
    [
        ("nginx", "proxy_next_upstream error timeout;", "proxy_next_upstream off;"),
        ("haproxy", "retry-on conn-failure", "retries 0"),
    ],
)
def test_retries_are_the_proxy_s_own_or_off(kind, default, off, tmp_path):
    as_it_comes, none = written(kind, tmp_path), written(kind, tmp_path, retries="off")
    assert default in as_it_comes and off not in as_it_comes
    assert off in none and default not in none


@pytest.mark.parametrize(
    ("kind", "kept", "off"),
    [
        ("nginx", "keepalive 256;", "proxy_set_header Connection close;"),
        ("haproxy", "http-reuse safe", "option http-server-close"),
    ],
)
def test_connections_to_the_server_are_kept_or_not(kind, kept, off, tmp_path):
    as_it_comes, none = written(kind, tmp_path), written(kind, tmp_path, keepalive="off")
    assert kept in as_it_comes and off not in as_it_comes
    assert off in none and kept not in none


@pytest.mark.parametrize(
    ("kind", "stated", "shown"),
    [
        ("nginx", "server unix:/tmp/x/1.sock;", "server unix:/run/app/server.sock;"),
        ("haproxy", "server app unix@/tmp/x/1.sock ", "server app unix@/run/app/server.sock "),
    ],
)
def test_it_reaches_a_server_by_its_socket(kind, stated, shown, tmp_path):
    assert stated in written(kind, tmp_path, proxy.upstream("unix:/tmp/x/1.sock"))
    assert proxy.upstream("http://127.0.0.1:80") == "127.0.0.1:80"
    assert shown in Proxy(kind, kind, "1", (0,), socket="unix").snippet


@pytest.mark.parametrize("kind", KINDS)
def test_the_snippet_is_what_one_copies(kind):
    made = Proxy(kind, "there", "1.2", (0, 1))
    assert made.facts == {"version": "1.2", "cpus": [0, 1], "configuration": made.snippet}
    assert "127.0.0.1:8000" in made.snippet and "127.0.0.1:8080" in made.snippet
    assert (
        not made.snippet.startswith(" ")
        and "temp_path" not in made.snippet
        and "nbthread" not in made.snippet
    )


def test_one_that_is_not_installed_says_how_to_have_it(make_plan, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(proxy, "_FOLDERS", ())
    assert proxy.find(make_plan("sanic"), [0], find_installed) is None
    with pytest.raises(
        UserError, match=r"there is no haproxy on this machine: install it .*apt install haproxy"
    ):
        proxy.find(make_plan("sanic", proxy="haproxy"), [0], find_installed)


@pytest.mark.parametrize(
    ("script", "reason"),
    [("exit 3", "says no version: exit status 3"), ("echo hello", "says no version: hello")],
)
def test_one_that_does_not_run(script, reason, make_plan, monkeypatch, program, tmp_path):
    Path(program(script).program).rename(tmp_path / "nginx")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(UserError, match=reason):
        proxy.find(make_plan("sanic", proxy="nginx"), [0], find_installed)


@pytest.mark.parametrize("kind", [needing(kind) for kind in KINDS])
def test_the_installed_one_is_found(kind, make_plan):
    asked = make_plan("sanic", users=(3000,), proxy=kind, proxy_retries="off", proxy_socket="unix")
    found = proxy.find(asked, [0, 2], find_installed)
    assert (found.kind, found.retries, found.cpus, found.connections) == (kind, "off", (0, 2), 6064)
    assert found.version[0].isdigit() and Path(found.program).name == kind and found.socket == "unix"


@pytest.fixture(scope="module")
def served(tmp_path_factory, current, catalogue):
    """A launcher, and a server that is started with it, without a proxy."""
    folder = tmp_path_factory.mktemp("served")
    with Processes().open({"current": current}, folder, print) as launcher:
        yield launcher, launcher.start(catalogue.get("sanic-single"), 1, folder / "m", [0])


@pytest.fixture
def before(served, tmp_path):
    """Puts a proxy before the server, at these ports or any; ends it with the test."""
    launcher, server = served
    folder, server.directory = server.directory, tmp_path / "m"
    fronts = []

    def start(chosen, *ports):
        given = iter(ports)
        fronts.append(proxied.start(launcher, chosen, server, 1, lambda: next(given, None) or free_port()))
        return fronts[-1]

    yield start
    server.directory = folder
    for front in fronts:
        front.end()


def found(kind, make_plan):
    return proxy.find(make_plan("sanic", proxy=kind), [CPU], find_installed)


@pytest.mark.parametrize("kind", [needing(kind) for kind in KINDS])
def test_requests_go_through_it_until_it_ends(kind, make_plan, before):
    front = before(found(kind, make_plan))
    assert lacking(front.url) is None and front.failure() is None and front.cpu_s() > 0
    tree = [
        psutil.Process(front.program.child.pid),
        *psutil.Process(front.program.child.pid).children(recursive=True),
    ]
    assert {tuple(process.cpu_affinity()) for process in tree} == {(CPU,)} and len(tree) > 1
    (first,) = (process for process in tree if process.ppid() == front.program.child.pid)
    os.kill(first.pid, signal.SIGKILL)
    assert gone(tree), "its processes end with its first one"
    assert front.failure().startswith(f"{kind} ended by itself") and front.cpu_s() is None
    assert lacking(front.url) is not None


@pytest.mark.parametrize("kind", [needing(kind) for kind in KINDS])
def test_a_port_that_is_taken_is_left_to_whoever_has_it(kind, make_plan, before):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        front = before(found(kind, make_plan), port)
        assert not front.url.endswith(f":{port}") and lacking(front.url) is None


@pytest.mark.parametrize("kind", [needing(kind) for kind in KINDS])
def test_it_speaks_tls_and_is_led_to_another_server_without_losing_a_request(kind, make_plan, served, before):
    launcher, _ = served
    launcher.certify(launcher._folder / f"tls-{kind}")
    chosen = proxy.find(make_plan("sanic", proxy=kind, proxy_tls=True), [CPU], find_installed)
    front = before(chosen)
    trusting = ssl.create_default_context(cafile=launcher.certificate.authority)

    def asked():
        with urllib.request.urlopen(f"{front.url}/whoami", timeout=LONG_S, context=trusting) as response:
            return response.read()

    assert front.url.startswith("https://") and b'"configuration"' in asked()
    with another(b"the second") as second:
        front.lead_to(second)
        # What it was before may still take a connection after the new one has answered; no request fails.
        only = {b"the second"}
        wait_until(lambda: {asked() for _ in range(20)} == only, "it leads to the second one alone")
        assert front.failure() is None


@contextmanager
def another(body):
    """Another server, which answers everything with a body; its URL."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_what_it_says_itself_is_told_where_it_refuses(program, before):
    refusing = program("echo 'nginx: [emerg] unknown directive \"keepalive\" in nginx.conf:30' >&2; exit 1")
    with pytest.raises(UserError) as told:
        before(refusing)
    text = str(told.value)
    assert "nginx 0" in text and "did not start" in text and 'unknown directive "keepalive"' in text
    assert text.splitlines()[-1] == "Mend that, install another version, or leave out PROXY="


def test_one_that_passes_nothing_on_is_given_up(program, before, monkeypatch):
    monkeypatch.setattr(proxied, "_ANSWER_S", 0.1)
    with pytest.raises(UserError, match=r"passed on no answer of the server within 0\.1 s: it says nothing"):
        before(program("exec sleep 600"))


@pytest.mark.parametrize("kind", [needing("nginx")])
def test_a_server_that_ends_before_it_answers_through_it_is_told_as_that(
    kind, make_plan, lightly, light, tmp_path, monkeypatch
):
    """The whole run ended, and nginx was to blame (`make faults FAULTS=200 SEED=190`, 13)."""
    begin, begun = proxied.start, []

    def late(launcher, chosen, server, *more):
        if not begun:
            os.kill(server.facts["pid"], signal.SIGKILL)
        begun.append(server)
        return begin(launcher, chosen, server, *more)

    monkeypatch.setattr(proxied, "start", late)
    options = Options(proxy=found(kind, make_plan))
    with lightly() as launcher:
        requests = [ServerRequest(light.get("one"), 1, tmp_path / name, (0,), options) for name in "mn"]
        ended, other = launcher.start_all(requests)
        assert isinstance(ended, ServerError) and str(ended).startswith("the server ended by itself")
        assert lacking(other.url) is None


@pytest.mark.parametrize("kind", [needing("nginx")])
def test_a_server_is_ready_behind_it_and_neither_is_left(kind, make_plan, lightly, light, tmp_path):
    options = Options(proxy=found(kind, make_plan))
    with lightly() as launcher:
        server = launcher.start(light.get("one"), 1, tmp_path / "m", [0], options)
        assert server.url == server.front.url != server.facts["url"] and server.failure() is None
        tree = [psutil.Process(server.front.program.child.pid), psutil.Process(server.process.child.pid)]
        os.kill(server.facts["pid"], signal.SIGKILL)
        launcher.stop(server)
        assert server.front.failure() is None, "it stays until its server is gone"
        launcher.settle()
        assert gone(tree[:1])
        another = launcher.start(light.get("one"), 1, tmp_path / "n", [0], options)
        another.front.end()
        assert another.failure().startswith("nginx ended by itself") and another.running
        tree += [psutil.Process(another.process.child.pid)]
    assert gone(tree)


@pytest.mark.parametrize("kind", [needing("haproxy")])
def test_servers_on_unix_sockets_are_served_through_it_and_the_sockets_go(
    kind, make_plan, current, catalogue, tmp_path
):
    options = Options(proxy=replace(found(kind, make_plan), socket="unix"))
    with Processes().open({"current": current}, tmp_path, print) as launcher:
        requests = [
            ServerRequest(catalogue.get(name), 1, tmp_path / name, (0,), options)
            for name in ("sanic-single", "uvicorn")
        ]
        servers = launcher.start_all(requests)
        assert [lacking(server.url) for server in servers] == [None, None]
        paths = {Path(server.facts["url"].removeprefix("unix:")) for server in servers}
        assert len(paths) == 2 and all(path.is_socket() for path in paths)
    assert not any(path.parent.exists() for path in paths)


def test_a_path_that_is_too_long_for_a_socket_is_told(make_plan, current, catalogue, tmp_path, monkeypatch):
    deep = tmp_path / ("long" * 10)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    options = Options(proxy=Proxy("nginx", "nginx", "1", (CPU,), socket="unix"))
    with (
        Processes().open({"current": current}, tmp_path, print) as launcher,
        pytest.raises(UserError, match=r"the path of a Unix socket has \d+ bytes .* set TMPDIR to a shorter"),
    ):
        launcher.start(catalogue.get("sanic-single"), 1, tmp_path / "m", [0], options)
    assert not list(deep.iterdir())


def test_sockets_that_a_killed_run_left_go_with_the_next(
    make_plan, current, catalogue, tmp_path, monkeypatch
):
    left = tmp_path / "whichworker-sockets-left"
    left.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(proxied, "_MOST_PATH_BYTES", 1000)
    with Processes().open({"current": current}, tmp_path, print) as launcher:
        place = launcher._new_socket().parent
        assert not left.exists() and place.parent == tmp_path
        assert launcher._new_socket().parent == place
    assert not place.exists()


def test_no_answer_in_time(capsys):
    assert main([f"http://127.0.0.1:{free_port()}", "0"]) == 1
    assert "ConnectionRefusedError" in capsys.readouterr().out
