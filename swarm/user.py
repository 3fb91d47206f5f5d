"""`SwarmUser`: a Locust user written as generators."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from http.cookiejar import CookieJar
from typing import Any, ClassVar, Final, TypedDict
from urllib.parse import urlencode, urlsplit, urlunsplit

import gevent
from gevent import GreenletExit
from gevent.pool import Group
from locust import User
from locust.exception import (
    StopTest,
    StopUser,
)
from locust.user.task import (
    LOCUST_STATE_RUNNING,
    DefaultTaskSet,
)
from typing_extensions import Unpack

from .agent import Agent, Connect, Life, Pause
from .connection import tls_context
from .engine import engine_of
from .exchange import ClosingRequest, Origin, Request, encode_body
from .life import hook, task_loop
from .pacing import Arrivals
from .trace import TracedAgent

logger = logging.getLogger(__name__)

PREPARED_REQUESTS: Final = 10_000
"""How many requests without options a user class keeps ready, by method and path."""

PREPARED_WITH: Final = frozenset({"keep_alive", "timeout", "default_headers"})
"""Attributes that prepared requests were made with: a user that sets one prepares its own."""


class RequestOptions(TypedDict, total=False):
    """What a request may be given besides its method and path."""

    name: str
    params: Mapping[str, Any]
    headers: Mapping[str, str]
    json: Any
    data: bytes | str | Mapping[str, Any]
    timeout: float


class SwarmUser(User):
    """A Locust user driven by the epoll engine: what it waits for, it yields.

    ```python
    class Index(SwarmUser):
        @task
        def index(self):
            response = yield self.get("/index")
            if response.text != "...":
                response.failure("wrong body")
    ```

    Tasks, `on_start` and `on_stop` are generators (or plain functions that wait for nothing); parts
    of them are called with `yield from`. Weights, tags, wait times, nested and sequential task sets,
    `StopUser`, `RescheduleTask` and the rest are Locust's own. Nothing in a task may block: rest with
    `yield self.pause(seconds)`.

    A request is sent once. Redirects are answers, not followed. Nothing is ever resent.
    """

    abstract = True

    arrivals: Arrivals | None = None
    """An open loop: tasks begin when arrivals are due, of which all users of the class share one schedule.

    None: a closed loop, in which each user goes by its own answers and its `wait_time`."""
    keep_alive: bool = True
    """False: a connection for each request (`Connection: close`)."""
    timeout: float = 30.0
    """Seconds from asking to the end of the response, connecting included, unless a request says else."""
    default_headers: ClassVar[Mapping[str, str]] = {}
    """Sent with each request."""
    use_cookies: bool = False
    """True: keep the cookies that responses set, a jar for each user, and send them."""
    verify: bool | str = True
    """TLS: True for the system's authorities, False for no check, or the path of a CA bundle."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.arrivals is not None and not isinstance(cls.arrivals, Arrivals):
            raise TypeError(f"{cls.__name__}.arrivals is an Arrivals(...) or None, not {cls.arrivals!r}")

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.origin = _own_origin(self)
        self.cookies = CookieJar() if self.use_cookies else None
        self.engine = engine_of(environment)
        self._prepared = self.engine.prepared[type(self), self.origin]

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)
        if name in PREPARED_WITH:
            # This user's requests now differ from those of its class.
            object.__setattr__(self, "_prepared", {})

    # -- Requests

    def request(self, method: str, path: str, **options: Unpack[RequestOptions]) -> Request:
        """A request to yield. `path` may be an absolute URL; `name` groups it in the statistics.

        `json` and `data` (bytes, text, or a mapping sent as a form) give the body; `timeout` is in
        seconds. Raises ValueError for a path or header that HTTP does not allow.
        """
        if not options:
            ready = self._prepared.get((method, path))
            if ready is not None:
                return ready
        request = self._prepare(method, path, options)
        if not options and len(self._prepared) < PREPARED_REQUESTS:
            self._prepared[(method, path)] = request
        return request

    def get(self, path: str, **options: Unpack[RequestOptions]) -> Request:
        """GET: see `request`."""
        if not options:
            ready = self._prepared.get(("GET", path))
            if ready is not None:
                return ready
        return self.request("GET", path, **options)

    def head(self, path: str, **options: Unpack[RequestOptions]) -> Request:
        """HEAD: see `request`."""
        return self.request("HEAD", path, **options)

    def options(self, path: str, **options: Unpack[RequestOptions]) -> Request:
        """OPTIONS: see `request`."""
        return self.request("OPTIONS", path, **options)

    def post(self, path: str, **options: Unpack[RequestOptions]) -> Request:
        """POST: see `request`."""
        return self.request("POST", path, **options)

    def put(self, path: str, **options: Unpack[RequestOptions]) -> Request:
        """PUT: see `request`."""
        return self.request("PUT", path, **options)

    def patch(self, path: str, **options: Unpack[RequestOptions]) -> Request:
        """PATCH: see `request`."""
        return self.request("PATCH", path, **options)

    def delete(self, path: str, **options: Unpack[RequestOptions]) -> Request:
        """DELETE: see `request`."""
        return self.request("DELETE", path, **options)

    def pause(self, seconds: float) -> Pause:
        """Rest within a task: `yield self.pause(0.5)`."""
        return Pause(seconds)

    def _prepare(self, method: str, path: str, options: RequestOptions) -> Request:
        origin = self.origin
        if path.startswith(("http://", "https://")):
            origin, path = _origin(path), _target(path)
        path = path.partition("#")[0]
        name = options.get("name", path)
        if params := options.get("params"):
            path += ("&" if "?" in path else "?") + urlencode(params, doseq=True)
        body, content_type = encode_body(options.get("json"), options.get("data"))
        if body is None and method in ("POST", "PUT", "PATCH"):
            body = b""
        headers = dict(self.default_headers)
        if content_type is not None:
            headers["Content-Type"] = content_type
        if not self.keep_alive:
            headers["Connection"] = "close"
        headers.update(options.get("headers", {}))
        closes = any(
            key.lower() == "connection" and "close" in value.lower() for key, value in headers.items()
        )
        return (ClosingRequest if closes else Request)(
            origin,
            method,
            path,
            name=name,
            headers=headers,
            body=body,
            timeout=options.get("timeout", self.timeout),
            samples=self.engine.recorder.samples(method, name),
        )

    # -- Life

    def start(self, group: Group) -> gevent.Greenlet:
        """Start the user: its greenlet is parked while the engine drives it. Called by Locust."""
        self._group = group
        self._greenlet = group.spawn(_live, self)
        return self._greenlet

    def life(self, agent: Agent) -> Life:
        """The whole life as one generator: `on_start`, tasks and waits, `on_stop`."""
        self._state = LOCUST_STATE_RUNNING
        root = DefaultTaskSet(self)
        self._taskset_instance = root
        try:
            try:
                yield from hook(self.on_start)
            except Exception as error:
                if not isinstance(error, StopUser | StopTest):
                    self._report(self, error)
                    return
                raise
            if agent.loop is not None and self.keep_alive:
                yield Connect(self.origin)
            yield from task_loop(self, root, agent, self._report)
        except (GreenletExit, StopUser, StopTest):
            yield from hook(self.on_stop)

    def _report(self, source: object, error: Exception) -> None:
        where = "".join(traceback.format_tb(error.__traceback__))
        if where not in self.engine.reported:  # a task that always raises would fill the log; Locust counts
            self.engine.reported.add(where)
            logger.error("%s\n%s", error, "".join(traceback.format_exception(error)))
        self.environment.events.user_error.fire(user_instance=source, exception=error, tb=error.__traceback__)

    def tls_context(self) -> Any:
        """The TLS context of this user class."""
        return _tls_context_for(type(self))


