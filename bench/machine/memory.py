"""How much memory may still be used here."""

from collections.abc import Iterator
from pathlib import Path


def available_bytes(
    meminfo: Path = Path("/proc/meminfo"),
    proc: Path = Path("/proc/self/cgroup"),
    root: Path = Path("/sys/fs/cgroup"),
) -> int | None:
    """What the machine has free and the control groups of this process allow; ``None`` if neither is told.

    Looks at this process's group and those around it, in version 2 (``memory.max``) and version 1
    (``memory.limit_in_bytes``) hierarchies. Cached files do not count as used: they make room.
    """
    known = [left for left in (_free(meminfo), *_allowed(proc, root)) if left is not None]
    return min(known, default=None)


def _free(meminfo: Path) -> int | None:
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")), None)


def _allowed(proc: Path, root: Path) -> Iterator[int | None]:
    try:
        groups = [line.split(":", 2) for line in proc.read_text().splitlines()]
    except OSError:
        return
    for _, controllers, path in groups:
        if controllers and "memory" not in controllers.split(","):
            continue
        base = root / "memory" if controllers else root
        folder = base / path.lstrip("/")
        for group in (folder, *folder.parents):
            if not group.is_relative_to(base):
                break
            yield _left(group)


def _left(group: Path) -> int | None:
    """What a control group allows beyond what it uses."""
    for limit, used, cached in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            allowed = (group / limit).read_text().strip()
            if allowed == "max":
                return None
            statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            return int(allowed) - int((group / used).read_text()) + int(statistics.get(cached, 0))
        except (OSError, ValueError):  # of the other version, or not visible from inside its container
            continue
    return None
