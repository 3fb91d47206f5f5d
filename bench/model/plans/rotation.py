"""How the candidates of a rotation are measured side by side: a table of a plan.

Terms: a *sitting* is one start of all candidates of a worker count; a *round* gives each of them one *slice*
of load; the *rotation* is all of it. The sitting is the unit of inference, as hash seeds, memory layout and
which worker got which connection change only at a start (Kalibera & Jones, ISMM 2013: repeat at the level
that varies; Abedi & Brecht, ICPE 2017: randomised multiple interleaved trials).
"""

from typing import Annotated

from pydantic import Field, model_validator

from bench.model.tables import PlanTable

Seconds = Annotated[float, Field(gt=0, le=86400)]


class RotationTable(PlanTable):
    """``[rotation]``: closed loops go round among all candidates at once; other loads stay in blocks."""

    sittings: Annotated[int, Field(ge=1, le=100)] = 5
    """Starts of all candidates, at least: each a repeat of every cell."""
    most_sittings: Annotated[int, Field(ge=1, le=100)] = 30
    """Starts at most."""
    precision: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Sittings are added until each ratio that decides is known to this share, to either side."""
    limit_s: Seconds | None = None
    """No sitting is added that would end after so many seconds; windows lose up to a third for it."""
    load_s: Seconds = 1.5
    """Seconds of windows for each candidate and load in a sitting."""
    settle_s: Seconds = 0.4
    """Seconds of unrecorded load for each candidate before a load's first round."""
    slice_s: Seconds | None = None
    """Length of a window, else what five requests take to the median candidate: 0.05 to 1 s."""
    both_manners: bool = Field(default=False, exclude_if=lambda value: not value)
    """true: both manners of the generator even where the loopback device is steered."""
    blocks: bool = Field(default=False, exclude_if=lambda value: not value)
    """true: closed loops are measured in blocks, to compare the two ways."""

    @model_validator(mode="after")
    def _ordered(self) -> "RotationTable":
        if self.most_sittings < self.sittings:
            raise ValueError(
                f"most_sittings = {self.most_sittings} is less than sittings = {self.sittings}, the least"
            )
        return self
