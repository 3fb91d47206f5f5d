"""The line to `bench ui`: JSON lines from its pipe, events to it (swarm/README.md)."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any

from gevent.event import AsyncResult

from ..control.process import QuitOutcome, commands, emit, end_process

logger = logging.getLogger(__name__)

Line = dict[str, Any]
Handler = Callable[[Line], None]


class Link:
    """What bench says, and what is said to it."""

    def __init__(self) -> None:
        self._lines: Iterator[bytes] = commands()
        self._numbers = count(1)
        self._asked: dict[int, AsyncResult[Line]] = {}

    def first(self) -> Line:
        """The first line. Raises ValueError where it is no JSON object."""
        line = json.loads(next(self._lines, b"null"))
        if not isinstance(line, dict):
            raise ValueError("not a JSON object")
        return line

    def ask(self, event: str, **fields: Any) -> Line:
        """Say something that is answered, and wait for the answer."""
        number = next(self._numbers)
        self._asked[number] = answer = AsyncResult()
        emit(event=event, request=number, **fields)
        try:
            told: Line = answer.get()
            return told
        finally:
            del self._asked[number]

    def obey(self, close: Callable[[], QuitOutcome], handlers: Mapping[str, Handler]) -> None:
        """Hand on what bench says until its end of the pipe is closed; then `close`, and end this process.

        A line that answers a request wakes the caller of `ask`; others go to their handler.
        """
        for text in self._lines:
            line: Line = json.loads(text)
            asked = self._asked.get(line.get("request", 0))
            if asked is not None and not asked.ready():
                asked.set(line)
                continue
            try:
                handlers[line["command"]](line)
            except Exception:
                logger.exception("A line of bench could not be obeyed: %s", line.get("command"))
        end_process(close)  # a load without bench has no reader
