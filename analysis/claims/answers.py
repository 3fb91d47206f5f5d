"""Every claim, with what answers it; `speed` and `of_settings` answer those about speed and settings."""

import re
import shlex
from collections.abc import Callable
from pathlib import PurePath
from statistics import median

import pandas as pd

from analysis.claims.material import Material
from analysis.claims.model import SANIC_WORKER, UVICORN_WORKER, Claim, ClaimAnswer, Claims, decided
from analysis.claims.of_settings import of_settings
from analysis.claims.speed import sanic_is_the_fastest, sanic_worker_is_faster, uvicorn_worker_is_much_better
from analysis.recycling import Recycling
from analysis.study import Study
from analysis.words import counted, listed, span
from bench.model.records.replay import Steps

UVICORN, SANIC = "uvicorn", "sanic"
NO_RECYCLING = ClaimAnswer("not measured", "There is no run of recycling: `make recycle` measures it.")


def servers_restart_nothing(material: Material) -> ClaimAnswer:
    """Neither the Sanic nor the Uvicorn server can restart workers."""
    if material.recycling is None or material.recycling.recycling is None:
        return NO_RECYCLING
    recycling = material.recycling.recycling
    uvicorn, sanic = _recycled(recycling, UVICORN), _recycled(recycling, SANIC)
    alone = _of(recycling, SANIC, "control")
    if uvicorn.empty or alone.empty:
        return ClaimAnswer("not measured", f"{material.unavailable(UVICORN if uvicorn.empty else SANIC)}.")
    several = uvicorn[(uvicorn["workers"] > 1) & (uvicorn["verdict"] == "recycles")]
    texts = [f"Uvicorn with several workers: {_lives(recycling, several)}"]
    if (uvicorn["workers"] == 1).any():
        texts.append("with one worker it ends, and something else must start it again")
    served = recycling.lives[recycling.lives["cell"].isin(alone.index)]["served"].max()
    texts.append(
        f"Sanic by itself replaced {alone['replaced'].sum():,} in {counted(len(alone), 'cell')}, in which a "
        f"worker served up to {served:,} requests"
    )
    killed = material.known(SANIC)
    if killed is not None and killed.killed.cells:
        texts.append(f"after kill -9 of one of its workers: {killed.killed.text}")
    if len(sanic):
        texts.append(f"with `recycle_after` in the app: {_lives(recycling, sanic)}")
    cannot = [several.empty, int(alone["replaced"].sum()) == 0]
    return ClaimAnswer(decided(cannot), f"{'; '.join(texts)}.", (material.recycling.results.run.run,))


def gunicorn_restarts(material: Material) -> ClaimAnswer:
    """Both Gunicorn workers restart with --max-requests."""
    if material.recycling is None or material.recycling.recycling is None:
        return NO_RECYCLING
    recycling = material.recycling.recycling
    texts, restart = [], []
    for name in (UVICORN_WORKER, SANIC_WORKER):
        cells = _recycled(recycling, name)
        if cells.empty:
            return ClaimAnswer("not measured", f"{material.unavailable(name)}.")
        works = cells[cells["verdict"] == "recycles"]
        restart.append(len(works) == len(cells))
        where = "" if restart[-1] else f", in {len(works)} of {counted(len(cells), 'cell')}"
        texts.append(f"{name}: {_lives(recycling, works)}{where}")
    return ClaimAnswer(decided(restart), f"{'; '.join(texts)}.", (material.recycling.results.run.run,))


def _of(recycling: Recycling, configuration: str, treatment: str) -> pd.DataFrame:
    cells = recycling.cells
    return cells[(cells["configuration"] == configuration) & (cells["treatment"] == treatment)]


def _recycled(recycling: Recycling, configuration: str) -> pd.DataFrame:
    return _of(recycling, configuration, "recycled")


def _lives(recycling: Recycling, cells: pd.DataFrame) -> str:
    """How many workers were replaced in some cells, and after how many requests."""
    replaced = f"{int(cells['replaced'].sum()):,} workers replaced"
    lives = recycling.lives
    served = lives[lives["whole"] & lives["cell"].isin(cells.index)]["served"]
    if served.empty:
        return replaced
    return f"{replaced}, after {served.median():,.0f} requests (median; {span(served.min(), served.max())})"


