"""Which configuration to use: requirements held against the evidence of two runs of one machine.

    studies = [study(folder) for folder in latest(root, machine_id)]
    verdict = judge(studies, combined(stated(studies), {"restart": "none"}))

A run of performance ranks; a run of recycling shows what replacing workers costs. Each may be missing: what
is not measured is not shown, and never assumed.
"""

from analysis.recommend.selection import judge, latest, of_run, stated
from analysis.recommend.tuning import runs_of_settings
from analysis.recommend.verdict import Candidate, Command, Judgement, Verdict

__all__ = [
    "Candidate",
    "Command",
    "Judgement",
    "Verdict",
    "judge",
    "latest",
    "of_run",
    "runs_of_settings",
    "stated",
]
