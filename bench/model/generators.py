"""Generators on other machines, as a plan has them."""

from typing import Literal

from pydantic import PositiveInt

from bench.model.tables import Table

PORT = 5557
"""Where they join unless told otherwise: Locust's own choice (`swarm` has it, too, and knows nobody)."""


class GeneratorsTable(Table):
    """Generators on other machines, which make the load in place of this one's."""

    expected: PositiveInt
    """How many there are: machines, however many processes each has."""
    lost: Literal["end", "go on"] = "end"
    """What becomes of the run when one is lost, which fails the cell that it was in: it ends, or it goes on
    without it."""
