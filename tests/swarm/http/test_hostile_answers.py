"""Whatever a server answers: it is one answer or a loss of a known kind, and no other request is the worse.

`make fuzz MINUTES=60` tries others than CI does.
"""

from __future__ import annotations

import swarm as _swarm  # noqa: F401  # isort: skip  # first: Locust's gevent must patch ssl before all else

import gzip
import zlib

import brotli
import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm import FailureKind
from swarm.http import cookies as cookies_of_users
from swarm.http.message import Assembler, Message, NotDecoded, ProtocolError, decoded
from tests.damage import ODD, damaged, examples
from tests.swarm.http.test_http import CHUNKED, FRAMINGS
from tests.swarm.scripted import reply

PLAIN = reply(b"plain")
COOKIES = reply(b"ok", "200 OK", "set-cookie: a=1; path=/; max-age=60; domain=127.0.0.1", "set-cookie: b=2")
WIRES = [wire for wire, _, _ in FRAMINGS.values()] + [COOKIES, CHUNKED + b"x: y\r\n\r\n", b"SSH-2.0-x\r\n"]
# What a line of a head may say that changes how it is read.
FIELDS = (
    "content-length", "transfer-encoding", "connection", "upgrade", "content-encoding", "content-type",
    "set-cookie", "keep-alive", "trailer", "x" * 300, "", "\x00",
)  # fmt: skip
VALUES = (
    *("chunked", "gzip", "gzip, chunked", "close", "keep-alive", "upgrade", "h2c", "2", "5", "12", "1, 2"),
    *("text/plain; charset=utf-16", "a=b; expires=" + "1 " * 2000, "a=b; max-age=" + "9" * 5000, *ODD),
)
CODED = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress, "x": bytes}


@st.composite
def odd_heads(draw: st.DrawFn, wire: bytes) -> bytes:
    """An answer with other lines in its head: what there was is left out, told twice, or another."""
    head, gap, body = wire.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines)))
        line = f"{draw(st.sampled_from(FIELDS))}: {draw(st.sampled_from(VALUES))}"
        match draw(st.sampled_from(["more", "more", "drop", "twice", "status"])):
            case "more":
                lines.insert(at, line.encode("utf-8", "surrogatepass"))
            case "drop":
                del lines[at : at + 1]
            case "twice":
                lines[at:at] = lines[at - 1 : at]
            case _:
                status = draw(
                    st.sampled_from(["000", "99", "100", "101", "103", "199", "204", "304", "999", *ODD])
                )
                lines[:1] = [f"HTTP/1.1 {status} What".encode("utf-8", "surrogatepass")]
    return b"\r\n".join(lines) + gap + body


def answers() -> st.SearchStrategy[bytes]:
    """What a server may say to one request."""
    of_one = st.sampled_from(WIRES).flatmap(lambda wire: st.one_of(damaged(wire), *[odd_heads(wire)] * 2))
    return st.one_of(*[of_one] * 4, st.tuples(of_one, of_one).map(b"".join))


def read(method: str, pieces: list[bytes], closes: bool) -> Message | str | None:
    """What an assembler makes of bytes: an answer, why it is none, or nothing so far.

    The next answer on the connection, where there is to be one, is read as ever.
    """
    assembler = Assembler()
    assembler.expect(method)
    message = None
    try:
        for piece in pieces:
            message = assembler.feed(piece)
            if message is not None:
                break
        if message is None and closes:
            return assembler.end()
    except ProtocolError as error:
        return str(error)
    if message is not None and message.keep_alive:
        assembler.expect("GET")
        after = assembler.feed(PLAIN)
        assert after is not None and (after.body, after.keep_alive) == (b"plain", True)
    return message


def same(one: Message, other: Message) -> bool:
    return all(
        getattr(one, each) == getattr(other, each)
        for each in ("status_code", "raw_headers", "body", "size", "keep_alive")
    )


@examples(150)
@given(answers(), st.sampled_from(["GET", "HEAD", "POST"]), st.booleans(), st.data())
def test_a_fuzzed_answer_is_the_same_however_it_is_cut(wire, method, closes, data):
    whole = read(method, [wire], closes)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(wire)), max_size=6), label="cuts"))
    pieces = [
        wire[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(wire)], strict=True) if end > begin
    ]
    cut = read(method, pieces, closes)
    if isinstance(whole, Message):
        assert isinstance(cut, Message) and same(whole, cut)
        assert whole.size == len(whole.body) <= len(wire) and 200 <= whole.status_code <= 999
    elif whole is None:
        assert cut is None
    else:  # what comes behind a whole answer is met by nobody who asked
        assert isinstance(cut, str) or (isinstance(cut, Message) and "more bytes than one" in whole)


