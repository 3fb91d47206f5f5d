"""A run with everything computed from it, once: what notebooks, charts and the report start from."""

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pandas as pd

from analysis import checks, results, verdict
from analysis.aggregate import closed_loads, open_loads
from analysis.aliases import Alike, alike
from analysis.capacity import capacity, searches
from analysis.recycling import Recycling, analyse
from analysis.recycling.findings import findings as recycling_findings
from analysis.summary import summarise
from analysis.thresholds import Violation, violations

RUN_VARIABLE = "WHICHWORKER_RUN"


@dataclass(frozen=True)
class Study:
    """`summary` has a row per finished cell, steps of searches included.

    `loads` has a row per configuration and closed load over all repeats, `rates` one per configuration and
    planned open load, `searches` one per search and repeat, `capacity` one per configuration and search;
    `violations` are the cells that do not keep the plan's thresholds, `alike` compares aliases with what they
    stand for. `recycling` is None where the run has no cells of recycling.
    """

    results: results.Results
    summary: pd.DataFrame
    loads: pd.DataFrame
    rates: pd.DataFrame
    searches: pd.DataFrame
    capacity: pd.DataFrame
    violations: list[Violation]
    findings: list[checks.Finding]
    alike: Alike
    recycling: Recycling | None
    verdict: verdict.Verdict

    def about(self, *kinds: str) -> list[checks.Finding]:
        """The findings of some kinds."""
        return [finding for finding in self.findings if finding.kind in kinds]


def study(directory: Path) -> Study:
    """Load and analyse a run.

    Raises:
        AnalysisError: see `results.load`.
    """
    loaded = results.load(directory)
    summary = summarise(loaded)
    loads, rates = closed_loads(loaded, summary), open_loads(loaded, summary)
    found = searches(summary)
    highest = capacity(found)
    recycling = analyse(loaded)
    findings = _findings(loaded, summary, recycling)
    return Study(
        results=loaded,
        summary=summary,
        loads=loads,
        rates=rates,
        searches=found,
        capacity=highest,
        violations=violations(loaded, summary),
        findings=findings,
        alike=alike(loaded, summary),
        recycling=recycling,
        verdict=verdict.judge(loaded, summary, loads, rates, found, highest, findings, recycling),
    )


def _findings(
    loaded: results.Results, summary: pd.DataFrame, recycling: Recycling | None
) -> list[checks.Finding]:
    """Of every run, and of recycling; warnings first."""
    found = checks.check(loaded, summary)
    if recycling is not None:
        found += recycling_findings(loaded, recycling)
    return sorted(found, key=lambda finding: finding.severity != "warning")


def open_study() -> Study:
    """The study of the run named by `WHICHWORKER_RUN`, or of the latest one; computed once per process."""
    named = os.environ.get(RUN_VARIABLE)
    directory = Path(named) if named else results.latest()
    return _study_as_of(directory, (directory / "run.json").stat().st_mtime if named is None else 0.0)


@lru_cache(maxsize=1)
def _study_as_of(directory: Path, _modified: float) -> Study:
    return study(directory)
