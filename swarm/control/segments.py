"""What TCP has sent on this machine, and sent again."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

SNMP = Path("/proc/self/net/snmp")


class Segments(NamedTuple):
    """Segments of this network namespace so far; `retransmitted` ones were sent again."""

    sent: int
    retransmitted: int

    def since(self, before: Segments) -> dict[str, int]:
        """What came since then."""
        return {name: now - then for name, now, then in zip(self._fields, self, before, strict=True)}


def segments(table: Path = SNMP) -> Segments:
    """What the kernel counts by now (proc_net(5)). Raises OSError."""
    names, values = (line.split() for line in table.read_text().splitlines() if line.startswith("Tcp: "))
    counts = dict(zip(names, values, strict=True))
    return Segments(int(counts["OutSegs"]), int(counts["RetransSegs"]))
