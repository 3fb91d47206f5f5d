"""HTTP/1.1 as the engine speaks it: how requests look on the wire, and how responses are framed."""

from __future__ import annotations

import swarm as _swarm  # noqa: F401  # isort: skip  # first: Locust's gevent must patch ssl before all else

import base64
import email
import io
import json

import pytest
import requests

from tests.swarm.scripted import byte_by_byte, reply, then_close

CHUNKED = (
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n7;note=1\r\n, world\r\n0\r\n\r\n"
)
FRAMINGS = {
    "content-length": (reply(b"hello, world"), 200, b"hello, world"),
    "empty": (reply(b""), 200, b""),
    "chunked": (CHUNKED, 200, b"hello, world"),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n", 304, b""),
    # RFC 9110, 8.6: the length that a 200 would have had; there is no body behind it.
    "not modified with a length": (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", 304, b""),
    "after 100": (b"HTTP/1.1 100 Continue\r\n\r\n" + reply(b"hi"), 200, b"hi"),
    "after two 103": (b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n" * 2 + reply(b"hi"), 200, b"hi"),
}


@pytest.mark.parametrize("framing", FRAMINGS)
def test_responses_are_framed_and_the_connection_is_used_again(serve, live, framing):
    wire, status, body = FRAMINGS[framing]
    server = serve({"/": wire, "/after": reply(b"after")})

    def steps(user):
        yield user.get("/")
        yield user.get("/")  # the same bytes again: these take the short way round the parser
        yield user.get("/after")

    responses = live(server.url, steps).responses
    assert [(r.status_code, r.content) for r in responses] == [(status, body)] * 2 + [(200, b"after")]
    assert all(response.ok for response in responses)
    assert server.connections == 1


@pytest.mark.parametrize("framing", FRAMINGS)
def test_responses_may_come_byte_by_byte(serve, live, framing):
    wire, status, body = FRAMINGS[framing]
    server = serve({"/": byte_by_byte(wire)})

    def steps(user):
        yield user.get("/")
        yield user.get("/")

    assert [(r.status_code, r.content) for r in live(server.url, steps).responses] == [(status, body)] * 2


def test_an_interim_response_leaves_nothing_behind(serve, ask):
    server = serve({"/": b"HTTP/1.1 103 Early Hints\r\nlink: early\r\n\r\n" + reply(b"", "200 OK", "x-a: 1")})
    response = ask(server, "GET", "/")
    assert "link" not in response.headers
    assert response.headers["X-A"] == "1"


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\n\r\nto the end", b"HTTP/1.0 200 OK\r\n\r\nto the end"]
)
def test_a_body_may_last_until_the_server_closes(serve, live, answer):
    server = serve({"/": then_close(answer)})

    def steps(user):
        yield user.get("/")
        yield user.get("/")

    responses = live(server.url, steps).responses
    assert [(r.ok, r.content) for r in responses] == [(True, b"to the end")] * 2
    assert server.connections == 2


@pytest.mark.parametrize("head", [b"content-length: 5\r\n", b"transfer-encoding: chunked\r\n", b""])
def test_head_has_no_body_whatever_its_headers_say(serve, live, head):
    server = serve({"/": b"HTTP/1.1 200 OK\r\n" + head + b"\r\n", "/after": reply(b"after")})

    def steps(user):
        yield user.head("/")
        yield user.head("/")
        yield user.get("/after")

    responses = live(server.url, steps).responses
    assert [r.content for r in responses] == [b"", b"", b"after"]
    assert [asked.method for asked in server.asked] == ["HEAD", "HEAD", "GET"]
    assert server.connections == 1


def test_head_and_get_of_one_name_are_not_mixed_up(serve, live):
    def answer(client, asked):
        client.send(reply(b"") if asked.method == "HEAD" else reply(b"body"))

    server = serve({"/": answer})

    def steps(user):
        for method in ("HEAD", "GET", "HEAD", "GET"):
            yield user.request(method, "/")

    assert [r.content for r in live(server.url, steps).responses] == [b"", b"body", b"", b"body"]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
def test_any_method_may_be_asked(serve, ask, method):
    server = serve({"/x": reply()})
    assert ask(server, method, "/x").ok
    [asked] = server.asked
    assert (asked.method, asked.target, asked.version) == (method, "/x", "HTTP/1.1")
    assert asked.headers["host"] == f"127.0.0.1:{server.port}"


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete", "options"])
def test_each_method_has_its_shorthand(serve, live, method):
    server = serve({"/x": reply()})

    def steps(user):
        yield getattr(user, method)("/x")

    assert live(server.url, steps).only.ok
    assert server.asked[0].method == method.upper()


BODIES = {
    "json": (
        {"json": {"a": [1, "ä"]}},
        json.dumps({"a": [1, "ä"]}).encode(),
        "application/json",
    ),
    "bytes": ({"data": b"\x00\xff"}, b"\x00\xff", None),
    "text": ({"data": "grün"}, "grün".encode(), None),
    "form": ({"data": {"a": "1 2", "b": ["x", "y"]}}, b"a=1+2&b=x&b=y", "application/x-www-form-urlencoded"),
    "none": ({}, b"", None),
    "false as json": ({"json": False}, b"false", "application/json"),
}


@pytest.mark.parametrize("body", BODIES)
def test_bodies(serve, ask, body):
    options, wire, content_type = BODIES[body]
    server = serve({"/x": reply()})
    ask(server, "POST", "/x", **options)
    [asked] = server.asked
    assert asked.body == wire
    assert asked.headers["content-length"] == str(len(wire))
    assert asked.headers.get("content-type") == content_type


def test_a_get_without_body_has_no_content_length(serve, ask):
    server = serve({"/x": reply()})
    ask(server, "GET", "/x")
    assert "content-length" not in server.asked[0].headers


def test_params_and_name(serve, live):
    server = serve({"/items": reply()})

    def steps(user):
        yield user.get("/items", params={"q": "a b", "tag": ["x", "y"]}, name="/items of a tag")
        yield user.get("/items?page=1#part", params={"n": 2}, name="/items of a tag")

    swarm = live(server.url, steps).swarm
    assert server.targets == ["/items?q=a+b&tag=x&tag=y", "/items?page=1&n=2"]
    assert swarm.stats.get("/items of a tag", "GET").num_requests == 2
    assert len(swarm.stats.entries) == 1


def test_headers_of_class_and_request(serve, live):
    server = serve({"/x": reply()})

    def steps(user):
        yield user.get("/x", headers={"x-own": "2", "user-agent": "me"})

    live(server.url, steps, default_headers={"X-Default": "1", "x-own": "default"})
    headers = server.asked[0].headers
    assert (headers["x-default"], headers["x-own"], headers["user-agent"]) == ("1", "2", "me")


@pytest.mark.parametrize(
    ("path", "headers"), [("index", {}), (" /", {}), ("/", {"x": "1\r\ny: 2"}), ("/", {"x y": "1"})]
)
def test_what_http_does_not_allow_is_refused_before_it_is_sent(serve, live, path, headers):
    server = serve({"/": reply()})
    errors = []

    def steps(user):
        try:
            user.get(path, headers=headers)
        except ValueError as error:
            errors.append(str(error))
        yield user.get("/")

    live(server.url, steps)
    assert len(errors) == 1
    assert server.targets == ["/"]


TOWNS = {
    "/stadt/Köln": "/stadt/K%C3%B6ln",
    "/stadt/東京": "/stadt/%E6%9D%B1%E4%BA%AC",
    "/stadt/Bad Ems": "/stadt/Bad%20Ems",
    "/stadt/K%C3%B6ln": "/stadt/K%C3%B6ln",
    # gatling/gatling#1718: a style sheet in a library whose name has a space.
    "/Style Library/en-US/Core Styles/controls.css": "/Style%20Library/en-US/Core%20Styles/controls.css",
    # karatelabs/karate#540: what is escaped is not escaped again, beside what is not.
    "/cats/test%20space 1^": "/cats/test%20space%201%5E",
    # yiisoft/yii2-httpclient#93: spaces in the query of an order.
    "/order?s=INTU&on=ARCA Buy ARCX Limit DAY": "/order?s=INTU&on=ARCA%20Buy%20ARCX%20Limit%20DAY",
}


def test_paths_are_sent_escaped_and_called_so(serve, live):
    server = serve({target.partition("?")[0]: reply() for target in TOWNS.values()})

    def steps(user):
        for path in TOWNS:
            response = yield user.get(path)
            assert response.ok

    swarm = live(server.url, steps).swarm
    assert server.targets == list(TOWNS.values())
    assert {name for name, _ in swarm.stats.entries} == set(TOWNS.values())


def test_a_file_is_uploaded(serve, live):
    """locustio/locust#1252 and #1209: a form of JSON and an image."""
    server = serve({"/predict": reply()})

    def steps(user):
        form = {
            "parameters": (None, json.dumps({"model": 2}), "application/json"),
            "image": ("here.jpg", io.BytesIO(b"\xff\xd8image"), "image/jpeg"),
        }
        yield user.post("/predict", files=form, data={"device": "one"})

    assert live(server.url, steps).only.ok
    [asked] = server.asked
    message = email.message_from_bytes(
        f"Content-Type: {asked.headers['content-type']}\r\n\r\n".encode() + asked.body
    )
    parts = {
        part.get_param("name", header="content-disposition"): (
            part.get_filename(),
            part.get_content_type(),
            part.get_payload(decode=True),
        )
        for part in message.get_payload()
    }
    assert parts == {
        "device": (None, "text/plain", b"one"),
        "parameters": (None, "application/json", b'{"model": 2}'),
        "image": ("here.jpg", "image/jpeg", b"\xff\xd8image"),
    }


def test_a_file_that_was_read_by_an_earlier_request_is_refused(serve, live):
    """locustio/locust#1903: opened once for all users, so that all uploads but the first were empty."""
    server = serve({"/x": reply()})
    image = {"image": ("here.jpg", io.BytesIO(b"image"), "image/jpeg")}
    order = io.BytesIO(b"order")
    refused = []

    def steps(user):
        yield user.post("/x", files=image)
        yield user.post("/x", data=order)
        for options in ({"files": image}, {"data": order}):
            try:
                yield user.post("/x", **options)
            except ValueError as error:
                refused.append(str(error))

    live(server.url, steps)
    assert len(server.asked) == 2
    assert all("give its bytes" in reason for reason in refused)
    assert len(refused) == 2


SECRET = "Basic YWRhOnPDpGNyZXQ="


@pytest.mark.parametrize("where", ["option", "class", "host", "url", "user"])
def test_authentication(serve, live, where):
    """mcollina/autocannon#213: user and password in the host were left out."""
    server = serve({"/x": reply()})
    pair = ("ada", "säcret".encode())
    with_pair = server.url.replace("//", "//ada:s%C3%A4cret@")

    def steps(user):
        if where == "user":
            user.auth = pair
        if where == "option":
            yield user.get("/x", auth=pair)
        else:
            yield user.get(f"{with_pair}/x" if where == "url" else "/x")

    if where in ("host", "url"):  # requests, and we, take text there as latin-1
        secret = "Basic " + base64.b64encode("ada:säcret".encode("latin-1")).decode()
    else:
        secret = SECRET
    live(with_pair if where == "host" else server.url, steps, **({"auth": pair} if where == "class" else {}))
    assert server.asked[0].headers["authorization"] == secret
    assert server.asked[0].headers["host"] == f"127.0.0.1:{server.port}"


def test_a_request_may_come_with_authentication_of_its_own_kind(serve, ask):
    class Token(requests.auth.AuthBase):
        def __call__(self, request):
            request.headers["X-Token"] = "t"
            return request

    server = serve({"/x": reply()})
    ask(server, "POST", "/x", auth=Token(), json={})
    assert server.asked[0].headers["x-token"] == "t"


def test_absolute_urls_go_to_their_own_host(serve, live):
    first, second = serve({"/x": reply(b"first")}), serve({"/": reply(b"second"), "/y": reply(b"second")})

    def steps(user):
        yield user.get("/x")
        yield user.get(f"{second.url}/y?z=1")
        yield user.get(f"{second.url}?z=1")
        yield user.get("/x")

    responses = live(first.url, steps).responses
    assert [response.text for response in responses] == ["first", "second", "second", "first"]
    assert (first.connections, second.connections) == (1, 1)
    assert second.targets == ["/y?z=1", "/?z=1"]


def test_a_response_reads_as_json_text_and_headers(serve, ask):
    wire = reply("ä".encode("latin-1"), "200 OK", "Content-Type: text/plain; charset=latin-1", "a: 1", "A: 2")
    response = ask(serve({"/": wire}), "GET", "/")
    assert (response.text, response.headers["A"]) == ("ä", "1, 2")
    assert ask(serve({"/": reply(b'{"a": 1}')}), "GET", "/").json() == {"a": 1}


def test_redirects_are_answers(serve, ask):
    server = serve({"/": reply(b"", "302 Found", "location: /elsewhere")})
    response = ask(server, "GET", "/")
    assert (response.status_code, response.ok, server.targets) == (302, True, ["/"])


@pytest.mark.parametrize(("use_cookies", "sent"), [(True, "a=1; b=2"), (False, None)])
def test_cookies_are_kept_where_asked(serve, live, use_cookies, sent):
    server = serve({"/": reply(b"", "200 OK", "set-cookie: a=1; path=/", "set-cookie: b=2; path=/")})

    def steps(user):
        yield user.get("/")
        yield user.post("/", data=b"body")

    live(server.url, steps, use_cookies=use_cookies)
    first, second = server.asked
    assert "cookie" not in first.headers
    assert second.headers.get("cookie") == sent
    assert second.body == b"body"


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({"cookies": {"b": "2"}}, {"a=1", "b=2"}),
        ({"headers": {"cookie": "own=3"}}, {"own=3"}),
        ({"headers": {"Cookie": "own=3"}, "cookies": {"b": "2"}}, {"own=3"}),
    ],
)
def test_cookies_of_a_request_join_those_of_the_jar(serve, live, options, sent):
    server = serve({"/": reply(b"", "200 OK", "set-cookie: a=1; path=/")})

    def steps(user):
        yield user.get("/")
        yield user.get("/", **options)
        yield user.get("/")

    live(server.url, steps, use_cookies=True)
    cookies = [set(asked.headers.get("cookie", "").split("; ")) for asked in server.asked]
    assert cookies == [{""}, sent, {"a=1"}]


def test_each_user_has_a_jar_of_its_own(serve, live):
    server = serve({"/": reply(b"", "200 OK", "set-cookie: a=1; path=/")})

    def steps(user):
        yield user.get("/")

    live(server.url, steps, use_cookies=True)
    live(server.url, steps, use_cookies=True)
    assert all("cookie" not in asked.headers for asked in server.asked)
