"""Stacks: the environments that configurations are served in.

It runs inside every stack's environment: standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from targets.catalogue import variants
from targets.catalogue.tables import Table
from targets.catalogue.variants import Changes


@dataclass(frozen=True)
class Stack:
    """An environment to serve in: interpreter versions, best first, and a pinned requirements file.

    `fixed` are packages without whose pinned version the stack is not what it is for; `own` is a further
    requirements file, of a user's own app, whose versions take the place of the pinned ones. A stack that a
    variant needs is derived from another (`of`): with `packages` added to it, or `without` some.
    """

    name: str
    pythons: tuple[str, ...]
    requirements: Path
    fixed: tuple[str, ...] = ()
    own: Path | None = None
    of: str | None = None
    packages: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    @property
    def wheels(self) -> Path | None:
        """What is left out where pip finds no wheel of it: a file beside the requirements, if it is there."""
        beside = self.requirements.with_name(f"{self.requirements.stem}-wheels.txt")
        return beside if beside.is_file() else None

    @property
    def requirement_files(self) -> tuple[Path, ...]:
        """What it is made from, but for what includes name and for a user's own."""
        return (self.requirements,) if self.wheels is None else (self.requirements, self.wheels)


def stack_of(name: str, table: Table, folder: Path) -> Stack:
    """The stack of a table, whose paths are relative to a folder."""
    requirements = folder / table.text("requirements")
    stack = Stack(name, table.words("python"), requirements, table.words("fixed", required=False))
    table.finish()
    if not stack.requirements.is_file():
        raise table.error("requirements", f"there is no file {stack.requirements}")
    return stack


def changed_stack(stack: Stack, changes: Changes, table: Table) -> Stack:
    """The stack that a variant needs: its parent's, or one that is derived from it."""
    variants.check_without(changes.without, stack.requirement_files, table)
    pythons = changes.python or stack.pythons
    if not changes.of_stack or (stack.pythons == pythons and not changes.packages and not changes.without):
        return stack
    name = f"{stack.name}+{changes.suffix}"
    packages, without = changes.packages, changes.without
    return replace(stack, name=name, pythons=pythons, of=stack.name, packages=packages, without=without)
