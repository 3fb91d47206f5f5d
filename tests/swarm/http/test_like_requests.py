"""What a swarm user sends, held against what `requests` would send for the same options."""

from __future__ import annotations

import swarm  # noqa: F401  # isort: skip  # first: Locust's gevent must patch ssl before all else

import io
from argparse import Namespace

import pytest
import requests
import urllib3.filepost
from hypothesis import example, given, settings
from hypothesis import strategies as st
from locust.env import Environment

from swarm import SwarmUser

HOST = "http://127.0.0.1:8000"
EXAMPLES = settings(max_examples=80)


@pytest.fixture(scope="module", autouse=True)
def one_boundary():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(urllib3.filepost, "choose_boundary", lambda: "boundary")
        yield


def a_user(**attributes) -> SwarmUser:
    """A user that sends nothing: its requests are looked at."""
    environment = Environment(host=attributes.pop("host", HOST), parsed_options=Namespace())
    user_class = type("Asking", (SwarmUser,), {"host": environment.host, **attributes})
    return user_class(environment)


USER = a_user()


def sent_by(user: SwarmUser, method: str, path: str, **options):
    """Method, target, headers (but Host; lower-case names) and body of a request as it goes out."""
    head, _, body = user.request(method, path, **options).payload.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = [line.partition(": ")[::2] for line in lines]
    names = [name.lower() for name, _ in headers]
    assert len(set(names)) == len(names)
    method, target = first.removesuffix(" HTTP/1.1").split(" ")
    return method, target, {name.lower(): value for name, value in headers if name != "Host"}, body


def as_text(value) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def sent_by_requests(method: str, url: str, defaults=None, **options):
    session = requests.Session()
    session.trust_env = False
    session.headers.clear()
    session.headers.update({"User-Agent": "whichworker", "Accept": "*/*", **(defaults or {})})
    prepared = session.prepare_request(requests.Request(method, url, **options))
    headers = {as_text(name).lower(): as_text(value) for name, value in prepared.headers.items()}
    body = prepared.body
    if body is not None:
        if headers.pop("transfer-encoding", None) or not body:
            headers["content-length"] = (
                "0"  # an empty body, of which urllib3 says the length or sends no chunk
            )
        body = (
            body.encode() if isinstance(body, str) else body.read() if hasattr(body, "read") else bytes(body)
        )
    body = body or b""
    return prepared.method, prepared.path_url, headers, body


def same(method: str, path: str, *, user=None, defaults=None, **options) -> None:
    """Assert that both send the same, or that both refuse."""
    url = path if path.startswith("http") else HOST + path
    # A file can be read once: each gets its own.
    copies = {**options}
    if isinstance(options.get("data"), io.BytesIO):
        copies["data"] = io.BytesIO(options["data"].getvalue())
    try:
        theirs = sent_by_requests(method, url, defaults, **copies)
    except (ValueError, TypeError, requests.RequestException):
        with pytest.raises((ValueError, TypeError)):
            sent_by(user or USER, method, path, **options)
        return
    assert sent_by(user or USER, method, path, **options) == theirs


METHODS = st.sampled_from(["GET", "POST", "put", "PATCH", "DELETE", "HEAD", "OPTIONS", "PROPFIND"])
PIECES = st.sampled_from(
    [*"aKö~+&=;:@'\"<[]{|\\^`!$(*, \n\0%/.", "東京", "%20", "%c3", "%41", "%7E", "%zz", "//", "/.", "/.."]
)
PATHS = st.builds(
    lambda path, query, fragment: f"/{path}{query}{fragment}",
    st.lists(PIECES, max_size=6).map("".join),
    st.lists(PIECES, max_size=5).map("".join).map(lambda text: f"?{text}") | st.just(""),
    st.just("") | st.just("#part"),
)
TEXTS = st.lists(PIECES, max_size=4).map("".join)
SCALARS = (
    st.none() | TEXTS | st.integers() | st.floats(allow_nan=False) | st.booleans() | st.binary(max_size=4)
)
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.tuples(SCALARS, SCALARS)
MAPPINGS = st.dictionaries(TEXTS, VALUES, max_size=3) | st.dictionaries(TEXTS, st.integers(), max_size=3)
PAIRS = st.lists(st.tuples(TEXTS, VALUES), max_size=3)
PARAMS = st.none() | MAPPINGS | PAIRS | PAIRS.map(tuple) | TEXTS | st.binary(max_size=5)


@EXAMPLES
@given(METHODS, PATHS, PARAMS)
@example("GET", "/stadt/Köln", None)
@example("GET", "/stadt/Bad Ems", {"q": "東京"})
@example("GET", "/stadt/K%C3%B6ln", {"q": None, "n": [1, None, "x"]})
@example("GET", "/a/../b/./c?x=/./y#z", "50%")
@example("GET", "/a?", {})
def test_paths_and_params(method, path, params):
    same(method, path, params=params)


