"""What the web UI is told to offer: its first line (docs/contracts.md, *The cockpit*)."""

import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import host
from bench.ceiling import FULL
from bench.scenarios import Scenario
from targets.configurations import Configuration

# What the form takes at most, where this machine allows as many open files.
_MOST_USERS = 10_000
_MOST_WORKERS = 4
_LONGEST = 160
_RECYCLES = {"flag": "requests", "app": "requests", "respawn": "requests", "rss": "memory", "none": "never"}


def configurations(
    known: Iterable[Configuration], unavailable: Sequence[Mapping[str, str]], cpus: Sequence[int]
) -> list[dict[str, Any]]:
    """The configurations; ``unavailable`` as in ``run.json``, ``cpus`` those of servers."""
    reasons = {each["configuration"]: each for each in unavailable if "configuration" in each}
    return [
        {
            "name": each.name,
            "summary": each.summary,
            "unavailable": _why(reasons.get(each.name)),
            "most_workers": most_workers(each, cpus),
            "recycles": _RECYCLES[each.recycle],
        }
        for each in known
    ]


def most_workers(configuration: Configuration, cpus: Sequence[int]) -> int:
    """How many workers are offered: twice as many as there are CPUs for them, at least four."""
    most = max(_MOST_WORKERS, 2 * len(cpus))
    return most if configuration.max_workers is None else min(most, configuration.max_workers)


def scenarios(
    known: Iterable[Scenario], unavailable: Sequence[Mapping[str, str]], inside: Callable[[Path], str]
) -> list[dict[str, Any]]:
    """The scenarios; ``inside`` gives a path as the web UI knows it."""
    reasons = {each["scenario"]: each for each in unavailable if "scenario" in each}
    return [
        {
            "name": each.name,
            "file": inside(each.path.resolve()),
            "unavailable": _why(reasons.get(each.name)),
        }
        for each in known
    ]


def most_users() -> int:
    """How many users there can be; their connections are allowed for.

    Raises:
        UserError: this machine allows too few open files for any.
    """
    _, hard = host.open_file_limits()
    most = _MOST_USERS if hard < 0 else min(_MOST_USERS, hard // 2)
    host.allow_open_files(most)
    return most


def common() -> dict[str, Any]:
    """What is the same whatever is loaded."""
    return {"most_users": most_users(), "full": FULL, "names": [socket.gethostname()]}


def _why(entry: Mapping[str, str] | None) -> str | None:
    """The reason and the remedy in one line."""
    if entry is None:
        return None
    text = f"{_first_line(entry['reason'])}; {_first_line(entry['remedy'])}"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _first_line(text: str) -> str:
    return text.partition("\n")[0].rstrip(":")
