"""What the JSON files of a run have in common: their version, and how one is read.

They are read whole, and with numbers that can be.
"""

import json
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.model.errors import UserError
from bench.model.files import plain, read_text, shortened

SCHEMA = 3
"""The version of the format."""
METHODOLOGY = 4
"""The version of what the numbers mean."""
MOST_NUMBER = 1 << 53
"""Beyond it floats skip integers, and nothing that is measured is so large."""
_MOST_DEPTH = 50


Cpus = list[Annotated[int, Field(ge=0, lt=1 << 16)]]
"""CPUs by their number, as the kernel counts them."""


class Record(BaseModel):
    """A JSON object of these files; keys that it does not know are left out."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


Model = TypeVar("Model", bound=Record)


class _ImpossibleError(Exception):
    """A number that nothing measures, or a document that nobody writes."""


def read(path: Path, model: type[Model], within: Path | None = None) -> Model:
    """Read one JSON file of a run; its texts are made `plain`, for they go to terminals, charts and pages.

    It must lie in the folder `within`, its own unless given: the run's.

    Raises:
        UserError: it cannot be read, is not JSON, of another schema, or lacks a key; the text names file and
            key, or line.
    """
    return _validated(path, _plain(document(path, within)), model)


def record(path: Path, model: type[Model], within: Path | None = None) -> dict[str, Any]:
    """The same as it was written, to be written again; raises as `read`."""
    found = document(path, within)
    _validated(path, found, model)
    return found


def document(path: Path, within: Path | None = None) -> dict[str, Any]:
    """One JSON file of a run, of which its schema and its numbers are known to be right; raises as `read`."""
    text = read_text(path, within or path.parent)
    try:
        found = json.loads(text)
        _check(found, ())
    except _ImpossibleError as error:
        raise UserError(f"{path}: {error}; restore it or run the cell again") from error
    except (ValueError, RecursionError) as error:
        what = "is empty" if not text.strip() else f"is not JSON ({error})"
        raise UserError(f"{path} {what}; restore it or run the cell again") from error
    version = found.get("schema") if isinstance(found, dict) else None
    if version != SCHEMA:
        raise UserError(
            f"{path} has results schema {shortened(version)}, this version of Whichworker reads {SCHEMA}; "
            "report it with the version that measured it, or measure again"
        )
    known: dict[str, Any] = found
    return known


def _validated(path: Path, found: dict[str, Any], model: type[Model]) -> Model:
    try:
        return model.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise UserError(f"{path}: {shortened(where)}: {shortened(first['msg'])}") from error


def _check(value: Any, where: tuple[str, ...]) -> None:
    """Raise unless all numbers of a JSON document are finite, and small enough for every type of number."""
    if len(where) > _MOST_DEPTH:
        raise _ImpossibleError(f"{shortened('.'.join(where))}: nothing is nested so deeply")
    if isinstance(value, dict):
        for key, part in value.items():
            _check(part, (*where, key))
    elif isinstance(value, list):
        for place, part in enumerate(value):
            _check(part, (*where, str(place)))
    elif isinstance(value, (int, float)) and not abs(value) <= MOST_NUMBER:  # nor NaN
        number = shortened(value)
        raise _ImpossibleError(f"{shortened('.'.join(where))}: {number} is no number that can be measured")


def _plain(value: Any) -> Any:
    """A JSON document with every text of it, keys included, made `plain`."""
    if isinstance(value, dict):
        return {plain(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return plain(value) if isinstance(value, str) else value
