"""Which configuration to use: requirements held against the evidence of two runs of one machine.

    studies = [study(folder) for folder in latest(root, machine_id)]
    verdict = judge(studies, requirements(stated(studies), {"restart": "none"}))

A run of performance ranks; a run of recycling shows what replacing workers costs. Each may be missing: what
is not measured is not shown, and never assumed.
"""

from analysis.verdicts.model import Candidate, Command, Judgement, Verdict
from analysis.verdicts.reported import of_run
from analysis.verdicts.requirements import Requirements, requirements
from analysis.verdicts.selection import judge, latest, stated

__all__ = [
    "Candidate",
    "Command",
    "Judgement",
    "Requirements",
    "Verdict",
    "judge",
    "latest",
    "of_run",
    "requirements",
    "stated",
]
