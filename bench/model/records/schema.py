"""What the JSON files of a run have in common: their version, and how one is read."""

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from bench.model.errors import UserError
from bench.model.files import plain

SCHEMA = 3
"""The version of the format."""
METHODOLOGY = 3
"""The version of what the numbers mean."""


class Record(BaseModel):
    """A JSON object of these files; keys that it does not know are left out."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


Model = TypeVar("Model", bound=Record)


def read(path: Path, model: type[Model]) -> Model:
    """Read one JSON file of a run; its texts are made `plain`, for they go to terminals, charts and pages.

    Raises:
        UserError: it is not JSON, of another schema, or lacks a key; the text names file and key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    try:
        document = _plain(json.loads(text))
    except ValueError as error:
        what = "is empty" if not text.strip() else f"is not JSON ({error})"
        raise UserError(f"{path} {what}; restore it or run the cell again") from error
    version = document.get("schema") if isinstance(document, dict) else None
    if version != SCHEMA:
        raise UserError(
            f"{path} has results schema {version}, this version of Whichworker reads {SCHEMA}; "
            "report it with the version that measured it, or measure again"
        )
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise UserError(f"{path}: {where}: {first['msg']}") from error


def _plain(value: Any) -> Any:
    """A JSON document with every text of it, keys included, made `plain`."""
    if isinstance(value, dict):
        return {plain(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return plain(value) if isinstance(value, str) else value
