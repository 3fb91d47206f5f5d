import os
import signal
import socket
import subprocess
import time
import urllib.request
from dataclasses import replace
from functools import partial

import psutil
import pytest

from bench.launch.containers import cleanup, compose
from bench.launch.local import Processes
from bench.launch.network import Wanted
from bench.launch.server import Options, ServerError
from bench.launch.starting import ServerRequest
from bench.machine.processes import kill_tree
from bench.model.errors import UserError
from bench.model.files import ROOT
from targets.catalogue.configurations import load as load_catalogue
from targets.catalogue.recycling import Recycling
from tests.bench.commands import LIGHT, gone
from tests.patience import LONG_S, wait_until

NOBODY = 1 << 30


@pytest.fixture
def sanic(catalogue):
    return catalogue.get("sanic-single")


@pytest.fixture(scope="module")
def one():
    """A server that starts in no time."""
    return load_catalogue(LIGHT).get("one")


@pytest.fixture
def make_light(make_launcher):
    """Makes launchers of such servers."""
    return partial(make_launcher, catalogue=LIGHT, files=[LIGHT])


@pytest.fixture
def serving(make_light, run_folder, one):
    """A launcher and a server that is ready."""
    with make_light() as launcher:
        yield launcher, launcher.start(one, 1, run_folder / "m", [0])


def await_end(server):
    wait_until(lambda: not server.running, "the server ends")


def test_a_server_is_ready_pinned_labelled_and_gone_afterwards(docker, make_launcher, run_folder, sanic):
    with make_launcher() as launcher:
        server = launcher.start(sanic, 1, run_folder / "m", [0])
        assert server.facts["configuration"] == "sanic-single" and server.failure() is None
        assert psutil.Process(server.facts["pid"]).cpu_affinity() == [0]
        assert {facts["service"] for facts in docker.containers().values()} == {"loopback", "bench-current"}
        for name, facts in docker.containers().items():
            assert name.startswith(cleanup.this_project())
            assert facts["labels"] == {
                "whichworker.checkout": cleanup.this_checkout(),
                "whichworker.bench": cleanup.this_bench(),
            }
            assert facts["user"] == f"{os.getuid()}:{os.getgid()}"
        pids = [server.facts["pid"], *(facts["pid"] for facts in docker.containers().values())]
    assert docker.containers() == {} and docker.networks() == []
    assert gone(pids)


def test_the_next_server_starts_while_the_last_one_stops(docker, serving, run_folder, one):
    launcher, first = serving
    launcher.stop(first)
    second = launcher.start(one, 1, run_folder / "2", [0])
    assert second.url != first.url
    launcher.settle()
    assert first.asked_to_end and second.failure() is None
    assert first.ending().exit_status is not None
    assert len(docker.containers()) == 2  # of the servers, only the second


def test_servers_start_together_and_their_processes_are_known(
    docker, make_launcher, run_folder, catalogue, sanic
):
    impossible = replace(sanic, name="nobody")
    with make_launcher() as launcher:
        wanted = [
            ServerRequest(each, 1, run_folder / each.name, (0,))
            for each in (sanic, impossible, catalogue.get("gunicorn-uvicorn"))
        ]
        one, failed, other = launcher.start_all(wanted)
        assert isinstance(failed, ServerError) and "nobody did not start" in str(failed)
        assert launcher.pids(one) == [one.facts["pid"]]
        manager, worker = launcher.pids(other)
        assert manager == other.facts["pid"] and worker == other.facts["whoami"]["pid"]
        launcher.stop(one)
        launcher.settle()
        assert launcher.pids(one) == [] and other.running


def test_the_network_is_steered_where_the_engine_allows_it(docker, make_launcher):
    with make_launcher(network=Wanted((1, 2))) as launcher:
        assert launcher.network == {"namespace": True, "steered_to": [1, 2], "note": None, "sysctls": {}}
        assert (docker.state / "steered").read_text() == "1,2"
        (call,) = docker.calls("--cap-add=NET_ADMIN", "--cap-add=SYS_ADMIN")
        labels = {
            f"whichworker.checkout={cleanup.this_checkout()}",
            f"whichworker.bench={cleanup.this_bench()}",
        }
        assert labels <= set(call)
    docker.note("unprivileged", "SYS_ADMIN is not allowed")
    with make_launcher(network=Wanted((1,))) as launcher:
        assert launcher.network["namespace"] and launcher.network["steered_to"] is None
        assert launcher.network["note"].startswith("docker: SYS_ADMIN is not allowed; ")
    with make_launcher() as launcher:
        assert launcher.network is None


