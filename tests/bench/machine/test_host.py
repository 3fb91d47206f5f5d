import errno
import resource
import shutil
import subprocess
import sys
import time

from bench.machine import host
from bench.model.files import ROOT
from bench.model.matching import same_machine
from tests.patience import LONG_S, wait_until


def test_cpu_times_are_seconds_for_each_cpu(tmp_path):
    stat = tmp_path / "stat"
    lines = [
        "cpu  9 9 9 9 9 9 9 9 0 0",
        "cpu0 100 50 20 1000 3 4 5 6 0 0",
        "cpu3 1 0 0 2 0 0 0 0 0 0",
        "ctxt",
    ]
    stat.write_text("\n".join(lines))
    tick = host.os.sysconf("SC_CLK_TCK")
    assert host.cpu_times(stat) == [
        (0, tuple(v / tick for v in (150, 20, 1000, 3, 4, 5, 6))),
        (3, tuple(v / tick for v in (1, 0, 2, 0, 0, 0, 0))),
    ]


def test_the_sampler_samples_at_whole_seconds_and_ends():
    with host.HostSampler() as sampler:
        start = time.time()
        while len(sampler.rows(start, time.time())) == 0 and time.time() < start + 60:
            time.sleep(0.05)
    rows = sampler.rows(start, time.time())
    assert not sampler.is_alive()
    fields = rows[0].split(",")
    assert len(fields) == len(host.HOST_FIELDS)
    assert start <= float(fields[0]) <= start + 60
    assert sampler.rows(start - 100, start - 50) == []


def test_a_sample_that_cannot_be_taken_is_missing_and_the_next_one_is_not():
    class Refused(host.Sampler):
        taken = 0

        def sample(self):
            self.taken += 1
            if self.taken == 1:
                raise OSError(errno.EMFILE, "Too many open files")

    with Refused("refused", 0.01) as sampler:
        wait_until(lambda: sampler.taken > 2, "it goes on")


def _limited(code, soft, hard):
    program = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n{code}"
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=LONG_S
    )


def test_the_open_file_limit_is_raised_as_far_as_needed():
    code = "from bench.machine.host import *; allow_open_files(1000); print(open_file_limits())"
    assert _limited(code, 100, 3000).stdout == "(1256, 3000)\n"
    assert _limited(code, 2000, 3000).stdout == "(2000, 3000)\n"


def test_too_few_open_files_for_the_concurrency_is_an_error(tmp_path):
    code = f"""
import sys
sys.argv = ["bench", "run", "--users", "5000", "--scenarios", "index", "--results", {str(tmp_path)!r}]
from bench.cli.main import main; main()
"""
    done = _limited(code, 100, 400)
    assert done.returncode == 1
    assert "too few open files: 5000 users need 5256, the hard limit here is 400" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_facts_of_this_machine():
    facts = host.facts()
    assert facts["cpus"] >= 1 and facts["memory_bytes"] > 1 << 20 and facts["cpu"]
    assert same_machine(facts, host.facts())
    assert not same_machine(facts, facts | {"machine_id": "another"})
    assert "typer" in host.suite_versions()["packages"]
    state = host.git_state()
    assert (state is not None) == ((ROOT / ".git").exists() and shutil.which("git") is not None)
    assert state is None or len(state["revision"]) == 40
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == host.open_file_limits()


def test_processes_beside_need_files_as_well():
    code = "from bench.machine.host import *; allow_open_files(1000, 64); print(open_file_limits())"
    assert _limited(code, 100, 3000).stdout == f"({host.open_files(1000, 64)}, 3000)\n"
    assert host.open_files(1000, 64) - host.open_files(1000) >= 5 * 64  # Granian's first process
