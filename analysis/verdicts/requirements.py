"""What is required of a configuration: the `[requirements]` of a plan, with their defaults."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from analysis.comparison import MATERIAL
from analysis.errors import AnalysisError

Positive = Annotated[float, Field(gt=0)]


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
