"""Machines that a plan names, as ssh(1) knows them."""

import re
from typing import NamedTuple

_MACHINE = re.compile(r"(?:([^@\s:/-][^@\s:/]*)@)?([^@\s:/-][^@\s:/]*)(?::(\d{1,5}))?")
_MOST = 65535


class Address(NamedTuple):
    """The parts of ``[user@]host[:port]``; the host may be an alias of ssh_config."""

    user: str | None
    host: str
    port: int | None


def parts(text: str) -> Address:
    """Read the name of a machine; raises ``ValueError``."""
    found = _MACHINE.fullmatch(text)
    if found is None or not 0 < int(found[3] or 1) <= _MOST:
        raise ValueError(f'"{text}" is no machine to reach by ssh: write user@host, or user@host:port')
    return Address(found[1], found[2], None if found[3] is None else int(found[3]))


def machine(text: str) -> str:
    """The name as it is, if it is one; raises ``ValueError``."""
    parts(text)
    return text
