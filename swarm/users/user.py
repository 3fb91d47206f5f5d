"""`SwarmUser`: a Locust user written as generators."""

from __future__ import annotations

import logging
import traceback
from http.cookiejar import CookieJar
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Final, NoReturn
from urllib.parse import unquote, urlsplit, urlunsplit

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

from ..engine.agent import Agent, Connect, Life, Pause
from ..engine.engine import engine_of
from ..engine.openloop import Arrivals
from ..engine.polling import let_all_run
from ..engine.trace import TracedAgent
from ..http.connection import tls_context
from ..http.exchange import ClosingRequest, Origin, Request
from ..http.preparing import prepare
from ..http.request_options import (
    INSTEAD_OF_ATTRIBUTE,
    NO_CLIENT,
    OPTIONS,
    Auth,
    Headers,
    RequestOptions,
    check_class,
    checked_timeout,
    refuse_attribute,
    refuse_unknown,
)
from .tasks import task_loop
from .unsent import SUITE, Run, Watch, watchlist_of
from .user_code import user_code_of

logger = logging.getLogger(__name__)

PREPARED_REQUESTS: Final = 10_000
"""How many requests without options a user class keeps ready, by method and path."""

PREPARED_WITH: Final = frozenset({"auth", "default_headers", "keep_alive", "timeout"})
"""Attributes that prepared requests were made with: a user that sets one prepares its own."""

AT_ONCE: Final = 256
"""So many users are started before other greenlets have a turn."""

NOT_FREE: Final = PREPARED_WITH | INSTEAD_OF_ATTRIBUTE.keys()


