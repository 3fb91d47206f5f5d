"""Clients that pause, come in bursts, or are too many, against servers of which one knows what they do."""

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.patience import LONG_S
from tests.ports import free_port

PROGRAM = Path(__file__).parents[2] / "swarm" / "connections.py"

# Answers 503, and closes, while there are more connections than LIMIT; closes one that idles for IDLE
# seconds; with STATUS 0 closes without an answer.
SERVER = """
import asyncio, sys
limit, idle_s, status = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
alive = 0

async def serve(reader, writer):
    global alive
    alive += 1
    try:
        while await asyncio.wait_for(reader.readuntil(b"\\r\\n\\r\\n"), idle_s):
            if status == 0:
                return
            code = 503 if alive > limit else status
            close = b"connection: close\\r\\n" if code == 503 else b""
            await asyncio.sleep(0.005)
            writer.write(b"HTTP/1.1 %d X\\r\\ncontent-length: 2\\r\\n%b\\r\\nok" % (code, close))
            if close:
                return
    except (TimeoutError, asyncio.TimeoutError, asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        alive -= 1
        writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


@contextmanager
def serving(limit=10_000, idle_s=LONG_S, status=200):
    words = [sys.executable, "-c", SERVER, str(limit), str(idle_s), str(status)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/index"
        finally:
            server.kill()


def run(*words):
    command = [sys.executable, PROGRAM, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=LONG_S)


def tallies(*words):
    done = run(*words)
    assert done.returncode == 0, done.stderr
    return [
        {kind: count for kind, count in each.items() if count and not kind.endswith("_us")}
        for each in json.loads(done.stdout)
    ]


def test_a_client_that_pauses_loses_what_is_closed_between_its_look_and_its_request():
    # It pauses for 0.8 to 1.2 s, and its request arrives 1.5 s later.
    with serving() as stays, serving(idle_s=0.3) as closed_before, serving(idle_s=1.8) as closes_meanwhile:
        servers = (f"{url}=1" for url in (stays, closed_before, closes_meanwhile))
        found = tallies("pause", "--connections", 30, "--round-trip", 1.5, *servers)
    assert found == [{"answered": 30}, {"closed_in_time": 30}, {"reset": 30}]


def test_a_burst_tells_how_each_request_ended_and_how_long_the_slowest_took():
    with serving() as url:
        done = json.loads(run("burst", "--connections", 200, url).stdout)[0]
    assert done["answered"] == 200 and 5000 < done["p99_us"] <= done["slowest_us"]
    with serving(status=0) as url:
        assert tallies("burst", "--connections", 20, url) == [{"reset": 20}]
    nobody = f"http://127.0.0.1:{free_port()}/index"
    (refused,) = json.loads(run("burst", "--connections", 20, nobody).stdout)
    assert refused["refused"] == 20 and refused["p99_us"] is None


def test_too_many_clients_are_turned_away_and_the_rest_is_answered():
    with serving(limit=8) as limited, serving() as unlimited:
        (found,) = tallies("overload", "--connections", 32, "--seconds", 1, limited)
        assert found.keys() == {"answered", "answers_503"}
        assert tallies("overload", "--connections", 32, "--seconds", 1, unlimited)[0].keys() == {"answered"}


@pytest.mark.parametrize("load", [["burst"], ["overload", "--seconds", "1"]])
def test_a_server_that_answers_anything_else_is_of_no_use(load):
    with serving(status=404) as url:
        done = run(*load, "--connections", 2, url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{url} answers with status 404\n"
