"""The parts of the README that several runs answer together: the verdict, and the old claims."""

from collections.abc import Iterator
from pathlib import Path

from analysis.claims import Claims, Material, claims
from analysis.claims.replay import latest as latest_replay
from analysis.study import Study
from analysis.verdicts import judge, requirements, stated
from analysis.verdicts_shown import markdown, situations

BEGIN_VERDICT = "<!-- measured: verdict -->"
BEGIN_SITUATIONS = "<!-- measured: situations -->"
BEGIN_CLAIMS = "<!-- measured: claims -->"


def parts(studies: list[Study], root: Path) -> dict[str, Iterator[str]]:
    """The lines of each part by the line after which they belong; replays are looked for under `root`.

    Raises:
        AnalysisError: the runs are no evidence for a verdict together.
    """
    machine_id = studies[0].results.run.host.machine_id
    material = Material.of(studies, latest_replay(root, machine_id))
    return {
        BEGIN_VERDICT: markdown.lines(judge(studies, requirements(stated(studies), {}))),
        BEGIN_SITUATIONS: situations.lines(studies),
        BEGIN_CLAIMS: _claims(claims(material)),
    }


def _claims(answered: Claims) -> Iterator[str]:
    yield f"{answered.finding} {answered.basis}"
    yield ""
    yield "| " + " | ".join(answered.columns) + " |"
    yield "|---" * len(answered.columns) + "|"
    for row in answered.rows:
        yield "| " + " | ".join(text.replace("|", "\\|") for text in row.texts()) + " |"
