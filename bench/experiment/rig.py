"""The measuring rig: all that runs while something is measured, entered once and ended in order."""

import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.experiment.environments import Environments
from bench.experiment.generator import locustfiles, session
from bench.experiment.generator.generators import Generators
from bench.experiment.generator.session import Session
from bench.experiment.inputs import Inputs, catalogue_file
from bench.launch.databases.database import Database, Source
from bench.launch.launcher import Launcher
from bench.launch.network import Wanted
from bench.launch.proxy import Proxy
from bench.launch.stacks import Say
from bench.machine import cpus, host, network
from bench.machine.cpus import CpuSplit
from bench.machine.host import HostSampler
from bench.machine.processes import interruptible
from bench.model.files import ROOT


class Rig:
    """The launcher, load generator and database of a measurement, their CPUs, and a sampler of the host.

    While it is entered, this process runs on the suite's own CPUs, an interruption is a
    ``KeyboardInterrupt``, and ``scratch`` is a folder below ``folder`` that goes with the rig. Make it before
    anything else is pinned: ``machine`` is the ``host`` of ``run.json``.
    """

    scratch: Path

    def __init__(
        self,
        launcher: Launcher,
        split: CpuSplit,
        folder: Path,
        *,
        session: Session | None = None,
        another: Callable[[str], Session] | None = None,
        database: Database | None = None,
        suite: Mapping[str, Any] | None = None,
        tls: bool = False,
        proxy: Proxy | None = None,
        say: Say = lambda _: None,
    ) -> None:
        """Nothing of it may have been entered.

        ``another`` makes further generators, of one process, by the names of their logs.
        ``suite`` are the versions of what the generator runs on, as in ``run.json``. ``tls``: some servers
        speak TLS, or the proxy does. ``proxy`` is what clients of the servers go through. ``say`` hears of
        what a killed run has left.
        """
        self.launcher = launcher
        self.split = split
        self.folder = folder
        self.database = database
        self.suite = suite or {}
        self._tls = tls
        self.proxy = proxy
        self.machine = host.facts()
        self.host = HostSampler()
        self._session = session
        self._another = another
        self._say = say
        self._entered = ExitStack()

    @classmethod
    def of(
        cls,
        inputs: Inputs,
        launcher: Launcher,
        environments: Environments,
        split: CpuSplit,
        folder: Path,
        say: Say,
        *,
        paths: Mapping[str, Path],
        source: Source | None = None,
        proxy: Proxy | None = None,
        wanted: Wanted | None = None,
        generator: bool = True,
        generators: Generators | None = None,
    ) -> Self:
        """The rig for the scenarios at some paths, which writes to ``folder``.

        ``source`` is where the scenarios' database comes from, ``proxy`` what clients go through, ``wanted``
        the network where all are to meet.
        Without ``generator`` it has no session: the load comes from elsewhere. ``generators`` are those of
        other machines.
        """
        plan, ready = inputs.plan, environments.ready
        launcher.open(
            ready,
            folder,
            say,
            catalogue=catalogue_file(plan),
            files=inputs.files(paths.values()),
            network=wanted,
            startup_timeout_s=plan.startup_s,
        )
        if plan.own_app is not None:
            launcher.serve_app(plan.own_app)
        database = None
        if source is not None:
            database = Database(
                source, launcher, inputs.needing_database, next(iter(ready)), folder, split.own
            )

        def session(log: str, processes: int, elsewhere: Generators | None = None) -> Session:
            return _session(inputs, launcher, paths, split, folder / log, say, processes, elsewhere)

        processes = len(split.generator) if generators is None else 1
        return cls(
            launcher,
            split,
            folder,
            session=session("generator.log", processes, generators) if generator else None,
            another=lambda log: session(log, 1),
            database=database,
            suite=environments.suite,
            tls=plan.proxy_tls or any(each.tls for each in environments.available(inputs).values()),
            proxy=proxy,
            say=say,
        )

    @property
    def session(self) -> Session:
        """The load generator."""
        assert self._session is not None
        return self._session

    @property
    def generators(self) -> Generators | None:
        """Those of other machines, if they make the load."""
        return None if self._session is None else self._session.generators

    @property
    def clocks(self) -> list[dict[str, Any]]:
        """``Session.clocks`` of the load generator."""
        return [] if self._session is None else self._session.clocks

    def another_session(self, log: str) -> Session:
        """A further load generator of one process, with a log of its own in the run's folder; not entered."""
        assert self._another is not None
        return self._another(log)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(interruptible())
            stack.enter_context(cpus.pinned(self.split.own))
            stack.enter_context(self.host)
            scratch = tempfile.TemporaryDirectory(prefix=".serve-", dir=self.folder)
            self.scratch = Path(stack.enter_context(scratch))
            if self._tls:
                self.launcher.certify(self.scratch / "tls")
            # What steers this machine's own network is to be what this run says it is.
            if (left := network.put_back()) is not None:
                self._say(left)
            stack.enter_context(self.launcher)
            if self.database is not None:
                stack.enter_context(self.database)
            if self._session is not None:
                if (generators := self._session.generators) is not None:
                    proxied = self.proxy is not None
                    stack.enter_context(generators.at_work(self.launcher, self.folder, proxied=proxied))
                stack.enter_context(self._session)
                self._session.gather()
            self._entered = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered.__exit__(kind, error, trace)


def _session(
    inputs: Inputs,
    launcher: Launcher,
    paths: Mapping[str, Path],
    split: CpuSplit,
    log: Path,
    say: Say,
    processes: int,
    generators: Generators | None,
) -> Session:
    """A load generator for the scenarios at some paths."""
    plan = inputs.plan
    command = session.arguments(
        [launcher.inside(path) for path in paths.values()],
        processes,
        locustfiles.session_arguments(launcher, plan),
        plan.import_s,
    )
    return Session(
        command,
        split.generator,
        log,
        start=launcher.start_program,
        say=say,
        folder=locustfiles.folder_of_users(plan) or ROOT,
        import_s=plan.import_s,
        generators=generators,
        read_clock=None if launcher.servers_here else launcher.read_clock,
    )
