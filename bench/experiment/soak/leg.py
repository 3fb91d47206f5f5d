"""The load on one server of a soak, lap after lap: the generator writes a lap, and goes on."""

import math
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from bench.experiment.generator.dialogue import Event
from bench.experiment.generator.session import CellError, Load, Session
from bench.model.errors import UserError


class Leg(threading.Thread):
    """Laps until a moment, until it is told to stop, or until something fails.

    ``reason`` says what failed, for people; ``error`` is what must end the whole soak (a full disk).
    """

    def __init__(
        self,
        session: Session,
        load: Load,
        until: float,
        failure: Callable[[], str | None],
        take: Callable[[float], None],
    ) -> None:
        """``session`` has been entered. ``load`` is a lap of the usual length, ``until`` a monotonic time.

        ``failure`` says why the server cannot be loaded any more; ``take`` is called after each lap, with the
        Unix second in which it ended.
        """
        super().__init__(daemon=True)
        self._session = session
        self._load = load
        self._until = until
        self._failure = failure
        self._take = take
        self._stopping = threading.Event()
        self._in_window = False
        self.laps = 0
        self.report: Event | None = None  # the generator's last
        self.reason: str | None = None
        self.error: Exception | None = None

    def stop(self) -> None:
        """Have it end with the second that is running; does not wait."""
        self._stopping.set()

    def run(self) -> None:
        """Go round."""
        try:
            while not self._stopping.is_set() and (left := self._until - time.monotonic()) > 0:
                self._lap(min(self._load.measured_s, math.ceil(left)))
        except (CellError, UserError) as error:
            self.reason = str(error)
        except Exception as error:  # noqa: BLE001  (raised again by who looks after the legs)
            self.error = error

    def _lap(self, seconds: int) -> None:
        if self._load.directory.exists():
            shutil.rmtree(self._load.directory)
        self._load.directory.mkdir(parents=True)
        self._in_window = False
        event = self._session.run(replace(self._load, measured_s=seconds), self._watch, self._heard)
        self._take(float(event["window"]["end"]))
        self.laps += 1

    def _watch(self) -> str | None:
        if self._stopping.is_set() and self._in_window:
            self._session.enough()
        return self._failure()

    def _heard(self, event: Event) -> None:
        self._in_window = event["window_start"] is not None
        self.report = event
