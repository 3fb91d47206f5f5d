"""Proxies before servers in containers: what is said of their images, and what becomes of them."""

import http.client
import os
from dataclasses import replace

import psutil
import pytest

from bench.launch import proxy
from bench.launch.containers import compose, engine
from bench.launch.containers.build import compose_value
from bench.launch.server import Options
from bench.model.errors import UserError
from bench.studies.cockpit.web_ui import offered_proxies
from targets.answering import lacking
from tests.bench.commands import gone
from tests.patience import LONG_S, wait_until

CPU = max(os.sched_getaffinity(0))
KINDS = ("nginx", "haproxy")


def needing(kind):
    return pytest.param(
        kind, marks=pytest.mark.skipif(proxy.installed(kind) is None, reason=f"{kind} is not installed")
    )


@pytest.fixture
def have(docker):
    """Has an engine with the image of a proxy; returns its Proxy."""

    def found(kind, **keys):
        (docker.state / "images" / compose_value(f"WHICHWORKER_{kind.upper()}")).write_text("")
        launcher = compose.Compose(engine.find())
        return replace(proxy.as_it_comes(kind, [CPU], 8, launcher.find_proxy), **keys)

    return found


@pytest.fixture
def sanic(catalogue):
    return catalogue.get("sanic-single")


def test_an_image_that_cannot_be_had_is_told_with_what_names_another(docker, monkeypatch):
    monkeypatch.setenv("WHICHWORKER_NGINX", "our-nginx:1")
    launcher = compose.Compose(engine.find())
    with pytest.raises(UserError) as told:
        launcher.find_proxy("nginx")
    first, second = str(told.value).splitlines()
    assert first.startswith("no nginx from the image our-nginx:1: docker: Error response from daemon: pull")
    assert "WHICHWORKER_NGINX" in second and "LAUNCHER=processes" in second and "leave out PROXY=" in second
    assert offered_proxies(launcher, [CPU], print) == {}, "the web UI pulls none"


@pytest.mark.parametrize("kind", [needing(kind) for kind in KINDS])
def test_a_server_is_ready_behind_it_and_neither_is_left(
    kind, docker, have, make_launcher, run_folder, sanic
):
    chosen = have(kind)
    assert (chosen.program, chosen.version[0].isdigit()) == (
        compose_value(f"WHICHWORKER_{kind.upper()}"),
        True,
    )
    with make_launcher() as launcher:
        assert list(offered_proxies(launcher, [CPU], print)) == [kind]
        server = launcher.start(sanic, 1, run_folder / "m", [0], Options(proxy=chosen))
        assert server.url == server.front.url != server.facts["url"] and lacking(server.url) is None
        assert server.front.cpu_s() is not None and server.failure() is None
        name = docker.named(f"bench-{kind}")
        facts = docker.containers()[name]
        assert facts["labels"].keys() == {"whichworker.checkout", "whichworker.bench"}
        launcher.stop(server)
        assert server.front.failure() is None, "it stays until its server is gone"
        launcher.settle()
        assert name not in docker.containers() and gone([facts["pid"]])
        another = launcher.start(sanic, 1, run_folder / "n", [0], Options(proxy=chosen))
        first = psutil.Process(docker.containers()[docker.named(f"bench-{kind}")]["pid"])
        workers = first.children()
        first.kill()
        wait_until(lambda: another.failure() is not None, "its end is seen")
        assert another.failure().startswith(f"{kind} ended by itself") and another.running
        assert another.front.cpu_s() is None
        assert gone(workers)
    assert docker.containers() == {}


@pytest.mark.parametrize("kind", [needing(kind) for kind in KINDS])
def test_two_copies_on_unix_sockets_are_swapped(kind, docker, have, make_launcher, run_folder, catalogue):
    options = Options(proxy=have(kind, socket="unix"), deploys=True, swapped=True)
    with make_launcher() as launcher:
        server = launcher.start(catalogue.get("gunicorn-uvicorn"), 1, run_folder / "m", [0], options)
        first = server.facts["url"].removeprefix("unix:")
        assert server.facts["deploys_by"] == "swap" and os.path.exists(first)  # noqa: PTH110
        server.deploy()
        wait_until(lambda: server.standby is not None, "the second copy answers")
        assert server.standby.startswith("unix:") and server.standby != server.facts["url"]
        before = whoami(server.url)
        server.front.lead_to(server.standby)
        wait_until(lambda: whoami(server.url) != before, "the proxy leads to it")
    assert docker.containers() == {} and not os.path.exists(os.path.dirname(first))  # noqa: PTH110, PTH120


def whoami(url):
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=LONG_S)
    try:
        connection.request("GET", "/whoami", headers={"Connection": "close"})
        return connection.getresponse().read()
    finally:
        connection.close()


@pytest.mark.parametrize("kind", [needing("nginx")])
def test_a_configuration_that_it_refuses_is_told_in_its_words(
    kind, docker, have, make_launcher, run_folder, sanic
):
    with make_launcher() as launcher, pytest.raises(UserError) as told:
        launcher.start(sanic, 1, run_folder / "m", [0], Options(proxy=have(kind, connections=-1)))
    said = str(told.value)
    assert f"({compose_value('WHICHWORKER_NGINX')}) did not start:" in said and "[emerg]" in said
    assert docker.containers() == {}
