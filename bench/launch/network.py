"""The network that the servers and the generator of a run meet in: which one is wanted, and what it is."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.machine import loopback, network

_AS_ASKED = "it is not steered, as asked"


@dataclass(frozen=True)
class Wanted:
    """``cpus`` are to process what is received.

    ``own``: a namespace of the run's own, where it can be made. ``because`` says why not, where the network
    is to be this machine's; ``steer_host`` has its loopback device steered for the time of the run. With
    ``steered`` false a namespace of the run's own is left as it is.
    """

    cpus: tuple[int, ...]
    own: bool = True
    because: str | None = None
    steer_host: bool = False
    steered: bool = True


@dataclass(frozen=True)
class Joined:
    """The network that programs are started in, this process's own unless ``path`` names a namespace.

    ``facts`` are the ``network`` of ``run.json``; ``None`` where nobody has asked for one.
    """

    path: Path | None = None
    facts: dict[str, Any] | None = None


def enter(wanted: Wanted | None, stack: ExitStack) -> Joined:
    """The network that is wanted, or what can be had of it, while a stack of contexts is open."""
    if wanted is None:
        return Joined()
    because = wanted.because
    if wanted.own:
        try:
            made = stack.enter_context(network.namespace(wanted.cpus if wanted.steered else ()))
        except network.NoNamespaceError as error:
            because = f"the run can have no network of its own, {error}"
        else:
            why = made.why if wanted.steered else _AS_ASKED
            return Joined(made.path, facts(wanted.cpus, why, made.sysctls, namespace=True))
    if wanted.steer_host:
        why = stack.enter_context(network.steered_here(wanted.cpus))
        return Joined(None, facts(wanted.cpus, why, loopback.sysctls(), namespace=False))
    return Joined(None, _as_it_is(wanted.cpus, because))


def facts(
    cpus: Sequence[int], why: str | None, sysctls: Mapping[str, int], *, namespace: bool
) -> dict[str, Any]:
    """The ``network`` of ``run.json``; ``why`` it is not steered to these CPUs, if it is not."""
    steered_to = list(cpus) if why is None else None
    return {"namespace": namespace, "steered_to": steered_to, "note": why, "sysctls": dict(sysctls)}


def _as_it_is(cpus: Sequence[int], because: str | None) -> dict[str, Any]:
    """This machine's own network, whose loopback device somebody may have steered."""
    now = loopback.sysctls()
    set_to = loopback.cpus_of(loopback.steering() or "0")
    if set_to and set(set_to) <= set(cpus):
        return facts(set_to, None, now, namespace=False)
    why = f"{because}; " if because else ""
    why += f"its loopback device is steered to CPUs {set_to}; " if set_to else ""
    return facts(cpus, f"{why}to steer this machine's: {network.command(cpus)}", now, namespace=False)
