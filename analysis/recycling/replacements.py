"""Which worker took whose place, and when."""

import pandas as pd

from analysis.frames import DIMENSIONS
from analysis.recycling.limits import LINGER_S
from analysis.recycling.model import REPLACEMENTS

# What losses and stalls add later.
NOT_YET = ["lost", "gap_s", "slowest_ms"]


def replacements(lives: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """`Recycling.replacements` without `NOT_YET`; `cells` has the windows of the cells in `lives`.

    The k-th worker that died is paired with the k-th that became ready beyond those the server started with,
    whichever came first: servers differ in that. Workers that a probe ended with their whole server have no
    successors and are left out.
    """
    served = lives[lives["ready"].notna()]
    told = cells["probe_time"].where(cells["treatment"] == "terminate")
    dead = served[served["died"].notna() & ~(served["died"] >= told.reindex(served["cell"]).to_numpy())]
    dead = dead.sort_values(["cell", "died", "pid"])
    dead = dead.assign(turn=dead.groupby("cell").cumcount())
    came = served.sort_values(["cell", "ready", "pid"])
    came = came.assign(turn=came.groupby("cell").cumcount() - came["workers"])
    new = came[["cell", "turn", "pid", "born", "ready"]].add_prefix("new_")
    pairs = dead.merge(new, how="left", left_on=["cell", "turn"], right_on=["new_cell", "new_turn"])
    window = cells[["window_start", "window_end"]].reindex(pairs["cell"]).set_axis(pairs.index)
    # Who is ending may refuse connections for a while before it is gone.
    fell_silent = pairs["last"].clip(lower=pairs["died"] - LINGER_S)
    pairs["begin"] = pairs[["new_born", "died"]].assign(silent=fell_silent).min(axis=1)
    pairs["end"] = pairs[["new_ready", "died"]].max(axis=1)
    pairs["end"] = pairs["end"].where(pairs["new_pid"].notna(), window["window_end"])
    pairs["old_pid"] = pairs["pid"]
    pairs = pairs[pairs["died"] >= window["window_start"]].copy()
    pairs["number"] = pairs.groupby("cell").cumcount() + 1
    columns = [name for name in REPLACEMENTS if name not in NOT_YET]
    kinds = {name: REPLACEMENTS[name] for name in columns}
    return pairs[[*DIMENSIONS, *columns]].astype(kinds).reset_index(drop=True)
