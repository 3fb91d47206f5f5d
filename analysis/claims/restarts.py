"""Claims about workers that are replaced, answered from a run of recycling."""

import pandas as pd

from analysis.claims.material import Material
from analysis.claims.model import Answer, decided
from analysis.recycling import Recycling
from analysis.words import counted, span

# The Gunicorn workers as they were recommended, by their `--worker-class`.
UVICORN_WORKER, SANIC_WORKER = "gunicorn-uvicorn-legacy", "gunicorn-sanic"
UVICORN, SANIC = "uvicorn", "sanic"
NOT_MEASURED = Answer("not measured", "There is no run of recycling: `make recycle` measures it.")


def servers_restart_nothing(material: Material) -> Answer:
    """Neither the Sanic nor the Uvicorn server can restart workers."""
    if material.recycling is None or material.recycling.recycling is None:
        return NOT_MEASURED
    recycling = material.recycling.recycling
    uvicorn, sanic = _recycled(recycling, UVICORN), _recycled(recycling, SANIC)
    alone = _of(recycling, SANIC, "control")
    if uvicorn.empty or alone.empty:
        return Answer("not measured", f"{material.unavailable(UVICORN if uvicorn.empty else SANIC)}.")
    several = uvicorn[(uvicorn["workers"] > 1) & (uvicorn["verdict"] == "recycles")]
    texts = [f"Uvicorn with several workers: {_lives(recycling, several)}"]
    if (uvicorn["workers"] == 1).any():
        texts.append("with one it ends, and something else must start it again")
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
    return Answer(decided(cannot), f"{'; '.join(texts)}.", (material.recycling.results.run.run,))


def gunicorn_restarts(material: Material) -> Answer:
    """Both Gunicorn workers restart with --max-requests."""
    if material.recycling is None or material.recycling.recycling is None:
        return NOT_MEASURED
    recycling = material.recycling.recycling
    texts, restart = [], []
    for name in (UVICORN_WORKER, SANIC_WORKER):
        cells = _recycled(recycling, name)
        if cells.empty:
            return Answer("not measured", f"{material.unavailable(name)}.")
        works = cells[cells["verdict"] == "recycles"]
        restart.append(len(works) == len(cells))
        where = "" if restart[-1] else f", in {len(works)} of {counted(len(cells), 'cell')}"
        texts.append(f"{name}: {_lives(recycling, works)}{where}")
    return Answer(decided(restart), f"{'; '.join(texts)}.", (material.recycling.results.run.run,))


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
