"""How fast is the generator itself? `make bench-self` measures it on this machine.

Against a null server on one CPU, from another CPU, turn about and several times over: the suite's
user with and without recording, Locust's FastHttpUser and HttpUser, and wrk where it is installed.
Then the suite's user with 10,000 connections. What counts are the ratios, taken round by round:
machines drift, and all of a round share its moment.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from csv import DictReader
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any, Final

import psutil
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

HERE: Final = Path(__file__).parent
YARDSTICKS: Final = HERE / "yardsticks"
WARMUP_S: Final = 0.5
MANY: Final = 10_000


@dataclass(frozen=True)
class Reading:
    """One measurement. What a generator does not tell about itself is None.

    `server_busy` is the share of its CPU that the null server used: near 1, the server was the limit.
    """

    requests_per_s: float
    server_busy: float
    generator_us: float | None = None
    rss_bytes: int | None = None
    lag_ms: float | None = None


class Bench:
    """What all measurements share: the null server, the generator's CPU, the seconds of a reading."""

    def __init__(self, host: str, server: psutil.Process, cpu: int, seconds: int) -> None:
        self.host = host
        self.cpu = cpu
        self.seconds = seconds
        self._server = server

    def server_cpu_s(self) -> float:
        """CPU seconds that the null server has used so far."""
        times = self._server.cpu_times()
        return float(times.user + times.system)


class Session:
    """A `swarm.session` on the generator's CPU with one scenario file."""

    def __init__(self, bench: Bench, file: Path) -> None:
        self._bench = bench
        self._file = str(file)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "swarm.session", "--scenario", self._file],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=HERE.parent,
        )
        psutil.Process(self._process.pid).cpu_affinity([bench.cpu])
        next(self._events())

    def _events(self) -> Iterator[dict[str, Any]]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event: dict[str, Any] = json.loads(line)
            if event["event"] == "failed":
                raise SystemExit(f"{self._file}: {event['reason']}")
            yield event
        raise SystemExit(f"{self._file}: the session ended: exit status {self._process.wait()}")

    def measure(self, users: int, *, record: bool = True) -> Reading:
        """Run one cell against the null server. Raises SystemExit where it fails."""
        bench = self._bench
        with tempfile.TemporaryDirectory() as directory:
            self._send(users, directory, record)
            marks = []
            for event in self._events():
                if event["event"] == "finished":
                    break
                marks.append((monotonic(), bench.server_cpu_s()))
            if event["failures"]:
                raise SystemExit(f"{self._file}: {event['failures']} requests failed")
            (began, cpu_before), (ended, cpu_after) = marks[0], marks[-1]
            reading = Reading(event["requests"] / bench.seconds, (cpu_after - cpu_before) / (ended - began))
            return _with_generator(reading, Path(directory), event["window"]) if record else reading

    def _send(self, users: int, directory: str, record: bool) -> None:
        assert self._process.stdin is not None
        command = {
            "command": "cell",
            "host": self._bench.host,
            "scenario": self._file,
            "users": users,
            "warmup_s": WARMUP_S,
            "measured_s": self._bench.seconds,
            "directory": directory,
            "record": record,
        }
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()

    def close(self) -> None:
        """End the session."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def _with_generator(reading: Reading, directory: Path, window: Mapping[str, int]) -> Reading:
    """Complete a reading from the cell's generator.csv."""
    with (directory / "generator.csv").open(newline="") as file:
        # A later row tells of users being stopped already, which keeps Locust busy for a while.
        rows = [
            row
            for row in DictReader(file)
            if window["start"] - 0.1 <= float(row["time"]) <= window["end"] + 0.1
        ]
    if len(rows) < 2:
        raise SystemExit("The generator was held up for seconds: is the machine busy with something else?")
    first, last = rows[0], rows[-1]
    cpu_s = _used(last) - _used(first)
    return replace(
        reading,
        generator_us=cpu_s / (int(last["requests"]) - int(first["requests"])) * 1e6,
        rss_bytes=int(last["rss_bytes"]),
        lag_ms=max(float(row["loop_lag_ms"]) for row in rows[1:]),
    )


