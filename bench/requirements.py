"""The part of a plan that says what is required of a configuration; whether one meets it, analysis says."""

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, ValidationError

from bench.errors import UsageError, unknown
from bench.tables import Table

NotNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
OfScenarios = dict[str, Positive]


class RequirementsTable(Table):
    """``[requirements]``; docs/contracts.md says what each key means. What is not given is ``None``."""

    restart: Literal["requests", "memory", "any", "none"] | None = None
    process_manager: bool | None = None
    connections: Literal["both", "keep-alive", "per-request"] | None = None
    lost_per_1000: NotNegative | None = None
    retryable_per_1000: NotNegative | None = None
    enough_recycles: PositiveInt | None = None
    stall_s: Positive | None = None
    memory_bounded: bool | None = None
    survive_kill: bool | None = None
    graceful_stop: bool | None = None
    p99_ms: OfScenarios | None = None
    weights: OfScenarios | None = None
    margin: NotNegative | None = None
    workers: PositiveInt | None = None
    max_requests: PositiveInt | None = None
    max_requests_jitter: NonNegativeInt | None = None
    max_rss_mib: PositiveInt | None = None

    def check_scenarios(self, known: Collection[str], where: str) -> None:
        """Raise ``UsageError`` for a scenario that nobody knows; ``where`` stands before it."""
        for key in ("p99_ms", "weights"):
            for name in getattr(self, key) or {}:
                if name not in known:
                    raise UsageError(f'{where}: key "requirements.{key}": {unknown("scenario", name, known)}')

    def given(self) -> dict[str, Any]:
        """The keys that were given."""
        return self.model_dump(exclude_none=True)


def of_options(options: Mapping[str, Any]) -> RequirementsTable:
    """Requirements from a command line; options that were not given are ``None``.

    Raises:
        UsageError: a value is out of range; names the option.
    """
    try:
        return RequirementsTable.model_validate(options)
    except ValidationError as error:
        details = error.errors()[0]
        option = str(details["loc"][0]).replace("_", "-")
        raise UsageError(f"--{option}: {details['msg'][:1].lower()}{details['msg'][1:]}") from error


def numbers(option: str, text: str | None) -> dict[str, float] | None:
    """What an option such as `--weights sleep=3,index=1` says, by scenario; ``None`` if it was not given.

    Raises:
        UsageError: it has another form.
    """
    if text is None:
        return None
    found = {}
    for part in text.replace(",", " ").split():
        name, _, number = part.partition("=")
        try:
            found[name] = float(number)
        except ValueError:
            name = ""
        if not name:
            raise UsageError(f'{option} takes numbers by scenario like "sleep=3,index=1", not "{text}"')
    return found
