"""The namespace that a run's containers share, and what its generator sees of its servers."""

import json
import os
import signal

from bench.machine import loopback
from tests.compose.real.checkout import end
from tests.compose.real.engine import containers
from tests.patience import CONTAINERS_S, wait_until

# Starts two servers side by side, reads their CPU clocks in a container of the suite, says what it found and
# goes on until it is told to end.
PROGRAM = """
import json, sys, time
from pathlib import Path
from bench.launch import stacks
from bench.launch.containers import engine
from bench.launch.containers.compose import Compose
from bench.launch.starting import ServerRequest
from bench.launch.network import Wanted
from targets.catalogue.configurations import load
import subprocess

CLOCKS = '''
import json, sys, time
print(json.dumps([time.clock_gettime((~int(pid) << 3) | 2) for pid in sys.argv[1:]]), flush=True)
time.sleep(600)
'''
folder, catalogue = Path(sys.argv[1]), load()
folder.mkdir(parents=True)
launcher = Compose(engine.find())
environments = {"current": launcher.environment(catalogue.stacks["current"], print)}
launcher.suite_versions(print)
launcher.open(environments, folder, print, network=Wanted((0,)))
with launcher:
    names = ("sanic-single", "gunicorn-uvicorn")
    servers = launcher.start_all(
        [ServerRequest(catalogue.get(name), 1, folder / name, (0,)) for name in names]
    )
    pids = [launcher.pids(server) for server in servers]
    program = launcher.start_program(
        ["-c", CLOCKS, *(str(pid) for each in pids for pid in each)], [0], stdout=subprocess.PIPE
    )
    clocks = json.loads(program.stdout.readline())
    ended = None
    if "end" in sys.argv:
        program.terminate()
        ended = program.wait(240)
        for server in servers:
            launcher.stop(server)
        launcher.settle()
    said = {"network": launcher.network, "pids": pids, "clocks": clocks, "ended": ended}
    (folder / "said.json").write_text(json.dumps(said))
    if "end" not in sys.argv:
        time.sleep(600)
"""


def test_it_is_steered_and_the_generator_reads_the_servers_clocks(checkout, results, nothing_left):
    checkout.run(".venvs/suite/bin/python", "-c", PROGRAM, results, "end", PYTHONPATH=str(checkout.folder))
    said = json.loads((results / "said.json").read_text())
    assert said["network"].pop("sysctls").keys() == set(loopback.SYSCTLS)
    assert said["network"] == {"namespace": True, "steered_to": [0], "note": None}
    assert [len(pids) for pids in said["pids"]] == [1, 2]
    assert len(said["clocks"]) == 3 and all(clock > 0 for clock in said["clocks"])
    assert said["ended"] == 128 + signal.SIGTERM


def test_programs_among_the_hosts_processes_end_with_a_bench_that_is_killed(checkout, results):
    process = checkout.start(
        ".venvs/suite/bin/python", "-c", PROGRAM, results, PYTHONPATH=str(checkout.folder)
    )
    try:
        wait_until((results / "said.json").exists, "the servers serve", CONTAINERS_S)
        pids = [pid for each in json.loads((results / "said.json").read_text())["pids"] for pid in each]
        assert pids and containers(f"whichworker.checkout={checkout.hash}", running=True)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    finally:
        end(process)
    # The next run removes them.
    checkout.run_bench(
        results / "next", "--plan", checkout.plan("both-stacks"), "--configurations", "uvicorn"
    )
    assert not containers(f"whichworker.checkout={checkout.hash}")
    wait_until(lambda: not any(map(exists, pids)), "their processes are gone", CONTAINERS_S)


def exists(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