def test_where_containers_are_in_user_namespaces_no_pids_are_known(docker, make_light, run_folder, one):
    docker.note("security", "name=userns")
    with make_light() as launcher:
        assert launcher.pids(launcher.start(one, 1, run_folder / "m", [0])) == []


def test_serve_is_told_how_to_run_a_server(make_launcher, run_folder, catalogue):
    options = Options(Recycling(1000, 10), True, 0.05, 0.1, 7.0)
    with make_launcher() as launcher:
        launcher.variables["FROM_ELSEWHERE"] = "a database"
        server = launcher.start(catalogue.get("uvicorn"), 1, run_folder / "m", [0], options)
        assert (server.facts["max_requests"], server.facts["max_requests_jitter"]) == (1000, 10)
        assert (server.directory / "requests.csv").exists() and server.options == options
        given = psutil.Process(server.facts["pid"]).environ()
        assert (given["FROM_ELSEWHERE"], given["DATABASE_URL"]) == ("a database", "")


def test_a_worker_is_killed_and_when_it_was_is_told(serving):
    _, server = serving
    before = time.time()
    moment = server.kill(server.facts["pid"])
    await_end(server)
    assert before <= moment <= server.ending().time + 0.01 <= time.time() + 0.01
    assert server.ending().exit_status == -9
    assert server.failure().startswith("the server ended by itself (SIGKILL)")
    with pytest.raises(ProcessLookupError):
        server.kill(server.facts["pid"])


def test_a_process_that_is_not_there_cannot_be_killed(serving):
    _, server = serving
    with pytest.raises(ProcessLookupError):
        server.kill(NOBODY)
    assert server.running


def test_a_serve_that_was_killed_tells_no_ending(docker, serving):
    _, server = serving
    os.kill(docker.containers()[docker.named("bench-current")]["pid"], signal.SIGKILL)
    await_end(server)
    assert server.ending() is None and "ended by itself (SIGKILL)" in server.failure()


def test_the_kernel_killing_it_for_its_memory_is_said(docker, serving):
    _, server = serving
    docker.note("oom", docker.named("bench-current"))
    os.kill(server.facts["pid"], signal.SIGKILL)
    await_end(server)
    (server.directory / "server.log").write_text("leaking\n")
    assert server.failure() == ("the server ended by itself (killed: out of memory (limit 64m))\n  leaking")


def test_a_container_that_somebody_removes_is_said(docker, serving, run_folder, one):
    launcher, server = serving
    subprocess.run(["docker", "rm", "--force", "--volumes", docker.named("bench-current")], check=True)
    await_end(server)
    assert server.failure().startswith("the server ended by itself (its container was removed)")
    launcher.stop(server)
    assert launcher.start(one, 1, run_folder / "again", [0]).running
    launcher.settle()


def test_a_server_that_does_not_start_says_the_same_as_a_local_one(
    docker, make_launcher, run_folder, catalogue, current
):
    impossible = Options(Recycling(10, None))
    said = []
    for each in (Processes().open({"current": current}, run_folder, print), make_launcher()):
        with each, pytest.raises(ServerError) as caught:
            each.start(catalogue.get("granian"), 1, run_folder / each.name, [0], impossible)
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert said[0].startswith("granian did not start (exit status 2): ")


def test_what_docker_refuses_is_said_in_its_words(docker, serving, run_folder, one):
    launcher, _ = serving
    subprocess.run(["docker", "rm", "--force", "--volumes", docker.named("loopback")], check=True)
    with pytest.raises(ServerError, match=r"one did not start, Docker says:\n  .*No such container"):
        launcher.start(one, 1, run_folder / "2", [0])


