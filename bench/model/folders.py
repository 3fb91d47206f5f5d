"""Folders that go with the process that has them, even if it is killed: the next one removes them then."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO


@contextlib.contextmanager
def held(place: Path, prefix: str = "") -> Iterator[Path]:
    """A new folder in a place, which is gone afterwards."""
    with contextlib.ExitStack() as stack:
        while (folder := _new(place, prefix, stack)) is None:
            pass
        yield folder


@contextlib.contextmanager
def temporary(prefix: str, place: Path | None = None) -> Iterator[Path]:
    """A new folder in a place, or among the temporary ones; what killed processes left of it goes now."""
    place = Path(tempfile.gettempdir()) if place is None else place
    sweep(place, prefix)
    with held(place, prefix) as folder:
        yield folder


def sweep(place: Path, prefix: str = "") -> None:
    """Remove what killed processes left: folders that nobody holds."""
    for left in place.glob(f"{prefix}*"):
        if left.is_symlink() or not left.is_dir():  # anybody may write there
            continue
        # Another process may be first, or it is another user's.
        with contextlib.suppress(FileNotFoundError, PermissionError), _lock(left) as ours:
            if ours:
                shutil.rmtree(left)


def _new(place: Path, prefix: str, stack: contextlib.ExitStack) -> Path | None:
    """A folder that is held while the stack is open, and then gone; `None`: another process swept it away.

    To that process it was one that nobody holds, for the moment between its making and its lock.
    """
    made = tempfile.TemporaryDirectory(prefix=prefix, dir=place)
    folder = Path(made.name)
    with contextlib.suppress(FileNotFoundError):
        ours = stack.enter_context(_lock(folder))
        if ours and folder.exists():
            stack.enter_context(made)  # gone before the lock is, or another process would remove it as well
            return folder
    made.cleanup()
    return None


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[bool]:
    """Hold a folder unless another process does; yields whether this one does."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield claim(handle)
    finally:
        os.close(handle)


def claim(opened: int | IO[str]) -> bool:
    """Lock what is open unless another process has; returns whether it is locked, until it is closed."""
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
