"""Which files are copied to another machine, by their paths there: of the suite, and of a folder of the
user's.
"""

import os
from pathlib import Path

from bench.model.files import ROOT

# What runs there, and what of the rest of the suite that imports (a test starts it).
_OF_SUITE = (
    "bench/__init__.py",
    "bench/launch/__init__.py",
    "bench/launch/stacks.py",
    "bench/launch/workers.py",
    "bench/launch/remote/__init__.py",
    "bench/launch/remote/there/*.py",
    "bench/machine/*.py",
    "bench/model/__init__.py",
    "bench/model/records/__init__.py",
    "bench/model/records/columns.py",
    "bench/model/errors.py",
    "bench/model/files.py",
    "bench/model/folders.py",
    "targets/*",
    "targets/*/*.py",
    "targets/stacks/*",
    "swarm/nullserver.py",
)
# Of a user's folder: version control, caches, and what is installed. Virtual environments have a mark of
# their own.
_LEFT_OUT = {
    *(".git", ".hg", ".svn", "__pycache__", "node_modules"),
    *(".mypy_cache", ".pytest_cache", ".ruff_cache", ".tox", ".nox"),
}
_ENVIRONMENT_MARK = "pyvenv.cfg"


def of_suite() -> dict[str, Path]:
    """The files of the suite that run there."""
    found = sorted(path for pattern in _OF_SUITE for path in ROOT.glob(pattern) if path.is_file())
    return {str(path.relative_to(ROOT)): path for path in found}


def of_generator(home: Path) -> dict[str, Path]:
    """The files of the suite that a generator needs, and those of its scenarios' folder, if that is here."""
    found = {str(path.relative_to(ROOT)): path for path in sorted((ROOT / "swarm").rglob("*.py"))}
    found |= {str(path.relative_to(ROOT)): path for path in (ROOT / "requirements").glob("constraints.txt")}
    if home.is_relative_to(ROOT):
        found |= {str(home.relative_to(ROOT) / name): path for name, path in of_folder(home).items()}
    return found


def in_suite(path: Path) -> str | None:
    """Where a file lies in the suite's copy; ``None`` if it is none of that."""
    whole = path.resolve()
    name = str(whole.relative_to(ROOT)) if whole.is_relative_to(ROOT) else None
    return name if name in of_suite() else None


def of_folder(folder: Path) -> dict[str, Path]:
    """The files of a user's folder that an app may need."""
    found: dict[str, Path] = {}
    for at, folders, names in os.walk(folder):
        inner = Path(at)
        folders[:] = sorted(
            name
            for name in folders
            if name not in _LEFT_OUT and not (inner / name / _ENVIRONMENT_MARK).exists()
        )
        found |= {str(path.relative_to(folder)): path for name in names if (path := inner / name).is_file()}
    return found


def pinned(package: str) -> str:
    """What pip is told to install of a package that the suite pins."""
    lines = (ROOT / "requirements" / "suite.txt").read_text().splitlines()
    return next(line for line in lines if line.startswith(f"{package}=="))
