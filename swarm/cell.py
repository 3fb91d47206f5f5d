"""The `cell` command of a session, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .pacing import Arrivals


class CellFailed(Exception):
    """The cell has no result; the message is the reason."""


@dataclass(frozen=True)
class Cell:
    """A `cell` command, checked. Times are seconds; `arrivals` is None in a closed loop."""

    host: str
    scenario: str
    users: int
    arrivals: Arrivals | None
    warmup_s: float
    measured_s: int
    directory: Path
    stop_timeout_s: float
    record: bool
    trace: bool

    @classmethod
    def of(cls, command: Mapping[str, Any]) -> Cell:
        """Read a command. Raises CellFailed where fields are missing or cannot be what they should."""
        required = ("host", "scenario", "users", "warmup_s", "measured_s", "directory")
        if missing := [name for name in required if name not in command]:
            raise CellFailed(f"not a complete cell command: it lacks {', '.join(missing)}")
        try:
            cell = cls(
                host=command["host"],
                scenario=command["scenario"],
                users=int(command["users"]),
                arrivals=_arrivals(command.get("arrivals")),
                warmup_s=float(command["warmup_s"]),
                measured_s=int(command["measured_s"]),
                directory=Path(command["directory"]),
                stop_timeout_s=float(command.get("stop_timeout_s", 1.0)),
                record=bool(command.get("record", True)),
                trace=bool(command.get("trace", False)),
            )
        except (TypeError, ValueError) as error:
            raise CellFailed(f"not a cell command: {error}") from error
        if cell.trace and not cell.record:
            raise CellFailed("not a cell command: trace needs record, which is false")
        return cell


def _arrivals(given: Any) -> Arrivals | None:
    """Raises ValueError or TypeError where it is neither null nor a schedule."""
    if given is None:
        return None
    if not isinstance(given, Mapping) or not {"kind", "rate_per_s"} <= set(given):
        raise ValueError(f"arrivals is null or has kind, rate_per_s and perhaps seed, not {given!r}")
    if unknown := set(given) - {"kind", "rate_per_s", "seed"}:
        raise ValueError(f"arrivals has kind, rate_per_s and seed, and nothing called {', '.join(unknown)}")
    return Arrivals(given["rate_per_s"], given["kind"], given.get("seed"))
