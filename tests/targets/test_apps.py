import pytest

from targets.inside.own_app import OWN_APP as OWN
from targets.inside.own_app import SUITES_APP as SUITES
from targets.inside.own_app import named


@pytest.mark.parametrize(
    ("words", "app", "wanted"),
    [
        (["/x/uvicorn", OWN, "--port", "1"], "a.b:app", ["/x/uvicorn", "a.b:app", "--port", "1"]),
        (["/x/uvicorn", OWN], "a.b:make()", ["/x/uvicorn", "a.b:make", "--factory"]),
        (["/x/granian", OWN], "a.b:make()", ["/x/granian", "a.b:make", "--factory"]),
        (["/x/sanic", SUITES], "a.b:make()", ["/x/sanic", "a.b:make", "--factory"]),
        (["/x/hypercorn", OWN], "a.b:make()", ["/x/hypercorn", "a.b:make()"]),
        (["/x/uvicorn", "c:d", "--factory"], "a.b:make()", ["/x/uvicorn", "c:d", "--factory"]),
    ],
)
def test_a_command_names_the_app_as_its_program_wants_it(words, app, wanted):
    assert named(words, app) == wanted
