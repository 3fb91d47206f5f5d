import os
import sys

import pytest

from bench.launch.remote.machine import Machine
from bench.launch.remote.ssh import Host
from bench.launch.remote.there import wire
from tests.bench.launch.remote.wire import executable, kept
from tests.patience import wait_until

# Stands in for ssh where only what runs there is tested: the "other machine" is this one, at its loopback.
# What runs there has its own session, as under sshd, and learns that ssh is gone by the end of its input.
FAKE_SSH = f"""#!{sys.executable} -IS
import os, subprocess, sys, threading
if said := os.environ.get("FAKE_SSH_SAYS"):
    sys.exit(print(said, file=sys.stderr) or 255)
os.environ["SSH_CONNECTION"] = "127.0.0.1 1 127.0.0.1 22"
there = subprocess.Popen(["sh", "-c", sys.argv[-1]], stdin=subprocess.PIPE, start_new_session=True)
def pump():
    while chunk := os.read(0, 1 << 16):
        there.stdin.write(chunk)
        there.stdin.flush()
    there.stdin.close()
threading.Thread(target=pump, daemon=True).start()
os._exit(there.wait())
"""


@pytest.fixture(scope="module", autouse=True)
def _short_transfers():
    """How much a network carries is no matter to these tests, only that it was asked."""
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(wire, "_LEAD_S", 0.02)
        changed.setattr(wire, "_COUNTED_S", 0.05)
        yield


@pytest.fixture(scope="session")
def make_cache(tmp_path_factory, current):
    """Makes what a machine has kept of an earlier run."""
    return lambda: kept(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def fake_ssh(tmp_path_factory, make_cache):
    """A stand-in for ssh, first on the path; returns the cache of the "other machine"."""
    folder, cache = tmp_path_factory.mktemp("bin"), make_cache()
    executable(folder / "ssh", FAKE_SSH)
    with pytest.MonkeyPatch.context() as changed:
        changed.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        changed.setenv("XDG_CACHE_HOME", str(cache))
        yield cache


@pytest.fixture(scope="module")
def machine(fake_ssh):
    """A machine, which leaves nothing behind."""
    made = Machine(Host.parse("there"), print)
    yield made
    made.close()
    scratch = fake_ssh / "whichworker" / "scratch"
    wait_until(lambda: not list(scratch.iterdir()), "the agent has removed what it had")
