"""Packages that locustfiles need: an environment of the generator's own, and what runs in it."""

import json
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from bench.launch import stacks
from bench.launch.own import own_packages
from bench.launch.selection import choose_launcher
from bench.machine import cpus
from bench.model.errors import UsageError, UserError
from bench.model.files import ROOT
from bench.model.plans import plan
from bench.studies.cockpit import serve
from tests.bench.commands import told
from tests.bench.launch.test_external import TINY, server
from tests.patience import LONG_S

__all__ = ["server"]  # a fixture

HERE = Path(sysconfig.get_path("purelib"))
# As published files and the question of locustio/locust#1735 have it: a package that the suite has not, used
# while the file is loaded. Its name is nobody's.
NEEDS = '''"""Made-up people."""
from locust import HttpUser, task
from whichworker_made_up import name

class Someone(HttpUser):
    @task
    def look(self):
        self.client.get("/index", headers={"X-Name": name()})
'''


def wheel(folder, name, version, *needs):
    """Puts a package of one function into a folder that pip can look in."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    requires = "".join(f"Requires-Dist: {each}\n" for each in needs)
    contents = {
        f"{module}.py": f"def name():\n    return 'Ada {version}'\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*contents, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{module}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in {**contents, f"{info}/RECORD": record}.items():
            archive.writestr(path, text)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """Lines that have pip look into a folder of made-up packages, and nowhere else."""
    folder = tmp_path_factory.mktemp("wheels")
    for version in ("1.0", "2.0"):
        wheel(folder, "whichworker-pinned", version, "whichworker-below")
        wheel(folder, "whichworker-below", version)
    wheel(folder, "whichworker-made-up", "1.0", "whichworker-below<2")
    wheel(folder, "whichworker-picky", "1.0", "whichworker-pinned>=2")
    return f"--no-index\n--find-links {folder}\n"


@pytest.fixture
def pinned(tmp_path, index):
    """What stands for the suite's own requirements: installing those takes a minute."""
    path = tmp_path / "pinned.txt"
    path.write_text(f"{index}whichworker-pinned==1.0\n")
    return path


def requirements(folder, text):
    path = folder / "load.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_it_has_what_is_pinned_and_what_is_asked_for_and_is_made_once_for_each_content(
    tmp_path, index, pinned, quick_venvs
):
    said, venvs = [], tmp_path / "venvs"
    before = sorted(HERE.iterdir())
    wanted = requirements(tmp_path, f"{index}whichworker-made-up\n")
    made = own_packages.ensure_generator(wanted, said.append, venvs, pinned)
    packages = {name: made.packages[name] for name in made.packages if name.startswith("whichworker")}
    # The newest that what is pinned depends on had to give way; what is pinned had not.
    assert packages == {
        "whichworker-pinned": "1.0", "whichworker-below": "1.0", "whichworker-made-up": "1.0"
    }  # fmt: skip
    assert made.version == sys.version.split()[0] and made.python.is_relative_to(venvs)
    assert len(said) == 1 and f"installing the suite with {wanted} into suite-own-" in said[0]
    assert own_packages.ensure_generator(wanted, said.append, venvs, pinned) == made and len(said) == 1
    # Its `locust` finds swarm from any folder, and nothing else of the checkout.
    look = "import importlib.util as u; print([bool(u.find_spec(n)) for n in ('swarm', 'bench', 'targets')])"
    done = subprocess.run([made.python, "-c", look], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "[True, False, False]\n"
    assert sorted(HERE.iterdir()) == before, "the suite's own environment"
    # Another content is another environment, and one that cannot be had leaves none.
    requirements(tmp_path, f"{index}whichworker-below==3\n")
    with pytest.raises(UserError, match="No matching distribution found for whichworker-below==3"):
        own_packages.ensure_generator(wanted, said.append, venvs, pinned)
    assert [path for path in venvs.iterdir() if path.is_dir()] == [made.python.parents[1]]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            "whichworker-pinned==2.0",
            ["The user requested whichworker-pinned==1.0", "whichworker-pinned==2.0"],
        ),
        ("whichworker-picky", ["whichworker-picky 1.0 depends on whichworker-pinned>=2"]),
    ],
)
def test_a_conflict_with_what_is_pinned_is_told_in_pips_words(tmp_path, index, pinned, asked, words):
    said = []
    with pytest.raises(UserError) as caught:
        own_packages.ensure_generator(
            requirements(tmp_path, f"{index}{asked}\n"), said.append, tmp_path / "venvs", pinned
        )
    first, *lines, last = str(caught.value).splitlines()
    assert first.endswith(
        "load.txt cannot be installed with the load generator, whose versions stay; pip says:"
    )
    assert all(word in "\n".join(lines) for word in [*words, "ResolutionImpossible"])
    assert last.startswith(f"change {tmp_path}/load.txt: allow the versions of requirements/suite.txt")
    assert said == [], "before anything is installed"


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        # A list with an old template engine beside what a test needs (locustio/locust#1425).
        ("requests\nflask>=1.0.2\njinja2~=2.11.2", "jinja2~=2.11.2"),
        # An older Locust, as the list of a project of its own pins it.
        ("locust==2.31.3\nfaker", "locust==2.31.3"),
    ],
)
def test_lists_of_projects_that_pin_what_the_suite_pins_conflict_with_it(tmp_path, asked, word):
    with pytest.raises(UserError) as caught:
        own_packages.ensure_generator(requirements(tmp_path, asked), print, tmp_path / "venvs")
    name = word.partition("==")[0].partition("~")[0]
    assert f"The user requested {word}" in str(caught.value)
    assert f"The user requested {name}=={own_packages.host.suite_versions()['packages'][name]}" in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("faker\n-e .\n", "line 2: pip would build '-e .' where it lies, and nothing may be written there; "),
        ("./lib\n", "leave it out: what lies beside a locustfile is on its path"),
        ("-r base.txt\n", r"base\.txt is no requirements file that can be read: No such file or directory"),
        (b"\xff\xff\xff", r"load\.txt is no requirements file that can be read: it is not text"),
    ],
)
def test_what_cannot_be_read_or_would_be_built_in_place_is_refused(tmp_path, content, why):
    with pytest.raises(UsageError, match=why):
        own_packages.ensure_generator(requirements(tmp_path, content), print, tmp_path / "venvs")
    assert not (tmp_path / "venvs").exists()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-8"])
