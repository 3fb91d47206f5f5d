"""The scenarios there are: one Locust file each in ``locustfiles``, looked at but never imported."""

import ast
from dataclasses import dataclass
from pathlib import Path

from bench.errors import UserError

LOCUSTFILES = Path(__file__).parents[1] / "locustfiles"


@dataclass(frozen=True)
class Scenario:
    """A Locust file; ``summary`` is the first line of its docstring."""

    name: str
    path: Path
    summary: str


def load(folder: Path = LOCUSTFILES) -> dict[str, Scenario]:
    """The scenarios by name (the file's stem with ``_`` as ``-``), without files that begin with ``_``.

    Raises:
        UserError: a file is not Python; names the file and the line.
    """
    paths = sorted(path for path in folder.glob("*.py") if not path.name.startswith("_"))
    scenarios = [_read(path) for path in paths]
    return {scenario.name: scenario for scenario in scenarios}


def _read(path: Path) -> Scenario:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise UserError(f"{path}, line {error.lineno}: not Python: {error.msg}") from error
    summary = (ast.get_docstring(tree) or "(no docstring)").splitlines()[0]
    return Scenario(path.stem.replace("_", "-"), path, summary)