def _used(row: Mapping[str, str]) -> float:
    """CPU seconds of work: without those in which the engine polled in vain (plain users have none)."""
    return float(row["cpu_s"]) - float(row["spin_s"] or 0)


def wrk(bench: Bench, connections: int) -> Reading:
    """The same load by wrk, one thread. Raises SystemExit where it reports errors."""
    before = bench.server_cpu_s()
    command = ["wrk", "-t1", f"-c{connections}", f"-d{bench.seconds}s", f"{bench.host}/index"]
    with _pinned(bench.cpu):
        run = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"Requests/sec:\s+([\d.]+)", run.stdout)
    if found is None or "Non-2xx" in run.stdout:
        raise SystemExit(f"wrk: {run.stdout}")
    return Reading(float(found.group(1)), (bench.server_cpu_s() - before) / bench.seconds)


@contextmanager
def _pinned(cpu: int) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def null_server(cpu: int) -> Iterator[tuple[str, psutil.Process]]:
    """The null server on one CPU: its base URL and process."""
    with _pinned(cpu):
        process = subprocess.Popen(
            [sys.executable, str(HERE / "nullserver.py")], stdout=subprocess.PIPE, text=True
        )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}", psutil.Process(process.pid)
    finally:
        process.kill()
        process.wait()


OURS: Final = "SwarmUser, recording"
BARE: Final = "SwarmUser, no recording"
FAST: Final = "FastHttpUser, recording"
HTTP: Final = "HttpUser, recording"
WRK: Final = "wrk"

HEADINGS: Final = ["generator", "requests/s", "range", "CPU µs/request", "null server busy"]
BEGIN: Final = "<!-- measured: make bench-self -->"
END: Final = "<!-- /measured: make bench-self -->"

Round = dict[str, Reading]
"""A reading of each candidate, by name."""


def rounds(bench: Bench, users: int, number_of_rounds: int, progress: Progress) -> Iterator[Round]:
    """Measure every candidate once per round."""
    kinds = {OURS: "swarm_user.py", FAST: "fast_http_user.py", HTTP: "http_user.py"}
    with ExitStack() as stack:
        sessions = {}
        for name, file in kinds.items():
            sessions[name] = Session(bench, YARDSTICKS / file)
            stack.callback(sessions[name].close)
        names = [*kinds, BARE, *([WRK] if shutil.which("wrk") else [])]
        task = progress.add_task("measuring", total=number_of_rounds * len(names))
        for number in range(number_of_rounds):
            readings = {}
            # Turned by one each round, so that no candidate always follows the same other.
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                progress.update(task, description=f"round {number + 1}: {name}")
                if name == WRK:
                    readings[name] = wrk(bench, users)
                else:
                    session = sessions[OURS if name == BARE else name]
                    readings[name] = session.measure(users, record=name != BARE)
                progress.advance(task)
            yield {name: readings[name] for name in names}


def ratios(readings: list[Round], of: str, to: str) -> str:
    """The median and the range of a ratio taken within each round."""
    values = [r[of].requests_per_s / r[to].requests_per_s for r in readings]
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def table_rows(readings: list[Round]) -> list[list[str]]:
    """A row of texts per candidate: medians over the rounds, and the range of the requests per second."""
    rows = []
    for name in readings[0]:
        rates = [r[name].requests_per_s for r in readings]
        spent = [us for r in readings if (us := r[name].generator_us) is not None]
        rows.append(
            [
                name,
                f"{statistics.median(rates):,.0f}",
                f"{min(rates):,.0f} to {max(rates):,.0f}",
                f"{statistics.median(spent):.1f}" if spent else "not metered",
                f"{statistics.median(r[name].server_busy for r in readings):.0%}",
            ]
        )
    return rows


