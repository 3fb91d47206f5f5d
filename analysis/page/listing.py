"""What every table can be shown by, on the page and in a terminal."""

from collections.abc import Sequence
from typing import Protocol


class Listed(Protocol):
    """A row of a table."""

    def texts(self) -> list[str]:
        """One text for each column."""


class Listing(Protocol):
    """What every table can be printed by; `basis` says what it is ranked by, or how to read it."""

    @property
    def title(self) -> str: ...  # noqa: D102
    @property
    def finding(self) -> str: ...  # noqa: D102
    @property
    def basis(self) -> str: ...  # noqa: D102
    @property
    def columns(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def rows(self) -> Sequence[Listed]: ...  # noqa: D102
