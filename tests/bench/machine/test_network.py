"""A network namespace of one's own, and this machine's own steering put back, as root (CI is root)."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.machine import loopback, network
from bench.machine.processes import spawn
from bench.model.files import ROOT
from tests.patience import LONG_S

CPU = sorted(os.sched_getaffinity(0))[-1]
STEERED = loopback.mask([CPU])

# Run by a process that has the network namespace: what it sees of it.
LOOK = """
import json, os, socket
def reached(host, family):
    with socket.create_server((host, 8000), family=family) as listener:
        socket.create_connection(listener.getsockname()[:2]).close()
    return True
with open("/proc/self/net/dev") as table:
    devices = [line.split(":")[0].strip() for line in table][2:]
print(json.dumps([os.readlink("/proc/self/ns/net"), devices,
    reached("127.0.0.1", socket.AF_INET), reached("::1", socket.AF_INET6)]))
"""
# What the steering of a namespace is, is only seen where sysfs was mounted in it.
READ = """
import ctypes, sys
libc = ctypes.CDLL(None)
assert libc.unshare(0x00020000) == 0 and libc.mount(b"none", b"/", None, 0x44000, None) == 0
assert libc.mount(b"sysfs", b"/sys", b"sysfs", 0, None) == 0
print(open("/sys/class/net/lo/queues/rx-0/rps_cpus").read().strip())
"""


# A namespace of one's own, made where the largest backlog is another one.
NESTED = f"""
import subprocess, sys
open("/proc/sys/net/core/somaxconn", "w").write("77")
made = subprocess.run([sys.executable, "{network.PROGRAM}", "own", ""], input=b"", capture_output=True)
print(made.stdout.decode())
"""


@pytest.fixture
def root():
    if os.geteuid() != 0:
        pytest.skip("network namespaces and steering need root")


@pytest.fixture
def machine(root, tmp_path, monkeypatch):
    """Stands for the steering of this machine, which is not changed: other tests measure meanwhile."""
    device = tmp_path / "rps_cpus"
    device.write_text("0\n")
    monkeypatch.setattr(loopback, "STEERING", device)
    return device


def inside(path, program):
    process = spawn([sys.executable, "-c", program], [CPU], network=path, stdout=subprocess.PIPE)
    output, _ = process.communicate(timeout=LONG_S)
    assert process.returncode == 0
    return output.decode()


def own():
    return str(Path("/proc/self/ns/net").readlink())


def test_masks_are_written_as_the_kernel_does():
    assert loopback.mask([0]) == "00000001" and loopback.mask([1, 33]) == "00000002,00000002"
    for cpus in ([], [0], [1, 2], [3, 40, 64]):
        assert loopback.cpus_of(loopback.mask(cpus)) == cpus


def test_a_namespace_has_a_loopback_device_of_its_own_and_it_is_steered(root):
    with network.namespace([CPU]) as made:
        assert made.why is None
        name, devices, *reached = json.loads(inside(made.path, LOOK))
        assert name != own() and "lo" in devices and "eth0" not in devices and reached == [True, True]
        assert int(inside(made.path, READ).replace(",", ""), 16) == 1 << CPU
        assert json.loads(inside(made.path, LOOK))[0] == name


def test_a_namespace_takes_over_what_the_machine_grants(root):
    with network.namespace([CPU]) as made:
        assert made.sysctls == loopback.sysctls() and made.sysctls.keys() <= set(loopback.SYSCTLS)
        nested = json.loads(inside(made.path, NESTED))
    assert nested["namespace"] and nested["sysctls"][loopback.SOMAXCONN] == 77
    assert loopback.sysctls()[loopback.SOMAXCONN] != 77


def test_what_cannot_be_steered_is_a_namespace_all_the_same(root):
    with network.namespace([4000]) as made:
        assert "rps_cpus" in made.why
        assert json.loads(inside(made.path, LOOK))[2:] == [True, True]


def test_without_root_there_is_none_and_it_is_said_what_helps(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(network.NoNamespaceError, match="needs root: run as root"), network.namespace([0]):
        pass


def test_nothing_is_left_of_a_namespace_whose_suite_is_killed(root):
    program = f"""
import subprocess, sys, time
from bench.machine import network
from bench.machine.processes import spawn
with network.namespace([{CPU}]) as made:
    inside = spawn([sys.executable, "-c", "import signal; signal.pause()"], [{CPU}], network=made.path)
    spawn(["true"], [{CPU}], network=made.path).wait()
    print(inside.pid, flush=True)
    time.sleep(600)
