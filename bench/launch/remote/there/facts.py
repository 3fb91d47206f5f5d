"""What a bench elsewhere needs to know of this machine."""

import os
import platform
import resource
from typing import Any

from bench.machine import cpus, host, loopback, memory, topology


def facts() -> dict[str, Any]:
    """The machine as in ``run.json``, and what its CPUs are shared out by; sizes in bytes.

    ``address`` is the one that this connection came to, and ``client`` the one that it came from, as sshd
    says (``SSH_CONNECTION``, ssh(1)); ``boot`` tells it from every other machine; ``open_files`` is the most
    that a process may have, null without a limit.
    """
    usable = sorted(os.sched_getaffinity(0))
    allowed = host.open_file_limits()[1]
    connection = os.environ.get("SSH_CONNECTION", "").split()
    return {
        "host": host.facts(),
        "architecture": platform.machine(),
        "usable": usable,
        "quota": cpus.quota(),
        "cores": [place.core for _, place in sorted(topology.read(usable).items())],
        "available_bytes": memory.available_bytes(),
        "open_files": None if allowed == resource.RLIM_INFINITY else allowed,
        "sysctls": loopback.sysctls(),
        "address": connection[2] if connection else None,
        "client": connection[0] if connection else None,
        "boot": host.boot(),
    }
