"""Settings that an app makes itself: the suite's is told by variables, any other by lines of its own.

Their variables are those of `targets.inside.settings`; this says the same for an app that knows none of them.
"""

from __future__ import annotations

from typing import Mapping

PREFIX = "WHICHWORKER_"
BACKLOG, MINIMUM_AGE_S = f"{PREFIX}BACKLOG", f"{PREFIX}MINIMUM_AGE_S"
GC_FREEZE, GC_THRESHOLD = f"{PREFIX}GC_FREEZE", f"{PREFIX}GC_THRESHOLD"


def of_shell(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that mean something to every app and server."""
    return {name: value for name, value in environment.items() if not name.startswith(PREFIX)}


def lines(environment: Mapping[str, str]) -> list[str]:
    """What an app of one's own says in the module that makes it; `recycle_after` is told the minimum age."""
    found = []
    if BACKLOG in environment:
        found += [
            "@app.main_process_start",
            "async def lengthen_backlog(app, *_):  # the command has no flag, app.prepare() of a script has",
            f'    app.state.server_info[0].settings["backlog"] = {environment[BACKLOG]}',
        ]
    if GC_FREEZE in environment or GC_THRESHOLD in environment:
        found += ["import gc", "@app.before_server_start", "async def collect_less(*_):"]
    if GC_THRESHOLD in environment:
        found += [f"    gc.set_threshold({environment[GC_THRESHOLD]}, *gc.get_threshold()[1:])"]
    if GC_FREEZE in environment:
        found += ["    gc.collect()", "    gc.freeze()"]
    return found
