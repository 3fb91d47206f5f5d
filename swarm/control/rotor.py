"""What a rotation does in one process of the generator: its users, its gates, what a master says.

The session says three things to each process, by a call or by Locust's messages: settle one target, begin the
rounds, drop a target. The first two are answered when they are done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from time import perf_counter, perf_counter_ns
from typing import Any, Final

import gevent
from locust.env import Environment
from locust.runners import WorkerRunner

from ..engine.agent import Agent
from ..engine.clock import Master, unix
from ..engine.engine import engine_of
from ..engine.gates import Gate
from ..engine.recorder import recorder_of
from ..engine.rotation.meters import Meters
from ..engine.rotation.rounds import Rounds, lift, settle
from ..engine.rotation.timetable import Timetable
from ..engine.stage import Stage
from ..environments import per_environment
from ..recording.slices import Loaded, Part
from .rotating import Target, classes_of_targets
from .scenarios import Scenario

ASK_MESSAGE: Final = "whichworker_rotate"
ANSWER_MESSAGE: Final = "whichworker_rotated"
REPORT_KEY: Final = "whichworker_rotation"

SETTLE: Final = "settle"
BEGIN: Final = "begin"
DROP: Final = "drop"

Answer = Callable[[Mapping[str, Any]], None]


class Rotor:
    """The part of one environment in a rotation; between rotations it has none."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._engine = engine_of(environment)
        self._recorder = recorder_of(environment)
        self._gates: dict[str, Gate[Agent]] = {}
        self._to_unix_ns = 0
        self._ticker: gevent.Greenlet | None = None
        self._rows: list[dict[str, Any]] = []
        self._reported: dict[str, Sequence[int]] = {}
        hooks = environment.events
        hooks.test_start.add_listener(self._started)
        hooks.test_stopping.add_listener(self._stopping)
        hooks.report_to_master.add_listener(self._report)
        hooks.worker_report.add_listener(self._note_report)
        if isinstance(environment.runner, WorkerRunner):
            environment.runner.register_message(ASK_MESSAGE, self._asked)

    # -- Users and gates

    def place(self, scenario: Scenario, users: int, targets: Sequence[Target], to_unix_ns: int) -> None:
        """Put the users of all targets in place of the scenario's, for the next test."""
        self.clear()
        self._to_unix_ns = to_unix_ns
        self._environment.user_classes = classes_of_targets(scenario.classes, users, targets)
        self._gates = {target.name: Gate(target.name, to_unix_ns) for target in targets}
        self._engine.gates = self._gates

    def clear(self) -> None:
        """Forget the last rotation."""
        if self._ticker is not None:
            self._ticker.kill()
        self._ticker = None
        for key in [key for key in self._engine.prepared if getattr(key[0], "whichworker_target", None)]:
            del self._engine.prepared[key]
        self._gates = self._engine.gates = {}
        self._rows = []
        self._reported = {}

    def counts(self) -> tuple[int, int]:
        """Successes and failures so far: of this process, or as its workers last told."""
        if self._reported:
            return sum(each[0] for each in self._reported.values()), sum(
                each[1] for each in self._reported.values()
            )
        gates = self._gates.values()
        return sum(gate.requests for gate in gates), sum(gate.lost for gate in gates)

    # -- What the session asks

    def ask(self, kind: str, data: Mapping[str, Any], answer: Answer) -> None:
        """Do what is asked for; `answer` is called when that is done."""
        match kind:
            case "settle":
                self._settle(data, answer)
            case "begin":
                self._begin(data, answer)
            case "drop":
                self._gates[data["target"]].is_dropped = True
                answer({})

    def _settle(self, data: Mapping[str, Any], answer: Answer) -> None:
        gate = self._gates[data["target"]]

        def done(loaded_ns: float | None) -> None:
            usual_ns = gate.usual_ns() if loaded_ns is None else loaded_ns
            gate.forget()
            answer({"usual_s": None if usual_ns is None else usual_ns / 1e9})

        length_ns, pause_ns = int(data["length_s"] * 1e9), int(data["pause_s"] * 1e9)

        def steps(stage: Stage) -> Iterator[int]:
            return settle(stage, gate, length_ns, data["step"], pause_ns, done)

        self._engine.follow(steps)

    def _begin(self, data: Mapping[str, Any], answer: Answer) -> None:
        table = Timetable(**{**data["timetable"], **_tuples(data["timetable"])})
        metered = data["meters"]
        meters = None if metered is None else Meters(metered["pids"], metered["cpus"], metered["servers"])
        rounds = Rounds(self._gates, table.slices(data["begin_ns"] - Master.ahead_ns), meters)

        def done() -> None:
            answer(self._part(rounds).packed())

        # Figures are made in a greenlet of their own, which may wait for the network.
        self._engine.follow(lambda stage: rounds.steps(stage, partial(gevent.spawn, done)))

    def _part(self, rounds: Rounds) -> Part:
        loaded = {name: Loaded(gate.histograms(), gate.failures.rows()) for name, gate in self._gates.items()}
        users = {name: len(gate.agents) for name, gate in self._gates.items()}
        return Part(list(rounds.slices(self._to_unix_ns)), loaded, self._rows, users)

    # -- What Locust tells

    def _started(self, **_: object) -> None:
        if not self._gates:
            return
        self._recorder.count_anew()
        self._ticker = gevent.spawn(self._tick)

    def _stopping(self, **_: object) -> None:
        """Users are about to be told to stop: they must not wait for a gate."""
        gates = list(self._gates.values())
        if self._ticker is not None:
            self._ticker.kill()
        if gates:
            self._engine.follow(lambda stage: lift(stage, gates))

    def _tick(self) -> None:
        """Once a second: a row about this process."""
        runner = self._environment.runner
        assert runner is not None
        number = runner.worker_index + 1 if isinstance(runner, WorkerRunner) else 0
        while True:
            due = perf_counter() + 1 - unix() % 1
            gevent.sleep(max(0.0, due - perf_counter()))
            lag_ms = max(0.0, perf_counter() - due) * 1e3
            self._recorder.requests, self._recorder.failures = self.counts()
            row = self._recorder.generator_row(number, len(runner.user_greenlets), lag_ms)
            row["time"] = (perf_counter_ns() + self._to_unix_ns) / 1e9
            self._rows.append(row)

    def _report(self, client_id: str, data: dict[str, Any]) -> None:
        del client_id
        if self._gates:
            data[REPORT_KEY] = self.counts()

    def _note_report(self, client_id: str, data: Mapping[str, Any]) -> None:
        if REPORT_KEY in data:
            self._reported[client_id] = data[REPORT_KEY]

    def _asked(self, environment: Environment, msg: Any) -> None:
        """A worker is asked by its master."""
        runner, asked = environment.runner, msg.data
        assert isinstance(runner, WorkerRunner)

        def answer(data: Mapping[str, Any]) -> None:
            told = {"number": asked["number"], "data": dict(data)}
            gevent.spawn(runner.send_message, ANSWER_MESSAGE, told)

        self.ask(asked["kind"], asked["data"], answer)


def packed(table: Timetable) -> dict[str, Any]:
    """A timetable as a message takes it."""
    return {**asdict(table), **{name: list(each) for name, each in _tuples(asdict(table)).items()}}


def _tuples(table: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(table[name]) for name in ("targets", "manners")}


@per_environment
def rotor_of(environment: Environment) -> Rotor:
    """The rotor of an environment, which has its runner by now."""
    return Rotor(environment)
