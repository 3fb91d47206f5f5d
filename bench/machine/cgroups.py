"""The control groups of this process, where the kernel shows them."""

from collections.abc import Iterator
from pathlib import Path

OF_PROCESS, ROOT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def around(controller: str, proc: Path = OF_PROCESS, root: Path = ROOT) -> Iterator[Path]:
    """The folders of this process's groups by a controller, and of those around them, from its own outwards.

    Both hierarchies have some: of version 2, which all controllers share, and of version 1.
    """
    try:
        groups = [line.split(":", 2) for line in proc.read_text().splitlines()]
    except OSError:
        return
    for _, controllers, path in groups:
        if controllers and controller not in controllers.split(","):
            continue
        base = root / controller if controllers else root
        folder = base / path.lstrip("/")
        yield from (group for group in (folder, *folder.parents) if group.is_relative_to(base))
