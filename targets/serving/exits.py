"""With which status a process ended that is another one's child: a worker of the server's manager.

The status of a process goes to its parent. Others of the same user can read it in two places: of a
process whose parent has not asked for it yet, in proc(5); later, where the kernel is Linux 6.15 or
newer, through a descriptor (pidfd_open(2), from Python 3.9 on) that was opened while it lived.
"""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

# <linux/pidfd.h>: a struct pidfd_info of 64 bytes begins with the mask of what is asked for, and of
# what was answered, and ends with the status, as wait(2) gives it.
_PIDFD_GET_INFO = 3 << 30 | 64 << 16 | 0xFF << 8 | 11  # _IOWR(0xFF, 11, struct pidfd_info)
_PIDFD_INFO_EXIT = 1 << 3
_INFO = struct.Struct("=Q52xi")

# Places in what `stat_of()` returns.
STATE, PARENT, START, _STATUS = 0, 1, 19, 49
DEAD = "ZX"


def exit_status_of(wait_status: int) -> int:
    """The exit status in what wait(2) gives; negative: the signal that ended it."""
    return -os.WTERMSIG(wait_status) if os.WIFSIGNALED(wait_status) else os.WEXITSTATUS(wait_status)


def stat_of(pid: int) -> list[str] | None:
    """The fields of `/proc/PID/stat` (proc(5)) from the third on, the state; None if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field, the name, is in parentheses and may hold anything.
    return stat.rpartition(")")[2].split()


class ExitWatch:
    """Knows with which status a process ended, where the system tells; to be opened while it lives."""

    def __init__(self, pid: int, start: int | None) -> None:
        """`start` (ticks after boot, `START`) tells the process from another that gets its pid later."""
        self._pid = pid
        self._start = start
        self._descriptor = _pidfd_open(pid)

    def status(self) -> int | None:
        """Its exit status (negative: the signal); None while it lives, or where the system does not tell."""
        # Asked in this order it cannot slip through: it is a zombie first, and then reaped.
        wait_status = self._of_zombie()
        if wait_status is None:
            wait_status = self._of_reaped()
        return None if wait_status is None else exit_status_of(wait_status)

    def close(self) -> None:
        """Close the descriptor."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _of_zombie(self) -> int | None:
        stat = stat_of(self._pid)
        if stat is None or stat[STATE] not in DEAD or int(stat[START]) != self._start:
            return None
        try:
            # Of another user's process the status is read as 0.
            mine = os.stat(f"/proc/{self._pid}").st_uid == os.geteuid()  # noqa: PTH116
        except FileNotFoundError:
            return None
        return int(stat[_STATUS]) if mine else None

    def _of_reaped(self) -> int | None:
        if self._descriptor is None:
            return None
        answer = bytearray(_INFO.pack(_PIDFD_INFO_EXIT, 0))
        try:
            fcntl.ioctl(self._descriptor, _PIDFD_GET_INFO, answer)
        except OSError:
            return None  # an older kernel
        mask, wait_status = _INFO.unpack(answer)
        return wait_status if mask & _PIDFD_INFO_EXIT else None


def _pidfd_open(pid: int) -> int | None:
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None  # gone already, or an older kernel
