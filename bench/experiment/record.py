"""What is written of a run and of its cells: ``run.json``, ``cell.json``, a cell's part of server files."""

import random
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.experiment.environments import Environments
from bench.experiment.generator.session import CellError
from bench.experiment.inputs import Inputs, befores
from bench.experiment.results import RunFolder
from bench.launch import stacks
from bench.launch.proxy import Proxy
from bench.launch.server import SAMPLE_INTERVAL_S, Server
from bench.machine import host as machine
from bench.machine.clock import Clock
from bench.machine.cpus import CpuSplit
from bench.machine.host import HOST_FIELDS, HostSampler
from bench.machine.segments import between
from bench.model.cells import Cell
from bench.model.files import ROOT, sha256, write_json, write_text
from bench.model.plans.plan import Plan
from bench.model.records.columns import FILES
from bench.model.records.schema import METHODOLOGY, SCHEMA
from targets.catalogue.configurations import Configuration

_TABLES = ("processes.csv", "workers.csv", "requests.csv")
_LOG = "server.log"
# With a line for each request a log is long: its end will do.
_MOST_LOG_BYTES = 1 << 20
# Of the generator's event, for ``cell.json``; the last ones in a rotation only.
_MEASURED = ("requests", "failures", "latency_us", "arrivals", "completions")
_ROTATED = ("loaded_s", "cpu_s", "idle_cpu_s", "idle_s")


def describe(
    inputs: Inputs, split: CpuSplit, environments: Environments, proxy: Proxy | None = None
) -> dict[str, Any]:
    """``run.json`` as far as it is known before anything runs."""
    plan, catalogue = inputs.plan, inputs.catalogue
    # Of the variants those that the plan names: there are many.
    named = {plan.original(name) for name in (*plan.configurations, *plan.aliases)}
    entries = [
        _entry(each)
        for each in catalogue.configurations.values()
        if each.variant is None or each.name in named
    ]
    if plan.external is not None:
        entries = [plan.external.entry()]
    for alias, original in plan.aliases.items():
        (entry,) = [entry for entry in entries if entry["name"] == original]
        also = f"the same as {original}, under another name (A/A)"
        entries.append(entry | {"name": alias, "summary": also})
    for name, before in befores(plan, catalogue).items():
        (entry,) = [entry for entry in entries if entry["name"] == plan.original(name)]
        also = f"{before.name} with the app of before, which its app is compared with"
        entries.append(entry | {"name": name, "stack": before.stack, "summary": also})
    return {
        "schema": SCHEMA,
        "methodology": METHODOLOGY,
        "plan": {"name": inputs.name, **plan.model_dump()},
        "launcher": environments.launcher,
        "host": machine.facts(),
        **({} if environments.server_host is None else {"server_host": environments.server_host}),
        "cpu_split": split.record(),
        "stacks": {
            stack: {
                "python": environment.version,
                "packages": environment.packages,
                "optimized": environment.optimized,
            }
            for stack, environment in environments.ready.items()
        },
        "suite": environments.suite,
        "git": machine.git_state(),
        "configurations": entries,
        "ceilings": [],
        "unavailable": environments.unavailable,
        "database": None,
        "network": None,
        **_own_app(plan, environments),
        **_own_packages(plan),
        **({} if proxy is None else {"proxy": proxy.facts}),
    }


def _entry(configuration: Configuration) -> dict[str, Any]:
    """The entry of a configuration in ``run.json``."""
    shown = ("name", "summary", "stack", "recycle", "keep_alive_s", "backlog", "variant_of")
    variant = configuration.variant
    about: dict[str, Any] = {} if variant is None else {"variant": asdict(variant)}
    if configuration.sysctls:
        about["sysctls"] = dict(configuration.sysctls)
    return {**{key: getattr(configuration, key) for key in shown}, **about}


def _own_packages(plan: Plan) -> dict[str, Any]:
    """The fields of ``run.json`` for packages that locustfiles need."""
    if plan.packages is None:
        return {}
    return {"locustfile_requirements": {"sha256": stacks.requirements_hash(plan.packages)}}


