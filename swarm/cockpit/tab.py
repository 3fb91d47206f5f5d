"""The Server tab of Locust's own page. A tab there holds one table of texts; the rest is on /server."""

from __future__ import annotations

from time import time
from typing import Any, Final

from .live import Live
from .loads import Loads

KEY: Final = "server"
TEMPLATE: Final = {
    "extended_tabs": [{"title": "Server", "key": KEY}],
    "extended_tables": [
        {
            "key": KEY,
            "structure": [
                {"key": "what", "title": "What"},
                {"key": "pid", "title": "pid"},
                {"key": "age", "title": "Age (s)"},
                {"key": "served", "title": "Requests served"},
                {"key": "cpu", "title": "CPU (% of one)"},
                {"key": "memory", "title": "RSS (MiB)"},
                {"key": "said", "title": ""},
            ],
        }
    ],
    "extended_csv_files": [
        {"href": "./server", "title": "Server: configuration, Start and Stop, live charts, report"}
    ],
}
"""What Locust's page is told of it."""

MIB: Final = 1 << 20
UNKNOWN: Final = ""


def rows(loads: Loads, live: Live) -> list[dict[str, Any]]:
    """The rows of the table: the workers, then the whole server, restarts, generator and ceiling."""
    if loads.load is None:
        return [_row("no load yet", said="charts: /server")]
    if loads.load.requested.configuration is None:
        return [
            _row("server", said=f"{loads.load.url} runs already: it is not metered, and nothing is recorded"),
            _generator(live),
            _row("charts", said="on the page /server of this address"),
        ]
    now, lone = time(), loads.load.requested.workers == 1
    return [
        *(_worker(number, each, live, now, lone) for number, each in enumerate(live.workers, 1)),
        _server(live),
        _restarts(live),
        _generator(live),
        _row("ceiling", said=ceiling_words(ceiling(loads))),
        _row("charts", said="on the page /server of this address"),
    ]


def ceiling(loads: Loads) -> dict[str, Any] | None:
    """What the generator itself reaches with as many users as there are now; None where not measured."""
    if loads.load is None:
        return None
    users = loads.load.requested.users
    return next((each for each in loads.load.ceilings if each["users"] == users), None)


def ceiling_words(found: dict[str, Any] | None) -> str:
    """A ceiling for people."""
    if found is None:
        return "not measured for this scenario and number of users: make ceiling"
    least = "at least " if found["at_least"] else ""
    return f"the generator itself reaches {least}{found['requests_per_s']:,.0f} requests/s"


def _row(what: str, **known: Any) -> dict[str, Any]:
    """A row; Locust would sort by a column called `name`."""
    return dict.fromkeys(("pid", "age", "served", "cpu", "memory", "said"), UNKNOWN) | {"what": what} | known


def _worker(number: int, worker: dict[str, Any], live: Live, now: float, lone: bool) -> dict[str, Any]:
    served = live.served(worker["ready"]) if lone else None
    return _row(
        f"worker {number}",
        pid=worker["pid"],
        age=round(now - worker["born"]),
        served=UNKNOWN if served is None else served,
        cpu=_percent(worker["cpu"]),
        memory=_mebibytes(worker["rss_bytes"]),
    )


def _server(live: Live) -> dict[str, Any]:
    newest = next(
        (s for _, s in sorted(live.seconds.items(), reverse=True) if s.server_cpu is not None), None
    )
    cpu_us = live.cpu_us()
    return _row(
        "whole server",
        cpu=UNKNOWN if newest is None else _percent(newest.server_cpu),
        memory=UNKNOWN if newest is None else _mebibytes(newest.rss_bytes),
        said=UNKNOWN if cpu_us is None else f"{cpu_us:.1f} CPU µs per request",
    )


def _restarts(live: Live) -> dict[str, Any]:
    said = [f"{live.restarts} so far"]
    said += [f"around pid {each['pid']}: {losses_words(each['losses'])}" for each in live.last_restarts()]
    return _row("restarts", said="; ".join(said))


def losses_words(losses: dict[str, int]) -> str:
    """Failed requests by kind, for people."""
    return ", ".join(f"{count} {kind}" for kind, count in sorted(losses.items())) or "no failed requests"


def _generator(live: Live) -> dict[str, Any]:
    used = live.generator_cpu()
    full = "it is the limit: what you see is the generator's speed, not the server's"
    several = f"{live.processes} processes" if live.processes > 1 else ""
    said = [several, full if live.generator_is_full() else ""]
    return _row(
        "generator",
        cpu=UNKNOWN if used is None else _percent(used),
        said="; ".join(filter(None, said)),
    )


def _percent(cpus: float | None) -> Any:
    return UNKNOWN if cpus is None else round(cpus * 100)


def _mebibytes(size: int | None) -> Any:
    return UNKNOWN if size is None else round(size / MIB, 1)
