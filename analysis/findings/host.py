"""What else the machine did while it was measured."""

from collections.abc import Iterator

from analysis.findings.finding import Finding, Kind, Measurements, finds
from analysis.words import counted, listed

# Share of the used CPUs' time that the hypervisor may give to other guests, ...
STEAL = 0.02
# ... and the machine itself to processes that are neither server nor generator.
OTHERS = 0.05

CPU_SPLIT = Kind(
    "cpu-split", "answer", "What else happened?", "shared CPUs",
    "fewer than 2 CPUs",
    "server and generator took CPU time from each other; no number is to be trusted",
    topics=("circumstances", "cost"),
)  # fmt: skip
STOLEN = Kind(
    "steal", "answer", "What else happened?", "steal",
    f"`STEAL` = {STEAL:g}",
    "the share of the used CPUs that the hypervisor gave to other guests",
    topics=("circumstances", "latency"),
)  # fmt: skip
COMPANY = Kind(
    "others", "answer", "What else happened?", "others",
    f"`OTHERS` = {OTHERS:g}",
    "the share of their CPUs that was busy with neither server, generator nor meter. A load in step with "
    "the kernel's tick, such as 1000 constant arrivals per second, may be seen always or never (kernel "
    "documentation, *admin-guide/cpu-load*)",
    topics=("circumstances",),
)  # fmt: skip
DATABASE = Kind(
    "database", "note", "What else happened?", "database",
    "`OTHERS`",
    "the same in scenarios that ask a database, which is expected to be in it",
)  # fmt: skip
UNOPTIMIZED = Kind(
    "unoptimized", "note", "What else happened?", "Python",
    "built without `--enable-optimizations`",
    "the build of the servers' Python, where it says how it was made (distributions do not). For the best "
    "performance Python's documentation advises that option (*Configure Python*)",
    topics=("circumstances", "cost"),
)  # fmt: skip


@finds(CPU_SPLIT)
def cpu_split(measured: Measurements) -> Iterator[Finding]:
    """Whether server and generator had CPUs of their own."""
    if not measured.results.run.cpu_split.trusted:
        yield CPU_SPLIT.found(
            "server and generator shared CPUs",
            spoils="every number: each took CPU time from the other",
            advice="measure on a machine with two or more CPUs",
        )


@finds(STOLEN)
def steal(measured: Measurements) -> Iterator[Finding]:
    """CPU time that the hypervisor gave to other guests within the windows."""
    stolen = measured.summary["steal"][measured.summary["steal"] > STEAL]
    if len(stolen):
        yield STOLEN.found(
            f"other guests of this host took up to {stolen.max():.0%} of the CPU time "
            f"({counted(len(stolen), 'cell')} above {STEAL:.0%})",
            spoils="throughput and latency; CPU per request least of all",
            advice="run again at a quieter time, or on dedicated cores",
        )


@finds(COMPANY, DATABASE)
def others(measured: Measurements) -> Iterator[Finding]:
    """CPU time that other processes of this machine took within the windows.

    The run's database is expected to be one of them where a scenario asks it. So is an external server, if it
    runs on this machine.
    """
    summary, run = measured.summary, measured.results.run
    above = summary["others"] > OTHERS
    asks = summary["scenario"].isin(run.database.scenarios if run.database else [])
    company, beside = summary["others"][above & ~asks], summary["others"][above & asks]
    if len(company):
        own = run.external is None
        yield COMPANY.found(
            f"other processes{'' if own else ', the server perhaps,'} took up to {company.max():.0%} of the "
            f"CPUs of {'server and generator' if own else 'the generator'} "
            f"({counted(len(company), 'cell')} above {OTHERS:.0%})",
            spoils="throughput and latency; CPU per request least of all",
            advice="end what else runs on this machine (top shows it), then run again"
            if own
            else "pin the server to other CPUs than the generator's, or load it from another machine",
        )
    if len(beside):
        yield DATABASE.found(
            f"the database, and whatever else ran, took up to {beside.max():.0%} of the CPUs of server and "
            f"generator ({counted(len(beside), 'cell')} above {OTHERS:.0%})",
            spoils="throughput and latency, which are those of an app beside its database; hardly CPU per "
            "request",
            advice="measure on three or more CPUs, where the suite's own PostgreSQL has one to itself",
        )


@finds(UNOPTIMIZED)
def unoptimized(measured: Measurements) -> Iterator[Finding]:
    """Whether the interpreters of servers are those that people deploy."""
    run = measured.results.run
    plain = {name: stack for name, stack in run.stacks.items() if stack.optimized is False}
    if any(each.stack in plain for each in run.configurations):
        versions = listed(sorted({stack.python for stack in plain.values()}))
        yield UNOPTIMIZED.found(
            f"Python {versions} was built without optimisation, as pyenv does unless told otherwise",
            spoils="what servers reach, perhaps those most whose own code is Python",
            advice="build it with PYTHON_CONFIGURE_OPTS=--enable-optimizations, like the one you deploy, "
            "then make clean, and run again",
        )