# Of the time: from here on requests of different clients were under way together.
_MOSTLY = 0.5


def clients_are_not_simultaneous(material: Material) -> ClaimAnswer:
    """A synchronous client does not make simultaneous requests."""
    replay = material.replay
    if replay is None:
        return ClaimAnswer(
            "not measured", "There is no replay of the old benchmark: `make replay` makes one."
        )
    steps = [steps for _, steps in replay.recorded]
    if not steps:
        return ClaimAnswer(
            "not measured", "No execution of the replay was recorded without a failed request."
        )
    most = max(each.most_in_a_process for each in steps)
    together = median(each.waiting.together for each in steps)
    figure = (
        f"A client had at most {counted(most, 'request')} under way at once; the {replay.processes} of the "
        f"old benchmark together had {_middle(steps, lambda of: of.called.mean)} called and "
        f"{_middle(steps, lambda of: of.waiting.mean)} sent and unanswered on average, two or more of these "
        f"for {together:.0%} of the time (medians of {counted(len(steps), 'execution')})."
    )
    if most > 1:
        return ClaimAnswer("does not hold", figure, (replay.replay,))
    return ClaimAnswer("holds in part" if together >= _MOSTLY else "holds", figure, (replay.replay,))


def _middle(steps: list[Steps], figure: Callable[[Steps], float]) -> str:
    return f"{median(figure(each) for each in steps):.1f}"


_APP = re.compile(r"[\w.]+:[\w.]+")


def sanic_app_is_no_call(material: Material) -> ClaimAnswer:
    """`sanic app:app` is not a valid call."""
    for study in material.studies:
        found = _served(study)
        if found is not None:
            return found
    runs = tuple(study.results.run.run for study in material.studies)
    return ClaimAnswer("not measured", "These runs started no server like that.", runs)


def _served(study: Study) -> ClaimAnswer | None:
    """The cells of a run that were served by `sanic MODULE:NAME`; None without any."""
    cells = study.results.finished
    calls = cells["command"].dropna().map(_call).dropna()
    if calls.empty:
        return None
    requests = int(study.summary.loc[calls.index, "requests"].sum())
    names = list(dict.fromkeys(str(name) for name in cells.loc[calls.index, "configuration"]))
    stacks = {each.stack for each in study.results.run.configurations if each.name in names and each.stack}
    versions = sorted(study.results.run.stacks[stack].packages["sanic"] for stack in stacks)
    figure = (
        f"`{calls.iloc[0]} …` answered {requests:,} requests in "
        f"{counted(len(calls), 'cell')} of {listed(names)}, with Sanic {listed(versions)}. "
        "Older versions were not tried."
    )
    return ClaimAnswer("does not hold", figure, (study.results.run.run,))


def _call(command: str) -> str | None:
    """The first words of a command that names the app like that."""
    program, *words = shlex.split(command)
    if PurePath(program).name == "sanic" and words and _APP.fullmatch(words[0]):
        return f"sanic {words[0]}"
    return None


DISCUSSION = "https://community.sanicframework.org/t/correct-settings-for-uvicorn-gunicorn-for-production/694"
_CLAIMS: dict[str, Callable[[Material], ClaimAnswer]] = {
    "Neither the Sanic nor the Uvicorn server can restart workers.": servers_restart_nothing,
    "Both Gunicorn workers restart with `--max-requests`.": gunicorn_restarts,
    "Under Gunicorn, the Sanic worker is faster.": sanic_worker_is_faster,
    "Under Gunicorn, the Uvicorn worker is much better.": uvicorn_worker_is_much_better,
    "A synchronous client does not make simultaneous requests.": clients_are_not_simultaneous,
    "Sanic's server directly is the fastest.": sanic_is_the_fastest,
    "`sanic app:app` is not a valid call.": sanic_app_is_no_call,
}


def claims(material: Material) -> Claims:
    """All of them, answered from `material`: those of the discussion, then those about settings."""
    discussed = [Claim(text, answer(material), DISCUSSION) for text, answer in _CLAIMS.items()]
    return Claims((*discussed, *of_settings(material)))
