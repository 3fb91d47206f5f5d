"""The trace: every request of the swarm users with an id of its own, and what became of it.

It costs time: each sending is put together anew, and no answer goes the engine's short way. So it is for
cells that ask what happened to which request, not for those that measure speed. Without it the engine
does nothing for it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from ..http.connection import Connection
from ..http.exchange import Request, Response
from ..recording.batch import TraceRow
from .agent import Agent, Driven
from .clock import to_unix_ns


class Trace:
    """Gives a process's requests their ids in one cell, and hears of each that has ended.

    `process` is the Locust process's number, as in generator.csv; `add` takes the rows. All times are
    those of the engine's clock, moved to Unix time once, so that their differences are exact.
    """

    def __init__(self, process: int, add: Callable[[TraceRow], None]) -> None:
        self._process = process
        self._add = add
        self._serials = count(1)
        self._to_unix_ns = to_unix_ns()

    def next_id(self) -> str:
        """The id of one more request."""
        return f"{self._process}-{next(self._serials)}"

    def __call__(self, agent: Agent, response: Response, connection: Connection[Any] | None) -> None:
        """A request has ended and was judged by its user: a listener of the engine's."""
        assert isinstance(agent, TracedAgent)
        assert agent.request_id is not None
        request, to_unix_ns = response.request, self._to_unix_ns
        self._add(
            TraceRow(
                id=agent.request_id,
                method=request.method,
                name=request.name,
                due=agent.due_ns + to_unix_ns,
                sent=agent.sent_ns + to_unix_ns,
                ended=agent.sent_ns + response.latency_ns + to_unix_ns,
                connection=connection.serial if connection is not None and connection.established else None,
                kind=str(response.failure_kind or ""),
            )
        )


class TracedAgent(Agent):
    """An agent that sends each of its requests with an id, and remembers the times of the last one.

    `due_ns` is when its arrival was due, or else when the task asked, which is `sent_ns`. A request of
    which nothing could be sent, because the server had closed the idle connection, is begun once more
    and stays the same one.
    """

    __slots__ = ("_has_asked", "_numbered", "_trace", "due_ns", "sent_ns")

    def __init__(self, user: Driven, trace: Trace) -> None:
        super().__init__(user)
        self.plain = False
        self._trace = trace
        self._numbered = 0  # the last of `requests` that has an id
        self._has_asked = False  # whether the task of the arrival has made a request
        self.due_ns = self.sent_ns = 0

    def own_lines(self, request: Request, now_ns: int) -> bytes:
        """What any user adds, and the id."""
        if self._numbered != self.requests:
            self._numbered = self.requests
            self._number(now_ns)
        return super().own_lines(request, now_ns) + f"X-Request-Id: {self.request_id}\r\n".encode()

    def _number(self, now_ns: int) -> None:
        """A request that was not begun before."""
        self.request_id = self._trace.next_id()
        follows = self.arrival_ns is None or self._has_asked
        self.due_ns = now_ns if follows or self.arrival_ns is None else self.arrival_ns
        self.sent_ns = now_ns
        self._has_asked = True

    def leave_loop(self) -> None:
        """As any agent; its next arrival has a first request again."""
        self._has_asked = False
        super().leave_loop()
