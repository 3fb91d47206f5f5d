"""What locustfiles print: nine of ten published listeners of `test_start` do."""

from dataclasses import replace

from tests.kinds.kind import Expected, Kind
from tests.swarm.processes import GET, locustfile

_EACH_START = """
@events.test_start.add_listener
def begin(environment, **_):
    print("Load test starting. Target:", environment.host)
    for event in ("progress", "failed", "finished", "ready"):
        print(json.dumps({"event": event, "cell": None, "window": {"start": 1, "end": 2}, "requests": 7}))
@events.test_stop.add_listener
def end(environment, **_):
    print("Total requests:", environment.stats.total.num_requests)
"""
_BYTES = """
@events.test_start.add_listener
def begin(**_):
    os.write(1, bytes(range(256)) * 100)
    sys.stdout.write("no line, and none")
    sys.stdout.flush()
    subprocess.run(["echo", "from a program"])
"""
# One line in a life made each later event one of the next cell: false figures, silently.
_ONCE = f'r = {GET}; SAID or SAID.append(print("first answer:", r.status_code))'
_FOUR = Expected(logged=["first answer: 200"], finished=4)

KINDS = (
    Kind(
        1,
        "prints at each start",
        {"users.py": locustfile(_EACH_START)},
        Expected(logged=["Load test starting. Target: http://127.0.0.1:", "Total requests: "]),
    ),
    Kind(
        1,
        "prints bytes by descriptor and by programs",
        {"users.py": locustfile(_BYTES)},
        Expected(logged=["no line, and none", "from a program"]),
    ),
    Kind(
        1,
        "prints once",
        {"users.py": locustfile("SAID = []", body=_ONCE)},
        _FOUR,
        in_ui=replace(_FOUR, finished=2),
        users=(2, 3),
        configurations=("sanic-single", "uvicorn"),
    ),
)
