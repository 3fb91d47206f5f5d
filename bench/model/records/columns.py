"""The CSV files of a cell: what a row is, and the columns with their types, units and meaning.

Who writes them may know nothing of this module (the generator, serve); tests hold their headers against it.
"""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

# "id": text of the form PROCESS-SERIAL; an integer is never missing, a number or a text may be.
Kind = Literal["int64", "float64", "category", "id"]


TIMES = ("second", "time", "due", "sent", "ended", "planned_start", "planned_end", "start", "end")
"""The columns that are Unix seconds, in whatever file."""
NEVER_MISSING = (*TIMES, "bucket_us")
"""The numbers with a fraction that every row has."""
# Differences of clocks, and the number of a signal.
_SIGNED = frozenset(
    {"cpu_s", "idle_cpu_s", "generator_s", "spin_s", "steal_s", "busy_s", "loop_lag_ms", "exit_status"}
)


class Column(NamedTuple):
    """A column; its unit is the end of its name, else a count, else Unix seconds."""

    name: str
    kind: Kind
    meaning: str = ""
    older: int | None = None
    """The value of every row of runs from before the column; ``None``: all have it."""
    since_later: bool = False
    """Older runs have none, and no analysis of cells reads it."""

    @property
    def least(self) -> float:
        """The least number that can be in it."""
        return -math.inf if self.name in _SIGNED else 0.0


@dataclass(frozen=True)
class CsvFile:
    """A file ``NAME.csv`` of every cell.

    Those ``of_server`` are lacking where the server is external, those ``of_recycling`` are there in cells of
    recycling only, those ``of_rotation`` in cells of a rotation, those ``apart`` where the servers are on
    another machine.
    """

    meaning: str
    columns: tuple[Column, ...]
    of_server: bool = False
    of_recycling: bool = False
    of_rotation: bool = False
    apart: bool = False

    @property
    def of_some(self) -> bool:
        """Whether only some cells of a run, or of some runs, have it."""
        return self.of_recycling or self.of_rotation or self.apart

    @property
    def types(self) -> dict[str, Kind]:
        """The kind of each column that is read, in their order."""
        return {column.name: column.kind for column in self.columns if not column.since_later}

    @property
    def older(self) -> dict[str, int]:
        """The values of columns that files of older runs lack."""
        return {column.name: column.older for column in self.columns if column.older is not None}

    @property
    def least(self) -> dict[str, float]:
        """The least number that can be in each column."""
        return {column.name: column.least for column in self.columns}


CONNECTIONS_FILE = "connections.csv"
LOST = ("refused", "reset", "timed_out")
"""The columns of `CONNECTIONS` that are requests without an answer."""
CONNECTIONS = CsvFile(
    "A load of connections that was put on a server; in the run's own folder.",
    (
        Column("configuration", "category"),
        Column("load", "category", "`pause`, `burst` or `overload`"),
        Column("workers", "int64"),
        Column("repeat", "int64", "the start of the servers"),
        Column("turn", "int64", "of several bursts in it"),
        Column("connections", "int64", "at once"),
        Column("answered", "int64", "with 2xx"),
        Column("answers_503", "int64", "answered with 503"),
        Column(
            "closed_in_time",
            "int64",
            "the client saw it closed after its pause, and sent nothing",
        ),
        Column("refused", "int64", "no connection"),
        Column("reset", "int64", "closed or reset before the answer was whole"),
        Column("timed_out", "int64", "no answer within 5 s of the last one to anybody"),
        Column("p99_us", "float64", "of what was answered or timed out, connecting included"),
        Column("slowest_us", "float64", "of what was answered or timed out, connecting included"),
    ),
)
"""The one CSV file that a run has as a whole."""

INTERVALS_FILE = "intervals.csv"
INTERVALS = CsvFile(
    "An interval of the load on one server. Older ones are longer (`[soak]`). Gaps in the load have none.",
    (
        Column("start", "int64", "a multiple of `span_s`"),
        Column("span_s", "int64", "its length"),
        Column("leg", "int64", "the start of the server: 1, 2, … (`legs` of lane.json)"),
        Column("loaded_s", "int64", "seconds of load in it"),
        Column("requests", "int64", "successes, those of warm-ups included"),
        Column("failures", "int64", "requests that were lost or rejected, likewise"),
        Column("replaced", "int64", "workers that ended"),
        Column("samples", "int64", "of the server's processes; where there are none what follows is empty"),
        Column("memory_bytes", "float64", "of all its processes together, the mean: PSS, RSS without it"),
        Column("memory_most_bytes", "float64", "the most in a sample"),
        Column("heaviest_bytes", "float64", "of the largest process, the mean"),
        Column("descriptors", "float64", "open files of the process with most, the mean"),
        Column("descriptors_most", "float64", "the most in a sample"),
        Column("threads", "float64", "of all processes together, the mean"),
        Column("threads_most", "float64", "the most in a sample"),
        Column(
            "latency",
            "category",
            "successes by their latency from the schedule, `bucket_us:count` with spaces between; a bucket "
            "is at most 1.6 % wide",
        ),
    ),
)
"""The one CSV file of a server in a soak."""