def _own_app(plan: Plan, environments: Environments) -> dict[str, Any]:
    """The fields of ``run.json`` for an app of the user's own."""
    if plan.own_app is None:
        return {}
    requirements = plan.own_app.requirements
    digest = None if requirements is None else stacks.requirements_hash(ROOT / requirements)
    return {"own_app": {"requirements_sha256": digest, "replaced": environments.replaced}}


def begin(folder: RunFolder, described: dict[str, Any], seed: int | None) -> dict[str, Any]:
    """The ``run.json`` of a run that begins, or that goes on: then it is the recorded one."""
    if (folder.path / "run.json").exists():
        # Availability and the plan's limits may have changed.
        now = {key: described[key] for key in ("unavailable", "plan")}
        return (
            {"database": None, "network": None} | folder.read() | now | {"status": "running", "ended": None}
        )
    own = {
        "run": folder.path.name,
        "status": "running",
        "started": time.time(),
        "ended": None,
        "seed": random.randrange(1 << 32) if seed is None else seed,
        "cells_planned": 0,
        "wall_s": 0.0,
        "load_s": 0.0,
    }
    return described | own


class CellRecord:
    """Opened before a cell's load starts, closed with ``finished`` or ``failed``."""

    def __init__(self, folder: Path, cell: Cell, facts: dict[str, Any]) -> None:
        """Empty the cell's folder; ``facts`` are the fields of ``cell.json`` known before."""
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        self.folder = folder
        self._cell = cell
        self._facts = facts
        self._started = time.time()
        self._clock = Clock()
        self._server: Server | None = None
        self._front_cpu_s: float | None = None  # of the proxy, when the cell began
        self._carried: dict[str, float] | None = None  # by the network of the server's machine, likewise
        self.generator: dict[str, Any] | None = None
        # The kind of a probe is known even if its signal is never sent.
        self.probe: dict[str, Any] | None = (
            None if cell.probe is None else {"kind": cell.probe.kind, "time": None, "pid": None}
        )
        self.server_ended: dict[str, Any] | None = None
        self.rotation: dict[str, Any] | None = None
        self.sample_interval_s = SAMPLE_INTERVAL_S
        self._offsets: dict[str, int] = {}

    def serve(self, server: Server) -> None:
        """Note where the server's files end now: the cell's part begins there.

        In plans of recycling the server is the cell's own, so all of its files belong to the cell.
        """
        self._server = server
        server.fetch()
        self._front_cpu_s = None if server.front is None else server.front.cpu_s()
        self._carried = server.carried()
        for name in (*_TABLES, _LOG):
            path = server.directory / name
            begun = path.exists() and self._cell.recycling is None
            self._offsets[name] = path.stat().st_size if begun else 0

    def becomes(self, cell: Cell, folder: Path, facts: dict[str, Any]) -> None:
        """Make it the record of another cell: people change a load while it runs.

        ``folder`` must not exist; the record's folder is moved there.
        """
        folder.parent.mkdir(parents=True, exist_ok=True)
        self.folder.rename(folder)
        self.folder, self._cell, self._facts = folder, cell, facts

    def finished(self, event: Mapping[str, Any], host: HostSampler) -> dict[str, Any]:
        """Write the record of a measured cell, by the generator's event; returns its ``measured``.

        Raises:
            CellError: the clock was set since the cell began, so that it can only have ``failed``.
        """
        keys = _MEASURED if self.rotation is None else (*_MEASURED, *_ROTATED)
        window, measured = event["window"], {key: event[key] for key in keys}
        self._await_samples(window["end"])
        if (jump := self._clock.jump()) is not None:
            raise CellError(jump)
        self._write(host, status="finished", reason=None, window=window, measured=measured)
        return measured

    def failed(self, reason: str, host: HostSampler) -> None:
        """Write the record of a cell that could not be measured."""
        self._write(host, status="failed", reason=reason, window=None, measured=None)

    def _await_samples(self, end: float) -> None:
        """Wait for the sample that closes the window, so that its CPU time is complete.

        A server that has ended is not sampled any more.
        """
        server = self._server
        assert server is not None
        interval_s = self.sample_interval_s
        deadline = time.monotonic() + 5 * interval_s
        processes = server.directory / "processes.csv"
        while (
            processes.exists()
            and _last_time(processes) < end
            and time.monotonic() < deadline
            and server.running
        ):
            time.sleep(min(interval_s, SAMPLE_INTERVAL_S) / 4)
            server.fetch()

    def _write(self, host: HostSampler, **end: Any) -> None:
        ended = time.time()
        server = self._server
        if server is not None:
            server.fetch()
            self._slice(server.directory)
        lines = [",".join(HOST_FIELDS), *host.rows(self._started - 1, ended)]
        write_text(self.folder / "host.csv", "\n".join(lines) + "\n")
        apart = None if server is None else server.host_rows(self._started - 1)
        if apart is not None:
            write_text(self.folder / "server_host.csv", "\n".join([lines[0], *apart]) + "\n")
        measured = [self.folder / f"{name}.csv" for name in FILES]
        cell = self._cell
        search = cell.search and cell.search.model_dump(include={"p99_ms", "resolution"})
        record = {
            "schema": SCHEMA,
            "configuration": cell.configuration,
            "scenario": cell.scenario,
            "load": cell.load.record(),
            "search": search and search | {"attempt": cell.attempt},
            "workers": cell.workers,
            "repeat": cell.repeat,
            "block": cell.block,
            "recycling": None if cell.recycling is None else asdict(cell.recycling),
            "probe": self.probe,
            "server_ended": self.server_ended,
            "rotation": self.rotation,
            "proxy": None if cell.proxy is None else {"kind": cell.proxy, "cpu_s": self._used_by_front()},
            "started": self._started,
            "ended": ended,
            "generator": self.generator,
            "server": None if server is None else self._of_server(server),
            "files": {path.name: sha256(path) for path in measured if path.exists()},
        }
        write_json(self.folder / "cell.json", record | self._facts | end)

    def _of_server(self, server: Server) -> dict[str, Any]:
        """The ``server`` of cell.json; what its network carried only where that is another machine's."""
        facts = server.facts | {"cpus": server.cpus and list(server.cpus)}
        before = self._carried
        if before is None or (now := server.carried()) is None:
            return facts
        return facts | {"segments": between(before, now)}

    def _used_by_front(self) -> float | None:
        """CPU seconds of the proxy since the cell began; ``None`` where it was not there to the end."""
        before, front = self._front_cpu_s, None if self._server is None else self._server.front
        now = None if front is None else front.cpu_s()
        return None if before is None or now is None else round(now - before, 3)

    def _slice(self, directory: Path) -> None:
        """Copy what the server's files grew by during the cell, whole lines only."""
        for name in (*_TABLES, _LOG):
            path = directory / name
            if not path.exists():
                continue
            with path.open("rb") as stream:
                header = b"" if name == _LOG else stream.readline()
                begin, end = max(self._offsets[name], len(header)), path.stat().st_size
                if name == _LOG and end - begin > _MOST_LOG_BYTES:
                    stream.seek(end - _MOST_LOG_BYTES)
                    stream.readline()
                else:
                    stream.seek(begin)
                grown = stream.read()
            whole = grown[: grown.rfind(b"\n") + 1]
            write_text(self.folder / name, (header + whole).decode("utf-8", errors="replace"))


def _last_time(table: Path) -> float:
    """The time in the last whole row of one of serve's tables; minus infinity if there is none."""
    with table.open("rb") as stream:
        stream.seek(max(0, table.stat().st_size - 4096))
        rows = stream.read().split(b"\n")[1:-1]
    return float(rows[-1].split(b",", 1)[0]) if rows else float("-inf")
