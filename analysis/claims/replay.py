"""The part of a `replay.json` (docs/replay.md) that answers a claim: what was under way at the same time."""

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from analysis.errors import AnalysisError
from analysis.schema import Host

SCHEMA = 1


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Occupancy(_Record):
    """How many requests were on their way at once: on average, at most, and for which share two or more."""

    mean: float
    peak: int
    together: float


class Steps(_Record):
    """How many requests of all processes were under way at once: `called` from call to return, `waiting` sent
    and not yet answered.

    `most_in_a_process` is the highest number of calls at once in any one process.
    """

    called: Occupancy
    waiting: Occupancy
    most_in_a_process: int


class Figures(_Record):
    """What an execution without a failed request showed; `steps` only where they were recorded."""

    steps: Steps | None


class Execution(_Record):
    """One execution of the old benchmark against one configuration."""

    configuration: str
    split: str
    client: str
    figures: Figures | None


class Recorded(_Record):
    """An execution whose requests were recorded."""

    configuration: str
    split: str
    steps: Steps


class Replay(_Record):
    """A replay: `processes` clients of `requests` requests each; `started` in Unix seconds."""

    replay: str
    status: str
    started: float
    processes: int
    requests: int
    host: Host
    executions: tuple[Execution, ...]

    @property
    def recorded(self) -> list[Recorded]:
        """The recorded executions with a client for each process, as the old benchmark had them."""
        return [
            Recorded(configuration=each.configuration, split=each.split, steps=each.figures.steps)
            for each in self.executions
            if each.client == "process" and each.figures is not None and each.figures.steps is not None
        ]


def read(folder: Path) -> Replay:
    """The replay of a folder.

    Raises:
        AnalysisError: it cannot be read, or another version of the suite wrote it.
    """
    path = folder / "replay.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document.get("schema") != SCHEMA:
            raise AnalysisError(f"{path} has schema {document.get('schema')}, this version reads {SCHEMA}")
        return Replay.model_validate(document)
    except (OSError, ValueError, ValidationError) as error:
        raise AnalysisError(f"{path} cannot be read: {error}") from error


def latest(root: Path, machine_id: str) -> Replay | None:
    """The latest finished replay of a machine under `root`; None without one."""
    found: list[Replay] = []
    for path in root.glob("*/replay.json"):
        try:
            found.append(read(path.parent))
        except AnalysisError:  # of another version of the suite, or not whole
            continue
    mine = [each for each in found if each.status == "finished" and each.host.machine_id == machine_id]
    return max(mine, key=lambda each: each.started, default=None)
