"""Plans of settings: each configuration beside its variants, under the loads that may tell them apart."""

from collections.abc import Collection, Mapping, Sequence

from pydantic import Field, PositiveInt

from bench.model.errors import UsageError
from bench.model.tables import Counts, PlanTable, Window
from targets.catalogue.configurations import Configuration

TAIL = "tail"
"""What a variant is expected to change that open loops tell, under which no worker is replaced."""
PAUSES, BURSTS, OVERLOAD = "pauses", "bursts", "overload"
"""The same: what connections tell (``ConnectionsTable``)."""

COMBINED = "all that is worth it"
"""What a variant varies that is all of a configuration's variants which are worth it, at once."""

Configurations = Mapping[str, Configuration]


class ConnectionsTable(PlanTable):
    """``[connections]``: what connections meet, of the variants that expect it and what they are variants of.

    All servers of a start are alive at once. Bursts and overload are repeated after each start, pauses once.
    """

    starts: PositiveInt = 3
    """Starts of all servers: a repeat each."""
    pauses: PositiveInt = 1000
    """Connections to each server of those that expect `pauses`: they pause around its keep-alive."""
    bursts: Counts = Field(default=[300, 1000])
    """New connections at once, to one server after the other (`bursts`)."""
    bursts_each: PositiveInt = 3
    """How often in a start."""
    overload: PositiveInt = 512
    """Connections in a closed loop (`overload`)."""
    overload_s: Window = 2
    """How long they are counted, in seconds."""


def beside_variants(names: Sequence[str], configurations: Configurations) -> list[str]:
    """What a plan of settings means by some names: configurations, each followed by its variants.

    A configuration brings all of them, unless some are named, too; a variant brings what it is one of. Names
    that do not exist are left as they are.
    """
    chosen: dict[str, list[str]] = {}
    for name in names:
        entry = configurations.get(name)
        parent = None if entry is None else entry.variant_of
        if parent is None:
            chosen.setdefault(name, [])
        else:
            chosen.setdefault(parent, []).append(name)
    found = []
    for parent, named in chosen.items():
        every = variants(parent, configurations)
        found += [parent, *([name for name in every if name in named] or every)]
    return found


def variants(parent: str, configurations: Configurations) -> list[str]:
    """The names of all variants of a configuration."""
    return [name for name, entry in configurations.items() if entry.variant_of == parent]


def having_variants(configurations: Configurations) -> list[str]:
    """The configurations that have variants, in the order of the catalogue."""
    return [name for name in configurations if variants(name, configurations)]


def parents(names: Collection[str], configurations: Configurations) -> dict[str, str]:
    """What each variant among some names is one of, if that is among them as well."""
    originals = {name: configurations[name].variant_of for name in names}
    return {name: parent for name, parent in originals.items() if parent is not None and parent in names}


def expecting(what: Collection[str], names: Collection[str], configurations: Configurations) -> set[str]:
    """Those that are measured for the sake of any of ``what`` a change may do.

    That is every variant that is expected to do it, and what that is one of.
    """
    found: set[str] = set()
    for name in names:
        variant = configurations[name].variant
        if variant is not None and any(each in variant.expects for each in what):
            found |= {name, variant.of}
    return found


def check_variants(names: Sequence[str], configurations: Configurations, where: str) -> None:
    """Raise ``UsageError`` if something of a plan found ``where`` has no variants to be measured beside."""
    for name in names:
        entry = configurations.get(name)
        if entry is not None and entry.variant_of is None and not variants(name, configurations):
            known = ", ".join(having_variants(configurations)) or "none"
            raise UsageError(
                f"{where}: {name} has no variants, so there are no settings to compare; those that have: "
                f"{known} (docs/settings.md says how to write one)"
            )


def without_variants(names: Sequence[str], configurations: Configurations) -> list[str]:
    """The fewest names by which a plan of settings means the same (``beside_variants``)."""
    found = []
    for name in names:
        entry = configurations.get(name)
        if entry is not None and entry.variant_of is not None:
            continue
        every = variants(name, configurations)
        among = [each for each in every if each in names]
        found += [name] if among == every or not among else among
    return found
