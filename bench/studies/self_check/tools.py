"""Load generators that are programs: how each is called, and what it says of its run.

Their output is read strictly: whatever is not as expected, failed requests included, is an error.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.studies.self_check.readings import PERCENTS, HiccupError, MeasurementError

FAST_HTTP_USER = Path(__file__).parent / "users" / "fast_http_user.py"

_UNITS_US = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 60e6}
_HEY_UNIT_US = 1e6


@dataclass(frozen=True)
class ToolResult:
    """What a generator says of its run; latencies as it prints them, p50, p90 and p99 in microseconds."""

    requests: int
    requests_per_s: float
    latency_us: Mapping[str, float]


@dataclass(frozen=True)
class ToolLoad:
    """What a generator is asked to do: a closed loop of ``users`` on ``host``'s index for ``seconds``."""

    host: str
    users: int
    seconds: int
    threads: int


@dataclass(frozen=True)
class Tool:
    """A load generator that is a program. ``label`` is for people, ``remedy`` says how to get it."""

    name: str
    label: str
    command: Callable[[ToolLoad], list[str]]
    read: Callable[[str], ToolResult]
    program: str | None = None
    remedy: str = ""

    @property
    def installed(self) -> bool:
        return self.program is None or shutil.which(self.program) is not None

    def version(self) -> str | None:
        """Its version as it says itself; ``None`` if it does not say."""
        if self.name != "wrk":
            return None
        said = subprocess.run(["wrk", "-v"], capture_output=True, text=True).stdout
        found = re.match(r"wrk (\S+)", said)
        return found.group(1) if found else None


def _wrk_command(load: ToolLoad) -> list[str]:
    command = ["wrk", "--latency", f"-t{load.threads}", f"-c{load.users}", f"-d{load.seconds}s"]
    return [*command, f"{load.host}/index"]


def read_wrk(output: str) -> ToolResult:
    """Read what ``wrk --latency`` prints.

    Raises:
        MeasurementError: requests failed, or it is not that.
    """
    for trouble in ("Socket errors", "Non-2xx"):
        if found := re.search(rf"^.*{trouble}.*$", output, re.MULTILINE):
            raise MeasurementError(f"wrk reports failed requests: {found.group().strip()}")
    requests, _ = _found("wrk", r"^\s*(\d+) requests in ([\d.]+\w+),", output)
    (rate,) = _found("wrk", r"^Requests/sec:\s+([\d.]+)$", output)
    latency_us = {}
    for percent in PERCENTS:
        number, unit = _found("wrk", rf"^\s+{percent}%\s+([\d.]+)(us|ms|s|m) *$", output)
        latency_us[f"p{percent}"] = float(number) * _UNITS_US[unit]
    return ToolResult(int(requests), float(rate), latency_us)


def _hey_command(load: ToolLoad) -> list[str]:
    # A request that is not answered in the time would otherwise hold it up for 20 s more.
    return ["hey", "-c", str(load.users), "-z", f"{load.seconds}s", "-t", "5", f"{load.host}/index"]


def read_hey(output: str) -> ToolResult:
    """Read the summary that ``hey`` prints: latencies in seconds with four decimals.

    Raises:
        MeasurementError: requests failed, or it is not that.
    """
    if found := re.search(r"Error distribution:\s+(.*)", output):
        raise MeasurementError(f"hey reports failed requests: {found.group(1).strip()}")
    answers = re.findall(r"^\s+\[(\d+)\]\s+(\d+) responses$", output, re.MULTILINE)
    if [status for status, _ in answers] != ["200"]:
        raise MeasurementError(f"hey reports other answers than 200: {answers}")
    (total,) = _found("hey", r"^\s+Total:\s+([\d.]+) secs$", output)
    latency_us = {}
    for percent in PERCENTS:
        (number,) = _found("hey", rf"^\s+{percent}% in ([\d.]+) secs$", output)
        latency_us[f"p{percent}"] = float(number) * _HEY_UNIT_US
    requests = int(answers[0][1])
    return ToolResult(requests, requests / float(total), latency_us)


def _locust_command(load: ToolLoad) -> list[str]:
    """Locust as its manual says: nothing of the suite is imported, so its statistics are its own."""
    users = str(load.users)
    command = [sys.executable, "-m", "locust", "--locustfile", str(FAST_HTTP_USER), "--host", load.host]
    command += ["--headless", "--users", users, "--spawn-rate", users, "--run-time", f"{load.seconds}s"]
    return [*command, "--only-summary", "--loglevel", "WARNING"]


def read_locust(output: str) -> ToolResult:
    """Read the summary that Locust prints: percentiles below 100 ms are whole milliseconds.

    Not its CSV files: the last of their rows are up to a second old when it ends.

    Raises:
        HiccupError: it made no request: its time had passed before its users were there.
        MeasurementError: requests failed, or it is not that.
    """
    requests, failures, rate = _found(
        "locust", r"^\s+Aggregated\s+(\d+)\s+(\d+)\([\d.]+%\) \|[\s\d]+\|\s+([\d.]+)\s+[\d.]+$", output
    )
    if failures != "0":
        raise MeasurementError(f"Locust reports {failures} failed requests")
    if requests == "0":
        raise HiccupError("Locust made no request in its time: is the machine busy otherwise?")
    (columns,) = _found("locust", r"^Type\s+Name\s+(50%.*) # reqs$", output)
    (values,) = _found("locust", r"^\s+Aggregated((?:\s+\d+)+)$", output)
    by_column = dict(zip(columns.split(), values.split()[:-1], strict=True))
    latency_us = {f"p{percent}": float(by_column[f"{percent}%"]) * 1e3 for percent in PERCENTS}
    return ToolResult(int(requests), float(rate), latency_us)


def _found(tool: str, pattern: str, output: str) -> tuple[str, ...]:
    match = re.search(pattern, output, re.MULTILINE)
    if match is None:
        raise MeasurementError(
            f"{tool} printed something else than expected (no {pattern!r}):\n{output.strip()[-400:]}"
        )
    return match.groups()


WRK = Tool("wrk", "wrk", _wrk_command, read_wrk, "wrk", "Debian: apt install wrk")
HEY = Tool("hey", "hey", _hey_command, read_hey, "hey", "Debian: apt install hey")
LOCUST = Tool("locust", "Locust, FastHttpUser", _locust_command, read_locust)
TOOLS = {tool.name: tool for tool in (WRK, HEY, LOCUST)}
