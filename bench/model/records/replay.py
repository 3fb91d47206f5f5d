"""The files of a replay: what the clients report, and ``replay.json``."""

from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.model.errors import UsageError, UserError, unknown
from bench.model.files import read_text, shortened, write_text
from bench.model.records.hosts import Host

SCHEMA: Final = 1
FILE = "replay.json"

Split = Literal["unpinned", "pinned"]
Client = Literal["process", "request"]


class _Record(BaseModel):
    """Unknown keys are errors, and so is a number that is none."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SentRequest(NamedTuple):
    """One recorded request: moments in seconds since the pool was about to be made.

    From the call of httpx (``start_s``) the headers are sent (``sent_s``), those of the answer are there
    (``answered_s``), the call returns (``end_s``). ``connections`` opened for it took ``connect_s`` seconds,
    the last one of them; ``None`` where the request found one open.
    """

    start_s: float
    sent_s: float
    answered_s: float
    end_s: float
    connections: int
    connect_s: float | None


class Task(_Record):
    """What one process did. Moments as in ``SentRequest``: its work began, its client was made, it ended.

    ``cpu_s`` is the CPU time of its requests, ``failures`` counts them by kind, ``asked`` has those that
    succeeded, ``None`` where they were not recorded.
    """

    pid: int
    began_s: float
    ready_s: float
    ended_s: float
    cpu_s: float
    failures: dict[str, int]
    asked: list[SentRequest] | None


class Report(_Record):
    """What one execution of the old benchmark reports (``clients.json``).

    ``done_s`` is when the pool had done everything, ``cpu_s`` the CPU time of all its processes from their
    start to their end.
    """

    python: str
    httpx: str
    processes: int
    requests: int
    client: Client
    recorded: bool
    done_s: float
    cpu_s: float
    tasks: list[Task]


class Means(_Record):
    """What "the mean" of a request may have been, in milliseconds.

    ``loop``: the time a process took for its requests, over their number, averaged over the processes.
    ``task``: the same, and the making of its client. ``pool``: the time from making the pool until all was
    done, over the requests of one process. ``all``: the same time over the requests of all processes.
    """

    loop: float
    task: float
    pool: float
    all: float


class Occupancy(_Record):
    """How many requests were on their way at once while any process was sending.

    ``mean`` is their number on average (Little's law: all their times added up over the time),
    ``peak`` the highest number, ``together`` the share of the time with two or more.
    """

    mean: float
    peak: int
    together: float


class Steps(_Record):
    """What recorded requests consisted of; means in milliseconds.

    ``first_ms`` is the first request of each process, ``later_ms`` all others (``None`` where there are
    none), ``connect_ms`` the opening of a connection where one was opened. ``before_ms`` is from the call
    until the request was sent, ``waiting_ms`` from there until the headers of the answer were read,
    ``after_ms`` the rest. ``called`` counts requests from call to return, ``waiting`` those that were sent
    and not yet answered; ``most_in_a_process`` is the highest number of calls at once in any one process.
    """

    connections: int
    first_ms: float
    later_ms: float | None
    connect_ms: float | None
    before_ms: float
    waiting_ms: float
    after_ms: float
    called: Occupancy
    waiting: Occupancy
    most_in_a_process: int


class Figures(_Record):
    """The figures of an execution in which no request failed.

    ``first_request_s`` and ``last_process_s`` are when the first and the last process began to send, after
    the pool was about to be made; ``sending_s`` is from the first until all had ended. CPU times are per
    request (µs); the clients' is that of their requests alone, without start-up. ``clients_busy`` and
    ``server_busy`` are CPU seconds per second of sending. ``processes`` took part.
    """

    means: Means
    requests: int
    processes: int
    first_request_s: float
    last_process_s: float
    sending_s: float
    client_cpu_us: float
    server_cpu_us: float
    clients_busy: float
    server_busy: float
    steps: Steps | None


class Execution(_Record):
    """One execution of the old benchmark; ``figures`` is ``None`` if a request failed.

    ``started`` is Unix time, ``folder`` holds the clients' own report, relative to ``replay.json``;
    ``others_busy`` is the share of all these CPUs that was taken by what is neither server nor clients.
    """

    configuration: str
    repeat: int
    split: Split
    client: Client
    recorded: bool
    started: float
    folder: str
    server_cpus: list[int]
    client_cpus: list[int]
    others_busy: float
    failures: dict[str, int]
    figures: Figures | None


class Beside(_Record):
    """What the suite measured of a configuration in the same repeat, pinned, with as many users.

    ``cpu_us`` is the server's CPU time per request, ``latency_us`` from asking to the last byte; shares are
    of one CPU.
    """

    configuration: str
    repeat: int
    requests_per_s: float
    latency_us: dict[str, float]
    cpu_us: float
    server_busy: float
    generator_busy: float | None


class Failed(_Record):
    """A block that could not be measured: ``block`` is a split or ``suite``."""

    configuration: str
    repeat: int
    block: str
    reason: str


class Replay(_Record):
    """``replay.json``: the whole replay. Facts about the machine are as in ``run.json``."""

    schema_: Literal[1] = Field(default=SCHEMA, alias="schema")
    replay: str
    status: Literal["running", "finished", "interrupted"]
    started: float
    ended: float | None
    repeats: int
    processes: int
    requests: int
    seconds: int
    seed: int
    configurations: list[str]
    host: Host
    cpu_split: dict[str, Any]
    cpus: list[int]
    stacks: dict[str, dict[str, Any]]
    suite: dict[str, Any]
    git: dict[str, Any] | None
    unavailable: list[dict[str, str]]
    executions: list[Execution] = []
    beside: list[Beside] = []
    failed: list[Failed] = []

    @property
    def recorded(self) -> list[tuple[Execution, Steps]]:
        """The recorded executions with a client for each process, as the old benchmark had them."""
        return [
            (execution, execution.figures.steps)
            for execution in self.executions
            if execution.client == "process" and execution.figures and execution.figures.steps
        ]

    def write(self, folder: Path) -> None:
        write_text(folder / FILE, self.model_dump_json(indent=1, by_alias=True) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the ``replay.json`` of a folder.

        Raises:
            UserError: it cannot be read, or another version of the suite wrote it.
        """
        try:
            return cls.model_validate_json(read_text(folder / FILE, folder))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise UserError(
                f"{folder / FILE} is not as this suite writes it ({where}: {shortened(first['msg'])}); "
                "measure again: make replay"
            ) from error


def find(results: Path, name: str) -> Path:
    """The folder of a replay by its name or path; the latest one where ``name`` is "latest".

    Raises:
        UsageError: there is no such replay.
    """
    known = sorted(path.parent for path in results.glob(f"*/{FILE}"))
    if name == "latest":
        if not known:
            raise UsageError(f"no replays in {results} yet; `make replay` makes one")
        return known[-1]
    for path in (Path(name), results / name):
        if (path / FILE).exists():
            return path
    raise UsageError(unknown("replay", name, [path.name for path in known]))


def latest(results: Path, machine_id: str) -> Replay | None:
    """The latest finished replay of a machine; ``None`` without one."""
    found: list[Replay] = []
    for path in results.glob(f"*/{FILE}"):
        try:
            found.append(Replay.read(path.parent))
        except UserError:  # of another version of the suite, or not whole
            continue
    mine = [
        replay for replay in found if replay.status == "finished" and replay.host.machine_id == machine_id
    ]
    return max(mine, key=lambda replay: replay.started, default=None)
