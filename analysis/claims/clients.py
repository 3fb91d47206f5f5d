"""A claim about what the old benchmark's clients did, answered from its replay."""

from collections.abc import Callable
from statistics import median

from analysis.claims.material import Material
from analysis.claims.model import Answer
from analysis.claims.replay import Steps
from analysis.words import counted

# Of the time: from here on requests of different clients were under way together.
_MOSTLY = 0.5


def clients_are_not_simultaneous(material: Material) -> Answer:
    """A synchronous client does not make simultaneous requests."""
    replay = material.replay
    if replay is None:
        return Answer("not measured", "There is no replay of the old benchmark: `make replay` makes one.")
    steps = [each.steps for each in replay.recorded]
    if not steps:
        return Answer("not measured", "No execution of the replay was recorded without a failed request.")
    most = max(each.most_in_a_process for each in steps)
    together = median(each.waiting.together for each in steps)
    figure = (
        f"A client had at most {counted(most, 'request')} under way at once; the {replay.processes} of the "
        f"old benchmark together had {_middle(steps, lambda of: of.called.mean)} called and "
        f"{_middle(steps, lambda of: of.waiting.mean)} sent and unanswered on average, two or more of these "
        f"for {together:.0%} of the time (medians of {counted(len(steps), 'execution')})."
    )
    if most > 1:
        return Answer("does not hold", figure, (replay.replay,))
    return Answer("holds in part" if together >= _MOSTLY else "holds", figure, (replay.replay,))


def _middle(steps: list[Steps], figure: Callable[[Steps], float]) -> str:
    return f"{median(figure(each) for each in steps):.1f}"
