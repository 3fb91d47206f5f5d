"""Runs behind proxies in containers."""

import json

from tests.compose.real.checkout import cells, reasons


def run_json(results):
    (path,) = results.glob("*/run.json")
    return json.loads(path.read_text())


def test_two_copies_on_unix_sockets_are_swapped_behind_nginx(checkout, results, nothing_left):
    checkout.run_bench(results, "--plan", checkout.plan("swapped"), "--proxy-socket", "unix")
    assert reasons(results) == {}
    (cell,) = cells(results)
    assert cell["proxy"]["kind"] == "nginx" and cell["proxy"]["cpu_s"] > 0
    assert cell["server"]["url"].startswith("unix:/") and cell["server"]["deploys_by"] == "swap"
    assert cell["measured"]["requests"] > 0 and cell["probe"]["renewed"], "the second copy has served"
    run = run_json(results)
    assert (run["launcher"], run["plan"]["proxy_socket"]) == ("compose", "unix")
    assert run["proxy"]["version"][0].isdigit() and "server unix:/" in run["proxy"]["configuration"]
    assert set(run["proxy"]["cpus"]).isdisjoint(run["cpu_split"]["server"]) or not run["cpu_split"]["trusted"]


def test_clients_reach_haproxy_by_tls(checkout, results, nothing_left):
    options = ("--plan", checkout.plan("both-stacks"), "--proxy", "haproxy", "--proxy-tls")
    checkout.run_bench(results, *options)
    assert reasons(results) == {}
    assert {(cell["configuration"], cell["proxy"]["kind"]) for cell in cells(results)} == {
        ("uvicorn", "haproxy"),
        ("gunicorn-sanic", "haproxy"),
    }
    assert all(cell["measured"]["requests"] > 0 and cell["proxy"]["cpu_s"] > 0 for cell in cells(results))


def test_an_image_that_cannot_be_had_is_told_in_docker_s_words(checkout, results, nothing_left):
    options = ("--plan", checkout.plan("both-stacks"), "--proxy", "nginx")
    said = checkout.run_bench(results, *options, status=1, WHICHWORKER_NGINX="127.0.0.1:1/there-is-none")
    *_, first, second = said.strip().splitlines()
    assert "no nginx from the image 127.0.0.1:1/there-is-none: docker: " in first
    assert "WHICHWORKER_NGINX" in second and not cells(results)
