"""Small runs of every kind, whose files tests damage: together they have each file that a run can have."""

import csv
import json
import shutil

from bench.model.records.columns import CONNECTIONS, CONNECTIONS_FILE
from tests.fixtures.make_recycling import STORIES, Life, Story, make_recycling
from tests.fixtures.make_run import Open, Rotating, Spec, make_run
from tests.fixtures.make_settings import facts, make_settings
from tests.fixtures.spoil import TRACEBACK, raise_in


def measured(folder):
    """A run of two configurations and an alias, of one cell each."""
    spec = Spec(
        configurations=("sanic", "uvicorn"), scenarios={"index": (8,)}, repeats=1, aliases={"again": "sanic"}
    )
    return make_run(folder, spec)


def opened(folder):
    loads = {"index": (Open((1000,)),)}
    return make_run(folder, Spec(configurations=("sanic",), scenarios={}, open=loads, repeats=1))


def rotated(folder):
    spec = Spec(
        configurations=("sanic", "uvicorn"), scenarios={"index": (8,)}, repeats=2, rotation=Rotating(),
        unavailable=(),
    )  # fmt: skip
    return make_run(folder, spec)


def recycled(folder):
    return make_recycling(folder, STORIES[:2])


def deployed(folder):
    """Deploys of a server, to itself and behind a proxy."""
    lives = [Life(1, -2, -1, died=3.9), Life(3, 3.1, 3.4)]
    of_both = {"probe": (3.0, 99), "renewed": (3,)}
    return make_recycling(
        folder,
        [Story("uvicorn", lives, "deploy", proxy=proxy, **of_both) for proxy in (None, "nginx")],
    )


def varied(folder):
    """A setting of a server on another machine, with connections, and a user's own exception."""
    backlog = facts("uvicorn", "backlog", "--backlog 9", "It is slow.", "worse", ("bursts", "throughput"))
    spec = Spec(
        configurations=("uvicorn",), variants={"uvicorn-cache": backlog}, scenarios={"index": (8,)},
        rotation=Rotating(), repeats=2, unavailable=(),
    )  # fmt: skip
    make_settings(folder, spec)
    path = folder / "run.json"
    document = json.loads(path.read_text())
    other = {"hostname": "there", "machine_id": "2", "cpu": "Big CPU", "cpus": 16, "memory_bytes": None}
    document |= {"launcher": "ssh", "server_host": {**document["host"], **other}}
    path.write_text(json.dumps(document))
    for cell in sorted(path.parent for path in folder.glob("*/*/*/*/cell.json")):
        shutil.copy(cell / "host.csv", cell / "server_host.csv")
    raise_in(cell, [(3, "KeyError: 'item'", TRACEBACK)])
    with (folder / CONNECTIONS_FILE).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(CONNECTIONS.types), restval=0)
        writer.writeheader()
        for name, p99_us in (("uvicorn", 5e4), ("uvicorn-cache", 5e5)):
            of_burst = {"configuration": name, "load": "burst", "workers": 1, "turn": 1}
            met = {"connections": 300, "answered": 290, "timed_out": 10, "p99_us": p99_us, "slowest_us": 6e5}
            writer.writerows({**of_burst, **met, "repeat": repeat} for repeat in (1, 2, 3))
    return folder


EVERY = (measured, opened, rotated, recycled, deployed, varied)
