"""Which runs of a machine tell what settings are worth."""

from pathlib import Path

from analysis.reading.results import finished
from bench.model.records.run import Run


def measured(root: Path, machine_id: str, app: str | None = None) -> list[Path]:
    """The finished runs under `root` of a machine that tried variants beside their parents, the latest first.

    Those of one `app`, None for the suite's, behind no proxy, with the servers on that machine, and of these
    those that tried a variant which no later one did.
    """
    found: list[tuple[float, Path, set[str]]] = []
    for folder, run in finished(root):
        here = run.host.machine_id == machine_id and run.server_host is None
        if here and run.app == app and run.behind is None:
            found.append((run.started, folder, tried(folder, run)))
    told: set[str] = set()
    kept = []
    for _, folder, variants in sorted(found, reverse=True):
        if variants - told:
            kept.append(folder)
        told |= variants
    return kept


def seconds(folder: Path) -> list[Path]:
    """The finished runs in the folder of another, of what was worth it there, together; the latest first."""
    found = [(run.started, below) for below, run in finished(folder, "*/*")]
    return [below for _, below in sorted(found, reverse=True)]


def tried(folder: Path, run: Run) -> set[str]:
    """The variants that a run has cells of, beside cells of their parents."""
    return {
        each.name
        for each in run.configurations
        if each.variant is not None and all((folder / name).is_dir() for name in (each.name, each.variant.of))
    }
