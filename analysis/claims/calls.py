"""A claim about a command line, answered from the commands that servers were started with."""

import re
import shlex
from pathlib import PurePath

from analysis.claims.material import Material
from analysis.claims.model import Answer
from analysis.study import Study
from analysis.words import counted, listed

_APP = re.compile(r"[\w.]+:[\w.]+")


def sanic_app_is_no_call(material: Material) -> Answer:
    """`sanic app:app` is not a valid call."""
    for study in material.studies:
        found = _served(study)
        if found is not None:
            return found
    runs = tuple(study.results.run.run for study in material.studies)
    return Answer("not measured", "No server was started like that in these runs.", runs)


def _served(study: Study) -> Answer | None:
    """The cells of a run that were served by `sanic MODULE:NAME`; None without any."""
    cells = study.results.finished
    calls = cells["command"].dropna().map(_call).dropna()
    if calls.empty:
        return None
    seconds = study.results.seconds
    mine = seconds[seconds["cell"].isin(calls.index) & seconds["in_window"]]
    names = list(dict.fromkeys(str(name) for name in cells.loc[calls.index, "configuration"]))
    stacks = {each.stack for each in study.results.run.configurations if each.name in names and each.stack}
    versions = sorted(study.results.run.stacks[stack].packages["sanic"] for stack in stacks)
    figure = (
        f"`{calls.iloc[0]} …` answered {mine['requests'].sum():,} requests in "
        f"{counted(len(calls), 'cell')} of {listed(names)}, with Sanic {listed(versions)}. "
        "Older versions were not tried."
    )
    return Answer("does not hold", figure, (study.results.run.run,))


def _call(command: str) -> str | None:
    """The first words of a command that names the app like that."""
    program, *words = shlex.split(command)
    if PurePath(program).name == "sanic" and words and _APP.fullmatch(words[0]):
        return f"sanic {words[0]}"
    return None
