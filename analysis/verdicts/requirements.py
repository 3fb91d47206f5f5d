"""What is required of a configuration: the `[requirements]` of a plan, with their defaults."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from analysis.comparison import MATERIAL
from analysis.errors import AnalysisError

Positive = Annotated[float, Field(gt=0)]
_RESTARTS = {
    "requests": "workers are replaced after N requests",
    "memory": "workers are replaced at a size in memory",
    "any": "workers are replaced after N requests or at a size in memory",
    "none": "workers need not be replaced",
}


class Requirements(BaseModel):
    """docs/contracts.md (*Requirements*) says what each means, in which unit, and how it is judged.

    `weights` and `margin` say how those that meet the others are ranked; `workers` and what follows it are
    filled into the recommended command.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    restart: Literal["requests", "memory", "any", "none"] = "requests"
    process_manager: bool = True
    connections: Literal["both", "keep-alive", "per-request"] = "both"
    lost_per_1000: float = Field(default=0.0, ge=0)
    retryable_per_1000: float | None = Field(default=None, ge=0)
    enough_recycles: int = Field(default=20, gt=0)
    stall_s: Positive | None = None
    memory_bounded: bool = False
    survive_kill: bool = False
    graceful_stop: bool = False
    p99_ms: dict[str, Positive] = Field(default_factory=dict)
    weights: dict[str, Positive] = Field(default_factory=dict)
    margin: float = Field(default=round(MATERIAL - 1, 6), ge=0)
    workers: int | None = Field(default=None, gt=0)
    max_requests: int = Field(default=10_000, gt=0)
    max_requests_jitter: int = Field(default=1_000, ge=0)
    max_rss_mib: int = Field(default=512, gt=0)

    def counts(self, workers: int) -> bool:
        """Whether what was seen with so many workers counts: several stand for any number of several."""
        return self.workers is None or (workers > 1) == (self.workers > 1)

    @property
    def text(self) -> str:
        """All of them in words."""
        return "; ".join(self._texts())

    def _texts(self) -> Iterator[str]:
        yield _RESTARTS[self.restart]
        if self.restart != "none":
            yield from self._of_restarts()
        if self.memory_bounded:
            yield "a leak stays within bounds"
        if self.survive_kill:
            yield "another worker comes for one that was killed"
        if self.graceful_stop:
            yield "requests in flight are finished at SIGTERM"
        yield from (f"{name}: p99 within {limit:g} ms" for name, limit in self.p99_ms.items())
        yield f"with {self.workers} workers" if self.workers else "with any number of workers"
        even = "all scenarios count alike"
        counts = ", ".join(f"{name} counts {weight:g}" for name, weight in self.weights.items()) or even
        yield f"ranked by performance: {counts}, and less than {self.margin:.0%} is a tie"

    def _of_restarts(self) -> Iterator[str]:
        if not self.process_manager:
            yield "without a process manager"
        kinds = {"both": "kept and fresh connections", "keep-alive": "kept connections"}
        over = kinds.get(self.connections, "fresh connections")
        yield f"{_at_most(self.lost_per_1000)} whose handler ran, over {over}"
        if self.retryable_per_1000 is not None:
            yield f"{_at_most(self.retryable_per_1000)} whose handler did not run"
        if self.stall_s is not None:
            yield f"an answer at least every {self.stall_s:g} s"


def requirements(stated: Mapping[str, Mapping[str, Any]], instead: Mapping[str, Any]) -> Requirements:
    """From what the plan of each run states (by the run's name), and what takes the place of that.

    None is not stated, here and there.

    Raises:
        AnalysisError: two plans differ in what nothing takes the place of, or a value is impossible.
    """
    found = {key: value for key, value in instead.items() if value is not None}
    said_by: dict[str, str] = {}
    for run, table in stated.items():
        for key, value in table.items():
            if value is None or (key in found and key not in said_by):
                continue
            if key in said_by and found[key] != value:
                raise AnalysisError(
                    f"{said_by[key]} requires {key} = {found[key]!r} and {run} {value!r}; "
                    f"say which with --{key.replace('_', '-')}"
                )
            found[key], said_by[key] = value, run
    try:
        return Requirements.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        where = said_by.get(str(first["loc"][0]), "command line")
        raise AnalysisError(f"{where}: requirement {key}: {first['msg']}") from error


def _at_most(lost: float) -> str:
    return f"at most {lost:g} requests are lost by 1000 recycles" if lost else "no request is lost by it"


def setting(name: str, value: object) -> str:
    """A key and its value as a plan has them."""
    if isinstance(value, bool):
        return f"{name} = {str(value).lower()}"
    return f"{name} = {value:g}" if isinstance(value, float) else f"{name} = {value}"
