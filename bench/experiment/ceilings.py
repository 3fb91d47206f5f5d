"""The ceilings of a run: measured now, or kept from before in ``.cache/ceilings.json``."""

import fcntl
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from bench.experiment.ceiling import Ceiling, NoCeilingError, Outcome, Subject, estimate_s, measure
from bench.experiment.rig import Rig
from bench.machine import host
from bench.model.files import ROOT, is_full, write_text
from bench.model.matching import MACHINE
from bench.model.scenarios import Scenario
from targets.catalogue.configurations import Configuration

Say = Callable[[str], None]

CACHE = ROOT / ".cache" / "ceilings.json"

# What the speed of the generator depends on.
_PACKAGES = ("locust", "gevent", "httptools", "numpy")
# The ceilings of old versions are of no use: the newest so many are kept.
_KEPT = 500


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    version: Literal[1] = 1
    ceilings: dict[str, Ceiling] = {}


class Cache:
    """The file of ceilings; one that cannot be used is replaced, and ``say`` reports it."""

    def __init__(self, say: Say, path: Path = CACHE) -> None:
        self._say = say
        self._path = path

    def read(self) -> dict[str, Ceiling]:
        """The ceilings by their key."""
        try:
            return _File.model_validate_json(self._path.read_bytes()).ceilings
        except FileNotFoundError:
            return {}
        except ValidationError as error:
            found = error.errors()[0]
            where = ".".join(map(str, found["loc"]))
            what = f"{where}: {found['msg']}" if where else found["msg"]
            self._say(f"{self._path} cannot be used and is made anew: {what}")
            return {}

    def of_scenario(self, scenario: Scenario, rig: Rig) -> list[Ceiling]:
        """The ceilings of a scenario that hold for a rig, by rising numbers of users."""
        kept = self.read()
        users = {ceiling.users for ceiling in kept.values() if ceiling.scenario == scenario.name}
        subjects = [Subject(scenario.name, scenario.path, count) for count in sorted(users)]
        return [found for subject in subjects if (found := _best(subject, rig, kept)) is not None]

    def add(self, measured: Mapping[str, Ceiling]) -> None:
        """Put ceilings into the file; those that another run adds at the same time stay.

        Where the file cannot be written, ``say`` reports it; a full disk is an error.
        """
        try:
            self._path.parent.mkdir(exist_ok=True)
            with self._path.with_name(f".{self._path.name}.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                merged = sorted({**self.read(), **measured}.items(), key=lambda item: item[1].measured)
                content = _File(ceilings=dict(merged[-_KEPT:]))
                write_text(self._path, content.model_dump_json(indent=2) + "\n")
        except OSError as error:
            if is_full(error):
                raise
            self._say(f"the ceilings cannot be kept for the next run: {error}")


def kept_or_measured(
    rig: Rig, reference: Configuration, wanted: Sequence[Subject], cache: Cache | None, say: Say
) -> list[Ceiling]:
    """The ceilings of a run; ``say`` reports those that cannot be measured, and they are left out.

    ``reference`` is as for ``measure``; without a ``cache`` the ceilings hold for this run only.

    Raises:
        UserError: the port asked for is in use.
    """
    kept = {} if cache is None else cache.read()
    keys = {subject: key(subject, rig, rig.launcher.network) for subject in wanted}
    found = {subject: kept[keys[subject]] for subject in wanted if keys[subject] in kept}
    missing = [subject for subject in wanted if subject not in found]
    if missing:
        say(
            f"measuring what the generator itself can reach, {_loads(len(missing))} against a null server: "
            f"about {estimate_s(len(missing)):.0f} s{', once for this machine and version' if cache else ''}"
        )
        found |= measure_all(rig, reference, missing, cache, say)
    return [found[subject] for subject in wanted if subject in found]


def measure_all(
    rig: Rig, reference: Configuration, wanted: Sequence[Subject], cache: Cache | None, say: Say
) -> dict[Subject, Ceiling]:
    """Measure ceilings, report each, and keep them in the ``cache``; raises as ``kept_or_measured``."""
    measured: dict[Subject, Ceiling] = {}
    lasting: dict[str, Ceiling] = {}

    def done(subject: Subject, outcome: Outcome) -> None:
        if isinstance(outcome, NoCeilingError):
            # Without the last lines of logs: cells that fail for the same reason show them.
            say(f"  {subject}: no ceiling: {str(outcome).splitlines()[0]}")
            return
        measured[subject] = outcome.ceiling
        busy = ""
        if outcome.disturbed:
            kept = "" if cache is None else "not kept for later: "
            busy = f" ({kept}something else took {outcome.others:.0%} of the CPUs)"
        else:
            lasting[key(subject, rig, rig.launcher.network)] = outcome.ceiling
        say(f"  {subject}: {rate(outcome.ceiling)} requests/s{busy}")

    try:
        measure(rig, reference, wanted, done)
    finally:
        if cache is not None:
            cache.add(lasting)
    return measured


def note(record: dict[str, Any], ceilings: Sequence[Ceiling]) -> None:
    """Put ceilings into ``run.json``; they replace earlier ones of the same loads."""
    entries = [*record["ceilings"], *(ceiling.model_dump() for ceiling in ceilings)]
    record["ceilings"] = list({(entry["scenario"], entry["users"]): entry for entry in entries}.values())


def rate(ceiling: Ceiling) -> str:
    """Its requests per second, for people."""
    return f"{'at least ' if ceiling.at_least else ''}{ceiling.requests_per_s:,.0f}"


def _loads(count: int) -> str:
    return f"{count} load{'s' if count > 1 else ''}"


def _best(subject: Subject, rig: Rig, kept: Mapping[str, Ceiling]) -> Ceiling | None:
    """The ceiling that holds for a rig; else that of its network's like that is steered, which is no higher.

    There the generator's CPUs also do what they receive.
    """
    steered = {"namespace": True, "steered_to": list(rig.split.generator)}
    for network in (rig.launcher.network, steered):
        if (found := kept.get(key(subject, rig, network))) is not None:
            return found
    return None


def key(subject: Subject, rig: Rig, network: Mapping[str, Any] | None) -> str:
    """A hash of all that a ceiling depends on; ``network`` as in ``run.json``.

    It does not depend on the reference server: all of them answer nearly the same.
    """
    # The packages of the scenario's own affect its speed.
    common = host.suite_packages()
    own = {name: version for name, version in rig.suite["packages"].items() if name not in common}
    facts = {
        "machine": {name: rig.machine[name] for name in MACHINE},
        "launcher": rig.launcher.name,
        "network": network and {name: network[name] for name in ("namespace", "steered_to")},
        **({} if rig.launcher.server_host is None else {"servers": rig.launcher.server_host}),
        "server": rig.split.server[:1],
        "generator": rig.split.generator,
        "users": subject.users,
        "scenario": subject.scenario,
        "python": rig.suite["python"],
        "packages": {name: rig.suite["packages"][name] for name in _PACKAGES} | own,
        "code": _digest([*sorted((ROOT / "swarm").rglob("*.py")), subject.path]),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _digest(files: list[Path]) -> str:
    """A hash of the contents of some files."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
