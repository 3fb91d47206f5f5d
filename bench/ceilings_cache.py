"""Ceilings that were measured before, kept for each machine and version: ``.cache/ceilings.json``."""

import fcntl
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from bench.ceiling import Ceiling, Rig, Subject
from bench.files import is_full, write_text
from bench.processes import ROOT

CACHE = ROOT / ".cache" / "ceilings.json"

# What the generator runs on; the rest of the suite has no part in its speed.
_PACKAGES = ("locust", "gevent", "httptools", "numpy")
_MACHINE = ("machine_id", "system", "cpu", "cpus")
# Old versions' ceilings are of no use to anyone: the newest so many are kept.
_KEPT = 500


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    version: Literal[1] = 1
    ceilings: dict[str, Ceiling] = {}


class Cache:
    """The file of ceilings. ``say`` hears of a file that cannot be used; it is replaced."""

    def __init__(self, say: Callable[[str], None], path: Path = CACHE) -> None:
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

    def add(self, measured: Mapping[str, Ceiling]) -> None:
        """Put ceilings into the file; those that another run adds at the same time stay.

        Where the file cannot be written, that is only told, except on a full disk.
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


def key(subject: Subject, rig: Rig, machine: Mapping[str, Any]) -> str:
    """A hash of all that a ceiling depends on; ``machine`` is the ``host`` of ``run.json``.

    The reference server is no part of it: what it answers is nearly the same whichever it is.
    """
    facts = {
        "machine": {name: machine[name] for name in _MACHINE},
        "launcher": rig.launcher.name,
        "server": rig.split.server[:1],
        "generator": rig.split.generator,
        "users": subject.users,
        "scenario": subject.scenario,
        "python": rig.suite["python"],
        "packages": {name: rig.suite["packages"][name] for name in _PACKAGES},
        "code": _digest([*sorted((ROOT / "swarm").glob("*.py")), subject.path]),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _digest(files: list[Path]) -> str:
    """A hash of the contents of some files."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