_METHOD = Column("method", "category")
_NAME = Column("name", "category")
_CPU_TIMES = (
    Column("time", "float64"),
    Column("cpu", "int64"),
    Column("user_s", "float64", "`nice` included"),
    Column("system_s", "float64"),
    Column("idle_s", "float64"),
    Column("iowait_s", "float64"),
    Column("irq_s", "float64"),
    Column("softirq_s", "float64"),
    Column("steal_s", "float64"),
)

FILES = {
    "latency": CsvFile(
        "Successful requests, counted by latency and second; in a rotation those begun in windows, all under "
        "the first second of `window`.",
        (
            Column("second", "int64", "of their completion, warm-up included"),
            _METHOD,
            _NAME,
            Column(
                "kind",
                "category",
                "`service`: from asking to the last byte. In open loops also `from_schedule`: with the wait "
                "for a free user, of the first request of a task; and `lateness`, one per arrival, failed or "
                "not, under the name of its first request: from when it was due and a user free to its "
                "sending or the task's first pause",
            ),
            Column(
                "bucket_us",
                "float64",
                "lower edge of a bucket at most 0.1 % wide (0.001 µs below 2.048 µs)",
            ),
            Column("count", "int64"),
        ),
    ),
    "failures": CsvFile(
        "A failed request. Beyond 1000 in a second the rest of that second is one row per kind.",
        (
            Column("time", "float64"),
            _METHOD,
            _NAME,
            Column(
                "kind",
                "category",
                "`closed_unanswered` (closed or reset after sending, no byte back), `reset_mid_response`, "
                "`refused`, `connect_failed`, `timeout`, `connect_timeout`, `http_4xx`, `http_5xx`, "
                "`check` (the scenario rejected the answer), `protocol` (not HTTP, or a body unlike its "
                "`Content-Encoding`, if the scenario reads it), `exception` (of a plain Locust user)",
            ),
            Column("latency_us", "float64"),
            Column("connection_age_s", "float64"),
            Column("connection_requests", "float64", "requests that the connection had served"),
            Column("bytes_received", "float64"),
            Column("count", "int64", "failures in this row: 1 but for the rest of a second"),
            Column("id", "category", "as in trace.csv; empty without a trace or of several"),
            Column("detail", "category"),
        ),
    ),
    "generator": CsvFile(
        "A Locust process and second; what is cumulative counts from the cell's beginning.",
        (
            Column("time", "float64"),
            Column("process", "int64"),
            Column("pid", "int64"),
            Column("users", "float64"),
            Column("cpu_s", "float64", "cumulative"),
            Column("spin_s", "float64", "CPU seconds that polled in vain; empty without swarm users"),
            Column("requests", "float64", "cumulative"),
            Column("failures", "float64", "cumulative"),
            Column(
                "loop_lag_ms",
                "float64",
                "the longest time between two looks at the sockets; in closed loops also the lateness of "
                "Locust's other greenlets",
            ),
            Column(
                "loop_wait_us",
                "float64",
                "mean time until an answer is read that arrives at random: Σ b² / T, of the times b between "
                "looks in T; empty without swarm users",
            ),
            Column(
                "arrivals",
                "float64",
                "due by the schedule, cumulative; empty in closed loops and of a master, as the next two",
            ),
            Column("completions", "float64", "arrivals whose task has ended"),
            Column("waiting", "float64", "arrivals that wait for a free user now"),
            Column("connections_open", "float64"),
            Column("connections_opened", "float64", "cumulative"),
            Column(
                "idle_closes",
                "float64",
                "FINs of the server before a request was sent, cumulative: no loss",
            ),
            Column("rss_bytes", "float64"),
        ),
    ),
    "processes": CsvFile(
        "A process of the server and a sample, whose rows have one time.",
        (
            Column("time", "float64"),
            Column("pid", "int64"),
            Column(
                "role",
                "category",
                "`manager`, `worker` (also the only process of a server), `helper` (started by a worker) or "
                "`meter` (serve, no part of the server)",
            ),
            Column("cpu_s", "float64", "user and system time, cumulative"),
            Column("rss_bytes", "float64", "empty in samples of CPU alone"),
            Column("pss_bytes", "float64", "empty in samples of CPU alone"),
            Column("descriptors", "float64", "open files; empty in samples of CPU alone", since_later=True),
            Column("threads", "float64", "that it has; empty in samples of CPU alone", since_later=True),
        ),
        of_server=True,
    ),
    "workers": CsvFile(
        "An event of a process of the server, in no order: a death is noted at the next sample, a birth "
        "rounded down to 0.01 s.",
        (
            Column("time", "float64"),
            Column("event", "category", "`born`, `ready` or `died`"),
            Column("pid", "int64"),
            Column(
                "role",
                "category",
                "as in processes.csv; once the server is ready, what manager or serve starts is a `worker`",
            ),
            Column(
                "exit_status",
                "float64",
                "of a death, negative for a signal; where a manager reaps, only if the kernel tells (Linux "
                "6.15) or a sample comes before",
            ),
        ),
        of_server=True,
    ),
    "host": CsvFile(
        "A CPU and second: cumulative times from `/proc/stat`.",
        _CPU_TIMES,
    ),
    "server_host": CsvFile(
        "The same of the machine of the servers, by the generator's clock.",
        _CPU_TIMES,
        apart=True,
    ),
    "trace": CsvFile(
        "A request of a swarm user, by its end, warm-up included. Never written where speed is measured.",
        (
            Column("id", "id", "`PROCESS-SERIAL`, unique in the cell: the `x-request-id` that was sent"),
            _METHOD,
            _NAME,
            Column(
                "due", "float64", "when its arrival was due; as `sent` later in a task and in closed loops"
            ),
            Column("sent", "float64", "when the task made it"),
            Column("ended", "float64", "when the response was whole or the request was lost"),
            Column("connection", "float64", "serial number in process and cell; empty where none stood"),
            Column("kind", "category", "as in failures.csv; empty for a success"),
        ),
        of_recycling=True,
    ),
    "requests": CsvFile(
        "What the app logged of a request with an `x-request-id` (serve's `--log-requests`).",
        (
            Column("time", "float64"),
            Column("pid", "int64"),
            Column("id", "id", "as in trace.csv"),
            Column(
                "event",
                "category",
                "`started`: before the handler; `finished`: before the response, or a stream's first part, "
                "is sent",
            ),
        ),
        of_recycling=True,
    ),
    "slices": CsvFile(
        "A slice of the cell's configuration in its sitting. Counts are of its window, at its real edges: "
        "the sum of several Locust processes; times are their mean.",
        (
            Column("round", "int64"),
            Column("place", "int64", "in its round"),
            Column("manner", "category", "how the generator waited: `polls` or `sleeps`"),
            Column("planned_start", "float64", "of the window, by the timetable"),
            Column("planned_end", "float64", "of the window, by the timetable"),
            Column("start", "float64", "of the window, as it was"),
            Column("end", "float64", "of the window, as it was"),
            Column("requests", "int64", "successes that ended in the window"),
            Column("failures", "int64"),
            Column("opened", "int64", "connections opened from the slice's warm-up to its end"),
            Column("cpu_s", "float64", "of the server's processes; empty where one could not be read"),
            Column("idle_cpu_s", "float64", "of the processes of all other candidates together"),
            Column("generator_s", "float64", "CPU seconds that the generator worked, without `spin_s`"),
            Column("spin_s", "float64"),
            Column(
                "steal_s",
                "float64",
                "that the hypervisor took from the CPUs of server and generator, in ticks of 10 ms",
            ),
            Column("busy_s", "float64", "that these CPUs were neither idle nor stolen, in ticks of 10 ms"),
            Column(
                "in_flight",
                "int64",
                "requests of all candidates when the slice began: above 0 this one is spoiled",
            ),
            Column(
                "absent",
                "int64",
                "users whose process of the generator was too late for the slice: above 0 it does not "
                "count; older runs have no such rows",
                older=0,
            ),
        ),
        of_rotation=True,
    ),
}
"""The files by name, without ``.csv``."""
