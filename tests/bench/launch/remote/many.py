"""What many open connections cost: two generators, each a machine of its own, and a server on a third.

    python -m tests.bench.launch.remote.many --connections 100000

The machines are network namespaces of this one, and each generator has joined by `make worker`. Their users
ask every ten seconds and keep their connections; the server does the least possible. Memory is read with all
of them there, and with a hundredth of them. It needs root, and 5 minutes.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from bench.machine import host
from bench.model.files import ROOT
from bench.model.plans.deployed import CONFIRMATION
from bench.model.records import schema
from bench.model.records.cell import Cell
from tests.bench.launch.remote.lab import GENERATORS, SERVER, machines
from tests.bench.launch.remote.wire import HERE
from tests.patience import wait_until

MOST_EACH, SPREAD_EACH = 18_000, 15_000
"""How many connections a process of a generator has at most, and one of the server in the mean."""
PORT = 8000
# Processes that listen at one port; the kernel spreads connections among them. gevent must not patch these.
SERVE = f"""
import os, socket, sys
sys.path.insert(0, "swarm")
from nullserver import response_bytes, serve
for _ in range(int(sys.argv[1]) - 1):
    if not os.fork():
        break
serve(socket.create_server(("", {PORT}), backlog=4096, reuse_port=True), response_bytes(13))
"""
USERS = '''
"""Users that ask every {pause_s:g} s and keep their connection."""

from locust import constant, task

from swarm import SwarmUser


class Patient(SwarmUser):
    """Mostly idle."""

    wait_time = constant({pause_s:g})

    @task
    def index(self):
        """Ask once."""
        yield self.get("/")
'''
PLAN = """
summary = "many connections that are mostly idle"
configurations = ["uvicorn"]
workers = [1]
repeats = 1
warmup_s = {warmup_s:g}
measured_s = {measured_s:g}

[scenarios.index]
users = [4]
"""


class Reading:
    """What is known at one moment of the server's machine, of generators and of the kernel; bytes."""

    def __init__(self, there, generators):
        """`there` is the machine of the server, `generators` are the processes that began them."""
        self.open = _tcp(there.namespace, "inuse")
        begun = [psutil.Process(each.pid) for each in generators]
        processes = [*begun, *(each for parent in begun for each in parent.children(recursive=True))]
        self.of_generators = sum(each.memory_full_info().pss for each in processes)
        self.of_kernel = _slab_bytes() + _tcp(there.namespace, "mem") * os.sysconf("SC_PAGESIZE")


def _tcp(namespace, what):
    """What proc(5) says of TCP there: sockets `inuse`, one end each, or pages in buffers anywhere, `mem`."""
    words = Path(f"/proc/{namespace}/net/sockstat").read_text().split("TCP: ")[1].split()
    return int(words[words.index(what) + 1])


def _slab_bytes():
    lines = Path("/proc/meminfo").read_text().splitlines()
    (kib,) = [int(line.split()[1]) for line in lines if line.startswith("Slab:")]
    return kib << 10


@contextlib.contextmanager
def working(*words, **options):
    """A process in a session of its own, which ends with all that it started."""
    with subprocess.Popen(words, cwd=ROOT, start_new_session=True, **options) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def measure(wire, folder, connections, processes, pause_s):
    """Open so many connections from so many processes of each generator, and hold them.

    Their users ask every `pause_s` seconds.

    Returns how many were open, a reading meanwhile, and the cell.
    """
    plan, users, results = folder / "plan.toml", folder / "locustfiles", folder / f"results-{connections}"
    users.mkdir(exist_ok=True)
    plan.write_text(PLAN.format(warmup_s=3 * pause_s, measured_s=2 * pause_s))
    (users / "patient.py").write_text(USERS.format(pause_s=pause_s))
    there = wire.machines[SERVER]
    run = [sys.executable, "-m", "tests.bench.without_ceilings", "run", "--plan", str(plan), "--no-report"]
    run += ["--users", str(connections), "--locustfile", str(users / "patient.py"), "--results", str(results)]
    run += ["--url", f"http://{there.address}:{PORT}", CONFIRMATION]
    run += ["--expect-generators", str(len(GENERATORS)), "--address", HERE]
    begun, rest = [], _tcp(there.namespace, "inuse")
    with contextlib.ExitStack() as stack:
        for name in GENERATORS:
            own = [sys.executable, "-m", "bench", "worker", "--master", HERE, "--name", name]
            own += ["--processes", str(processes), "--locustfiles", str(users)]
            begun.append(stack.enter_context(working(*wire.machines[name].inside(*own))))
        done = stack.enter_context(working(*wire.here(*run)))
        more = lambda: _tcp(there.namespace, "inuse") - rest  # noqa: E731
        open_or_over = lambda: done.poll() is not None or more() >= connections  # noqa: E731
        wait_until(open_or_over, f"{connections:,} connections are open")
        time.sleep(pause_s)  # each has asked once more
        meanwhile = Reading(there, begun)
        status = done.wait()
    if status:
        raise SystemExit(f"the run with {connections:,} connections ended with status {status}, see above")
    (path,) = results.glob("*/*/*/*/*/cell.json")
    return meanwhile.open - rest, meanwhile, schema.read(path, Cell)


def tell(few, many):
    """What connections cost, from loads with few of them and with many, as `measure` returns these."""
    (first, low, _), (every, high, cell) = few, many
    more = every - first
    each = (high.of_generators - low.of_generators) / more
    kernel = (high.of_kernel - low.of_kernel) / more
    measured = cell.measured
    return (
        f"{every:,} connections were open. Of {measured.requests:,} requests in "
        f"{cell.window.end - cell.window.start:.0f} s {measured.failures:,} failed.\n"
        f"Generators: {high.of_generators / 2**20:,.0f} MiB (PSS) in all, with {first:,} connections "
        f"{low.of_generators / 2**20:,.0f} MiB: {each / 1000:.1f} KB for each connection.\n"
        f"The kernel: {kernel / 1000:.1f} KB for both ends of a connection."
    )


def main():
    """Read the arguments, make the machines, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--connections", type=int, default=100_000, help="in all; default %(default)s")
    parser.add_argument("--pause", type=float, default=10.0, help="seconds; default %(default)g")
    options = parser.parse_args()
    connections, pause_s = options.connections, options.pause
    host.allow_open_files(MOST_EACH)  # what is started inherits it
    with machines(sorted(os.sched_getaffinity(0))) as wire, tempfile.TemporaryDirectory() as folder:
        for name in GENERATORS:
            wide = "echo 1024 65535 > /proc/sys/net/ipv4/ip_local_port_range"
            subprocess.run(wire.machines[name].inside("sh", "-c", wide), check=True)
        there, servers = wire.machines[SERVER], -(-connections // SPREAD_EACH)
        listening = _tcp(there.namespace, "inuse") + servers
        with working(*there.inside(sys.executable, "-c", SERVE, str(servers))):
            wait_until(lambda: _tcp(there.namespace, "inuse") >= listening, "the server listens")
            processes = -(-connections // len(GENERATORS) // MOST_EACH)
            few = measure(wire, Path(folder), max(10, connections // 100), processes, pause_s)
            many = measure(wire, Path(folder), connections, processes, pause_s)
    print(tell(few, many))


if __name__ == "__main__":
    main()
