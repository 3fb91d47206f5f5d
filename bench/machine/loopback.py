"""Receive packet steering of the loopback device, in a network namespace of one's own or in this one.

``python loopback.py own CPUS`` makes a network namespace for itself, has ``lo`` up in it and steered to CPUs
like ``0,1`` (an empty word: to none), prints what came of it and waits for the end of its input: whoever has
opened its ``/proc/PID/ns/net`` keeps the namespace. ``python loopback.py here CPUS`` steers the device of the
namespace that it runs in. What is printed is a JSON object: ``namespace`` (whether one was made), ``why``
(it is not steered; null: it is) and ``sysctls``. ``python loopback.py set NAME=VALUE,…`` sets sysctls of the
namespace that it runs in.

What a steered device receives is processed on these CPUs, as a network card and another machine would do it,
and not on the CPU of the sender, who would pay for waking the receiver (kernel documentation,
networking/scaling). Of ``SYSCTLS`` a namespace of one's own gets what this one has, and what they are then is
printed as ``sysctls``; it gets the range of local ports as well.

A program of its own because a process with threads cannot make namespaces for all of them, and because it
also runs in a container. Standard library only.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import socket
import struct
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

STEERING = Path("/sys/class/net/lo/queues/rx-0/rps_cpus")
# What the kernel grants of a backlog at most; whether connections that wait at a listener which is closed, as
# a replaced worker's is, go to another one of its port (1) or are reset (0).
SOMAXCONN, MIGRATE = "net.core.somaxconn", "net.ipv4.tcp_migrate_req"
SYSCTLS = (SOMAXCONN, MIGRATE)
# A connection of clients needs one of its own for each server.
_PORTS = "net.ipv4.ip_local_port_range"

# <linux/sched.h>, <linux/mount.h>, <linux/sockios.h>, <linux/if.h>
_CLONE_NEWNS, _CLONE_NEWNET = 0x00020000, 0x40000000
_MS_REMOUNT, _MS_REC, _MS_PRIVATE = 0x20, 0x4000, 0x40000
_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_IFF_UP = 0x1
_IFREQ = "16sh14x"
_LIBC = ctypes.CDLL(None, use_errno=True)


def main(kind: str, given: str) -> None:
    """Steer, and say what came of it; or set sysctls of this namespace, like ``NAME=1,OTHER=0``."""
    if kind == "set":
        for name, value in (word.split("=") for word in given.split(",")):
            try:
                _sysctl(name).write_text(value)
            except OSError as error:
                sys.exit(f"{name} cannot be set: {error.strerror}")
        return
    if kind == "here":
        _say(namespace=False, why=_steer_by(_MS_REMOUNT, mask(_numbers(given))), sysctls=sysctls())
        return
    before, ports = sysctls(), _sysctl(_PORTS).read_text()
    try:
        _make_namespace()
    except OSError as error:
        _say(namespace=False, why=str(error.strerror))
        return
    _set({**before, _PORTS: ports})
    _say(namespace=True, why=_steer_by(0, mask(_numbers(given))), sysctls=sysctls())
    sys.stdin.read()


def sysctls() -> dict[str, int]:
    """The ``SYSCTLS`` of this network namespace, as far as the kernel has them."""
    return {name: int(_sysctl(name).read_text()) for name in SYSCTLS if _sysctl(name).exists()}


def _set(values: Mapping[str, int | str]) -> None:
    """Set sysctls of this network namespace, as far as that is allowed: whoever reads them sees it."""
    for name, value in values.items():
        with contextlib.suppress(OSError):
            _sysctl(name).write_text(str(value))


def _sysctl(name: str) -> Path:
    return Path("/proc/sys", *name.split("."))


def _numbers(cpus: str) -> list[int]:
    return [int(cpu) for cpu in cpus.split(",") if cpu]


def mask(cpus: Iterable[int]) -> str:
    """CPUs as the kernel writes them: 32 bits at a time in hexadecimal, the lowest last."""
    bits = sum(1 << cpu for cpu in set(cpus))
    words = [f"{bits & 0xFFFFFFFF:08x}"]
    while bits := bits >> 32:
        words.insert(0, f"{bits & 0xFFFFFFFF:08x}")
    return ",".join(words)


def cpus_of(value: str) -> list[int]:
    """The CPUs of a mask."""
    bits = _bits(value)
    return [cpu for cpu in range(bits.bit_length()) if bits >> cpu & 1]


def steering() -> str | None:
    """The mask that the loopback device of this namespace is steered by; ``None`` where none can be."""
    try:
        return STEERING.read_text().strip()
    except OSError:
        return None


def steer(value: str) -> str | None:
    """Set the steering of the loopback device to a mask; returns why that is not possible, if so."""
    try:
        STEERING.write_text(value)
        found = STEERING.read_text().strip()
    except FileNotFoundError:
        return "this kernel steers no packets (CONFIG_RPS)"
    except OSError as error:
        return f"{STEERING}: {error.strerror}"
    return None if _bits(found) == _bits(value) else f"{STEERING} has {found} after {value} was written"


def _bits(value: str) -> int:
    return int(value.replace(",", ""), 16)


def _make_namespace() -> None:
    """Move this process to a network namespace of its own, with ``lo`` up."""
    _check(_LIBC.unshare(_CLONE_NEWNET))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = struct.pack(_IFREQ, b"lo", 0)
        _, flags = struct.unpack(_IFREQ, fcntl.ioctl(any_socket, _SIOCGIFFLAGS, asked))
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack(_IFREQ, b"lo", flags | _IFF_UP))


def _steer_by(flags: int, value: str) -> str | None:
    """As ``steer``, by a /sys that only this process sees, mounted with some flags.

    It shows the devices of the network namespace that it was mounted in; that of a container is read-only.
    """
    try:
        _check(_LIBC.unshare(_CLONE_NEWNS))
        _check(_LIBC.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None))
        _check(_LIBC.mount(b"sysfs", b"/sys", b"sysfs", flags, None))
    except OSError as error:
        return f"sysfs cannot be mounted: {error.strerror}"
    return steer(value)


def _check(result: int) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _say(**what: object) -> None:
    sys.stdout.write(f"{json.dumps(what)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
