"""The scenarios of a folder: a Locust file each, which is parsed but never imported.

All user classes of a file are one scenario, mixed by their weights: what ``locust -f FILE`` would run.
"""

import ast
from dataclasses import dataclass
from pathlib import Path

from bench.model.errors import UserError, unknown
from bench.model.files import ROOT, check_plain

LOCUSTFILES = ROOT / "locustfiles"

# What a scenario may need besides the server.
DATABASE = "database"
_NEEDS = (DATABASE,)


@dataclass(frozen=True)
class Scenario:
    """A Locust file; ``summary`` is the first line of its docstring, ``needs`` what its ``NEEDS`` says.

    ``rotates`` is false where the file says ``ROTATES = False``: its closed loops need servers that are
    alone, each for a long time.
    """

    name: str
    path: Path
    summary: str
    needs: tuple[str, ...] = ()
    rotates: bool = True


def load(folder: Path = LOCUSTFILES) -> dict[str, Scenario]:
    """The scenarios by name (the file's stem with ``_`` as ``-``), without files that begin with ``_``.

    ``folder`` may also be the only file.

    Raises:
        UserError: a file is not Python, or its ``NEEDS`` is unknown; names the file and the line. Or two
            files have one name.
    """
    named = (path for path in folder.glob("*.py") if not path.name.startswith("_"))
    paths = [folder] if folder.is_file() else sorted(named)
    found: dict[str, Scenario] = {}
    for scenario in map(_read, paths):
        if (other := found.setdefault(scenario.name, scenario)) is not scenario:
            raise UserError(f"{scenario.path} and {other.path} are both called {scenario.name}: rename one")
    return found


def _read(path: Path) -> Scenario:
    check_plain(path)
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError as error:
        raise UserError(f"{path}, line {error.lineno or 1}: not Python: {error.msg}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"{path}: not Python: {error}") from error
    summary = (ast.get_docstring(tree) or "(no docstring)").splitlines()[0]
    return Scenario(path.stem.replace("_", "-"), path, summary, _needs(path, tree), _rotates(path, tree))


def _needs(path: Path, tree: ast.Module) -> tuple[str, ...]:
    """What ``NEEDS = ("database",)`` says at module level; empty without it."""
    where, needs = _said(path, tree, "NEEDS", ())
    if not isinstance(needs, tuple):
        raise UserError(f'{where}: NEEDS must be a tuple of texts, such as ("database",)')
    for need in needs:
        if need not in _NEEDS:
            raise UserError(f"{where}: {unknown('need', str(need), _NEEDS)}")
    return needs


def _rotates(path: Path, tree: ast.Module) -> bool:
    """What ``ROTATES = False`` says at module level; true without it."""
    where, rotates = _said(path, tree, "ROTATES", True)
    if not isinstance(rotates, bool):
        raise UserError(f"{where}: ROTATES must be True or False")
    return rotates


def _said(path: Path, tree: ast.Module, name: str, unsaid: object) -> tuple[str, object]:
    """What a module assigns to a name, None if that is no literal, and where; ``unsaid`` if it does not."""
    for line in tree.body:
        if isinstance(line, ast.Assign) and any(ast.unparse(target) == name for target in line.targets):
            where = f"{path}, line {line.lineno}"
            try:
                return where, ast.literal_eval(line.value)
            except (TypeError, ValueError, SyntaxError, RecursionError, MemoryError):
                return where, None
    return str(path), unsaid
