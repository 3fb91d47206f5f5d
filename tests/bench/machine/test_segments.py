"""What a network has carried, by tables as the kernel writes them and by those of this machine."""

from bench.machine.segments import between, carried


def test_what_was_carried_is_what_the_kernel_counts(tmp_path):
    table, octets = tmp_path / "snmp", tmp_path / "netstat"
    octets.write_text("TcpExt: SyncookiesSent\nTcpExt: 3\nIpExt: InOctets OutOctets\nIpExt: 500 700\n")
    table.write_text("Ip: Forwarding\nIp: 1\nTcp: ActiveOpens OutSegs RetransSegs\nTcp: 7 1000 20\n")
    head = "Inter-|   Receive\n face |bytes    packets errs\n"
    devices = tmp_path / "dev"
    devices.write_text(f"{head}    lo:     100       1    0\n  eth0: 1000000    9    0\n")
    before = carried(tmp_path)
    assert (before["in_bytes"], before["out_bytes"]) == (400, 600)
    table.write_text(table.read_text().replace("1000 20", "1600 23"))
    octets.write_text(octets.read_text().replace("500 700", "1550 751"))
    devices.write_text(devices.read_text().replace("lo:     100 ", "lo: 150"))
    grown = between(before, carried(tmp_path))
    assert grown.pop("seconds") >= 0
    assert grown == {"sent": 600, "retransmitted": 3, "in_bytes": 1000, "out_bytes": 1}
    assert carried()["sent"] > 0