def conclusions(readings: list[Round], many: Reading, users: int) -> list[str]:
    """The ratios beside their goals, and how many connections one process holds, a sentence each."""
    said = [f"SwarmUser / FastHttpUser: {ratios(readings, OURS, FAST)}; the goal is at least 12."]
    if WRK in readings[0]:
        said.append(f"SwarmUser / wrk: {ratios(readings, OURS, WRK)}; the goal is at least 0.80.")
    else:
        said.append("SwarmUser / wrk: unknown, wrk is not installed (Debian: apt install wrk).")
    said.append(f"With / without recording: {ratios(readings, OURS, BARE)}; the goal is at least 0.95.")
    few_bytes = statistics.median(bytes_ for r in readings if (bytes_ := r[OURS].rss_bytes) is not None)
    assert many.rss_bytes is not None
    per_connection = (many.rss_bytes - few_bytes) / (MANY - users) / 1024
    said.append(
        f"With {MANY:,} connections: {many.requests_per_s:,.0f} requests/s, {per_connection:.1f} KiB of "
        f"memory per connection; the longest it did not look at its sockets was {many.lag_ms:.0f} ms."
    )
    return said


def show(console: Console, title: str, rows: list[list[str]], said: list[str]) -> None:
    """Print the table and the sentences."""
    table = Table(HEADINGS[0], title=title, title_justify="left")
    for heading in HEADINGS[1:]:
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(*row)
    console.print(table, *said, sep="\n", soft_wrap=True)


def write_readme(path: Path, title: str, rows: list[list[str]], said: list[str]) -> None:
    """Replace what stands between the markers in a Markdown file. Raises SystemExit without them."""
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{path} lacks the lines {BEGIN} and {END}")
    lines = ["| " + " | ".join(row) + " |" for row in (HEADINGS, *rows)]
    lines.insert(1, "|---" + "|--:" * (len(HEADINGS) - 1) + "|")
    sentences = [f"* {sentence}" for sentence in said]
    body = "\n".join(["", *lines, "", *sentences, "", f"{title}, by `make bench-self`.", ""])
    path.write_text(f"{before}{BEGIN}{body}{END}{after}", encoding="utf-8")


def main() -> None:
    """Entry point: see the module's text."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        prog="python -m swarm.selfbench",
    )
    parser.add_argument("--users", type=int, default=64, help="connections (default: 64)")
    parser.add_argument("--seconds", type=int, default=3, help="of each reading (default: 3)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (default: 5)")
    parser.add_argument("--readme", type=Path, metavar="FILE", help="put the result into this document, too")
    options = parser.parse_args()
    console = Console()
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        console.print("Only one CPU: server and generator share it, and the figures say little.")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < MANY + 100:
        raise SystemExit(f"At most {hard} open files are allowed here, {MANY + 100} are needed: ulimit -n")
    resource.setrlimit(resource.RLIMIT_NOFILE, (MANY + 100, hard))
    with null_server(cpus[0]) as (host, server), Progress(console=console, transient=True) as progress:
        bench = Bench(host, server, cpus[-1], options.seconds)
        readings = list(rounds(bench, options.users, options.rounds, progress))
        session = Session(bench, YARDSTICKS / "swarm_user.py")
        many = session.measure(MANY)
        session.close()
    title = (
        f"{datetime.now(UTC):%Y-%m-%d}, {_cpu_name()}, {len(cpus)} CPUs, Python {sys.version.split()[0]}, "
        f"{options.users} closed-loop connections, {options.rounds} rounds of {options.seconds} s"
    )
    rows, said = table_rows(readings), conclusions(readings, many, options.users)
    show(console, title, rows, said)
    if options.readme is not None:
        write_readme(options.readme, title, rows, said)


def _cpu_name() -> str:
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return found.group(1) if found else "unknown CPU"


if __name__ == "__main__":
    main()
