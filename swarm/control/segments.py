"""What the network of this machine has carried, what TCP has sent again, and how many ports there are."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter_ns
from typing import Any, Final, NamedTuple

TABLES: Final = Path("/proc/self/net")
PORTS: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")


class Segments(NamedTuple):
    """What this network namespace has carried so far.

    TCP's segments `sent`, of which some were `retransmitted`; bytes of all IP packets but those of the
    loopback device, which leave no machine; and when that was, by the engine's clock (ns).
    """

    sent: int
    retransmitted: int
    in_bytes: int
    out_bytes: int
    at_ns: int

    def since(self, before: Segments) -> dict[str, Any]:
        """What came since then, in so many `seconds`."""
        grown = {name: now - then for name, now, then in zip(self._fields, self, before, strict=True)}
        seconds = grown.pop("at_ns") / 1e9
        return {**grown, "seconds": round(seconds, 3)}


def segments(tables: Path = TABLES) -> Segments:
    """What the kernel counts by now (proc_net(5), its `netstat`, `snmp` and `dev`). Raises OSError."""
    inside = _looped(tables / "dev")
    tcp, ip = _row(tables / "snmp", "Tcp:"), _row(tables / "netstat", "IpExt:")
    sent, again = int(tcp["OutSegs"]), int(tcp["RetransSegs"])
    came, went = (int(ip[name]) - inside for name in ("InOctets", "OutOctets"))
    return Segments(sent, again, came, went, perf_counter_ns())


def ports() -> int:
    """How many connections this network namespace allows to one server: each needs a local port (ip(7))."""
    low, high = map(int, PORTS.read_text().split())
    return high - low + 1


def why_no_ports(connections: int, there: int) -> str | None:
    """Why so many connections to one server are too many for the ports that are there; None: they are not."""
    if connections <= there:
        return None
    return (
        f"{connections:,} connections to one server need as many local ports, of which there are {there:,}: "
        "widen the range (sysctl net.ipv4.ip_local_port_range), or have the load come from more machines"
    )


def _looped(devices: Path) -> int:
    """Bytes that the loopback device has carried: as many as it has received, of IP packets alone."""
    counts = (line.partition(":") for line in devices.read_text().splitlines())
    return next((int(fields.split()[0]) for name, _, fields in counts if name.strip() == "lo"), 0)


def _row(table: Path, name: str) -> dict[str, str]:
    names, values = (line.split() for line in table.read_text().splitlines() if line.startswith(f"{name} "))
    return dict(zip(names, values, strict=True))
