"""What the tables of a plan have in common: strict keys, and the kinds of values."""

from typing import Annotated, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ByteSize,
    ConfigDict,
    Field,
    PositiveInt,
    TypeAdapter,
    ValidationError,
)

T = TypeVar("T")
_BYTES = TypeAdapter(ByteSize)


def distinct(values: list[T]) -> list[T]:
    """The values, if none of them is there twice; raises ``ValueError``."""
    if len(set(values)) < len(values):
        raise ValueError("names the same value twice")
    return values


def size_bytes(text: str) -> int:
    """A size such as 50kB or 1GiB in bytes; raises ``ValueError`` for what is none."""
    try:
        found = int(_BYTES.validate_python(text))
    except (ValidationError, OverflowError):
        found = 0
    if found < 1:
        raise ValueError(f'takes a size such as 50kB, 500MB or 1GiB, not "{text}"')
    return found


def _size(text: str) -> str:
    size_bytes(text)
    return text


Size = Annotated[str, AfterValidator(_size)]
Counts = Annotated[list[PositiveInt], Field(min_length=1), AfterValidator(distinct)]
Names = Annotated[list[str], Field(min_length=1), AfterValidator(distinct)]
Rate = Annotated[float, Field(ge=0.1, le=10_000_000)]
# Measured windows are whole Unix seconds.
Window = Annotated[int, Field(ge=1, le=3600)]


class PlanTable(BaseModel):
    """A table of a plan: unknown keys and values of other types are errors."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