def test_a_port_that_is_taken_is_avoided(make_light, run_folder, one, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(compose, "_FIRST_PORT", port)
        monkeypatch.setattr(compose, "_STRIDE", 0)
        with make_light() as opened:
            server = opened.start(one, 1, run_folder / "m", [0])
            assert not server.url.endswith(f":{port}")


def test_an_engine_that_is_gone_ends_the_run(docker, make_light, run_folder, one):
    with pytest.raises(UserError, match="Cannot connect to the Docker daemon"), make_light() as launcher:
        launcher.start(one, 1, run_folder / "m", [0])
        docker.note("trouble", "down")


def test_what_dead_benches_left_is_removed_and_nothing_else(docker, make_launcher, said):
    ours = {"whichworker.checkout": cleanup.this_checkout()}
    boot = cleanup.this_bench().rsplit("-", 2)[0]
    parent = psutil.Process(os.getppid())
    started = cleanup._started(parent.pid)
    dead = f"{boot}-{NOBODY}-1"
    living = f"{boot}-{parent.pid}-{started}"
    docker.leave("dead", **ours, **{"whichworker.bench": dead})
    docker.leave("pid-of-another", **ours, **{"whichworker.bench": f"{boot}-{parent.pid}-1"})
    docker.leave("before-the-boot", **ours, **{"whichworker.bench": f"0-{parent.pid}-{started}"})
    docker.leave("living", **ours, **{"whichworker.bench": living})
    docker.leave("elsewhere", **{"whichworker.checkout": "another", "whichworker.bench": dead})
    docker.leave("stranger")
    project = f"whichworker-{cleanup.this_checkout()}"
    for name, of in {
        "dead": f"{project}-{NOBODY}-1",
        "living": f"{project}-{parent.pid}-{started}",
        "elsewhere": f"whichworker-another-{NOBODY}-1",
        "stranger": "main",
    }.items():
        (docker.state / "networks" / name).write_text(of)
    with make_launcher():
        assert said == ["removed 3 containers of a run that was killed"]
    assert set(docker.containers()) == {"living", "elsewhere", "stranger"}
    assert set(docker.networks()) == {"living", "elsewhere", "stranger"}


def test_nothing_is_left_when_it_cannot_be_entered(docker, make_launcher):
    broken = make_launcher()
    docker.note("trouble", "down")
    with pytest.raises(UserError, match="Cannot connect"), broken:
        pass
    docker.note("trouble", "")
    assert docker.containers() == {}


# -- The suite's programs


ECHO = "import os, sys; print(os.sched_getaffinity(0), flush=True); print(sys.stdin.readline(), end='')"
SIGNALLED = """
import signal, time
while time.process_time() < 0.1:
    pass
signal.signal(signal.SIGUSR1, lambda *_: print("heard", flush=True))
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""


def test_a_program_of_the_suite_has_its_streams_here(docker, make_launcher):
    with make_launcher() as launcher:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        program = launcher.start_program(["-c", ECHO], [0], **pipes)
        output, _ = program.communicate(b"hello\n", timeout=LONG_S)
        assert output == b"{0}\nhello\n" and program.returncode == 0
        assert {facts["service"] for facts in docker.containers().values()} == {"loopback"}


def test_signals_reach_the_program_and_its_cpu_time_is_known(docker, make_launcher):
    with make_launcher() as launcher:
        program = launcher.start_program(["-c", SIGNALLED], [0], stdout=subprocess.PIPE)
        assert program.stdout.readline() == b"ready\n"
        program.send_signal(signal.SIGUSR1)
        assert program.stdout.readline() == b"heard\n"
        assert launcher.cpu_s(program) >= 0.05  # of its 0.1 s, in whole ticks
        program.terminate()
        assert program.wait(LONG_S) == 128 + signal.SIGTERM
        with pytest.raises(ProcessLookupError):
            launcher.cpu_s(program)
        program.stdout.close()


def test_a_program_that_is_killed_leaves_no_container(docker, make_launcher):
    with make_launcher() as launcher:
        program = launcher.start_program(["-c", SIGNALLED], [0], stdout=subprocess.PIPE)
        assert program.stdout.readline() == b"ready\n"
        pid = docker.containers()[docker.named("suite")]["pid"]
        kill_tree(program)
        program.stdout.close()
        assert gone([pid]) and len(docker.containers()) == 1


def test_a_program_ends_with_its_launcher(docker, make_launcher):
    with make_launcher() as launcher:
        program = launcher.start_program(["-c", SIGNALLED], [0], stdout=subprocess.PIPE)
        assert program.stdout.readline() == b"ready\n"
    assert docker.containers() == {}
    program.wait(LONG_S)
    program.stdout.close()


def test_a_program_of_a_stack_is_run_once(docker, make_launcher, current):
    with make_launcher() as launcher:
        launcher.variables["DATABASE_URL"] = "postgresql://here"
        words = "import os, sanic; print(os.environ['DATABASE_URL'], sanic.__version__); raise SystemExit(3)"
        done = launcher.once("current", ["-c", words])
        assert done.stdout == f"postgresql://here {current.packages['sanic']}\n" and done.returncode == 3


def test_a_program_that_takes_too_long_is_ended(docker, make_launcher):
    with make_launcher() as opened:
        with pytest.raises(subprocess.TimeoutExpired):
            opened.once("current", ["-c", "import time; time.sleep(600)"], 1.5)
        assert len(docker.containers()) == 1


def test_paths_are_those_of_the_image_or_mounted(tmp_path, run_folder, make_launcher):
    own = tmp_path / "plan" / "load.py"
    own.parent.mkdir()
    own.touch()
    launcher = make_launcher(files=[own, ROOT / "locustfiles" / "index.py"])
    assert launcher.inside(ROOT / "locustfiles" / "index.py") == "/whichworker/locustfiles/index.py"
    assert launcher.inside(ROOT / "swarm" / "nullserver.py") == "/whichworker/swarm/nullserver.py"
    assert launcher.inside(run_folder / "cell") == str(run_folder / "cell")
    assert launcher.inside(own) == str(own)
    with pytest.raises(ValueError, match="neither in the suite's image nor mounted"):
        launcher.inside(ROOT / "bench" / "studies" / "self_check" / "known" / "server.py")


def test_a_plan_of_its_own_is_mounted_to_be_read(docker, tmp_path, make_launcher, run_folder, catalogue):
    source = ROOT / "targets" / "configurations.toml"
    own = tmp_path / "plan" / "own.toml"
    own.parent.mkdir()
    own.write_text(source.read_text().replace('requirements = "', f'requirements = "{source.parent}/'))
    stacks = source.parent / "stacks"
    with make_launcher(catalogue=own, files=[own, stacks / "current.txt"]) as launcher:
        assert launcher.start(catalogue.get("uvicorn"), 1, run_folder / "m", [0]).running
        mounts = docker.containers()[docker.named("bench-current")]["mounts"]
    modes = {place: mode for place, _, mode in mounts}
    assert modes == {str(own.parent): "ro", str(stacks): "ro", str(run_folder): "rw"}


def test_an_app_of_ones_own_is_mounted_to_be_read_and_gets_values_that_nobody_can_see(
    docker, make_launcher, run_folder, sanic, current, tmp_path
):
    folder = tmp_path / "my app"
    folder.mkdir()
    (folder / "shop.py").write_text(
        "import os\nfrom sanic import Sanic, text\napp = Sanic('shop')\n\n"
        "@app.get('/')\nasync def token(_):\n    return text(os.environ['TOKEN'])\n"
    )
    environments = {"current": replace(current, image="own-1")}
    with make_launcher(files=[folder], environments=environments) as launcher:
        launcher.app_options = ["--app", "shop:app", "--app-folder", str(folder), "--variable", "TOKEN"]
        launcher.shared["TOKEN"] = "hush"
        server = launcher.start(sanic, 1, run_folder / "m", [0])
        assert server.facts["whoami"]["app"] == "shop:app"
        with urllib.request.urlopen(server.url) as answer:
            assert answer.read() == b"hush"
        facts = docker.containers()[docker.named("bench-current")]
        assert [str(folder), str(folder), "ro"] in facts["mounts"] and facts["tag"] == "own-1"
        assert docker.containers()[docker.named("loopback")]["tag"] == "latest"
        assert "hush" not in (docker.state / "calls").read_text()
        assert launcher.once("current", ["-c", "import os; print(os.environ['TOKEN'])"]).stdout == "hush\n"
    assert [path.name for path in folder.iterdir()] == ["shop.py"]
