"""What a swarm user does not do is refused, with what to use instead: never dropped in silence."""

from __future__ import annotations

import swarm  # noqa: F401  # isort: skip  # first: Locust's gevent must patch ssl before all else

from argparse import Namespace

import pytest
import requests
from locust import TaskSet, constant, task
from locust.env import Environment
from locust.exception import StopUser

from swarm import Arrivals, SwarmUser
from tests.swarm.scripted import reply


@pytest.fixture(scope="module")
def user():
    class Asking(SwarmUser):
        host = "http://127.0.0.1:8000"

    return Asking(Environment(parsed_options=Namespace()))


OPTIONS = {
    "catch_response": (True, "response.failure"),
    "allow_redirects": (False, "yield the next request"),  # locustio/locust#1238
    "stream": (True, "read whole"),
    "verify": (False, "class attribute `verify`"),  # locustio/locust#1640
    "cert": ("me.pem", "not supported"),
    "proxies": ({}, "no proxy"),
    "hooks": ({}, "after its yield"),
    "context": ({}, "context()"),
    "content": (b"x", "as `data`"),
    "header": ({}, "did you mean 'headers'?"),
    "jsno": ({}, "did you mean 'json'?"),
    "Timeout": (1, "did you mean 'timeout'?"),
    "param": ({}, "did you mean 'params'?"),
    "colour": ("red", "auth, cookies, data, files, headers, json, name, params, timeout"),
}


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete", "head", "options"])
def test_unknown_options(user, method, name):
    value, advice = OPTIONS[name]
    with pytest.raises(TypeError, match=f"no option '{name}'") as refused:
        getattr(user, method)("/x", **{name: value})
    assert advice in str(refused.value)


def test_what_is_given_by_place_is_refused(user):
    """locustio/locust#1104: an option written as a text, and a form, where neither can be."""
    with pytest.raises(TypeError):
        user.post("/x", "verify=False", {"code": "1"})


VALUES = {
    "a time-out of two": ({"timeout": (3, 10)}, "one number of seconds"),
    "none": ({"timeout": None}, "number of seconds"),
    "zero": ({"timeout": 0}, "above 0"),
    "for ever": ({"timeout": float("inf")}, "finite"),
    "text": ({"timeout": "5"}, "number of seconds"),
    "pieces": ({"data": (piece for piece in [b"a"])}, 'b"".join(pieces)'),
    "a number": ({"data": 5}, "data is bytes"),
    "a set of headers": ({"headers": {"Content-Type:application/json"}}, "mapping"),  # locustio/locust#2104
    "a number in headers": ({"headers": {"X-A": 1}}, "'X-A' is text or bytes, not 1"),  # shmilylty/cheetah#2
    "a name with a space": ({"headers": {"X A": "1"}}, "cannot be called 'X A'"),
    "a header for nobody": ({"headers": {"X-A": "東京"}}, "give it as bytes"),
    "framing": ({"headers": {"Transfer-Encoding": "chunked"}}, "leave it out"),
    "another length": ({"headers": {"Content-Length": "9"}}, "there is no body"),
    "two bodies": ({"json": {}, "data": {"a": 1}}, "json or data"),
    "no number": ({"json": float("nan")}, "JSON"),
    "a list as auth": ({"auth": ["ada", "secret"]}, "a pair of texts"),
    "digest": ({"auth": requests.auth.HTTPDigestAuth("ada", "secret")}, "not done here"),
    "another alphabet": ({"auth": ("東京", "x")}, "give both as bytes"),
    "a boundary": (
        {"files": {"a": b"x"}, "headers": {"content-type": "multipart/form-data"}},
        "Content-Type out",
    ),
    "text as cookies": ({"cookies": "a=1"}, "mapping of names"),
    "a cookie of two lines": ({"cookies": {"a": "1\r\nb"}}, "line break"),
    "a number as name": ({"name": 5}, "name is text"),
    "params": ({"params": 5}, "params are"),
}


@pytest.mark.parametrize("what", VALUES)
def test_values_that_are_not_sent(user, what):
    options, advice = VALUES[what]
    with pytest.raises((TypeError, ValueError)) as refused:
        user.post("/x", **options)
    assert advice in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "path", [None, 5, "index", "image_upload", "ftp://example.com/"]
)  # locustio/locust#1640
def test_paths_that_are_none(user, path):
    with pytest.raises((TypeError, ValueError), match="path"):
        user.get(path)


@pytest.mark.parametrize("method", ["GET /x", "", "A\r\nB", None])
def test_methods_that_are_none(user, method):
    with pytest.raises(ValueError, match="a method is a word"):
        user.request(method, "/x")


ATTRIBUTES = {
    "network_timeout": (5.0, "`timeout`"),
    "connection_timeout": (5.0, "`timeout`"),
    "insecure": (True, "verify = False"),
    "max_redirects": (0, "yield the next request"),
    "max_retries": (1, "sent twice"),
    "concurrency": (10, "one connection"),
    "keepalive": (False, "'keep_alive'"),
    "default_header": ({}, "'default_headers'"),
    "useCookies": (True, "'use_cookies'"),
    "timeout": ("5", "number of seconds"),
    "default_headers": ([], "mapping"),
    "keep_alive": ("no", "True or False"),
    "arrivals": (3000, "Arrivals"),
}


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attributes_that_would_do_nothing(name):
    value, advice = ATTRIBUTES[name]
    with pytest.raises(TypeError, match=name) as refused:
        type("Visitor", (SwarmUser,), {name: value})
    assert advice in str(refused.value)


def test_they_may_not_be_set_or_inherited_either(user):
    with pytest.raises(TypeError, match="verify = False"):
        user.insecure = True

    class Mixin:
        max_retries = 3

    with pytest.raises(TypeError, match="sent twice"):
        type("Visitor", (Mixin, SwarmUser), {})


def test_attributes_of_ones_own_are_free(user):
    class Visitor(SwarmUser):
        headers = {"X-A": "1"}  # noqa: RUF012
        hosts = ("a", "b")
        timer = 5
        client = "my own"

        def verifies(self):
            """A method of one's own."""

    assert Visitor.client == "my own"
    user.token = "t"


def test_there_is_no_client(user):
    with pytest.raises(AttributeError, match=r"yield self\.get"):
        user.client.get("/x")
    assert not hasattr(user, "client")
    with pytest.raises(AttributeError, match=r"yield self\.get"):
        TaskSet(user).client.get("/x")


def test_a_request_is_not_its_response(user):
    request = user.get("/x")
    with pytest.raises(AttributeError, match=r"response = yield self\.get"):
        request.status_code  # noqa: B018
    with pytest.raises(TypeError, match=r"response = yield self\.get"), request:
        pass


def test_arrivals_and_pauses_take_nothing_else(user):
    with pytest.raises(TypeError, match="rate"):
        Arrivals(rate=5)
    with pytest.raises(TypeError, match="secs"):
        user.pause(secs=1)


@pytest.mark.parametrize("seconds", ["1", None, float("inf"), float("nan")])
def test_a_pause_that_is_none_is_the_tasks_mistake(serve, make_swarm, seconds):
    """It ended the engine, and with it all users."""
    server = serve({"/": reply()})
    told = []

    class Visitor(SwarmUser):
        wait_time = constant(0)

        @task
        def rest(self):
            try:
                yield self.pause(seconds)
            except TypeError as error:
                told.append(str(error))
            yield self.get("/")
            raise StopUser

    make_swarm(Visitor, host=server.url).start().join()
    assert told == [f"a pause lasts a number of seconds, not {seconds!r}"]
    assert server.targets == ["/"]
