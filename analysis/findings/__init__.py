"""What may be wrong with a run: findings, each with what it spoils and what to do about it.

A kind of finding is registered in one module of this folder, with its thresholds, its check and what
`bench findings` says of it (`finding.Kind`); every module is imported, so that nothing else lists it. A
finding speaks for all cells that it was found in: it names the configurations and loads of one scenario, or
the whole run.
"""

import pkgutil
from importlib import import_module

import pandas as pd

from analysis.findings.finding import CHECKS, GROUPS, SECTIONS, Finding, Kind, Measurements, Topic
from analysis.findings.finding import KINDS as _KINDS
from analysis.reading.results import Results
from analysis.recycling import Recycling

__all__ = ["KINDS", "Finding", "Kind", "Topic", "check"]

for _module in sorted(module.name for module in pkgutil.iter_modules(__path__)):
    import_module(f"{__name__}.{_module}")

# Every kind by its name, in the order in which findings are told.
KINDS: dict[str, Kind] = dict(sorted(_KINDS.items(), key=lambda item: SECTIONS.index(item[1].section)))


def check(results: Results, summary: pd.DataFrame, recycling: Recycling | None) -> list[Finding]:
    """All findings: first what spoils the answer, then what spoils a number, then notes.

    `summary` has a row per finished cell.
    """
    measured = Measurements(results, summary, recycling)
    found = [finding for registered in CHECKS for finding in registered(measured)]
    order = {name: place for place, name in enumerate(KINDS)}
    return sorted(found, key=lambda finding: (GROUPS.index(finding.group), order[finding.kind]))
