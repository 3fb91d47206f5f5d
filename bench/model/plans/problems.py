"""What is wrong with a plan, in one line."""

from collections.abc import Collection, Sequence

from pydantic import ValidationError

from bench.model.errors import unknown
from bench.model.plans.loads import Loads, OpenLoads, Search
from bench.model.plans.own_app import OwnApp
from bench.model.plans.recycling import Probe, RecyclingKeys, RecyclingTable
from bench.model.plans.rotation import RotationTable
from bench.model.requirements import Requirements


def first(error: ValidationError, keys: Collection[str]) -> str:
    """One validation error in one line: the key, what is wrong, the nearest valid key.

    ``keys`` are those of a plan outside of its tables.
    """
    # A misspelt key is also a missing one: the misspelling is the better news. Of the errors of a
    # union ("all" or a list) the last branch is the one people mean.
    errors = sorted(error.errors(), key=lambda details: details["type"] != "extra_forbidden")
    same = [details for details in errors if details["loc"][:1] == errors[0]["loc"][:1]]
    details = same[-1] if errors[0]["type"] == "literal_error" else errors[0]
    location = [str(part) for part in details["loc"] if not str(part).startswith(("function-", "literal["))]
    if details["type"] == "extra_forbidden":
        *table, key = location
        where = f"[{'.'.join(table)}] " if table else ""
        return where + unknown("key", key, _keys(table, keys))
    if details["type"] == "value_error":
        problem = str(details["ctx"]["error"])
    else:
        problem = details["msg"][:1].lower() + details["msg"][1:]
    # What lies between tables names them itself.
    return f'key "{".".join(location)}": {problem}' if location else problem


def _keys(table: Sequence[str], outside: Collection[str]) -> Collection[str]:
    """The valid keys of a table of a plan, such as ``scenarios.index.search``."""
    match table:
        case ["scenarios", _, "open", _]:
            return OpenLoads.model_fields
        case ["scenarios", _, "search"]:
            return Search.model_fields
        case ["scenarios", _, "recycling"]:
            return RecyclingKeys.model_fields
        case ["scenarios", _]:
            return Loads.model_fields
        case ["recycling"]:
            return RecyclingTable.model_fields
        case ["probes", _]:
            return Probe.model_fields
        case ["rotation"]:
            return RotationTable.model_fields
        case ["requirements"]:
            return Requirements.model_fields
        case ["own_app"]:
            return OwnApp.model_fields
        case _:
            return outside
