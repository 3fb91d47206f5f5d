"""The private PostgreSQL of a run: what it is, who runs it, and that nothing is left of it."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from bench.launch.databases import postgres
from bench.machine import shared_memory
from bench.model import folders
from bench.model.errors import UserError
from bench.model.files import ROOT
from tests.bench.commands import gone
from tests.databases import ask, postmaster, programs, running

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run it as somebody else")
CPUS = sorted(os.sched_getaffinity(0))


def tree(url):
    """The processes of a server."""
    first = psutil.Process(postmaster(url))
    return [first, *first.children(recursive=True)]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """The URL of a server that stays."""
    with running(tmp_path_factory.mktemp("shared")) as server:
        yield server.url


def test_it_serves_on_loopback_alone_with_the_defaults_and_leaves_nothing(tmp_path):
    last = CPUS[-1]
    with postgres.private(programs(), tmp_path, [last]) as server:
        processes = tree(server.url)
        port = urlsplit(server.url).port
        listening = {
            (each.laddr.ip, each.laddr.port)
            for each in psutil.net_connections("all")
            if each.pid == processes[0].pid and each.status == psutil.CONN_LISTEN
        }
        sockets = [c for c in psutil.net_connections("unix") if c.pid == processes[0].pid and c.laddr]
        assert listening == {("127.0.0.1", port)} and sockets == []
        assert {tuple(process.cpu_affinity()) for process in processes} == {(last,)}
        settings = dict(ask(server.url, "SELECT name, setting FROM pg_settings"))
        assert {settings[name] for name in ("fsync", "synchronous_commit", "full_page_writes")} == {"on"}
        assert int(settings["max_connections"]) == 200
        held = [file for each in processes for file in Path(f"/proc/{each.pid}/maps").read_text().split()]
        assert not [file for file in held if file.startswith("/dev/shm")], "a killed one would leave it"
        folder = Path(settings["data_directory"]).parent
        assert server.failure() is None
        # The password is nowhere to be read.
        assert not any(urlsplit(server.url).password in word for each in processes for word in each.cmdline())
        assert not (folder / "password").exists()
    assert gone(processes) and not folder.exists()
    assert list(tmp_path.iterdir()) == []


def test_nobody_gets_in_without_the_password(shared):
    stranger = shared.replace(urlsplit(shared).password, "guess")
    with pytest.raises(AssertionError, match="password authentication failed"):
        ask(stranger, "SELECT 1")


@AS_ROOT
def test_as_root_it_runs_as_nobody_in_a_folder_that_nobody_can_reach(tmp_path):
    for folder in (tmp_path, *tmp_path.parents):
        shared = folder.stat().st_mode & 0o001
        if not shared:
            break
    assert not shared, "pytest's own folder is closed to others"
    with running(tmp_path) as server:
        assert {process.username() for process in tree(server.url)} == {"nobody"}
        ((folder,),) = ask(server.url, "SELECT setting FROM pg_settings WHERE name = 'data_directory'")
        assert Path(folder).parents[1] == postgres.ELSEWHERE
    assert not Path(folder).parent.exists()


@AS_ROOT
def test_its_data_is_in_the_run_s_folder_where_nobody_can_go_there(tmp_path, monkeypatch):
    monkeypatch.setattr(postgres, "_open_to_all", lambda folder: folder == tmp_path)
    with postgres._folder(tmp_path, (65534, 65534)) as folder:
        assert folder.parent == tmp_path and folder.name.startswith(".serve-")
        assert (folder.stat().st_uid, folder.stat().st_gid) == (65534, 65534)
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()


@AS_ROOT
def test_what_a_suite_that_was_killed_left_elsewhere_is_removed_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(postgres, "ELSEWHERE", tmp_path)
    monkeypatch.setattr(postgres, "_open_to_all", lambda folder: False)
    left, other = tmp_path / ".serve-postgres-left", tmp_path / ".somebody-s"
    for folder in (left, other):
        (folder / "data").mkdir(parents=True)
    with postgres._folder(tmp_path, (0, 0)) as first:
        assert not left.exists() and other.exists()
        with postgres._folder(tmp_path, (0, 0)) as second:
            assert first.exists() and first != second


@AS_ROOT
def test_one_that_is_being_removed_is_left_to_its_own_suite(tmp_path, monkeypatch):
    monkeypatch.setattr(postgres, "ELSEWHERE", tmp_path)
    monkeypatch.setattr(postgres, "_open_to_all", lambda folder: False)
    held = []
    clean = tempfile.TemporaryDirectory.cleanup

    def cleanup(folder):
        with folders._lock(Path(folder.name)) as free:
            held.append(not free)
        folders.sweep(tmp_path, postgres._PREFIX)  # as another suite does
        assert Path(folder.name).exists()
        clean(folder)

    monkeypatch.setattr(tempfile.TemporaryDirectory, "cleanup", cleanup)
    with postgres._folder(tmp_path, (0, 0)) as folder:
        pass
    assert held == [True] and not folder.exists()


def test_one_that_another_suite_has_just_removed_is_passed_over(tmp_path, monkeypatch):
    class Place:
        def glob(self, pattern):
            return [tmp_path / ".serve-postgres-gone"]

    folders.sweep(Place(), postgres._PREFIX)


def test_which_folders_are_open_to_all(tmp_path):
    assert postgres._open_to_all(Path("/usr"))
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "within").mkdir()
    assert not postgres._open_to_all(closed) and not postgres._open_to_all(closed / "within")


def test_nothing_outlives_a_suite_that_is_killed(tmp_path):
    program = f"""
