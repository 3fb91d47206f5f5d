"""The machines of a run in `run.json`: those of servers and generators, their network and their clocks."""

from pydantic import Field

from bench.model.records.schema import Cpus, Record


class Host(Record):
    """The machine of a run."""

    hostname: str
    machine_id: str
    """A hash."""
    system: str
    """`Linux 6.1`"""
    cpu: str
    cpus: int = Field(gt=0)
    memory_bytes: int | None
    container: bool


class CpuSplit(Record):
    """The CPUs that served, that loaded, and that did neither."""

    server: Cpus
    generator: Cpus
    spare: Cpus = Field(default_factory=list)
    trusted: bool
    """false where server and generator had to share."""
    note: str | None = None
    """What spoils the numbers."""


class Clock(Record):
    """The clock of another machine beside this one's, by round trips of messages."""

    ahead_ms: float
    """How far it was ahead at last; times in a cell's files are by this machine's."""
    uncertain_ms: float
    """Half of the quickest round trip."""
    moved_ms: float
    """Between the lowest and the highest that was seen."""
    round_trip_us: float
    """Of a message to a program there, usually."""


class RoundTrips(Record):
    """How long messages to another machine and back took, in ms."""

    least: float
    usual: float
    most: float


class ReadClock(Record):
    """The clock of another machine beside this one's, by the round trip with the smallest time."""

    offset_ms: float
    """How far ahead its Unix time was."""
    round_trip_ms: RoundTrips
    """`least`, `usual` (the median), `most`; half of the least is the most that the offset is wrong by."""


class AroundLoad(Record):
    """The clock of another machine before a load and after it; null where it did not answer."""

    window: dict[str, float]
    before: ReadClock | None
    after: ReadClock | None


class Connecting(Record):
    """How long it takes to open a connection, a round trip of the network, in microseconds."""

    min: float
    median: float
    max: float


class Raw(Record):
    """What one connection carried between two machines, without HTTP, measured once before the load."""

    from_bytes_per_s: float = Field(gt=0)
    """From the servers' machine."""
    to_bytes_per_s: float = Field(gt=0)
    """To it."""


class Wire(Record):
    """The network between the machine of the generator and that of the servers."""

    host: str
    """The other machine, as ssh was told it."""
    address: str
    """Where servers listened."""
    mtu: int | None
    """The largest packet in bytes."""
    connect_us: Connecting
    """`min`, `median` and `max` of 30 connections, before the run."""
    raw: Raw | None = None
    """What one connection carried before the run; of several generators' all at once."""
    clock: Clock | None = None
    """That of the servers' machine."""
    clocks: list[AroundLoad] = Field(default_factory=list)
    """The same before and after each load."""


class Network(Record):
    """The network that servers and generator meet in."""

    namespace: bool
    """One of the run's own."""
    steered_to: list[int] | None
    """CPUs; null where nothing is steered."""
    note: str | None = None
    """Why not, and what would allow it."""
    sysctls: dict[str, int] = Field(default_factory=dict)
    """`net.core.somaxconn` and `net.ipv4.tcp_migrate_req`."""
    wire: Wire | None = None
    """Where servers are on another machine, whose sysctls these are then: `host`, `address`, `mtu`,
    `connect_us` (to open a connection: `min`, `median`, `max` of 30), `raw` (what one carries:
    `from_bytes_per_s`, `to_bytes_per_s`), its `clock` (`ahead_ms`, `uncertain_ms`, `moved_ms`,
    `round_trip_us`), and that around loads (`clocks`, as of `generators`)."""


class ClockReading(AroundLoad):
    """That of a generator."""

    generator: str


class GeneratorMachine(Record):
    """A generator on another machine."""

    name: str
    hostname: str
    system: str
    python: str
    cpus: list[int]
    processes: list[int]
    lost: bool
    wire: Wire | None = None
    """Its way to the servers, or to proxies before them, where the suite has started it."""


class Generators(Record):
    """The generators of a run on other machines."""

    machines: list[GeneratorMachine]
    """`name`, `hostname`, `system`, `python`, `cpus`, `processes` (numbers of generator.csv), `lost`, and
    `wire` (as of `network`) to the servers, or to proxies before them, if the suite has started it."""
    clocks: list[ClockReading]
    """Of a `generator`, `before` and `after` each `window`: `offset_ms` (ahead) and `round_trip_ms` (`least`,
    `usual`, `most`)."""
