"""What else the machine did while it was measured."""

from collections.abc import Iterator

import pandas as pd

from analysis.checks.findings import Finding, cells
from analysis.checks.limits import OTHERS, STEAL
from analysis.schema import CpuSplit


def cpu_split(split: CpuSplit) -> Iterator[Finding]:
    """Whether server and generator had CPUs of their own."""
    if not split.trusted:
        yield Finding(
            "cpu-split", "warning", "server and generator shared CPUs",
            "every number: each took CPU time from the other",
            "measure on a machine with two or more CPUs",
        )  # fmt: skip


def company(summary: pd.DataFrame) -> Iterator[Finding]:
    """CPU time that other guests of the host, or other processes of the machine, took in the windows."""
    stolen = summary["steal"][summary["steal"] > STEAL]
    if len(stolen):
        yield Finding(
            "steal", "warning",
            f"other guests of this host took up to {stolen.max():.0%} of the CPU time "
            f"({cells(len(stolen))} above {STEAL:.0%})",
            "throughput and latency, and least of all CPU per request",
            "run again at a quieter time, or on dedicated cores",
        )  # fmt: skip
    others = summary["others"][summary["others"] > OTHERS]
    if len(others):
        yield Finding(
            "others", "warning",
            f"other processes took up to {others.max():.0%} of the CPUs of server and generator "
            f"({cells(len(others))} above {OTHERS:.0%})",
            "throughput and latency, and least of all CPU per request",
            "end what else runs on this machine (top shows it), then run again",
        )  # fmt: skip
