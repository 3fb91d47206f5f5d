"""What is required of a configuration; whether one meets it, the analysis says.

A requirement is one field of ``Requirements``: the key of a plan's ``[requirements]``, the option of
``bench verdict`` and the table of docs/contracts.md follow from it.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, ValidationError, model_validator
from pydantic.fields import FieldInfo

from bench.model.errors import UsageError, UserError, unknown
from bench.model.tables import PlanTable

NotNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
OfScenarios = dict[str, Positive]
First = Literal["throughput", "memory", "tail"]

_RESTARTS = {
    "requests": "workers are replaced after N requests",
    "memory": "workers are replaced at a size in memory",
    "any": "workers are replaced after N requests or at a size in memory",
    "none": "workers need not be replaced",
}
RANKED: dict[First, str] = {"throughput": "performance", "memory": "memory", "tail": "p99"}
"""What configurations are ranked by, in a word; of performance alone more is better."""


@dataclass(frozen=True)
class About:
    """What a requirement means: as the help of its option, and in Markdown.

    ``passed`` and ``failed`` are the evidence that it is judged by; without them it is no judgement of its
    own. ``default`` is how its default reads where the value itself does not say. ``label`` stands before its
    figure, if that is not the key.
    """

    option: str
    meaning: str
    passed: str = ""
    failed: str = ""
    part: Literal["judged", "ranking", "command"] = "judged"
    default: str | None = None
    label: str | None = None


def about(field: FieldInfo) -> About:
    """What a field of ``Requirements`` means."""
    (found,) = [part for part in field.metadata if isinstance(part, About)]
    return found


class Requirements(PlanTable):
    """What a configuration must do, what counts in the ranking, and what fills the recommended command.

    Keys that are ``None`` are not given; what is not given has its default.
    """

    restart: Annotated[
        Literal["requests", "memory", "any", "none"],
        About(
            "Workers must be replaced after N requests: requests; or: memory, any, none.",
            'workers are replaced after N requests (`"requests"`), at a size (`"memory"`), either (`"any"`), '
            'or need not be (`"none"`: nothing down to `stall_s` is required)',
            "`recycle` does so, and so do all recycled cells that tell, at least one",
            "`recycle` does not; or a cell is `broken`, failed, or `not replaced` after 2 N requests",
        ),
    ] = "requests"
    process_manager: Annotated[
        bool,
        About(
            "May a process manager be needed that starts the server again?",
            "`false`: none may be needed to start it again",
            "`recycle` is not `respawn`, or with several workers",
            "`respawn` with one worker",
        ),
    ] = True
    maintained: Annotated[
        bool,
        About(
            "Must what it needs still get fixes?",
            "`false`: what gets no more fixes may be used as well",
            "the catalogue does not say `ended`",
            "it does",
        ),
    ] = True
    connections: Annotated[
        Literal["both", "keep-alive", "per-request"],
        About(
            "What clients use: both, keep-alive or per-request.",
            "those for which the next two count: kept ones, one per request, or both",
        ),
    ] = "both"
    lost_per_1000: Annotated[
        NotNegative,
        About(
            "Requests lost per 1000 recycles whose handler ran; 0 unless given.",
            "the most requests lost per 1000 recycles, in a replacement or not, whose handler began; for "
            "each kind of connection and number of workers",
            "the interval ends at or below it; or nothing was lost in `enough_recycles`",
            "the interval begins above it",
            label="lost although the handler ran",
        ),
    ] = 0.0
    retryable_per_1000: Annotated[
        NotNegative | None,
        About(
            "Those whose handler did not run, which may be sent again.",
            "the same, for those whose handler never ran: they may be sent again",
            "likewise",
            "likewise",
            label="lost before the handler ran",
        ),
    ] = None
    enough_recycles: Annotated[
        PositiveInt,
        About(
            "So many recycles without a loss pass for none; 20 unless given.",
            "so many recycles without a loss stand for none: with 20 up to 184 per 1000 are possible",
        ),
    ] = 20
    stall_s: Annotated[
        Positive | None,
        About(
            "Longest time without an answer while workers are replaced.",
            "seconds without an answer, at most, in recycled cells",
            "the longest that was seen is within it",
            "it is not",
            label="stall",
        ),
    ] = None
    memory_bounded: Annotated[
        bool,
        About(
            "A leak must stay within bounds.",
            "`true`: what grows without recycling does not with it",
            '*memory bound held* is "yes"',
            '"no"',
        ),
    ] = False
    survive_kill: Annotated[
        bool,
        About(
            "Another worker must replace one that was killed.",
            "`true`: another worker replaces one that was killed",
            "all probes recover",
            "one does not",
            label="a worker killed",
        ),
    ] = False
    graceful_stop: Annotated[
        bool,
        About(
            "Requests in flight must be finished at SIGTERM.",
            "`true`: requests in flight at SIGTERM are finished",
            "all probes finish them",
            "one cuts them",
            label="stopped under load",
        ),
    ] = False
    p99_ms: Annotated[
        OfScenarios,
        About(
            "p99 from the schedule by scenario, e.g. sleep=50,index=10.",
            "by scenario (`{ sleep = 50 }`), from the schedule, at every rate of an open loop and number of "
            "workers",
            "the interval ends at or below it at all rates",
            "it begins above it at one, over 0.1 % of the requests failed, or a saturated server served "
            "under 99 % of the arrivals",
            default="none",
            label="p99",
        ),
    ] = Field(default_factory=dict)
    first: Annotated[
        First,
        About(
            "What they are ranked by: throughput, memory or tail; throughput unless given.",
            'what ranks: `"throughput"` (requests per second, or per CPU-second) or `"memory"` (highest PSS '
            'of all processes), in closed loops; or `"tail"` (p99 from the schedule in an open loop without '
            "replaced workers, at the highest rate that most kept up with)",
            part="ranking",
        ),
    ] = "throughput"
    weights: Annotated[
        OfScenarios,
        About(
            "What counts how much, e.g. sleep=3,index=1; all alike unless given.",
            "by scenario (`{ sleep = 3, index = 1 }`): how much it counts, others not at all. If one was not "
            "measured, nothing is ranked",
            part="ranking",
            default="all 1",
        ),
    ] = Field(default_factory=dict)
    # As `bench.stats.comparison.MATERIAL`, whose module takes a second to load; a test holds them together.
    margin: Annotated[
        NotNegative,
        About(
            "A difference, as a share, that is too small to matter; 0.02.",
            "the share within which they tie",
            part="ranking",
        ),
    ] = 0.02
    workers: Annotated[
        PositiveInt | None,
        About(
            "Workers to serve with: one, or several.",
            "workers to serve with: with 1 cells of one worker count, else those of several",
            part="command",
            default="as measured",
        ),
    ] = None
    max_requests: Annotated[
        PositiveInt,
        About(
            "N in the recommended command; 10000 unless given.",
            "requests after which a worker is replaced",
            part="command",
        ),
    ] = 10_000
    max_requests_jitter: Annotated[
        NonNegativeInt,
        About(
            "The jitter in it; 1000 unless given.",
            "at most so many more, at random",
            part="command",
        ),
    ] = 1_000
    max_rss_mib: Annotated[
        PositiveInt,
        About(
            "The size of a worker in it, where memory decides; 512 unless given.",
            "MiB at which a worker is replaced, where memory decides",
            part="command",
        ),
    ] = 512

    @model_validator(mode="before")
    @classmethod
    def _without_none(cls, table: Any) -> Any:
        if not isinstance(table, Mapping):
            return table
        return {key: value for key, value in table.items() if value is not None}

    def given(self) -> dict[str, Any]:
        """The keys that were given."""
        return self.model_dump(exclude_unset=True)

    def recorded(self) -> dict[str, Any]:
        """As in ``run.json``: every key, ``None`` where it was not given."""
        return dict.fromkeys(type(self).model_fields) | self.given()

    def check_scenarios(self, known: Collection[str], where: str) -> None:
        """Raise ``UsageError`` for an unknown scenario; the message begins with ``where``."""
        for key in ("p99_ms", "weights"):
            for name in getattr(self, key):
                if name not in known:
                    raise UsageError(f'{where}: key "requirements.{key}": {unknown("scenario", name, known)}')

    def counts(self, workers: int) -> bool:
        """Whether what was seen with so many workers counts: several stand for any number of several."""
        return self.workers is None or (workers > 1) == (self.workers > 1)

    @property
    def text(self) -> str:
        """All of them in words."""
        return "; ".join(self._texts())

    def _texts(self) -> Iterator[str]:
        yield _RESTARTS[self.restart]
        yield "what it needs still gets fixes" if self.maintained else "what gets no more fixes may be used"
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
        yield f"ranked by {RANKED[self.first]}: {counts}, and less than {self.margin:.0%} is a tie"

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


def label(requirement: str) -> str:
    """What stands before the figure of a requirement, or of what is judged without being one."""
    field = Requirements.model_fields.get(requirement)
    told = None if field is None else about(field).label
    return told or requirement.replace("_", " ")


def _at_most(lost: float) -> str:
    return f"at most {lost:g} requests are lost by 1000 recycles" if lost else "no request is lost by it"


def of_options(options: Mapping[str, Any]) -> Requirements:
    """Requirements from a command line; options that were not given are ``None``.

    Raises:
        UsageError: a value is out of range or has another form; names the option.
    """
    values = {
        name: numbers(_option(name), value) if name in ("p99_ms", "weights") else value
        for name, value in options.items()
    }
    try:
        return Requirements.model_validate(values)
    except ValidationError as error:
        details = error.errors()[0]
        option = _option(str(details["loc"][0]))
        raise UsageError(f"{option}: {details['msg'][:1].lower()}{details['msg'][1:]}") from error


def numbers(option: str, text: str | None) -> dict[str, float] | None:
    """The numbers by scenario of an option such as `--weights sleep=3,index=1`; ``None`` if not given.

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


def combined(stated: Mapping[str, Mapping[str, Any]], instead: Mapping[str, Any]) -> Requirements:
    """What the plan of each run states (by the run's name); ``instead`` takes the place of that.

    ``None`` is not stated, here and there.

    Raises:
        UserError: two plans differ in a key that nothing takes the place of, or a value is impossible.
    """
    found = {key: value for key, value in instead.items() if value is not None}
    stated_by: dict[str, str] = {}
    for run, table in stated.items():
        for key, value in table.items():
            if value is None or (key in found and key not in stated_by):
                continue
            if key in stated_by and found[key] != value:
                raise UserError(
                    f"{stated_by[key]} requires {key} = {found[key]!r} and {run} {value!r}; "
                    f"decide with {_option(key)}"
                )
            found[key], stated_by[key] = value, run
    try:
        return Requirements.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        where = stated_by.get(str(first["loc"][0]), "command line")
        raise UserError(f"{where}: requirement {key}: {first['msg']}") from error


def _option(key: str) -> str:
    return f"--{key.replace('_', '-')}"
