"""Code of users that raises or ends, and servers that answer nothing well."""

from dataclasses import replace

from tests.kinds.kind import Expected, Kind
from tests.swarm.processes import GET, locustfile

_RAISES = """
@events.test_start.add_listener
def log_in(**_):
    raise RuntimeError("no accounts")
"""
_RAISED = Expected(
    raised=["listener log_in of test_start: RuntimeError: no accounts", "KeyError: 'it'"],
    found=["tasks raised", "listeners raised"],
)
_BEGINS_IN_VAIN = locustfile(
    "class Base(HttpUser):\n    abstract = True\n    def on_start(self): {}['token']"
).replace("Visitor(HttpUser)", "Visitor(Base)")


def _stops(name: str, text: str, why: str) -> Kind:
    return Kind(
        6,
        name,
        {"users.py": text},
        Expected(1, [why], finished=0, failed=1),
        in_ui=Expected(said=[why], finished=0, failed=1),
    )


KINDS = (
    Kind(
        6,
        "raises in tasks and listeners",
        {"users.py": locustfile(_RAISES, body=f'{GET}; raise KeyError("it")')},
        _RAISED,
        in_ui=replace(_RAISED, said=["exceptions, the first listener log_in of test_start: RuntimeError"]),
    ),
    _stops("has users which fail at their start", _BEGINS_IN_VAIN, "3 ended by KeyError: 'token'"),
    # A published file ends users at the end of their list of songs.
    _stops("has users which stop", locustfile(body=f"{GET}; raise StopUser()"), "3 raised StopUser"),
    # Every answer refused and yet status 0 is what locustio/locust#152 was about.
    Kind(
        6,
        "gets no good answer",
        {"users.py": locustfile(body='self.client.get("/broken")')},
        Expected(1, ["no request succeeded: all", "http_5xx"], answered=False),
        in_ui=Expected(answered=False),
    ),
)
