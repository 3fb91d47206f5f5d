"""Whose settings are tried where nobody says: those that the last verdict found best."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from bench.model.errors import UserError
from bench.model.files import read_text
from bench.model.plans.settings import Configurations, having_variants

if TYPE_CHECKING:
    from analysis.recommend import Verdict

# The best, and the next.
_COUNT = 2
_FILE = "verdict.json"


def chosen(results_folder: Path, configurations: Configurations) -> tuple[list[str], str] | None:
    """The best configurations of the last verdict that have variants, and where it stands, in words.

    ``None`` where no verdict names any.
    """
    for path, verdict in _verdicts(results_folder):
        names = best(verdict, configurations)
        if names:
            return names, str(path)
    return None


def best(verdict: "Verdict", configurations: Configurations) -> list[str]:
    """The best configurations of a verdict that have variants, those that failed left out."""
    variable = having_variants(configurations)
    named = [each.configuration for each in verdict.candidates if each.outcome != "failed"]
    parents = [configurations[name].variant_of or name for name in named if name in configurations]
    return [name for name in dict.fromkeys(parents) if name in variable][:_COUNT]


def _verdicts(results_folder: Path) -> "Iterator[tuple[Path, Verdict]]":
    """The verdicts among some results, the latest first: of ``bench verdict``, and of the reports of runs."""
    # Imported here: it brings pandas.
    from analysis.recommend import Verdict

    for path in _latest_first([*results_folder.glob(_FILE), *results_folder.glob(f"*/report/{_FILE}")]):
        try:
            yield path, Verdict.model_validate_json(read_text(path, path.parent))
        except (UserError, ValidationError):  # of another version of the suite, or not whole
            continue


def _latest_first(paths: Sequence[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True)