@examples(60)
@given(st.data())
def test_a_fuzzed_body_is_decoded_or_refused_with_why(data):
    codings = data.draw(st.lists(st.sampled_from([*CODED, "zstd", "", "identity"]), max_size=3))
    body = data.draw(st.binary(max_size=300))
    for coding in codings:
        body = CODED.get(coding, bytes)(body)
    if data.draw(st.booleans(), label="damaged"):
        at = data.draw(st.integers(0, len(body)))
        body = body[:at] + data.draw(st.binary(max_size=16)) + body[at + data.draw(st.integers(0, 8)) :]
    charset = data.draw(st.sampled_from([*ODD, "utf-8", "utf-16", "idna", "punycode", "hex"]))
    headers = [("content-encoding", ", ".join(codings)), ("content-type", f"text/plain; charset={charset}")]
    raw = [(name.encode(), value.encode("utf-8", "surrogatepass")) for name, value in headers]
    message = Message(200, raw, body, keep_alive=True)
    try:
        assert message.content == decoded(body, ", ".join(codings))
        assert isinstance(message.text, str)
    except NotDecoded as error:
        assert len(str(error).splitlines()) == 1


def test_a_jar_has_room_for_some_cookies_whatever_a_server_sets(serve, live, monkeypatch):
    monkeypatch.setattr(cookies_of_users, "MOST_COOKIES", 20)
    monkeypatch.setattr(cookies_of_users, "MOST_COOKIE_BYTES", 100)

    def more(client, asked):
        number = len(hostile.asked)
        lines = [f"set-cookie: n{number}-{each}={each}" for each in range(8)]
        client.send(
            reply(b"ok", "200 OK", f"set-cookie: own={number}", "set-cookie: long=" + "x" * 100, *lines)
        )

    hostile = serve({"/": more})

    def steps(user):
        for _ in range(10):
            yield user.get("/")

    assert all(response.ok for response in live(hostile.url, steps, use_cookies=True).responses)
    sent = hostile.asked[-1].headers["cookie"].split("; ")
    assert len(sent) == 20 and "own=9" in sent and not any(each.startswith("long") for each in sent)


class Hostile:
    """A script that answers each request with what was drawn for it, and then stays, closes or resets."""

    def __init__(self):
        self.drawn = []

    def __call__(self, client, asked):
        wire, cut, then = self.drawn[int(asked.headers["x-number"])]
        client.send(wire[:cut])
        if wire[cut:]:
            gevent.sleep(0)
            client.send(wire[cut:])
        if then == "resets":
            gevent.sleep(0.005)  # RST discards what the peer has not read yet
            client.reset()
        elif then == "closes":
            client.sock.close()


@pytest.mark.parametrize("cookies", [False, True], ids=["no cookies", "cookies"])
def test_a_fuzzed_server_is_classified_and_harms_no_other_request(serve, live, cookies):
    one = st.tuples(answers(), st.integers(0, 60), st.sampled_from(["stays", "closes", "resets"]))
    script = Hostile()
    # What it says late may be the answer to its own next request, but not to one of another server.
    hostile, other = serve({"/": script}), serve({"/": PLAIN})

    @examples(4)
    @given(st.lists(one, min_size=6, max_size=6))
    def tried(drawn):
        script.drawn = drawn
        hostile.asked.clear()
        told, others = [], []

        def steps(user):
            for number in range(len(drawn)):
                response = yield user.get("/", headers={"x-number": str(number)}, timeout=0.05)
                assert isinstance(response.text, str) and isinstance(response.content, bytes)
                told.append(response)
                others.append((yield user.get(other.url)))

        swarm = live(hostile.url, steps, use_cookies=cookies).swarm
        assert not swarm.runner.exceptions
        assert [response.text for response in others] == ["plain"] * len(drawn)
        numbers = [asked.headers["x-number"] for asked in hostile.asked]
        assert len(set(numbers)) == len(numbers)  # nothing is ever sent again
        for response in told:
            assert response.ok == (response.failure_kind is None)
            assert response.ok or (
                response.failure_kind in FailureKind and len(response.reason.splitlines()) == 1
            )
        assert swarm.stats.num_requests == 2 * len(drawn)
        assert swarm.stats.num_failures == sum(not response.ok for response in told)

    tried()
