"""The scenarios there are: one Locust file each in a folder, looked at but never imported.

All user classes of a file are one scenario, mixed by their weights: what ``locust -f FILE`` would run.
"""

import ast
from dataclasses import dataclass
from pathlib import Path

from bench.errors import UserError, unknown

LOCUSTFILES = Path(__file__).parents[1] / "locustfiles"

# What a scenario may need besides the server.
DATABASE = "database"
_NEEDS = (DATABASE,)


@dataclass(frozen=True)
class Scenario:
    """A Locust file; ``summary`` is the first line of its docstring, ``needs`` what its ``NEEDS`` says."""

    name: str
    path: Path
    summary: str
    needs: tuple[str, ...] = ()


def load(folder: Path = LOCUSTFILES) -> dict[str, Scenario]:
    """The scenarios by name (the file's stem with ``_`` as ``-``), without files that begin with ``_``.

    ``folder`` may also be the only file.

    Raises:
        UserError: a file is not Python, or needs what nobody knows; names the file and the line.
    """
    named = (path for path in folder.glob("*.py") if not path.name.startswith("_"))
    paths = [folder] if folder.is_file() else sorted(named)
    scenarios = [_read(path) for path in paths]
    return {scenario.name: scenario for scenario in scenarios}


def _read(path: Path) -> Scenario:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise UserError(f"{path}, line {error.lineno}: not Python: {error.msg}") from error
    summary = (ast.get_docstring(tree) or "(no docstring)").splitlines()[0]
    return Scenario(path.stem.replace("_", "-"), path, summary, _needs(path, tree))


def _needs(path: Path, tree: ast.Module) -> tuple[str, ...]:
    """What ``NEEDS = ("database",)`` says at module level; empty without it."""
    for line in tree.body:
        if not (isinstance(line, ast.Assign) and any(ast.unparse(name) == "NEEDS" for name in line.targets)):
            continue
        where = f"{path}, line {line.lineno}"
        try:
            needs = ast.literal_eval(line.value)
        except (TypeError, ValueError):
            needs = None
        if not isinstance(needs, tuple):
            raise UserError(f'{where}: NEEDS must be a tuple of texts, such as ("database",)')
        for need in needs:
            if need not in _NEEDS:
                raise UserError(f"{where}: {unknown('need', str(need), _NEEDS)}")
        return needs
    return ()
