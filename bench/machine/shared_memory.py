"""System V shared memory: the kernel keeps what a killed program has made until somebody removes it."""

import ctypes
import os
from pathlib import Path

SEGMENTS = Path("/proc/sysvipc/shm")

_IPC_RMID = 0  # <linux/ipc.h>
_LIBC = ctypes.CDLL(None, use_errno=True)


def remove(identifier: int, key: int) -> bool:
    """Remove the segment of a number if it has a key, and no process holds it; whether it is gone.

    Numbers count up, and the key tells as well that it is the one which was made with it.

    Raises:
        OSError: this process may not.
    """
    held = _held_by(identifier, key)
    if held is None:
        return True
    if held:
        return False
    if _LIBC.shmctl(identifier, _IPC_RMID, None) != 0 and _held_by(identifier, key) is not None:
        error = ctypes.get_errno()
        raise OSError(error, f"shmctl: {os.strerror(error)}")
    return True


def _held_by(identifier: int, key: int) -> int | None:
    """How many processes hold a segment; `None`: there is none of that number and key."""
    heading, *rows = SEGMENTS.read_text().splitlines()
    names = heading.split()
    for row in rows:
        found = dict(zip(names, map(int, row.split()), strict=True))
        # The kernel shows keys as signed numbers.
        if found["shmid"] == identifier and found["key"] & 0xFFFFFFFF == key & 0xFFFFFFFF:
            return found["nattch"]
    return None
