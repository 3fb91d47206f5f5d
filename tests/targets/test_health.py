"""The health check of containers: content with the server that was started there, and with no other."""

import http.server
import json
import threading

import pytest

from targets import health
from tests.ports import free_port


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status, whoami = self.server.answer
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(whoami).encode())

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        server.answer = (200, {"configuration": "granian", "pid": 7})
        yield server
        server.shutdown()


def described(metrics, port, configuration="granian"):
    content = {"configuration": configuration, "url": f"http://127.0.0.1:{port}"}
    (metrics / "server.json").write_text(json.dumps(content))
    return [str(metrics)]


def test_a_server_that_answers_as_itself_is_healthy(server, tmp_path, capsys):
    assert health.main(described(tmp_path, server.server_port)) == 0
    assert capsys.readouterr().out == ""


def test_another_configuration_is_not(server, tmp_path, capsys):
    server.answer = (200, {"configuration": "hypercorn", "pid": 7})
    assert health.main(described(tmp_path, server.server_port)) == 1
    assert f"http://127.0.0.1:{server.server_port} is served by 'hypercorn'" in capsys.readouterr().out


def test_an_app_that_fails_is_not(server, tmp_path, capsys):
    server.answer = (500, {"configuration": "granian", "pid": 7})
    assert health.main(described(tmp_path, server.server_port)) == 1
    assert "/whoami answered 500" in capsys.readouterr().out


def test_nobody_is_not(tmp_path, capsys):
    port = free_port()
    assert health.main(described(tmp_path, port)) == 1
    assert f"no answer from http://127.0.0.1:{port}" in capsys.readouterr().out


def test_a_server_that_is_not_ready_is_not(tmp_path, capsys):
    assert health.main([str(tmp_path)]) == 1
    assert capsys.readouterr().out == "the server is not ready\n"


def test_it_looks_at_what_serve_writes(serve, capsys):
    served = serve("sanic-single").wait_ready()
    assert health.main([str(served.metrics)]) == 0
    served.end()
    assert health.main([str(served.metrics)]) == 1
    assert "no answer from" in capsys.readouterr().out
