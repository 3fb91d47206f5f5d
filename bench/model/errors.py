"""Errors a user can mend: one or two lines, an exit status, no traceback."""

import difflib
from collections.abc import Iterable

from targets.catalogue.tables import listed


class UserError(Exception):
    """What went wrong, where, and what to do next. ``status`` is the exit status of the command."""

    def __init__(self, message: str, *, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


class UsageError(UserError):
    """The command or a file it reads asks for something that does not exist (exit status 2)."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=2)


def unknown(what: str, name: str, names: Iterable[str]) -> str:
    """Say that ``name`` is no known ``what`` and offer the nearest valid name, else all of them."""
    known = sorted(names)
    near = [valid for valid in known if name and valid.startswith(name)]
    near = near or difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f'did you mean "{near[0]}"?' if near else f"known: {listed(known) or 'none'}"
    return f'unknown {what} "{name}"; {hint}'
