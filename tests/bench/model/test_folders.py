"""Temporary folders: they go with the process that has them, at the latest with the next one that comes."""

import signal
import subprocess
import sys
import tempfile

import pytest

from bench.model import folders
from bench.model.files import ROOT

HOLDS = """
import sys, time
from pathlib import Path
from bench.model import folders
with folders.temporary("own-", Path(sys.argv[1])) as folder:
    print(folder, flush=True)
    time.sleep(600)
"""


def test_what_a_killed_process_had_goes_with_the_next_one_at_once(tmp_path):
    words = [sys.executable, "-c", HOLDS, str(tmp_path)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        name = process.stdout.readline().strip()
        with folders.temporary("own-", tmp_path) as own:
            assert {str(path) for path in tmp_path.iterdir()} == {name, str(own)}, "it is alive"
        process.send_signal(signal.SIGKILL)
    assert [str(path) for path in tmp_path.iterdir()] == [name]
    with folders.temporary("own-", tmp_path) as own:
        assert list(tmp_path.iterdir()) == [own]
    assert not list(tmp_path.iterdir())


def test_only_folders_of_that_name_are_removed(tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    place = tmp_path / "place"
    for folder in (elsewhere, place / "other", place / "own-left" / "within"):
        folder.mkdir(parents=True)
    (place / "own-link").symlink_to(elsewhere)
    (place / "own-file").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    with folders.temporary("own-") as own:
        assert {path.name for path in place.iterdir()} == {"other", "own-link", "own-file", own.name}
    assert elsewhere.is_dir()


@pytest.mark.parametrize("holds", [True, False], ids=["about to", "has"])
def test_one_that_another_process_removes_before_it_is_held_is_made_again(holds, tmp_path, monkeypatch):
    """`holds`: the other one has found it and is about to remove it."""
    make, swept = tempfile.TemporaryDirectory, []

    def made(**options):
        folder = make(**options)
        if not swept:
            swept.append(folder.name)
            if holds:
                monkeypatch.setattr(folders.fcntl, "flock", busy)
            else:
                folders.sweep(tmp_path)
        return folder

    def busy(*_):
        monkeypatch.undo()
        raise BlockingIOError

    monkeypatch.setattr(tempfile, "TemporaryDirectory", made)
    with folders.held(tmp_path) as folder:
        assert list(tmp_path.iterdir()) == [folder] and str(folder) != swept[0]
    assert not list(tmp_path.iterdir())
