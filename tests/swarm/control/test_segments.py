"""What a network has carried: a generator's machine and that of servers each have their own reader of it.

Neither has the other's package, so what holds them together is that they say the same.
"""

import pytest

from bench.machine.segments import between, carried
from swarm.control.segments import segments


@pytest.mark.parametrize(
    ("read", "since"),
    [(carried, between), (segments, lambda before, now: now.since(before))],
    ids=["of servers", "of generators"],
)
def test_what_was_carried_is_what_the_kernel_counts(read, since, tmp_path):
    table, octets = tmp_path / "snmp", tmp_path / "netstat"
    octets.write_text("TcpExt: SyncookiesSent\nTcpExt: 3\nIpExt: InOctets OutOctets\nIpExt: 500 700\n")
    table.write_text(
        "Ip: Forwarding DefaultTTL\nIp: 1 64\n"
        "Tcp: ActiveOpens OutSegs RetransSegs InErrs\nTcp: 7 1000 20 0\n"
        "Udp: OutDatagrams\nUdp: 5\n"
    )
    head = "Inter-|   Receive\n face |bytes    packets errs\n"
    devices = tmp_path / "dev"
    devices.write_text(f"{head}    lo:     100       1    0\n  eth0: 1000000    9    0\n")
    before = read(tmp_path)
    table.write_text(table.read_text().replace("1000 20", "1600 23"))
    octets.write_text(octets.read_text().replace("500 700", "1550 751"))
    devices.write_text(devices.read_text().replace("lo:     100 ", "lo: 150"))
    grown = since(before, read(tmp_path))
    assert grown.pop("seconds") >= 0
    assert grown == {"sent": 600, "retransmitted": 3, "in_bytes": 1000, "out_bytes": 1}


def test_both_read_the_tables_of_this_machine():
    told = carried()
    assert told.keys() - {"at_s"} == set(segments()._fields) - {"at_ns"}
    assert told["sent"] > 0 and told["in_bytes"] >= 0 and segments().sent >= told["sent"]