import sys, time
from pathlib import Path
from bench.launch.databases import postgres
with postgres.private(Path({str(programs())!r}), Path({str(tmp_path)!r}), {CPUS}) as server:
    print(server.url, flush=True)
    time.sleep(600)
"""
    suite = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    url = suite.stdout.readline().strip()
    processes = tree(url)
    ((folder,),) = ask(url, "SELECT setting FROM pg_settings WHERE name = 'data_directory'")
    assert len(processes) >= 4
    # A client that stays connected does not keep it.
    client = subprocess.Popen(
        [ROOT / ".venvs/current/bin/python", "-c", _CLIENT, url], stdout=subprocess.PIPE, text=True
    )
    try:
        assert client.stdout.readline() == "connected\n"
        suite.kill()
        suite.communicate()
        assert gone(processes)
    finally:
        client.kill()
        client.communicate()
        shutil.rmtree(Path(folder).parent)


_CLIENT = """
import asyncio, asyncpg, sys
async def stay():
    connection = await asyncpg.connect(sys.argv[1])
    print("connected", flush=True)
    await asyncio.sleep(600)
asyncio.run(stay())
"""


def test_one_that_was_killed_says_so_with_its_last_lines(tmp_path):
    with running(tmp_path) as server:
        process = psutil.Process(postmaster(server.url))
        ((data,),) = ask(server.url, "SELECT setting FROM pg_settings WHERE name = 'data_directory'")
        key, number = map(int, (Path(data) / "postmaster.pid").read_text().splitlines()[6].split())
        assert not shared_memory.remove(number, key), "others hold it"
        assert shared_memory.remove(number, key + 1), "it is another one's"
        os.kill(process.pid, signal.SIGKILL)
        while (failure := server.failure()) is None:
            time.sleep(0.02)
        assert failure.startswith("the database ended by itself\n  ")
        assert "database system is ready to accept connections" in failure
    assert number not in [int(row.split()[1]) for row in shared_memory.SEGMENTS.read_text().splitlines()[1:]]


@pytest.fixture
def scripts(tmp_path):
    """A folder of programs that do what shell scripts say."""

    def make(**programs):
        folder = tmp_path / "bin"
        folder.mkdir()
        for name, script in programs.items():
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)
        return folder

    return make


def test_one_that_cannot_be_made_says_why(tmp_path, scripts, monkeypatch):
    monkeypatch.setattr(postgres, "unprivileged_user", lambda: None)
    with (
        pytest.raises(UserError) as caught,
        postgres.private(scripts(initdb="echo no space; exit 1"), tmp_path, CPUS),
    ):
        pass
    assert "could not make a private PostgreSQL" in str(caught.value)
    assert str(caught.value).endswith(":\n  no space")
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


def test_one_that_does_not_start_says_why(tmp_path, scripts, monkeypatch):
    monkeypatch.setattr(postgres, "unprivileged_user", lambda: None)
    folder = scripts(initdb="true", postgres="echo FATAL: bad day >&2; exit 1")
    with pytest.raises(UserError) as caught, postgres.private(folder, tmp_path, CPUS):
        pass
    assert str(caught.value) == f"a private PostgreSQL ({folder}) did not start:\n  FATAL: bad day"
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


def test_one_that_never_gets_ready_is_ended(tmp_path, scripts, monkeypatch):
    monkeypatch.setattr(postgres, "unprivileged_user", lambda: None)
    monkeypatch.setattr(postgres, "_START_S", 0.5)
    folder = scripts(initdb="true", postgres=f"echo $$ > {tmp_path}/pid; exec sleep 600")
    with pytest.raises(UserError, match="did not start"), postgres.private(folder, tmp_path, CPUS):
        pass
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_a_port_that_is_taken_meanwhile_is_not_the_end(tmp_path, shared, monkeypatch):
    free = postgres.free_port
    ports = iter([urlsplit(shared).port, free()])
    monkeypatch.setattr(postgres, "free_port", lambda: next(ports))
    with running(tmp_path) as second:
        assert ask(second.url, "SELECT 1") == [[1]]
        assert urlsplit(second.url).port != urlsplit(shared).port
