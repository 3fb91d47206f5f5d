"""The routes of the app, on a real server of every kind that treats Sanic differently."""

import json

import pytest

from tests.interpreters import needs_interpreter

from .conftest import CATALOGUE, serving

# Natively on both Sanic versions, and over ASGI where responses are sent in different ways.
SERVERS = ["sanic-single", "uvicorn", "gunicorn-asgi", "granian", "hypercorn", "gunicorn-sanic"]
ORDER = {"user": "ada", "items": [{"id": 1, "quantity": 2}, {"id": 2, "quantity": 3}]}


@pytest.fixture(scope="module", params=SERVERS)
def app(request, tmp_path_factory):
    needs_interpreter(CATALOGUE.stacks[CATALOGUE.get(request.param).stack])
    with serving(tmp_path_factory.mktemp("app"), request.param) as serve:
        yield serve.wait_ready()


def test_index_is_a_small_text(app):
    status, headers, body = app.request("GET", "/index")
    assert (status, body) == (200, b"Hello, world!")
    assert headers["content-type"].startswith("text/plain")


def test_json_is_a_document_with_its_content_type(app):
    status, headers, body = app.request("GET", "/json")
    assert status == 200
    assert json.loads(body)["owner"] == {"id": 7, "name": "Ada"}
    assert headers["content-type"] == "application/json"


def test_sleep_awaits(app):
    assert app.get_json("/sleep?ms=20") == {"slept_ms": 20}


def test_cpu_work_is_the_work_asked_for(app):
    state = 1
    for _ in range(300):
        state = (1664525 * state + 1013904223) % 2**32
    assert app.get_json("/cpu?units=3") == {"units": 3, "result": state}


def test_upload_answers_what_was_received(app):
    body = json.dumps(ORDER).encode()
    answer = json.loads(app.request("POST", "/upload", body)[2])
    assert answer == {"user": "ada", "items": 2, "quantity": 5, "bytes": len(body)}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "not JSON"),
        (b"[]", "must be a JSON object"),
        (b'{"items": []}', "user must be"),
        (b'{"user": "", "items": []}', "user must be"),
        (b'{"user": "ada"}', "items must be"),
        (b'{"user": "ada", "items": [{"id": "1", "quantity": 1}]}', "items[0] must be"),
        (b'{"user": "ada", "items": [{"id": 1, "quantity": true}]}', "items[0].quantity must be"),
        (
            b'{"user": "ada", "items": [{"id": 1, "quantity": 1}, {"id": 2, "quantity": 0}]}',
            "items[1].quantity",
        ),
    ],
)
def test_upload_refuses_an_invalid_body(app, body, reason):
    status, _, answer = app.request("POST", "/upload", body)
    assert status == 400
    assert reason in json.loads(answer)["error"]


@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_download_has_the_size_asked_for(app, size):
    status, _, body = app.request("GET", f"/download?bytes={size}")
    assert (status, body) == (200, b"x" * size)


def test_stream_is_sent_in_chunks(app):
    status, headers, body = app.request("GET", "/stream?chunks=5&bytes=1000")
    assert (status, body) == (200, b"x" * 5000)
    assert headers["transfer-encoding"] == "chunked"


def test_leak_adds_up_in_the_worker(app):
    before = app.get_json("/leak?bytes=1000")
    after = app.get_json("/leak?bytes=5000000")
    assert after["leaked_bytes"] == before["leaked_bytes"] + 5_000_000
    assert after["pid"] == app.get_json("/whoami")["pid"]


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("/sleep", "ms"),
        ("/sleep?ms=-1", "ms"),
        ("/sleep?ms=60001", "ms"),
        ("/cpu?units=0", "units"),
        ("/cpu?units=1.5", "units"),
        ("/download?bytes=16777217", "bytes"),
        ("/stream?chunks=1", "bytes"),
        ("/stream?chunks=0&bytes=1", "chunks"),
        ("/leak?bytes=0", "bytes"),
    ],
)
def test_a_parameter_out_of_range_is_refused(app, path, parameter):
    status, _, body = app.request("GET", path)
    assert status == 400
    assert json.loads(body)["error"].startswith(f"{parameter} must be an integer from ")