@EXAMPLES
@given(
    st.sampled_from(
        ["example.com", "münchen.example", "127.0.0.1", "[::1]", "*.example", ".example", "ex ample"]
    ),
    st.sampled_from(["", ":80", ":8443", ":0", ":x", ":99999"]),
    st.sampled_from(["", "ada:secret@", "ada@", "a%20b:%C3%B6@"]),
    st.just("") | PATHS,
    st.sampled_from(["http", "https", "HTTP"]),
)
def test_absolute_urls(host, port, user, path, scheme):
    url = f"{scheme}://{user}{host}{port}{path}"
    try:
        theirs = requests.Request("GET", url).prepare()
    except (ValueError, requests.RequestException):
        with pytest.raises(ValueError):
            USER.get(url)
        return
    request = USER.get(url)
    wanted = urllib3.util.parse_url(theirs.url)
    assert (request.path, request.origin.host) == (theirs.path_url, wanted.host.strip("[]"))
    assert request.origin.port == (wanted.port or (443 if scheme == "https" else 80))
    assert request.origin.tls == (scheme == "https")
    authorization = theirs.headers.get("Authorization")
    assert (f"Authorization: {authorization}\r\n".encode() in request.head) == (authorization is not None)


def test_a_host_outside_ascii_goes_by_its_idna_name():
    user = a_user(host="http://münchen.example:8000")
    assert (user.origin.host, user.origin.port) == ("xn--mnchen-3ya.example", 8000)
    assert b"Host: xn--mnchen-3ya.example:8000\r\n" in user.get("/").head


KNOWN = ("User-Agent", "accept", "Content-Type", "content-type", "Authorization", "Connection", "Cookie")
NAMES = st.sampled_from(["X-Own", "x-own", *KNOWN, "", "X:Y", b"X-Bytes"])
STRANGE = ("", " leading", "trailing ", "a\r\nb: c", "a\n", b"raw \xff", 5, 1.5, True, ["x"])
HEADER_VALUES = st.none() | st.sampled_from(["1", "grün", "keep-alive", "close", *STRANGE])
HEADERS = st.dictionaries(NAMES, HEADER_VALUES, max_size=4)


@EXAMPLES
@given(HEADERS, HEADERS, st.none() | st.just({"a": 1}))
def test_headers(defaults, headers, json):
    USER.default_headers = defaults
    try:
        same("POST", "/x", defaults=defaults, headers=headers, json=json)
    finally:
        USER.default_headers = {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
DATA = st.one_of(
    st.none(),
    st.binary(max_size=8),
    TEXTS,
    st.binary(min_size=1, max_size=8).map(bytearray),
    MAPPINGS,
    PAIRS,
    st.binary(min_size=1, max_size=8).map(io.BytesIO),
)
BODIES = st.fixed_dictionaries({"json": JSON}) | st.fixed_dictionaries({"data": DATA})


@EXAMPLES
@given(METHODS, BODIES, st.sampled_from([None, {}, {"Content-Type": "text/x"}]))
@example("POST", {"json": None}, None)
@example("POST", {"json": {}, "data": {}}, None)
@example("POST", {"json": [float("nan")]}, None)
@example("GET", {"data": b""}, None)
@example("POST", {"data": [1, 2]}, None)
def test_bodies(method, body, headers):
    same(method, "/x", headers=headers, **body)


CONTENTS = st.binary(max_size=6) | TEXTS
FILES = st.one_of(
    CONTENTS,
    st.tuples(TEXTS, CONTENTS),
    st.tuples(TEXTS | st.none(), CONTENTS, st.sampled_from(["text/plain", "image/png"])),
    st.tuples(TEXTS, CONTENTS, st.just("text/plain"), st.just({"X-Part": "1"})),
)


@EXAMPLES
@given(
    st.dictionaries(TEXTS, FILES, max_size=3) | st.lists(st.tuples(TEXTS, FILES), max_size=3),
    st.none() | MAPPINGS | PAIRS,
)
def test_files(files, data):
    same("POST", "/x", files=files, data=data)


WORDS = st.text("abc123", min_size=1, max_size=4)


@EXAMPLES
@given(
    st.none() | st.tuples(TEXTS | st.binary(max_size=3), TEXTS),
    st.none() | st.dictionaries(WORDS, WORDS | st.none() | st.just("grün"), max_size=2),
    st.sampled_from([None, {"Authorization": "Bearer x"}, {"Cookie": "own=1"}]),
)
def test_authentication_and_cookies(auth, cookies, headers):
    same("POST", "/x", auth=auth, cookies=cookies, headers=headers, json={"a": 1})
