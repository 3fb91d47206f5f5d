"""What processes share by a name in /dev/shm, and that nothing of it outlives them."""

import contextlib
from pathlib import Path

SHARED = Path("/dev/shm")


def held(pids):
    """The files there that some processes have in their memory, whatever names these had at first."""
    inodes = set()
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a helper may end meanwhile
            mapped = Path(f"/proc/{pid}/maps").read_text().splitlines()
            inodes |= {int(line.split()[4]) for line in mapped if f" {SHARED}/" in line}
    found = set()
    for path in SHARED.iterdir():
        with contextlib.suppress(FileNotFoundError):  # others come and go
            found |= {path} if path.stat().st_ino in inodes else set()
    return found
