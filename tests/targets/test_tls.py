"""Servers that speak TLS themselves: the variants of every server that can."""

import http.client
import json
import ssl

import pytest

from tests.certificates import AUTHORITY, issue
from tests.interpreters import without_interpreter
from tests.patience import LONG_S

from .conftest import CATALOGUE

NAMES = [name for name, configuration in CATALOGUE.configurations.items() if configuration.tls]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """What tells serve of a certificate and its key."""
    paths = issue(tmp_path_factory.mktemp("certificate"))
    return ["--certificate", paths["certfile"], "--key", paths["keyfile"]]


@pytest.mark.parametrize("name", NAMES)
def test_a_server_answers_by_tls_with_the_certificate_that_it_was_given(serve, certificate, name):
    lacking = without_interpreter(CATALOGUE.stacks[CATALOGUE.get(name).stack])
    if lacking is not None:
        pytest.skip(lacking)
    served = serve(name, *certificate).wait_ready()
    assert served.server["url"] == f"https://127.0.0.1:{served.port}"
    trusting = ssl.create_default_context(cadata=AUTHORITY.cert_pem.bytes().decode())
    connection = http.client.HTTPSConnection("127.0.0.1", served.port, timeout=LONG_S, context=trusting)
    pids = set()
    for _ in range(3):
        connection.request("GET", "/whoami")
        pids.add(json.loads(connection.getresponse().read())["pid"])
    assert pids == {served.server["whoami"]["pid"]}
    connection.close()
    assert served.end() == (0, "")


def test_every_server_has_such_a_variant_or_says_why_not():
    # Under another name the same server: what a request meets is the same.
    same = {"gunicorn-uvicorn-legacy"}
    assert {CATALOGUE.get(name).variant_of for name in NAMES} == set(CATALOGUE.declared) - same


def test_without_a_certificate_it_is_refused(serve):
    status, said = serve("uvicorn-tls").wait()
    assert status == 2 and "uvicorn-tls speaks TLS: give --certificate and --key" in said
