"""Which CPUs servers, what meters them, and the generator have, where servers are on another machine."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from bench.machine import cpus
from bench.machine.cpus import CpuSplit
from bench.machine.host import boot
from bench.machine.topology import Place


def split_apart(there: Mapping[str, Any], workers: int, where: str) -> tuple[CpuSplit, tuple[int, ...]]:
    """The split for servers of up to ``workers`` workers; and the CPUs there of what meters them.

    ``there`` are the ``facts`` of that machine, ``where`` is its name for people. All of it is the server's,
    the first threads of cores first; what meters has the rest of it, or shares. All of this one is the
    generator's, but one CPU of three or more, for the suite's own work.
    """
    places = dict(zip(there["usable"], map(Place, there["cores"]), strict=True))
    ordered = allowed(cpus.first_threads_first(places, places), there["quota"])
    servers = tuple(ordered[:workers])
    usable = allowed(sorted(os.sched_getaffinity(0)), cpus.quota())
    generator, spare = (usable[:-1], usable[-1:]) if len(usable) > 2 else (usable, [])
    shared = there["boot"] == boot() and bool({*servers} & {*generator})
    note = f"{where} is this machine: its servers run on the generator's CPUs" if shared else None
    found = CpuSplit(servers, tuple(generator), tuple(spare), trusted=not shared, note=note)
    return found, tuple(ordered[workers:]) or servers


def allowed(usable: Sequence[int], quota: float | None) -> Sequence[int]:
    """The CPUs of which control groups allow the time."""
    return usable if quota is None else usable[: max(1, int(quota))]
