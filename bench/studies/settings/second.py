"""The second run: what is worth it together, beside the configurations as they are.

Effects do not simply add up, and the best of many was also lucky: so the combination is measured anew. All
lies in a folder of the first run, where no report, verdict or document looks for the latest run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.experiment import results
from bench.experiment.inputs import Inputs, catalogue_file
from bench.experiment.run import Request
from bench.model.files import ROOT, write_text
from bench.model.requirements import First
from bench.studies.settings import combination
from bench.studies.settings.combination import Combination
from targets.catalogue.tables import toml

FOLDER = "combined"

# There are few servers, so that as many sittings as before take a part of the time.
_TIME = 1 / 4
_PATHS = ("locustfiles", "locustfile_requirements")
_PATHS_OF_APP = ("folder", "requirements")


def prepare(
    first: Path, inputs: Inputs, combinations: Sequence[Combination], of: First | None = None
) -> Path:
    """Write the catalogue and the plan of the second run into the folder of the ``first``; returns the plan.

    ``inputs`` are those of the first. The files of what was chosen since something comes first (``of``) lie
    beside those of others: each run says by its catalogue what it measured.
    """
    folder = first / FOLDER
    folder.mkdir(exist_ok=True)
    name = "combined" if of is None else f"combined-{of}"
    catalogue, path = folder / f"{name}.toml", folder / f"settings-{name}.toml"
    combination.write(catalogue, combinations, catalogue_file(inputs.plan))
    plan = _plan(inputs, combinations) | {"catalogue": catalogue.name}
    write_text(path, "".join(f"{key} = {toml(value)}\n" for key, value in plan.items()))
    return path


def request(first: Request, plan: Path, launcher: str) -> Request:
    """The second run as it is asked for; ``first`` is how the first one was, by a ``launcher``."""
    return replace(first, results=plan.parent, plan=str(plan), changes={}, resume=None, launcher=launcher)


def finished(plan: Path, combinations: Sequence[Combination]) -> Path | None:
    """The folder of the latest second run that measured just these combinations, if it is finished."""
    for folder in reversed(results.runs(plan.parent)):
        run = results.read_run(folder)
        if run["status"] == "finished" and run["plan"]["summary"] == _summary(combinations):
            return folder
    return None


def _plan(inputs: Inputs, combinations: Sequence[Combination]) -> dict[str, Any]:
    """The keys of the second plan but its catalogue: the loads of the first one on other configurations."""
    first, entries = inputs.plan, inputs.catalogue
    names = [
        name for each in combinations for name in (each.parent, each.name, *entries.defaults(each.parent))
    ]
    content = first.model_dump(
        exclude={"aliases", "thresholds", "probes", "requirements", "variants", "catalogue"}
    )
    content |= {"summary": _summary(combinations), "configurations": names}
    if first.rotation is not None and first.rotation.limit_s is not None:
        content["rotation"]["limit_s"] = first.rotation.limit_s * _TIME
    _make_absolute(content, _PATHS)
    if first.own_app is not None:
        _make_absolute(content["own_app"], _PATHS_OF_APP)
    known: dict[str, Any] = _without_unknown(content)
    return known


def _summary(combinations: Sequence[Combination]) -> str:
    """What the second run is about; its plan is told from others by it."""
    return f"what is worth it, together: {'; '.join(each.words for each in combinations)}"


def _make_absolute(content: dict[str, Any], keys: Sequence[str]) -> None:
    """Paths as they are from everywhere: a plan's are relative to its own folder when they are read."""
    for key in keys:
        if content.get(key) is not None:
            content[key] = str(ROOT / content[key])


def _without_unknown(value: Any) -> Any:
    """A document without its nulls, which TOML has not."""
    if isinstance(value, Mapping):
        return {key: _without_unknown(each) for key, each in value.items() if each is not None}
    return [_without_unknown(each) for each in value] if isinstance(value, list) else value
