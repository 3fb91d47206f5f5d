"""`lane.json`: one configuration in a soak, with its workers replaced or not."""

from typing import Any

from pydantic import Field

from bench.model.records.cell import OpenLoad, Server
from bench.model.records.schema import Record


class Replacing(Record):
    """When workers were to be replaced; all null where never."""

    max_requests: int | None = None
    max_requests_jitter: int | None = None
    max_rss_mib: int | None = None


class Leg(Record):
    """One start of the server with its load, up to a pause, the end of the soak, or what went wrong."""

    started: float
    ended: float | None
    """null while it goes on, and where the soak was killed."""
    reason: str | None
    """Why it ended before it should; null for a pause and for the end."""
    server: Server | None
    """null where it did not start."""


class Lane(Record):
    """`lane.json`: one configuration in a soak, with its workers replaced or not."""

    configuration: str
    scenario: str
    load: OpenLoad
    workers: int = Field(gt=0)
    recycling: Replacing | None
    interval_s: int = Field(gt=0)
    """Length of the finest intervals."""
    open_files: int | None = Field(gt=0)
    """How many files a process of the server may have open; null where that is not known."""
    legs: list[Leg]  # as they came: where the clock was set back, their times are in another order

    @property
    def max_requests(self) -> int | None:
        """N; None where workers are not replaced by it."""
        return None if self.recycling is None else self.recycling.max_requests

    @property
    def recycles(self) -> bool:
        """Whether its workers were to be replaced."""
        asked: dict[str, Any] = {} if self.recycling is None else self.recycling.model_dump()
        return any(value is not None for value in asked.values())
