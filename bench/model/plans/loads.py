"""The part of a plan that says what a scenario is run under: closed loops, open loops, searches."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PositiveInt, model_validator

from bench.model.errors import unknown
from bench.model.plans.recycling import RecyclingKeys
from bench.model.tables import Counts, PlanTable, Rate, distinct

ARRIVALS = ("constant", "poisson")


def _arrivals(kind: object) -> object:
    if kind not in ARRIVALS:
        raise ValueError(unknown("kind of arrivals", str(kind), ARRIVALS))
    return kind


Arrivals = Annotated[Literal["constant", "poisson"], BeforeValidator(_arrivals)]
Milliseconds = Annotated[float, Field(gt=0, le=600_000)]


class OpenLoads(PlanTable):
    """Open loops: one cell for each rate, arrivals per second in all, at most ``users`` served at once."""

    rates_per_s: Annotated[list[Rate], Field(min_length=1), AfterValidator(distinct)]
    """Arrivals per second in all, a cell for each."""
    arrivals: Arrivals = "constant"
    """`"constant"` or `"poisson"`."""
    users: PositiveInt = 256
    """The most arrivals that are served at once."""
    recycled: bool = Field(default=True, exclude_if=lambda value: value)
    """false: workers are not replaced under this load."""


class Search(PlanTable):
    """A search for the highest rate that keeps the from-schedule p99 within ``p99_ms``: see ``search``."""

    p99_ms: Milliseconds
    """The limit on the from-schedule p99."""
    from_rate_per_s: Rate
    """The first rate."""
    arrivals: Arrivals = "constant"
    """As in an open loop."""
    users: PositiveInt = 256
    """As in an open loop."""
    # Rates have three significant digits, so that steps finer than 1 % may not exist.
    resolution: Annotated[float, Field(ge=0.01, le=1)] = 0.1
    """It ends when the lowest rate that fails is at most 1 + this times the highest that does not."""


class Loads(PlanTable):
    """What a scenario is run under; ``users`` are closed loops, one cell for each number."""

    users: Counts | None = None
    """Closed loops, a cell for each number."""
    open: list[OpenLoads] = Field(default_factory=list)
    """`[[scenarios.NAME.open]]`: open loops."""
    search: Search | None = None
    """`[scenarios.NAME.search]`: for the highest rate within a limit."""
    recycling: RecyclingKeys | None = None
    """`[scenarios.NAME.recycling]`: keys of `[recycling]` that differ here."""

    @model_validator(mode="after")
    def _some(self) -> "Loads":
        if self.users is None and not self.open and self.search is None:
            raise ValueError('has no load; give it "users", "open" or "search"')
        rates = [
            (loads.recycled, f"{rate:.10g}/s {loads.arrivals}")
            for loads in self.open
            for rate in loads.rates_per_s
        ]
        for rate in rates:
            if rates.count(rate) > 1:
                raise ValueError(f"has the open load of {rate[1]} twice")
        return self

    @property
    def most_users(self) -> int:
        """The most connections that any of its loads holds."""
        search = [self.search.users] if self.search else []
        return max([*(self.users or []), *(loads.users for loads in self.open), *search])


def check_recycled(scenarios: Mapping[str, Loads], *, rotates: bool) -> str:
    """Raise ``ValueError`` for loads under which no worker can be replaced; returns the rule, in words.

    In a closed loop a server that stalls gets fewer requests, which would hide what that costs. So closed
    loops are never recycled: a plan has both only where it says by `[rotation]` that its closed loops compare
    the servers.
    """
    only = "a plan of recycling takes open loads only"
    for name, loads in scenarios.items():
        if loads.users is not None and not rotates:
            raise ValueError(f'[scenarios.{name}] "users" are closed loops, and {only} (--rates)')
        if loads.search is not None:
            raise ValueError(f"[scenarios.{name}.search] is a search, and {only}")
    return only
