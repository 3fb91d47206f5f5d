"""Folders that go with the process that has them, even if it is killed: the next one removes them then."""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

# One that is being made is not held yet.
_NEW_S = 60.0


@contextlib.contextmanager
def held(place: Path, prefix: str) -> Iterator[Path]:
    """A new folder in a place, which is gone afterwards."""
    made = tempfile.TemporaryDirectory(prefix=prefix, dir=place)
    folder = Path(made.name)
    with _lock(folder), made:  # until it is gone, or another suite would remove it as well
        yield folder


@contextlib.contextmanager
def temporary(prefix: str) -> Iterator[Path]:
    """A new folder among the temporary ones, gone afterwards; what killed suites left of it goes now."""
    place = Path(tempfile.gettempdir())
    sweep(place, prefix)
    with held(place, prefix) as folder:
        yield folder


def sweep(place: Path, prefix: str) -> None:
    """Remove what killed suites left: folders that no suite holds and that are not just being made."""
    for left in place.glob(f"{prefix}*"):
        if left.is_symlink() or not left.is_dir():  # anybody may write there
            continue
        # Another suite may be first, or another user's.
        with contextlib.suppress(FileNotFoundError, PermissionError), _lock(left) as ours:
            if ours and time.time() - left.stat().st_ctime > _NEW_S:
                shutil.rmtree(left)


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[bool]:
    """Hold a folder unless another suite does; yields whether this one does."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(handle)
