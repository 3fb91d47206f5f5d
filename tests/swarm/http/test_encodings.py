"""Compressed answers: read as what they stand for, counted as what came over the connection."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib

import brotli
import pytest

from swarm.http import message
from swarm.http.message import Assembler, Message, NotDecoded, decoded
from tests.swarm.scripted import byte_by_byte, reply

PLAIN = json.dumps({"hello": "wörld" * 50}).encode()


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


CODED = {
    "gzip": gzip.compress(PLAIN),
    "x-gzip": gzip.compress(PLAIN),
    "GZIP": gzip.compress(PLAIN[:7]) + gzip.compress(PLAIN[7:]),  # two members, as some servers flush
    " gzip": gzip.compress(PLAIN) + b"behind it",
    "deflate": zlib.compress(PLAIN),
    "Deflate": raw_deflate(PLAIN),
    "br": brotli.compress(PLAIN),
    "br, gzip": gzip.compress(brotli.compress(PLAIN)),
    "identity, gzip": gzip.compress(PLAIN),
    "utf-8": PLAIN,  # no coding at all: some servers say so
}


@pytest.mark.parametrize("coding", CODED)
def test_a_body_is_decoded_and_its_wire_size_counted(serve, live, coding):
    wire = reply(CODED[coding], "200 OK", "Content-Type: application/json", f"Content-Encoding: {coding}")
    server = serve({"/": wire, "/slow": byte_by_byte(wire)})

    def steps(user):
        for _ in range(2):
            yield user.get("/")
        yield user.get("/slow", name="/")

    lived = live(server.url, steps)
    for response in lived.responses:
        assert (response.content, response.text, response.json()) == (
            PLAIN,
            PLAIN.decode(),
            json.loads(PLAIN),
        )
        assert response.size == len(CODED[coding])
        assert response.ok
    assert lived.responses[0].content is lived.responses[1].content  # equal answers are decoded once
    entry = lived.swarm.stats.get("/", "GET")
    assert (entry.num_failures, entry.total_content_length) == (0, 3 * len(CODED[coding]))


SPOILT = {
    "gzip": b"no gzip at all",
    "x-gzip": CODED["gzip"][:-9],
    "deflate": CODED["deflate"][:-5],
    "br": CODED["br"][:-3],
    "gzip, br": CODED["gzip"],
    "zstd": b"(\xb5/\xfd",  # locustio/locust#3188: asked for by headers copied from a browser
}


@pytest.mark.parametrize("coding", SPOILT)
def test_a_body_that_is_not_what_it_says_is_a_failure(serve, live, coding):
    server = serve({"/": reply(SPOILT[coding], "200 OK", f"Content-Encoding: {coding}")})

    def steps(user):
        response = yield user.get("/")
        assert (response.content, response.text) == (b"", "")
        with pytest.raises(ValueError, match="Expecting value"):
            response.json()

    lived = live(server.url, steps)
    assert lived.only.reason.startswith("protocol: Content-Encoding is ")
    assert lived.only.size == len(SPOILT[coding])
    assert lived.swarm.stats.get("/", "GET").num_failures == 1
    assert not lived.swarm.runner.exceptions


def test_what_nobody_reads_is_not_decoded(serve, live):
    server = serve({"/": reply(b"no gzip", "200 OK", "Content-Encoding: gzip")})

    def steps(user):
        yield user.get("/")

    assert live(server.url, steps).swarm.stats.get("/", "GET").num_failures == 0


@pytest.mark.parametrize("method", ["DELETE", "HEAD"])
def test_without_a_body_there_is_nothing_to_decode(serve, live, method):
    """locustio/locust#2310: a deletion answered with 204 and a Content-Encoding."""
    server = serve({"/": b"HTTP/1.1 204 No Content\r\nContent-Encoding: gzip\r\n\r\n"})

    def steps(user):
        yield user.request(method, "/")

    response = live(server.url, steps).only
    assert (response.content, response.text, response.ok) == (b"", "", True)


def test_brotli_is_missed_with_what_to_do(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "brotli", None)
    with pytest.raises(ValueError, match="brotli is missing: install it"):
        decoded(CODED["br"], "br")


def test_a_plain_body_is_its_content():
    body = b"plain"
    plain = Message(200, [(b"content-type", b"text/plain")], body, keep_alive=True)
    assert plain.content is body


BIG = 4 << 20


@pytest.fixture
def little_is_kept(monkeypatch):
    """Bodies are kept up to 1 MiB, so that those which are too large need not be huge."""
    monkeypatch.setattr(message, "MOST_BODY_BYTES", 1 << 20)


BOMBS = {
    "gzip": gzip.compress(bytes(BIG)),
    "deflate": raw_deflate(bytes(BIG)),
    "br": brotli.compress(bytes(BIG)),
    "gzip, gzip": gzip.compress(gzip.compress(bytes(BIG))),
    "x-gzip": gzip.compress(b"") * 10_001,
    ", ".join(["gzip"] * 9): gzip.compress(PLAIN),
}


@pytest.mark.parametrize("coding", BOMBS)
def test_a_body_that_would_fill_the_memory_is_not_decoded(little_is_kept, coding):
    with pytest.raises(NotDecoded, match=r"over 64 MiB, more than is kept|in over 10000 members|9 codings"):
        decoded(BOMBS[coding], coding)


def test_members_may_end_anywhere():
    parts = [bytes([number % 251]) * (7 * number) for number in range(300)]
    whole = b"".join(parts)
    assert decoded(b"".join(map(gzip.compress, parts)), "gzip") == whole
    assert decoded(gzip.compress(whole, 0) + gzip.compress(whole, 0)[:-8] + bytes(8), "gzip") == whole


def test_of_a_body_that_is_too_long_only_the_length_is_known(little_is_kept, serve, live):
    wire = reply(bytes(BIG))
    server = serve({"/": wire, "/after": reply(b"after")})

    def steps(user):
        response = yield user.get("/")
        assert response.ok and response.size == BIG
        yield user.get("/")
        response = yield user.get("/")
        assert response.content == b"" and response.text == ""
        yield user.get("/after")

    lived = live(server.url, steps)
    assert [response.reason for response in lived.responses] == [
        "", "", "protocol: a body of over 64 MiB, more than is kept to be read", "",
    ]  # fmt: skip
    assert server.connections == 1 and not lived.swarm.runner.exceptions


def test_a_body_in_tiny_chunks_takes_no_more_memory_than_others():
    assembler = Assembler()
    assembler.expect("GET")
    assembler.feed(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    tracemalloc.start()
    for _ in range(200):
        assembler.feed(b"1\r\nx\r\n" * 1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (
        assembler.feed(b"2000\r\n" + b"y" * 0x2000 + b"\r\n0\r\n\r\n").body == b"x" * 200_000 + b"y" * 0x2000
    )
    assert peak < 1_000_000


@pytest.mark.parametrize("charset", ["idna", "undefined", "zlib", "no-such", ""])
def test_a_charset_that_is_none_is_utf_8(charset):
    told = message.Message(
        200, [(b"content-type", f"text/plain; charset={charset}".encode())], b"a\xffb", True
    )
    assert told.text == "a\N{REPLACEMENT CHARACTER}b"


def test_json_that_is_nested_too_deeply_is_none(serve, live):
    server = serve({"/": reply(b"[" * 200_000)})

    def steps(user):
        response = yield user.get("/")
        with pytest.raises(ValueError, match=r"nested too deeply|Expecting"):
            response.json()

    assert live(server.url, steps).only.ok