"""
    suite = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    pid = int(suite.stdout.readline())
    assert str(Path(f"/proc/{pid}/ns/net").readlink()) != own()
    with Path(f"/proc/{pid}/ns/net").open():  # as long as this is open it stays
        name = str(Path(f"/proc/{pid}/ns/net").readlink())
        suite.kill()
        suite.communicate()
        network_gone(pid)
    assert name not in namespaces()


def network_gone(pid):
    """Wait until a process has ended, which the kernel sees to."""
    for _ in range(6000):
        if not Path(f"/proc/{pid}/stat").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text():
            return
        signal.sigtimedwait([], 0.01)
    raise AssertionError(f"{pid} runs on")


def namespaces():
    """Those that any process is in, or holds open."""
    found = set()
    for path in [*Path("/proc").glob("[0-9]*/ns/net"), *Path("/proc").glob("[0-9]*/fd/*")]:
        try:
            found.add(str(path.readlink()))
        except OSError:
            continue
    return found


# -- This machine's own


def test_the_hosts_device_is_steered_for_a_while(machine, tmp_path):
    state = tmp_path / "cache" / "loopback.json"
    with network.steered_here([CPU], state) as why:
        assert why is None and machine.read_text() == STEERED and state.exists()
        with network.steered_here([CPU], state) as other:
            assert "another run" in other
        assert network.put_back(state) is None and machine.read_text() == STEERED
    assert machine.read_text() == "0" and not state.exists()
    assert network.put_back(state) is None


def test_it_is_put_back_after_an_error(machine, tmp_path):
    with pytest.raises(KeyboardInterrupt), network.steered_here([CPU], tmp_path / "state.json"):
        raise KeyboardInterrupt
    assert machine.read_text() == "0"


def test_what_cannot_be_put_back_is_left_to_the_next_run(machine, tmp_path, monkeypatch):
    state = tmp_path / "state.json"
    with network.steered_here([CPU], state):
        monkeypatch.setattr(loopback, "STEERING", tmp_path / "none" / "rps_cpus")
    assert machine.read_text() == STEERED and state.exists()
    monkeypatch.setattr(loopback, "STEERING", machine)
    assert "put back the steering" in network.put_back(state)
    assert machine.read_text() == "0" and not state.exists()


def killed_while_steering(device, state):
    program = f"""
import time
from pathlib import Path
from bench.machine import loopback, network
loopback.STEERING = Path({str(device)!r})
with network.steered_here([{CPU}], Path({str(state)!r})):
    print("steered", flush=True)
    time.sleep(600)
"""
    suite = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert suite.stdout.readline() == "steered\n"
    suite.kill()
    suite.communicate()
    assert device.read_text() == STEERED


def test_after_a_kill_the_next_run_puts_it_back(machine, tmp_path):
    state = tmp_path / "state.json"
    killed_while_steering(machine, state)
    assert "a killed run" in network.put_back(state)
    assert machine.read_text() == "0" and not state.exists()


def test_after_a_kill_the_next_that_steers_knows_what_was_before(machine, tmp_path):
    state = tmp_path / "state.json"
    killed_while_steering(machine, state)
    with network.steered_here([CPU], state) as why:
        assert why is None
    assert machine.read_text() == "0"


def test_with_a_damaged_note_nothing_is_steered_before_somebody_has_looked(machine, tmp_path):
    state = tmp_path / "state.json"
    state.write_text("{")
    with network.steered_here([CPU], state) as why:
        assert "state.json is damaged" in why and "sudo tee" in why
    assert machine.read_text() == "0\n" and state.read_text() == "{"


@pytest.mark.parametrize("key", ["boot", "namespace"])
def test_another_devices_steering_is_left_alone(machine, tmp_path, key):
    state = tmp_path / "state.json"
    killed_while_steering(machine, state)
    state.write_text(json.dumps(json.loads(state.read_text()) | {key: "another"}))
    network.put_back(state)
    assert machine.read_text() == STEERED


def test_what_cannot_be_put_back_is_said_with_the_command(machine, tmp_path, monkeypatch):
    state = tmp_path / "state.json"
    killed_while_steering(machine, state)
    monkeypatch.setattr(loopback, "STEERING", tmp_path / "none" / "rps_cpus")
    assert "echo 0 | sudo tee" in network.put_back(state) and state.exists()
