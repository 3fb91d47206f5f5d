import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench.launch import stacks
from bench.model.records import replay as records
from bench.studies.replay import measure

DELAY_S = 0.01
HOST = {
    "hostname": "here",
    "machine_id": "0",
    "system": "Linux 6.1",
    "cpu": "Some CPU",
    "cpus": 2,
    "memory_bytes": 1 << 30,
    "container": False,
}
SPLIT = {"server": [0], "generator": [1], "spare": [], "trusted": True, "note": None}
PACKAGES = {"python": "3.11.7", "packages": {"httpx": "0.28.1"}}


class TinyServer:
    """Answers every request after a fixed delay and counts; ``bad`` says which it spoils, and how."""

    def __init__(self, bad=None, delay_s=DELAY_S):
        self.bad = bad or (lambda number: None)
        self.delay_s = delay_s
        self.requests = 0
        self.connections = set()
        self._lock = threading.Lock()
        tiny = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                with tiny._lock:
                    tiny.requests += 1
                    number = tiny.requests
                    tiny.connections.add(self.client_address)
                time.sleep(tiny.delay_s)
                bad = tiny.bad(number)
                if bad == "close":
                    self.close_connection = True
                    return
                self.send_response(503 if bad else 200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_):
                pass

        class Threads(ThreadingHTTPServer):
            request_queue_size = 128
            daemon_threads = True

        self._server = Threads(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def failure(self):
        return None

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="session")
def clients():
    """The environment of the old benchmark's clients."""
    return stacks.ensure(measure.CLIENTS, print)


def asked(start, sent, answered, end, connect_s=None):
    return records.SentRequest(start, sent, answered, end, 0 if connect_s is None else 1, connect_s)


def task(pid, began, ready, ended, rows=None, *, cpu_s=0.1, failures=None):
    return records.Task(
        pid=pid,
        began_s=began,
        ready_s=ready,
        ended_s=ended,
        cpu_s=cpu_s,
        failures=failures or {},
        asked=rows,
    )


def report(tasks, *, requests=2, done_s=1.5, recorded=True):
    return records.Report(
        python="3.11.7",
        httpx="0.28.1",
        processes=len(tasks),
        requests=requests,
        client="process",
        recorded=recorded,
        done_s=done_s,
        cpu_s=0.5,
        tasks=tasks,
    )


def steps(**changes):
    busy = records.Occupancy(mean=30.0, peak=32, together=0.95)
    values = {
        "connections": 32,
        "first_ms": 30.0,
        "later_ms": 20.0,
        "connect_ms": 0.5,
        "before_ms": 8.0,
        "waiting_ms": 10.0,
        "after_ms": 2.0,
        "called": busy,
        "waiting": busy,
        "most_in_a_process": 1,
    }
    return records.Steps(**(values | changes))


def figures(loop=20.0, **changes):
    values = {
        "means": records.Means(loop=loop, task=loop * 1.1, pool=loop * 1.25, all=loop * 1.25 / 32),
        "requests": 3200,
        "processes": 32,
        "first_request_s": 0.05,
        "last_process_s": 0.2,
        "sending_s": 2.0,
        "client_cpu_us": 600.0,
        "server_cpu_us": 60.0,
        "clients_busy": 0.96,
        "server_busy": 0.1,
        "steps": None,
    }
    return records.Figures(**(values | changes))


def executions(configuration, repeat, loop=20.0, *, recorded=None, **changes):
    """What the two splits leave in one repeat: plain and recorded."""
    found = []
    for split in ("unpinned", "pinned"):
        # Not pinned, there are two CPUs to keep busy.
        busy = {"clients_busy": 1.8} if split == "unpinned" and "clients_busy" not in changes else {}
        for is_recorded in (False, True):
            with_steps = {"steps": recorded or steps()} if is_recorded else {}
            found.append(
                execution(
                    configuration,
                    repeat,
                    figures(loop, **(changes | busy | with_steps)),
                    split=split,
                    recorded=is_recorded,
                )
            )
    return found


def execution(
    configuration,
    repeat,
    of,
    *,
    split="unpinned",
    recorded=False,
    client="process",
    failures=None,
    others_busy=0.01,
):
    return records.Execution(
        configuration=configuration,
        repeat=repeat,
        split=split,
        client=client,
        recorded=recorded,
        started=0.0,
        folder="somewhere",
        server_cpus=[0],
        client_cpus=[1],
        others_busy=others_busy,
        failures=failures or {},
        figures=of,
    )


def beside(configuration, repeat, rate):
    return records.Beside(
        configuration=configuration,
        repeat=repeat,
        requests_per_s=rate,
        latency_us={"p50": 1000.0, "p90": 2000.0, "p99": 3000.0},
        cpu_us=30.0,
        server_busy=0.97,
        generator_busy=0.3,
    )


def replay(found, cells=(), **changes):
    names = list(dict.fromkeys(each.configuration for each in (*found, *cells)))
    values = {
        "replay": "20261122-200000-replay",
        "status": "finished",
        "started": 1795377600.0,
        "ended": 1795377700.0,
        "repeats": 2,
        "processes": 32,
        "requests": 100,
        "seconds": 3,
        "seed": 1,
        "configurations": names,
        "host": HOST,
        "cpu_split": SPLIT,
        "cpus": [0, 1],
        "stacks": {"replay": PACKAGES},
        "suite": {},
        "git": None,
        "unavailable": [],
        "executions": list(found),
        "beside": list(cells),
    }
    return records.Replay(**(values | changes))


@pytest.fixture
def make():
    """Imagined records of a replay, and the tiny server."""

    class Make:
        pass

    for each in (asked, task, report, steps, figures, executions, execution, beside, replay):
        setattr(Make, each.__name__, staticmethod(each))
    Make.TinyServer = TinyServer
    Make.delay_s = DELAY_S
    return Make
