"""The door to a web UI that listens on a Unix socket."""

import contextlib
import os
import socket
import threading

import pytest

from bench.model.errors import UserError
from bench.studies.cockpit.web_ui import Relay
from tests.patience import LONG_S


@contextlib.contextmanager
def echoing(path, answer=lambda got: got):
    """Answers what it gets, in one piece, on a Unix socket; `None` ends the connection."""
    folder = os.open(path.parent, os.O_RDONLY)  # paths of tests are longer than a socket's may be
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
        listener.listen()
        thread = threading.Thread(target=_answer, args=(listener, answer), daemon=True)
        thread.start()
        yield
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(LONG_S)
    os.close(folder)


def _answer(listener, answer):
    with contextlib.suppress(OSError):  # it was shut down
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_serve, args=(connection, answer), daemon=True).start()


def _serve(connection, answer):
    with connection, contextlib.suppress(ConnectionError):
        while (got := connection.recv(1 << 16)) and (told := answer(got)) is not None:
            connection.sendall(told)


def connected(relay):
    return socket.create_connection(("127.0.0.1", relay.port), timeout=LONG_S)


def test_what_is_said_goes_on_and_the_answer_comes_back(tmp_path):
    path = tmp_path / "ui.sock"
    with (
        echoing(path),
        Relay("127.0.0.1", 0, path) as relay,
        connected(relay) as one,
        connected(relay) as two,
    ):
        for each, words in ((one, b"first"), (two, b"second"), (one, b"third")):
            each.sendall(words)
            assert each.recv(100) == words
        much = bytes(range(256)) * 20_000
        threading.Thread(target=one.sendall, args=(much,), daemon=True).start()
        got = bytearray()
        while len(got) < len(much):
            got += one.recv(1 << 16)
        assert got == much


def test_what_the_web_ui_ends_ends_and_nothing_of_its_last_words_is_lost(tmp_path):
    path = tmp_path / "ui.sock"
    last = b"x" * 300_000
    with echoing(path, lambda got: last if got == b"more" else None), Relay("127.0.0.1", 0, path) as relay:
        with connected(relay) as browser:
            browser.sendall(b"more")
            got = bytearray()
            while len(got) < len(last):
                got += browser.recv(1 << 16)
            browser.sendall(b"end")
            assert browser.recv(1) == b""
        with connected(relay) as browser:
            browser.sendall(b"more")
            assert browser.recv(1) == b"x", "the next connection is one of its own"


def test_a_web_ui_that_is_not_there_yet_ends_the_connection(tmp_path):
    path = tmp_path / "ui.sock"
    with Relay("127.0.0.1", 0, path) as relay:
        with connected(relay) as browser:
            assert browser.recv(1) == b""
        with echoing(path), connected(relay) as browser:
            browser.sendall(b"now")
            assert browser.recv(3) == b"now"


def test_nobody_listens_afterwards_even_if_a_browser_held_on(tmp_path):
    path = tmp_path / "ui.sock"
    with echoing(path):
        with Relay("127.0.0.1", 0, path) as relay:
            browser = connected(relay)
            browser.sendall(b"x")
            assert browser.recv(1) == b"x"
        with browser:
            assert browser.recv(1) == b""
        with pytest.raises(OSError, match="refused"):
            connected(relay)


def test_a_port_in_use_is_said(tmp_path):
    with (
        Relay("127.0.0.1", 0, tmp_path / "ui.sock") as first,
        pytest.raises(UserError, match=f"port {first.port} on 127.0.0.1 is in use"),
        Relay("127.0.0.1", first.port, tmp_path / "ui.sock"),
    ):
        pass