def test_requirements_are_read_as_pip_reads_them(tmp_path, encoding):
    # A shell that redirects `pip freeze` may write UTF-16.
    path = requirements(tmp_path, "# é\nfaker==1\n-r more.txt\n".encode(encoding))
    (tmp_path / "more.txt").write_text("")
    assert stacks.requirement_files(path) == [path, tmp_path / "more.txt"]
    assert stacks.requirements_text(path).startswith("# é")


def test_versions_are_spelled_as_the_suite_spells_them():
    made = stacks.Environment(
        Path("python"), "3.11.7", {"Jinja2": "3.1.6", "Faker": "40.0", "locust": "2.47.0"}
    )
    every = {"Faker": "40.0", "jinja2": "3.1.6", "locust": "2.47.0"}
    assert own_packages.versions(made) == {"python": "3.11.7", "packages": every}
    del every["Faker"]
    assert own_packages.versions(made, pinned_only=True)["packages"] == every


def test_packages_belong_to_a_locustfile_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "users.py").write_text(NEEDS)
    (tmp_path / "load.txt").write_text("")
    alone = told("run", "--locustfile-requirements", "load.txt")
    assert alone.exit_code == 2 and "belong to a locustfile of your own: give SCENARIO= too" in alone.stderr
    missing = told("run", "--locustfile", "users.py", "--locustfile-requirements", "lode.txt")
    assert missing.exit_code == 2 and f"there is no file {tmp_path}/lode.txt (SCENARIO_REQUIREMENTS=)" in (
        missing.stderr
    )
    alone = told("ui", "--locustfile-requirements", "load.txt")
    assert alone.exit_code == 2 and "give SCENARIO= too" in alone.stderr
    assert "locustfile_requirements" not in plan.load("quick").model_dump()
    text = (ROOT / "bench" / "plans" / "quick.toml").read_text()
    (tmp_path / "mine.toml").write_text(
        f'locustfiles = "users.py"\nlocustfile_requirements = "load.txt"\n{text}'
    )
    assert plan.load(str(tmp_path / "mine.toml")).packages == tmp_path / "load.txt"


# -- What runs in it


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """Has environments made in no time, of this one and a package beside it; lists what they are for."""
    made = []

    def create(folder, wanted, wanted_by, *_):
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        (site,) = folder.glob("lib/python*/site-packages")
        (site / "suite.pth").write_text(f"{HERE}\n")
        (site / "whichworker_made_up.py").write_text("def name():\n    return 'Ada'\n")
        (site / "whichworker_made_up-1.0.dist-info").mkdir()
        (site / "whichworker_made_up-1.0.dist-info" / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: whichworker-made-up\nVersion: 1.0\n"
        )
        made.append(wanted_by)
        return stacks.finished(folder, wanted)

    ensure = own_packages.ensure_generator
    monkeypatch.setattr(own_packages, "_create", create)
    monkeypatch.setattr(
        own_packages, "ensure_generator", lambda path, say: ensure(path, say, tmp_path / "venvs")
    )
    return made


@pytest.fixture
def needy(tmp_path):
    """A folder with a locustfile that needs a package, and the list of what it needs."""
    folder = tmp_path / "load test"
    folder.mkdir()
    (folder / "needy.py").write_text(NEEDS)
    (folder / "load.txt").write_text("whichworker-made-up\n")
    return folder


