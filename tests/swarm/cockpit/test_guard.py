"""The guard: who is answered, and what every answer carries."""

from __future__ import annotations

import pytest

from swarm.cockpit.guard import LOCUST_POLICY, Guard


def application(environ, start_response):
    headers = [("Access-Control-Allow-Origin", "*"), ("access-control-allow-headers", "*"), ("X-Own", "1")]
    if environ["PATH_INFO"] == "/strict":
        headers.append(("Content-Security-Policy", "default-src 'none'"))
    start_response("200 OK", headers)
    return [b"answered"]


def asked(method="GET", path="/", names=(), **headers):
    """Ask the guard; returns the status, the headers and the body."""
    answer = []
    environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "wsgi.url_scheme": "http"}
    environ |= {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    body = b"".join(Guard(application, names)(environ, lambda status, given: answer.extend((status, given))))
    return answer[0], dict(answer[1]), body


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8089", "localhost:8089", "LOCALHOST", "[::1]:8089", "192.168.1.7:80", "bench.example"]
)
def test_own_names_are_answered(host):
    assert asked(host=host, names=["bench.example"])[0] == "200 OK"


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8089", "", "127.0.0.1.evil.example", "x@127.0.0.1", "[::1", "localhost."],
)
def test_other_names_are_not(host):
    status, _, body = asked(host=host)
    assert status == "403 Forbidden" and b"answered" not in body


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://127.0.0.1:8089"}, "200 OK"),
        ({"origin": "http://evil.example"}, "403 Forbidden"),
        ({"origin": "http://127.0.0.1:8000"}, "403 Forbidden"),
        ({"origin": "https://127.0.0.1:8089"}, "403 Forbidden"),
        ({"origin": "null"}, "403 Forbidden"),
        ({"sec_fetch_site": "cross-site"}, "403 Forbidden"),
        ({"sec_fetch_site": "same-site"}, "403 Forbidden"),
        ({"sec_fetch_site": "same-origin"}, "200 OK"),
        ({}, "200 OK"),  # no browser
    ],
)
def test_only_the_page_itself_may_change_something(headers, status):
    assert asked("POST", host="127.0.0.1:8089", **headers)[0] == status


def test_a_link_from_elsewhere_may_open_the_page_but_no_other_origin_may_read_it():
    assert asked(host="localhost:1", sec_fetch_site="cross-site")[0] == "200 OK"
    assert asked(host="localhost:1", origin="http://evil.example")[0] == "403 Forbidden"


def test_answers_permit_nothing_to_other_origins_and_load_nothing_from_other_hosts():
    _, headers, _ = asked(host="localhost")
    assert not [name for name in headers if name.lower().startswith("access-control")]
    assert headers["X-Own"] == "1" and headers["X-Frame-Options"] == "DENY"
    assert headers["Content-Security-Policy"] == LOCUST_POLICY
    assert asked(path="/strict", host="localhost")[1]["Content-Security-Policy"] == "default-src 'none'"
