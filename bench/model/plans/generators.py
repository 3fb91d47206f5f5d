"""Generators on other machines, as a plan has them."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from bench.model.plans.machines import machine
from bench.model.tables import PlanTable

PORT = 5557
"""Where they join unless told otherwise: Locust's own choice (`swarm` has it, too, and knows nobody)."""


class GeneratorsTable(PlanTable):
    """Generators on other machines, which make the load in place of this one's."""

    machines: list[Annotated[str, AfterValidator(machine)]] = Field(
        default_factory=list, exclude_if=lambda value: not value
    )
    """`user@host`, each: machines that ssh reaches, where the suite starts them."""
    expected: PositiveInt
    """How many there are in all, however many processes each has: those of `machines` unless it is said.
    Others are started by hand."""
    lost: Literal["end", "go on"] = "end"
    """What becomes of the run when one is lost, which fails the cell that it was in: it ends, or it goes on
    without it."""

    @model_validator(mode="before")
    @classmethod
    def _counted(cls, given: Any) -> Any:
        if isinstance(given, dict) and isinstance(given.get("machines"), list) and given["machines"]:
            return {"expected": len(given["machines"]), **given}
        return given

    @model_validator(mode="after")
    def _each_once(self) -> "GeneratorsTable":
        if len(set(self.machines)) < len(self.machines):
            raise ValueError("machines: each is named once; a generator has a process for each CPU there")
        if self.expected < len(self.machines):
            raise ValueError(f"expected: {len(self.machines)} are named already, others are started by hand")
        return self
