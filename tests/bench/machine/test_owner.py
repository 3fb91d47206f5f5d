import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from bench.model.files import ROOT
from tests.patience import LONG_S

NOBODYS = 23_456


@pytest.fixture
def folder():
    """A folder that everybody may look into, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="whichworker-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def owned(results):
    """Run a command as the owner of the folder of some results: its end, and who it was."""
    code = 'id -u; id -g; id -G; grep CapEff /proc/self/status; : > "$0/new"'
    command = [sys.executable, "-m", "bench.machine.owner", str(results), "sh", "-c", code, str(results)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LONG_S)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_root_becomes_the_owner_of_the_folder_and_keeps_no_rights(folder):
    os.chown(folder, NOBODYS, NOBODYS + 1)
    done = owned(folder / "results")
    user, group, groups, capabilities = done.stdout.splitlines()
    assert (int(user), int(group), groups) == (NOBODYS, NOBODYS + 1, str(NOBODYS + 1))
    assert capabilities.split()[1] == "0" * 16
    new = (folder / "results" / "new").stat()
    assert (new.st_uid, new.st_gid) == (NOBODYS, NOBODYS + 1)


def test_the_owner_of_the_folder_stays_who_they_are(folder):
    done = owned(folder / "results")
    assert int(done.stdout.split()[0]) == os.geteuid() and done.returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_results_of_another_user_are_told_with_what_to_do(folder):
    (folder / "results").mkdir()
    os.chown(folder, NOBODYS, NOBODYS)
    done = owned(folder / "results")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert f"sudo chown -R {NOBODYS}:{NOBODYS} results" in done.stderr


def test_a_folder_that_cannot_be_written_to_is_told(folder):
    (folder / "results").write_text("no folder")
    done = owned(folder / "results")
    assert done.returncode == 1 and "no results can be written" in done.stderr