def test_a_run_has_the_packages_and_records_them(tmp_path, beside, needy, server):
    (tmp_path / "tiny.toml").write_text(TINY)
    arguments = ["run", "--url", server, "--plan", str(tmp_path / "tiny.toml"), "--no-report"]
    arguments += ["--results", str(tmp_path / "results"), "--locustfile", str(needy / "needy.py")]
    without = told(*arguments)
    assert without.exit_code == 1 and not (tmp_path / "results").exists()
    assert without.stderr.splitlines()[-1] == (
        "Locustfiles may import what lies beside them and the packages of requirements/suite.txt. "
        "To have others: SCENARIO_REQUIREMENTS=FILE, which names them for pip (docs/own-app.md)"
    )
    done = told(*arguments, "--locustfile-requirements", str(needy / "load.txt"))
    assert done.exit_code == 0, done.output
    assert beside == [needy / "load.txt"], "it is made once"
    (folder,) = (tmp_path / "results").iterdir()
    run = json.loads((folder / "run.json").read_text())
    assert run["plan"]["locustfile_requirements"] == str(needy / "load.txt")
    assert run["locustfile_requirements"] == {"sha256": stacks.requirements_hash(needy / "load.txt")}
    assert run["suite"]["packages"]["whichworker-made-up"] == "1.0"
    assert {"locust", "jinja2", "pandas"} < set(run["suite"]["packages"])
    (cell,) = [json.loads(path.read_text()) for path in folder.glob("external/needy/*/r1/cell.json")]
    assert cell["status"] == "finished" and cell["measured"]["requests"] > cell["measured"]["failures"] == 0


def test_every_kind_of_launcher_runs_the_suites_programs_there(tmp_path, beside, needy, server):
    whereabouts = "import sys, whichworker_made_up; print(sys.prefix, end='')"
    venvs = str(tmp_path / "venvs")
    for external in (None, plan.Deployed(url=server)):
        asked = "processes" if external is None else None
        launcher, _ = choose_launcher(asked, None, external, packages=needy / "load.txt")
        with launcher.open({}, tmp_path, print):
            program = launcher.start_program(
                ["-c", whereabouts], cpus.split_here(1).own, stdout=subprocess.PIPE
            )
            assert program.communicate()[0].decode().startswith(venvs)
    assert beside == [needy / "load.txt"], "another kind finds it there"


def asked_of_the_ui(needy, target, packages):
    return serve.Options(
        host="127.0.0.1",
        port=0,
        password=None,
        target=target,
        scenarios=None,
        warmup_s=1.0,
        catalogue=None,
        locustfiles=str(needy),
        locustfile_requirements=packages,
        launcher=None,
        results=needy / "results",
    )


def test_the_web_ui_has_the_packages(tmp_path, beside, needy, server, monkeypatch):
    ports = []
    monkeypatch.setattr(serve, "_run", lambda line, *_: ports.append(line.port))
    serve.serve(asked_of_the_ui(needy, server, str(needy / "load.txt")), print)
    assert ports[0] > 0
    with pytest.raises(UserError) as refused:
        serve.serve(asked_of_the_ui(needy, server, None), print)
    lines = str(refused.value).splitlines()
    assert "ModuleNotFoundError: No module named 'whichworker_made_up'" in lines[0]
    assert "To have others: SCENARIO_REQUIREMENTS=FILE" in lines[-1]


# -- `locust` of the suite's environment, from any folder

USERS = """from locust import task
{}
class Walker(SwarmUser):
    @task
    def look(self):
        yield self.get("/")
"""


def listed(folder, *arguments):
    """What the suite's `locust` finds in a file."""
    command = [Path(sys.executable).with_name("locust"), *arguments, "--list"]
    return subprocess.run(command, cwd=folder, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True)


@pytest.mark.parametrize(
    "files",
    [
        {"locustfile.py": "from swarm import SwarmUser"},
        # A helper at the root of somebody's project, the file below it (locustio/locust#484).
        {"helpers.py": "", "loadtests/one/locustfile.py": "import helpers\nfrom swarm import SwarmUser"},
        # A class of one's own in a package beside the tests (locustio/locust#465).
        {
            "common/__init__.py": "",
            "common/base.py": "from swarm import SwarmUser as SwarmUser",
            "load/locustfile.py": "from common.base import SwarmUser",
        },
        # A module of one's own with the name of ours is meant (locustio/locust#630 had `core`).
        {
            "swarm.py": "from locust import User as SwarmUser",
            "locustfile.py": "from swarm import SwarmUser",
        },
    ],
    ids=["alone", "helper", "package", "own-swarm"],
)
def test_swarm_is_found_from_any_folder_and_behind_a_module_of_ones_own(tmp_path, files):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(USERS.format(text) if path.name == "locustfile.py" else text)
    (path,) = tmp_path.rglob("locustfile.py")
    done = listed(tmp_path, "-f", path)
    assert done.returncode == 0 and "Walker" in done.stdout + done.stderr, done.stderr


def test_a_module_of_ones_own_called_swarm_stops_no_process_of_the_generator(tmp_path):
    (tmp_path / "swarm.py").write_text("raise SystemExit('this is not the package that was meant')\n")
    (tmp_path / "users.py").write_text(USERS.format("from swarm import SwarmUser"))
    command = [sys.executable, "-m", "swarm.session", "--processes", "2", "--folder", tmp_path]
    done = subprocess.run(
        [*command, "--scenario", tmp_path / "users.py"], cwd=ROOT, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=LONG_S,
    )  # fmt: skip
    events = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert events[0] == "ready", done.stderr
