"""A folder that goes with the process which has it, even if that is killed: the next one removes it then."""

import contextlib
import fcntl
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def scratch(below: Path) -> Iterator[Path]:
    """A folder of this process's own; what processes that were killed have left below the same goes now."""
    below.mkdir(parents=True, exist_ok=True)
    _remove_left(below)
    own = below / secrets.token_hex(6)
    with own.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        own.mkdir(mode=0o700)
        try:
            yield own
        finally:
            _remove(own)


def _remove_left(below: Path) -> None:
    for path in below.glob("*.lock"):
        with path.open("w") as lock, contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(path.with_suffix(""))


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.with_suffix(".lock").unlink(missing_ok=True)
