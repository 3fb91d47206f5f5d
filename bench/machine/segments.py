"""What the network of a machine has carried, and what TCP has sent again: the segments of cell.json.

What goes over its loopback device does not leave it, as between a proxy and its clients of the same machine.

Of a generator's machine ``swarm.control.segments`` reads the same: neither machine has the other's package.
"""

import time
from collections.abc import Mapping
from pathlib import Path

TABLES = Path("/proc/self/net")


def carried(tables: Path = TABLES) -> dict[str, float]:
    """What the kernel counts by now in this network namespace (proc_net(5): ``netstat``, ``snmp``, ``dev``).

    TCP's segments ``sent`` and ``retransmitted``, bytes of all IP packets but those of the loopback device
    (``in_bytes``, ``out_bytes``), and when that was (``at_s``, monotonic). Raises ``OSError``.
    """
    inside = _looped(tables / "dev")
    tcp, ip = _row(tables / "snmp", "Tcp:"), _row(tables / "netstat", "IpExt:")
    return {
        "sent": int(tcp["OutSegs"]),
        "retransmitted": int(tcp["RetransSegs"]),
        "in_bytes": int(ip["InOctets"]) - inside,
        "out_bytes": int(ip["OutOctets"]) - inside,
        "at_s": time.monotonic(),
    }


def between(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """What was carried between two readings, in so many ``seconds``."""
    grown = {name: value - before[name] for name, value in after.items()}
    seconds = round(grown.pop("at_s"), 3)
    return {**grown, "seconds": seconds}


def _looped(devices: Path) -> int:
    """Bytes that the loopback device has carried: as many as it has received, of IP packets alone."""
    counts = (line.partition(":") for line in devices.read_text().splitlines())
    return next((int(fields.split()[0]) for name, _, fields in counts if name.strip() == "lo"), 0)


def _row(table: Path, name: str) -> dict[str, str]:
    names, values = (line.split() for line in table.read_text().splitlines() if line.startswith(f"{name} "))
    return dict(zip(names, values, strict=True))
