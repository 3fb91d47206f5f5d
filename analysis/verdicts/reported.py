"""The verdict that a run's report opens with."""

from collections.abc import Callable

from analysis.errors import AnalysisError
from analysis.study import Study, study
from analysis.verdicts.model import Verdict
from analysis.verdicts.requirements import requirements
from analysis.verdicts.selection import asks, counterpart, judge, stated


def of_run(analysed: Study, say: Callable[[str], None]) -> Verdict | None:
    """The verdict in the report of a run, and of the other kind of run beside it, where there is one.

    What the run's own plan requires goes before what the other's does. None where the run does not
    ask which configuration to use. `say` is told what is being read.

    Raises:
        AnalysisError: its plan requires what is impossible.
    """
    run = analysed.results.run
    if not asks(run):
        return None
    folder = counterpart(analysed.results.directory, run)
    others: list[Study] = []
    unread: tuple[str, ...] = ()
    if folder is not None:
        say(f"reading {folder.name} for the verdict")
        try:
            others.append(study(folder))
        except AnalysisError as error:
            # The run that was asked for can be reported without it.
            unread = (f"{folder.name} was not read: {error}",)
    asked = requirements(stated(others), stated([analysed])[run.run])
    verdict = judge([analysed, *others], asked)
    return verdict.model_copy(update={"not_covered": (*unread, *verdict.not_covered)})
