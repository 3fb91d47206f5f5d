"""The old benchmark: a pool of processes, each sending requests in turn with a synchronous httpx client.

``python -m bench.studies.replay.clients URL --processes 32 --requests 100 --client process`` prints one JSON
object (``bench.model.records.replay.Report``). It runs in an environment of its own (requirements/replay.txt)
and imports nothing of the suite. Times are seconds since the pool was about to be made, by the clock that all
processes of the machine share.
"""

import argparse
import ctypes
import json
import multiprocessing
import os
import platform
import resource
import signal
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Any

import httpx

PER_PROCESS, PER_REQUEST = "process", "request"
_OK = 200
_STEPS = ("send_request_headers", "receive_response_headers")
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_LIBC = ctypes.CDLL(None, use_errno=True)

Get = Callable[..., httpx.Response]
Events = list[tuple[str, float]]


@dataclass(frozen=True)
class ProcessTask:
    """What each process is to do; ``created`` is when the pool was about to be made."""

    url: str
    requests: int
    client: str
    recorded: bool
    created: float


class WrongAnswerError(Exception):
    """An answer with another status than 200."""


def work(task: ProcessTask) -> dict[str, Any]:
    """Send the requests of one process, one after the other, and say how long it took."""
    began = perf_counter()
    failures: Counter[str] = Counter()
    sent: list[tuple[float, Events, float]] = []
    with ExitStack() as stack:
        get = _own_client
        if task.client == PER_PROCESS:
            get = stack.enter_context(httpx.Client()).get
        ready, used = perf_counter(), process_time()
        for _ in range(task.requests):
            try:
                if task.recorded:
                    sent.append(_recorded(get, task.url))
                else:
                    _checked(get(task.url))
            except (httpx.HTTPError, WrongAnswerError) as error:
                failures[_kind(error)] += 1
        ended, used = perf_counter(), process_time() - used
    # What follows is in no figure.
    return {
        "pid": os.getpid(),
        "began_s": _since(task, began),
        "ready_s": _since(task, ready),
        "ended_s": _since(task, ended),
        "cpu_s": round(used, 6),
        "failures": dict(failures),
        "asked": [_row(task, *request) for request in sent] if task.recorded else None,
    }


def _own_client(url: str, **options: Any) -> httpx.Response:
    """Ask with a client made for this one request."""
    with httpx.Client() as client:
        return client.get(url, **options)


def _recorded(get: Get, url: str) -> tuple[float, Events, float]:
    """Ask, and note when what happened: httpx calls back at every step."""
    events: Events = []

    def trace(name: str, _info: object) -> None:
        events.append((name, perf_counter()))

    start = perf_counter()
    _checked(get(url, extensions={"trace": trace}))
    return start, events, perf_counter()


def _checked(response: httpx.Response) -> None:
    if response.status_code != _OK:
        raise WrongAnswerError(f"status {response.status_code}")


def _kind(error: Exception) -> str:
    return str(error) if isinstance(error, WrongAnswerError) else type(error).__name__


def _row(task: ProcessTask, start: float, events: Events, end: float) -> list[float | int | None]:
    """A request as ``bench.model.records.replay.SentRequest``."""
    at = dict(events)
    connected = [time for name, time in events if name == "connection.connect_tcp.complete"]
    connect_s = round(connected[-1] - at["connection.connect_tcp.started"], 6) if connected else None
    steps = (
        start,
        at["http11.send_request_headers.complete"],
        at["http11.receive_response_headers.complete"],
    )
    return [*(_since(task, moment) for moment in (*steps, end)), len(connected), connect_s]


def _since(task: ProcessTask, moment: float) -> float:
    return round(moment - task.created, 6)


def _tie(parent: int) -> None:
    """Have the kernel kill this process when its parent dies, however that happens."""
    if _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it died before we asked
        sys.exit(1)


def run(url: str, processes: int, requests: int, client: str, recorded: bool) -> dict[str, Any]:
    """Run the benchmark once; processes are forked, which was the default of Linux at the time."""
    before = _cpu_s()
    task = ProcessTask(url, requests, client, recorded, perf_counter())
    with multiprocessing.get_context("fork").Pool(processes, _tie, (os.getpid(),)) as pool:
        tasks = pool.map(work, [task] * processes, chunksize=1)
        done = perf_counter()
        pool.close()
        pool.join()  # the CPU time of children counts when they have been waited for
    return {
        "python": platform.python_version(),
        "httpx": httpx.__version__,
        "processes": processes,
        "requests": requests,
        "client": client,
        "recorded": recorded,
        "done_s": _since(task, done),
        "cpu_s": round(_cpu_s() - before, 6),
        "tasks": tasks,
    }


def _cpu_s() -> float:
    """User and system time of this process and of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    """Read the command line, run once, print the report."""
    parser = argparse.ArgumentParser(description="The old benchmark: processes that ask in turn.")
    parser.add_argument("url")
    parser.add_argument("--processes", type=int, required=True)
    parser.add_argument("--requests", type=int, required=True, help="of each process")
    parser.add_argument("--client", choices=(PER_PROCESS, PER_REQUEST), required=True)
    parser.add_argument("--record", action="store_true", help="note the steps of every request")
    options = parser.parse_args()
    report = run(options.url, options.processes, options.requests, options.client, options.record)
    json.dump(report, sys.stdout, separators=(",", ":"))


if __name__ == "__main__":
    main()