class _NoClient:
    """Stands where Locust's own users have their client."""

    def __get__(self, user: object, user_class: type) -> NoReturn:
        raise AttributeError(NO_CLIENT)


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
    default_headers: ClassVar[Headers] = {}
    """Sent with each request, unless that has them itself; one which is None there is not sent."""
    auth: Auth | None = None
    """A pair (user, password) for basic authentication, or an `AuthBase` of `requests`."""
    use_cookies: bool = False
    """True: keep the cookies that responses set, a jar for each user, and send them."""
    verify: bool | str = True
    """TLS: True for the system's authorities, False for no check, or the path of a CA bundle."""

    client: Any = _NoClient()

    whichworker_target: str | None = None
    """The suite's own: in a rotation the target that the class's users ask."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        check_class(cls, SwarmUser)
        if cls.arrivals is not None and not isinstance(cls.arrivals, Arrivals):
            raise TypeError(f"{cls.__name__}.arrivals is an Arrivals(...) or None, not {cls.arrivals!r}")

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.origin = _own_origin(self)
        self.cookies = CookieJar() if self.use_cookies else None
        self.engine = engine_of(environment)
        self._prepared = self.engine.prepared[type(self), self.origin]
        self._watch: Run | None = None
        if self.auth is None and (of_host := _auth_of(str(self.host))) is not None:
            self.auth = of_host

    def __setattr__(self, name: str, value: object) -> None:
        if name in NOT_FREE:
            if name in INSTEAD_OF_ATTRIBUTE:
                refuse_attribute(type(self), name)
            # This user's requests now differ from those of its class.
            object.__setattr__(self, "_prepared", {})
        object.__setattr__(self, name, value)

    # -- Requests

    def request(self, method: str, path: str, **options: Unpack[RequestOptions]) -> Request:
        """A request to yield. `path` may be an absolute URL; `name` groups it in the statistics.

        `params`, `headers`, `cookies`, `json`, `data`, `files` and `auth` are those of `requests`, sent as it
        sends them; `timeout` is in seconds. Raises TypeError for other options, and TypeError or
        ValueError for what HTTP does not allow or SwarmUser does not do, with what to do instead.
        """
        if not options:
            ready = self._prepared.get((method, path))
            if ready is not None:
                return ready
        request = self._prepare(method, path, options)
        if self._watch is not None:
            self._watch.made(request)
        elif not options and len(self._prepared) < PREPARED_REQUESTS:
            self._prepared[(method, path)] = request
        return request

    def get(self, path: str, **options: Unpack[RequestOptions]) -> Request:
        if not options:
            ready = self._prepared.get(("GET", path))
            if ready is not None:
                return ready
        return self.request("GET", path, **options)

    def head(self, path: str, **options: Unpack[RequestOptions]) -> Request:
        return self.request("HEAD", path, **options)

    def options(self, path: str, **options: Unpack[RequestOptions]) -> Request:
        return self.request("OPTIONS", path, **options)

    def post(self, path: str, **options: Unpack[RequestOptions]) -> Request:
        return self.request("POST", path, **options)

    def put(self, path: str, **options: Unpack[RequestOptions]) -> Request:
        return self.request("PUT", path, **options)

    def patch(self, path: str, **options: Unpack[RequestOptions]) -> Request:
        return self.request("PATCH", path, **options)

    def delete(self, path: str, **options: Unpack[RequestOptions]) -> Request:
        return self.request("DELETE", path, **options)

    def pause(self, seconds: float) -> Pause:
        """Rest within a task: `yield self.pause(0.5)`."""
        pause = Pause(seconds)
        if self._watch is not None:
            self._watch.made(pause)
        return pause

    def _prepare(self, method: str, path: str, options: RequestOptions) -> Request:
        if not options.keys() <= OPTIONS:
            refuse_unknown(options)
        prepared = prepare(method, self.origin.url, path, options, self.default_headers, self.auth)
        headers = prepared.headers
        cookies = None
        if self.cookies is not None and prepared.cookies:
            cookies = prepared.cookies  # they join those of the jar at each sending
            headers.pop("Cookie", None)
        connection = headers.get("Connection")
        if connection is None and not self.keep_alive:
            connection = headers["Connection"] = "close"
        name = options.get("name") or prepared.label
        if not isinstance(name, str):
            raise TypeError(f"name is text, not {name!r}")
        closes = connection is not None and "close" in connection.lower()
        return (ClosingRequest if closes else Request)(
            self.origin if prepared.url is None else _origin(prepared.url),
            prepared.method,
            prepared.target,
            name=name,
            headers=headers,
            body=prepared.body,
            timeout=checked_timeout(options.get("timeout", self.timeout)),
            samples=self.engine.samples(self.whichworker_target, prepared.method, name),
            cookies=cookies,
        )

    # -- Life

    def start(self, group: Group) -> gevent.Greenlet:
        """Start the user: its greenlet is parked while the engine drives it. Called by Locust.

        Of those that are started one after the other, some are alive before the next are made: a process that
        makes thousands would answer nobody meanwhile, and be taken for lost.
        """
        self._group = group
        self._greenlet = group.spawn(_live, self)
        if len(group) % AT_ONCE == 0:
            let_all_run()
        return self._greenlet

    def life(self, agent: Agent) -> Life:
        """The whole life as one generator: `on_start`, tasks and waits, `on_stop`."""
        self._state = LOCUST_STATE_RUNNING
        root = DefaultTaskSet(self)
        self._taskset_instance = root
        watch = Watch(self, watchlist_of(self.environment))
        try:
            try:
                yield from watch.hook(self.on_start)
            except Exception as error:
                if not isinstance(error, StopUser | StopTest):
                    self._report(self, error)
                    self._ends(error)
                    return
                raise
            if agent.loop is not None and self.keep_alive:
                yield Connect(self.origin)
            yield from task_loop(self, root, agent, self._report, watch)
        except (GreenletExit, StopUser, StopTest) as error:
            self._ends(error)
            yield from watch.hook(self.on_stop)
        except SystemExit as error:
            self._ends(error)
            raise

    def _ends(self, error: BaseException) -> None:
        user_code_of(self.environment).ended(self, error)

    def _report(self, source: object, error: Exception) -> None:
        tb = _of_the_task(error.__traceback__)
        where = "".join(traceback.format_tb(tb))
        if watchlist_of(self.environment).first(where):  # Locust counts the others, the log need not
            logger.error("%s\n%s", error, "".join(traceback.format_exception(type(error), error, tb)))
        self.environment.events.user_error.fire(user_instance=source, exception=error, tb=tb)

    def tls_context(self) -> Any:
        """The TLS context of this user class."""
        return _tls_context_for(type(self))


def _live(user: SwarmUser) -> None:
    # Locust finds the user as the first argument of its greenlet.
    engine = engine_of(user.environment)
    engine.run(Agent(user) if engine.trace is None else TracedAgent(user, engine.trace))


def _of_the_task(tb: TracebackType | None) -> TracebackType | None:
    """A traceback from the task on: how it was called differs, and Locust counts different ones apart."""
    inner = tb
    while inner is not None and Path(inner.tb_frame.f_code.co_filename).is_relative_to(SUITE):
        inner = inner.tb_next
    return inner or tb


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


def _auth_of(url: str) -> tuple[str, str] | None:
    """The user and password in a URL."""
    parts = urlsplit(url)
    if parts.username is None and parts.password is None:
        return None
    return unquote(parts.username or ""), unquote(parts.password or "")


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
