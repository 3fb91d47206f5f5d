"""`make house`: the rooms of the project in figures. Run it from the root of a checkout."""

import ast
import tomllib
from collections import Counter
from pathlib import Path

PACKAGES = ("bench", "analysis", "swarm", "targets", "locustfiles")
# A file each: there may be as many as there are loads.
SCENARIOS = "locustfiles"
# The most modules of a folder, lines of a file and of README.md, and (less than) bytes of docs/*.md.
MODULES, LINES, README_LINES, DOCS_BYTES = 15, 400, 200, 130 * 1024


def room(module: str) -> str:
    """The folder of a module, two levels at most: `bench.model.plans.plan` is in `bench/model`."""
    return "/".join(module.split(".")[:-1][:2]) or module


def imported(path: Path, module: str, modules: set[str]) -> set[str]:
    """The modules of the project that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            found |= {f"{base}.{alias.name}" for alias in node.names} | {base}
    return found & modules - {module}


def lines_of(path: Path) -> int:
    """How many lines a file has."""
    return len(path.read_text(encoding="utf-8").splitlines())


def crowded() -> list[str]:
    """The folders of more than `MODULES` modules, with how many."""
    modules = (path for name in PACKAGES if name != SCENARIOS for path in Path(name).rglob("*.py"))
    folders = Counter(str(path.parent) for path in modules if path.name != "__init__.py")
    return [f"{folder} ({count})" for folder, count in sorted(folders.items()) if count > MODULES]


def long() -> list[str]:
    """The files of more than `LINES` lines, those of tests included, with how many."""
    paths = sorted(path for name in (*PACKAGES, "tests") for path in Path(name).rglob("*.py"))
    return [f"{path} ({count})" for path in paths if (count := lines_of(path)) > LINES]


def docs_bytes() -> int:
    """The size of all pages of docs/ together."""
    return sum(path.stat().st_size for path in Path("docs").glob("*.md"))


def report() -> list[str]:
    """Lines of text: modules, lines and imports of each room, then what is held to a limit."""
    paths = {
        str(path.with_suffix("")).replace("/", "."): path
        for package in PACKAGES
        for path in sorted(Path(package).rglob("*.py"))
    }
    modules = {name for name in paths if not name.endswith("__init__")}
    lines = {name: lines_of(path) for name, path in paths.items()}
    files, length = Counter(map(room, modules)), Counter[str]()
    for name, count in lines.items():
        length[room(name)] += count
    across = Counter(
        room(name)
        for name, path in paths.items()
        for other in imported(path, name, modules)
        if room(name) != room(other)
    )
    largest = max(lines, key=lambda name: lines[name])
    contracts = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    exceptions = sum(len(contract.get("ignore_imports", [])) for contract in contracts)
    return [
        f"{'room':24} modules  lines  imports from other rooms",
        *(f"{name:24} {files[name]:7} {length[name]:6} {across[name]:8}" for name in sorted(length)),
        f"{'all':24} {len(modules):7} {sum(lines.values()):6} {across.total():8}",
        "",
        f"largest file: {paths[largest]}, {lines[largest]} lines",
        f"files of more than {LINES} lines: {', '.join(long()) or 'none'}",
        f"folders of more than {MODULES} modules: {', '.join(crowded()) or 'none'}",
        f"import contracts: {len(contracts)}, exceptions: {exceptions}",
        f"README.md: {lines_of(Path('README.md'))} lines",
        f"docs/*.md: {docs_bytes() / 1000:.0f} kB",
    ]


if __name__ == "__main__":
    print("\n".join(report()))
