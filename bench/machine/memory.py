"""How much memory may still be used here."""

from pathlib import Path

from bench.machine import cgroups


def available_bytes(
    meminfo: Path = Path("/proc/meminfo"),
    proc: Path = cgroups.OF_PROCESS,
    root: Path = cgroups.ROOT,
) -> int | None:
    """What the machine has free and the control groups of this process allow; ``None`` if neither is told.

    By ``memory.max`` in version 2, by ``memory.limit_in_bytes`` in version 1. Cached files do not count as
    used: they make room.
    """
    allowed = map(_left, cgroups.around("memory", proc, root))
    known = [left for left in (_free(meminfo), *allowed) if left is not None]
    return min(known, default=None)


def _free(meminfo: Path) -> int | None:
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")), None)


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
