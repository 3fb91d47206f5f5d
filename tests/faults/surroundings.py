"""What is around a run and can fail: disks and memory, which need root, and the clock."""

import contextlib
import ctypes
import os
import re
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from tests.patience import wait_until
from tests.shared import SHARED

# More than a run of these tests writes, a database included.
_DISK_BYTES = 160 << 20
_IMAGE = "disk.img"
# What more a run may use; processes that are there keep what they have.
_MEMORY_BYTES = 2 << 20
_CGROUPS = {
    "memory.limit_in_bytes": Path("/sys/fs/cgroup/memory"),  # version 1
    "memory.max": Path("/sys/fs/cgroup"),
}
_CLONE_NEWNS, _CLONE_NEWIPC = 0x00020000, 0x08000000  # <linux/sched.h>
_HOUR_S = 3600.0
_COMPILER, _CLOCK, _SECONDS = "cc", Path(__file__).with_name("clock.c"), struct.Struct("d")


def _run(*words: object) -> None:
    subprocess.run([*map(str, words)], check=True, capture_output=True)


# -- Disks


def why_no_mount() -> str | None:
    """Why no file system can be mounted here; `None` if one can."""
    with tempfile.TemporaryDirectory() as place:
        try:
            with disk("small", Path(place)):
                return None
        except subprocess.CalledProcessError as error:
            return str(error.stderr.decode(errors="replace").strip())


def why_no_disk() -> str | None:
    """Why no file system can be made here that fails when it is told to; `None` if one can."""
    return why_no_mount() or (None if Path("/dev/loop-control").exists() else "there are no loop devices")


@contextlib.contextmanager
def disk(kind: str | None, place: Path) -> Iterator[None]:
    """A file system of its own at a place: `small`, or one that is `failing`, which can become read-only."""
    if kind is None:
        yield
        return
    if kind == "small":
        _run("mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES},mode=755", "tmpfs", place)
    else:
        image = place.with_name(_IMAGE)
        with image.open("wb") as file:
            file.truncate(_DISK_BYTES)
        _run("mkfs.ext4", "-q", "-O", "^has_journal", "-m", "0", image)
        _mount_image(place)
        (place / "lost+found").rmdir()
    try:
        yield
    finally:
        _run("umount", place)


def _mount_image(place: Path) -> None:
    _run("mount", "-o", "loop,errors=remount-ro", place.with_name(_IMAGE), place)


@contextlib.contextmanager
def filled(place: Path) -> Iterator[None]:
    """Have no byte free on the file system of a place."""
    filler = place / ".filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 20))  # as much of it as there is room for
    yield
    filler.unlink()


@contextlib.contextmanager
def read_only(place: Path) -> Iterator[None]:
    """Have a `failing` file system fail: nobody may write to it then. Mounted anew it is well."""
    found = re.search(rf"^(\S+) {re.escape(str(place))} ", Path("/proc/mounts").read_text(), re.MULTILINE)
    assert found is not None
    # Nobody asks for what was written to be on the disk: as it is, all that is finished would be lost.
    _run("sync", "--file-system", place)
    (Path("/sys/fs/ext4") / Path(found[1]).name / "trigger_fs_error").write_text("a test")
    yield
    _run("umount", place)
    # A container that ends has it still, in a namespace of its own: mounted beside that, it is as it was.
    wait_until(lambda: not _seen(found[1]), f"nobody has {found[1]} mounted any more")
    _mount_image(place)


def _seen(device: str) -> bool:
    """Whether a process sees a device mounted somewhere."""
    for mounts in Path("/proc").glob("[0-9]*/mounts"):
        with contextlib.suppress(OSError):  # it has ended
            if f"{device} " in mounts.read_text():
                return True
    return False


# -- Memory


def why_no_limit() -> str | None:
    """Why a group of processes can have no limit on its memory here; `None` if it can."""
    try:
        with _cgroup():
            return None
    except OSError as error:
        return f"no cgroup can be made: {error.strerror}"


@contextlib.contextmanager
def _cgroup() -> Iterator[tuple[Path, Path]]:
    """A new cgroup, and the file of its limit; it goes when nothing runs in it any more."""
    for name, root in _CGROUPS.items():
        group = root / f"whichworker-faults-{os.getpid()}"
        if not root.is_dir() or not os.access(root, os.W_OK):
            continue
        group.mkdir()
        try:
            if (group / name).exists():
                yield group, group / name
                return
        finally:
            for _ in range(100):  # the kernel may take a moment to notice that it is empty
                with contextlib.suppress(OSError):
                    group.rmdir()
                    break
                time.sleep(0.05)
    raise OSError(0, "there is no memory controller")


@contextlib.contextmanager
def memory_limited(processes: Sequence[psutil.Process]) -> Iterator[None]:
    """Have processes and what they start share a little more memory than they have, for which some die."""
    with _cgroup() as (group, limit):
        limit.write_text(str(_MEMORY_BYTES))
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                (group / "cgroup.procs").write_text(str(process.pid))
        yield


def own_memory() -> None:
    """Have this process, and what it starts, a shared memory of their own, so that what is left is seen."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS | _CLONE_NEWIPC) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    _run("mount", "--make-rprivate", "/")
    _run("mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", SHARED)


# -- The clock


def why_no_clock() -> str | None:
    """Why no clock can be set here that only a run has; `None` if one can."""
    return None if shutil.which(_COMPILER) else f"there is no C compiler ({_COMPILER})"


@contextlib.contextmanager
def clock_of_its_own(folder: Path) -> Iterator[None]:
    """Have all that is started from now on go by a clock that `set_clock` sets; the machine's stays."""
    library, clock = folder / "clock.so", _clock(folder)
    _run(_COMPILER, "-shared", "-fPIC", "-O2", "-o", library, _CLOCK, "-ldl", "-lm")
    clock.write_bytes(_SECONDS.pack(0.0))
    changed = {"LD_PRELOAD": str(library), "FAULTS_CLOCK": str(clock)}
    os.environ.update(changed)
    try:
        _check_clock(folder)
        yield
    finally:
        for name in changed:
            del os.environ[name]


def _check_clock(folder: Path) -> None:
    """A clock that goes on as it was would prove nothing."""
    before = time.time()
    set_clock(folder, -_HOUR_S)
    said = subprocess.run(["date", "+%s"], check=True, capture_output=True, text=True).stdout
    set_clock(folder, 0.0)
    assert int(said) < before - _HOUR_S / 2, f"the clock was not set: {said}"


def set_clock(folder: Path, by_s: float) -> None:
    """Set the clock by so many seconds, back if they are negative."""
    with _clock(folder).open("r+b") as file:  # in place: programs have it in their memory
        file.write(_SECONDS.pack(by_s))


def _clock(folder: Path) -> Path:
    return folder / "clock"
