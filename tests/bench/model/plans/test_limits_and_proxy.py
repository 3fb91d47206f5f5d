"""Keys of a plan that say how long things may take, and behind which proxy servers are."""

import pytest

from bench.model.errors import UsageError
from bench.model.plans import plan
from bench.model.plans.narrowing import narrow
from tests.plans import tiny

TEXT = tiny()
LIMITS = "startup_timeout_s = 90\nimport_timeout_s = 120.5\n"


@pytest.fixture
def small(write):
    return plan.load(write(TEXT))


def test_limits_are_recorded_only_where_they_are_given(write, small):
    assert (small.startup_s, small.import_s) == (30.0, 60.0)
    assert not {"startup_timeout_s", "import_timeout_s"} & small.model_dump().keys()
    given = plan.load(write(LIMITS + TEXT))
    assert (given.startup_s, given.import_s) == (90.0, 120.5)
    assert plan.validate(given.model_dump(), "run.json") == given
    asked = narrow(given, {"startup_timeout_s": 45.0})
    assert (asked.startup_s, asked.import_s) == (45.0, 120.5)


@pytest.mark.parametrize("key", ["startup_timeout_s", "import_timeout_s"])
@pytest.mark.parametrize("value", ["0", "-1", "86401", '"long"', "inf"])
def test_a_limit_that_is_none_is_told(write, key, value):
    with pytest.raises(UsageError, match=f'key "{key}"'):
        plan.load(write(f"{key} = {value}\n{TEXT}"))


def test_nothing_is_started_at_a_url(write):
    external = {"external": {"url": "http://127.0.0.1:1", "name": "there"}, "aliases": {}}
    given = plan.load(write(LIMITS + TEXT))
    there = narrow(given, external)
    assert there.startup_timeout_s is None and there.import_s == 120.5
    with pytest.raises(UsageError, match="nothing is started at a URL: leave out STARTUP_TIMEOUT="):
        narrow(given, {**external, "startup_timeout_s": 9.0})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"proxy": "ngnix"}, 'key "proxy": unknown proxy "ngnix"; did you mean "nginx"?'),
        ({"proxy_retries": "off"}, "proxy_retries (PROXY_RETRIES=) is of a proxy: give PROXY=nginx"),
        ({"proxy": "nginx", "proxy_retries": "no"}, 'key "proxy_retries": input should be'),
        ({"proxy_keepalive": "off"}, "proxy_keepalive (PROXY_KEEPALIVE=) is of a proxy: give PROXY=nginx"),
        ({"proxy_socket": "unix"}, "proxy_socket (PROXY_SOCKET=) is of a proxy: give PROXY=nginx"),
        ({"proxy": "nginx", "proxy_socket": "udp"}, 'key "proxy_socket": input should be'),
        ({"proxy_tls": True}, "proxy_tls (PROXY_TLS=) is of a proxy: give PROXY=nginx"),
        (
            {"proxy": "nginx", "settings": True, "connections": {}},
            "[connections] are those of clients with the server itself: leave out PROXY=",
        ),
        (
            {"proxy": "nginx", "proxy_socket": "unix", "server": "me@there"},
            "no Unix socket leads to servers on another machine: leave out PROXY_SOCKET=",
        ),
        (
            {"proxy": "nginx", "external": {"url": "http://127.0.0.1:1", "name": "there"}, "aliases": {}},
            "a server that runs already has its own proxy, or none: leave out PROXY=",
        ),
    ],
)
def test_a_proxy_that_cannot_be_is_told(small, changes, message):
    with pytest.raises(UsageError) as caught:
        narrow(small, changes)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_proxy_is_recorded_only_where_there_is_one(small):
    assert not {"proxy", "proxy_retries"} & set(small.model_dump())
    assert narrow(small, {"proxy": "nginx", "server": "me@there"}).proxy == "nginx"
    behind = narrow(small, {"proxy": "haproxy", "proxy_retries": "off"}).model_dump()
    assert (behind["proxy"], behind["proxy_retries"]) == ("haproxy", "off")
