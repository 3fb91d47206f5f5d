"""What a locustfile's modules hold is at each cell what it was when they had been loaded.

Accounts are popped from a list of the module (five published files, locustio/locust#987) or of the class
(locustio/locust#389), taken out of a queue, or by a pool that is an object; who has logged in is noted.
"""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

import swarm  # noqa: F401  # has gevent patch this process, so that the server runs while a test waits
from swarm.users.beginnings import Beginning, users_modules
from tests.swarm.processes import locustfile
from tests.swarm.scripted import reply

POPS = """
from queue import Queue
from accounts import POOL

ACCOUNTS = [f"a{number}" for number in range(4)]
TICKETS = Queue()
for number in range(4):
    TICKETS.put(f"t{number}")
LOGGED_IN = {}
COUNT = 0

class Member(HttpUser):
    wait_time = constant(0.02)
    seats = [f"s{number}" for number in range(4)]

    def on_start(self):
        global COUNT
        COUNT += 1
        self.name = ACCOUNTS.pop() if ACCOUNTS else "nobody"
        first = self.name not in LOGGED_IN
        LOGGED_IN[self.name] = True
        seat, ticket = self.seats.pop(), TICKETS.get_nowait()
        self.path = f"/?{self.name}{seat}{ticket}{POOL.take()}c{COUNT}{first}"

    @task
    def look(self):
        self.client.get(self.path)
"""
ACCOUNTS = """
class Pool:
    def __init__(self, size):
        self.free, self.given = [f"p{number}" for number in range(size)], 0

    def take(self):
        self.given += 1
        return self.free.pop() + str(self.given)

POOL = Pool(4)
"""


@pytest.fixture
def server(serve):
    return serve({"/": reply()})


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    (folder / "accounts.py").write_text(ACCOUNTS)
    (folder / "pops.py").write_text(locustfile(POPS).partition("\nclass Visitor")[0])
    return folder / "pops.py"


@pytest.mark.parametrize("processes", [1, 2])
def test_each_cell_has_all_accounts(server, share_session, file, tmp_path, processes):
    session = share_session([file], processes)
    asked = []
    for number in range(2):
        before = len(server.asked)
        session.cell(file, server.url, tmp_path / str(number), users=4)
        finished = session.wait_for("finished", "failed")
        assert finished["event"] == "finished" and not finished["failures"], finished
        asked.append(set(server.targets[before:]))
    of_one = {f"/?a{3 - n}s{3 - n}t{n}p{3 - n}{n + 1}c{n + 1}True" for n in range(4 // processes)}
    assert asked == [of_one, of_one]


# -- What is set back, and what is left alone


@pytest.fixture
def module(monkeypatch):
    made = ModuleType("module_of_a_user")
    made.__file__ = "/somewhere/module_of_a_user.py"
    monkeypatch.setitem(sys.modules, made.__name__, made)
    code = """
from collections import Counter, OrderedDict, defaultdict, deque
import sys

class Holder:
    kept = {"rows": [{"name": "ann", "used": False}]}
    weight = 1
    class Inner:
        seen = set()
    def __init__(self):
        self.names = deque("abc")

HOLDER, NOTHING, MODULES = Holder(), None, sys.modules
ORDERED, MANY, COUNTED = OrderedDict(a=1, b=2), defaultdict(list, a=[1]), Counter("aab")
ROWS = iter([1, 2])
"""
    exec(code, vars(made))
    return made


def test_things_are_set_back_in_place_and_others_left_alone(module):
    beginning = Beginning([module])
    row, names = module.Holder.kept["rows"][0], module.HOLDER.names
    row["used"] = True
    module.Holder.kept["rows"].clear()
    module.Holder.Inner.seen.add(1)
    module.Holder.weight = 7
    names.popleft()
    module.HOLDER.token = module.NOTHING = "token"
    module.ORDERED.move_to_end("a")
    module.MANY["b"].append(module.MANY["a"].pop())
    module.COUNTED.update("ab")
    next(module.ROWS)
    module.ADDED = sys.modules["another_of_a_user"] = ModuleType("another_of_a_user")
    beginning.restore()
    try:
        assert module.Holder.kept == {"rows": [{"name": "ann", "used": False}]}
        assert module.Holder.kept["rows"][0] is row and module.HOLDER.names is names
        assert (list(names), vars(module.HOLDER)) == (["a", "b", "c"], {"names": names})
        assert module.Holder.Inner.seen == set() and module.NOTHING is None
        assert list(module.ORDERED) == ["a", "b"] and module.MANY == {"a": [1]}
        assert module.COUNTED == {"a": 2, "b": 1}
        # Of a test, of everybody, and what cannot be set back.
        assert module.Holder.weight == 7 and "another_of_a_user" in sys.modules
        assert list(module.ROWS) == [2]
    finally:
        del sys.modules["another_of_a_user"]


def test_users_modules_are_neither_installed_nor_the_suites(module):
    found = users_modules()
    assert module in found and sys.modules[__name__] in found
    names = {each.__name__.partition(".")[0] for each in found}
    assert not names & {"swarm", "gevent", "locust", "json"}


def test_packages_of_whatever_environment_are_not_the_users(tmp_path, monkeypatch):
    """With packages of one's own for locustfiles one environment stands on another."""
    for name, folder in (
        ("helper", "load"),
        ("package", "lib/python3.13/site-packages"),
        ("of_debian", "dist-packages"),
    ):
        module = ModuleType(name)
        module.__file__ = str(tmp_path / folder / f"{name}.py")
        monkeypatch.setitem(sys.modules, name, module)
    names = {module.__name__ for module in users_modules()}
    assert "helper" in names and not {"package", "of_debian", "locust", "gevent", "swarm"} & names
