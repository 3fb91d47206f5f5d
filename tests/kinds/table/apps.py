"""Apps which serve themselves when they are imported (sanic-org/sanic#2539, gunicorn#2311), or worse."""

from tests.compose.real.test_own_app import ITSELF
from tests.kinds.kind import Expected, Kind, refused
from tests.swarm.processes import locustfile

_UNKNOWN_TO_THE_UI = "the web UI imports no app: it serves the suite's own, or loads what runs already"
_TOLD = refused(
    "the app serves itself when it is imported",
    'app.py", line',
    'Put that call under `if __name__ == "__main__":`',
)


def _app(name: str, text: str, expected: Expected) -> Kind:
    return Kind(
        2,
        name,
        {"users.py": locustfile()},
        expected,
        in_ui=_UNKNOWN_TO_THE_UI,
        app=text,
        app_name="app:app",
    )


KINDS = (
    _app("serves itself", ITSELF, _TOLD),
    _app("serves itself in one process", ITSELF.replace("port=", "single_process=True, port="), _TOLD),
    _app(
        "kills its process group",
        "import os\nos.killpg(0, 9)\n",
        refused("its import was killed (SIGKILL) without an error"),
    ),
)
