"""When a server is to replace its workers.

It runs inside every stack's environment: standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass

from targets.catalogue.tables import ConfigurationError


@dataclass(frozen=True)
class Recycling:
    """When workers are to be replaced; never, where all is None.

    After `max_requests` plus a random part of up to `max_requests_jitter` requests, or when their
    resident memory exceeds `max_rss_mib` MiB. Raises `ConfigurationError` for what makes no sense
    on any server.
    """

    max_requests: int | None = None
    max_requests_jitter: int | None = None
    max_rss_mib: int | None = None

    def __post_init__(self) -> None:
        jitter = self.max_requests_jitter
        if self.max_requests is None and jitter is not None:
            raise ConfigurationError("max_requests_jitter spreads max_requests: give both, or neither")
        if (self.max_requests is not None and self.max_requests < 1) or (jitter is not None and jitter < 0):
            raise ConfigurationError("max_requests must be at least 1, and max_requests_jitter not negative")
        if self.max_rss_mib is not None and self.max_rss_mib < 1:
            raise ConfigurationError("max_rss must be at least 1 MiB")

    def values(self) -> dict[str, int]:
        """What fills the placeholders of `recycle_argv`; no jitter is a jitter of 0."""
        values = {name: value for name, value in vars(self).items() if value is not None}
        return {"max_requests_jitter": 0, **values}


NEVER = Recycling()
