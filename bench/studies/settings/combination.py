"""The settings of a server that are worth it, together: a variant that has the changes of them all."""

import itertools
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.model.files import write_text
from bench.model.plans.settings import COMBINED
from targets.catalogue import variants
from targets.catalogue.configurations import Catalogue
from targets.catalogue.tables import toml
from targets.catalogue.variants import EXPECTATIONS, REPLACED, Changes


@dataclass(frozen=True)
class Combination:
    """Variants of ``parent`` at once, as a variant ``name``; ``left_out`` says why others are not in it."""

    name: str
    parent: str
    parts: tuple[str, ...]
    changes: Changes
    expects: tuple[str, ...]
    left_out: Mapping[str, str]

    @property
    def words(self) -> str:
        """Of what it changes what."""
        return f"{self.parent} ({self.changes.words})"

    @property
    def table(self) -> str:
        """Its table in a catalogue."""
        return variants.written(self.name, self.parent, COMBINED, self.changes, self.expects)


# What a command is recommended for, whatever else its parts change.
_ALWAYS = ("throughput", "cpu", "memory")


def combine(parent: str, worth: Sequence[str], catalogue: Catalogue) -> Combination:
    """The variants of a configuration that are ``worth`` it, the best first, as far as they go together.

    Of two that contradict each other the better one stays.
    """
    found = variants.together(catalogue.get(parent).argv, {name: catalogue.changes[name] for name in worth})
    expected = {*_ALWAYS}
    for name in found.parts:
        variant = catalogue.get(name).variant
        expected |= {*(variant.expects if variant is not None else ())}
    if "workers" in found.changes.facts:  # which nothing measures where workers are replaced
        expected -= {*REPLACED}
    expects = tuple(each for each in EXPECTATIONS if each in expected)
    name = _name(parent, catalogue.configurations)
    return Combination(name, parent, found.parts, found.changes, expects, found.left_out)


def write(path: Path, combinations: Sequence[Combination], over: Path | None) -> None:
    """Write a catalogue that adds combinations to another one; without that, to the suite's."""
    lines = ["# What was found worth it, together. Written by bench settings."]
    beside = None if over is None else os.path.relpath(over.resolve(), path.parent.resolve())
    lines += [] if beside is None else [f"over = {toml(beside)}"]
    write_text(path, "\n\n".join(["\n".join(lines), *(each.table for each in combinations)]))


def _name(parent: str, known: Collection[str]) -> str:
    first = f"{parent}-combined"
    others = (f"{first}-{number}" for number in itertools.count(2))
    return next(name for name in itertools.chain([first], others) if name not in known)