def _live(user: SwarmUser) -> None:
    # Locust finds the user as the first argument of its greenlet.
    engine = engine_of(user.environment)
    engine.run(Agent(user) if engine.trace is None else TracedAgent(user, engine.trace))


_origins: dict[str, Origin] = {}
_contexts: dict[type[SwarmUser], Any] = {}


def _origin(url: str) -> Origin:
    """One `Origin` per base URL, so that the engine may compare them by identity."""
    origin = Origin(url)
    return _origins.setdefault(origin.url, origin)


def _target(url: str) -> str:
    """Path and query of an absolute URL."""
    parts = urlsplit(url)
    return urlunsplit(("", "", parts.path or "/", parts.query, ""))


def _own_origin(user: SwarmUser) -> Origin:
    """Where the user's `host` is. Raises StopTest, which ends the test, where it is nowhere."""
    try:
        if not user.host:
            raise ValueError("missing: give --host, or set its attribute `host`")
        origin = _origin(user.host)
        if _target(user.host) != "/":
            raise ValueError(f"more than a base URL such as http://127.0.0.1:8000: {user.host!r}")
    except ValueError as error:
        user.environment.process_exit_code = 1
        raise StopTest(f"The host of {type(user).__name__} is {error}.") from error
    return origin


def _tls_context_for(user_class: type[SwarmUser]) -> Any:
    if user_class not in _contexts:
        _contexts[user_class] = tls_context(user_class.verify)
    return _contexts[user_class]
