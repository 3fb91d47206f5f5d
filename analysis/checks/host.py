"""What else the machine did while it was measured."""

from collections.abc import Iterator

import pandas as pd

from analysis.checks.findings import Finding, cells
from analysis.checks.limits import OTHERS, STEAL
from analysis.schema import CpuSplit, Database


def cpu_split(split: CpuSplit) -> Iterator[Finding]:
    """Whether server and generator had CPUs of their own."""
    if not split.trusted:
        yield Finding(
            "cpu-split", "warning", "server and generator shared CPUs",
            "every number: each took CPU time from the other",
            "measure on a machine with two or more CPUs",
        )  # fmt: skip


def company(summary: pd.DataFrame, database: Database | None, external: str | None) -> Iterator[Finding]:
    """CPU time that other guests of the host, or other processes of the machine, took in the windows.

    `database` is that of the run: where it was asked, it is expected to be one of these processes. So is a
    server at the URL `external`, if it runs on this machine.
    """
    stolen = summary["steal"][summary["steal"] > STEAL]
    if len(stolen):
        yield Finding(
            "steal", "warning",
            f"other guests of this host took up to {stolen.max():.0%} of the CPU time "
            f"({cells(len(stolen))} above {STEAL:.0%})",
            "throughput and latency, and least of all CPU per request",
            "run again at a quieter time, or on dedicated cores",
        )  # fmt: skip
    asked = summary["scenario"].isin(database.scenarios if database else [])
    others = summary["others"][(summary["others"] > OTHERS) & ~asked]
    if len(others):
        whose = "server and generator" if external is None else "the generator"
        yield Finding(
            "others", "warning",
            f"other processes{'' if external is None else ', the server perhaps,'} took up to "
            f"{others.max():.0%} of the CPUs of {whose} ({cells(len(others))} above {OTHERS:.0%})",
            "throughput and latency, and least of all CPU per request",
            "end what else runs on this machine (top shows it), then run again"
            if external is None else
            "pin the server to other CPUs than the generator's, or load it from another machine",
        )  # fmt: skip
    beside = summary["others"][(summary["others"] > OTHERS) & asked]
    if len(beside):
        yield Finding(
            "database", "note",
            f"the database, and whatever else ran, took up to {beside.max():.0%} of the CPUs of server and "
            f"generator ({cells(len(beside))} above {OTHERS:.0%})",
            "throughput and latency, which are those of an app beside its database; CPU per request hardly",
            "measure on three or more CPUs, where the suite's own PostgreSQL has one to itself",
        )  # fmt: skip
