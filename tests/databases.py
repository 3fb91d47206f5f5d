"""A real PostgreSQL for the tests of several rooms, and the driver of a stack to talk to it."""

import json
import os
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench import postgres

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".venvs" / "current" / "bin" / "python"

_QUERY = """
import asyncio, asyncpg, json, sys
async def ask():
    connection = await asyncpg.connect(sys.argv[1])
    rows = await connection.fetch(sys.argv[2])
    await connection.close()
    print(json.dumps([list(row) for row in rows], default=str))
asyncio.run(ask())
"""
# Of all clients but the one that asks.
CLIENTS = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"


@contextmanager
def running(folder):
    """A private server without tables, its data in a folder; the test fails where PostgreSQL is missing."""
    binaries = postgres.find_binaries()
    if binaries is None:
        pytest.fail("PostgreSQL is missing: apt install postgresql", pytrace=False)
    with postgres.private(binaries, folder, sorted(os.sched_getaffinity(0))) as server:
        yield server


def prepare(url, *arguments, python=PYTHON):
    """`python -m targets.database prepare` (or other arguments) as a process that has ended."""
    return subprocess.run(
        [python, "-m", "targets.database", *(arguments or ["prepare"])],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
    )


def ask(url, query):
    """The rows of a query, each as a list."""
    done = subprocess.run([PYTHON, "-c", _QUERY, url, query], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def postmaster(url):
    """The pid of a server's first process, on this machine."""
    ((folder,),) = ask(url, "SELECT setting FROM pg_settings WHERE name = 'data_directory'")
    return int((Path(folder) / "postmaster.pid").read_text().split()[0])
