"""An app that loses something with each request, on purpose and of a known size: what a soak is to find.

`WHICHWORKER_LEAK` says what: `bytes=500`, or with a slash how seldom, `descriptors=1/100` for one in a
hundred requests, or several of them with spaces between.

| kind          | what is kept for ever                                                              |
|---------------|------------------------------------------------------------------------------------|
| `bytes`       | so many bytes of memory, taken in blocks of `BLOCK`                                |
| `tasks`       | tasks of the event loop that wait for what never comes                             |
| `connections` | connected pairs of sockets, two descriptors each                                   |
| `descriptors` | open files                                                                         |
| `filling`     | no leak: a cache of `CACHE` bytes, of which a request adds so many while it is empty |
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from typing import TYPE_CHECKING, Any, Callable, Dict, List

if TYPE_CHECKING:
    from sanic import Request, Sanic

VARIABLE = "WHICHWORKER_LEAK"
BLOCK = 1 << 16
"""Small objects would cost more than they are, by an amount that depends on the allocator."""
CACHE = 32 * 1024 * 1024

_ONE = re.compile(r"([a-z]+)=([1-9][0-9]*)(?:/([1-9][0-9]*))?")


class Bytes:
    """Keeps memory."""

    def __init__(self) -> None:
        self._owed = 0.0
        self._kept: List[bytes] = []

    def lose(self, amount: float) -> None:
        self._owed += amount
        while self._owed >= BLOCK:
            # Zeros could be untouched pages, which cost nothing.
            self._kept.append(b"x" * BLOCK)
            self._owed -= BLOCK

    @property
    def kept(self) -> int:
        """How many bytes are."""
        return BLOCK * len(self._kept)


class Filling(Bytes):
    """Keeps less, the more it has: most of what is asked for is there already."""

    def lose(self, amount: float) -> None:
        super().lose(amount * max(0.0, 1 - self.kept / CACHE))


class Counted:
    """Keeps things that are made one by one."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._owed = 0.0
        self._kept: List[Any] = []

    def lose(self, amount: float) -> None:
        self._owed += amount
        while self._owed > 1 - 1e-6:  # ten tenths
            self._kept.append(self._make())
            self._owed -= 1


def _task() -> Any:
    return asyncio.get_event_loop().create_task(asyncio.Event().wait())


def _descriptor() -> int:
    return os.open(os.devnull, os.O_RDONLY)


KINDS: Dict[str, Callable[[], Any]] = {
    "bytes": Bytes,
    "tasks": lambda: Counted(_task),
    "connections": lambda: Counted(socket.socketpair),
    "descriptors": lambda: Counted(_descriptor),
    "filling": Filling,
}


def amounts(text: str) -> Dict[str, float]:
    """What is lost with a request, by its kind; raises `ValueError` for what is no such text."""
    found = {}
    for word in text.split():
        one = _ONE.fullmatch(word)
        if one is None or one[1] not in KINDS:
            kinds = ", ".join(KINDS)
            raise ValueError(f"{VARIABLE}: {word!r} is no KIND=AMOUNT or KIND=AMOUNT/REQUESTS of {kinds}")
        found[one[1]] = int(one[2]) / int(one[3] or 1)
    if not found:
        raise ValueError(f"{VARIABLE} says nothing")
    return found


def leak(app: Sanic, text: str) -> None:
    """Have each request of the app lose what `text` says; raises as `amounts`."""
    losing = [(KINDS[kind](), amount) for kind, amount in amounts(text).items()]

    async def lose(_: Request) -> None:
        for kept, amount in losing:
            kept.lose(amount)

    app.register_middleware(lose, "request")
