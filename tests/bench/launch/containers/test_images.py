import subprocess
from dataclasses import replace

import pytest

from bench.launch.containers import build, engine, images
from bench.launch.selection import choose_launcher
from bench.launch.stacks import UnavailableError
from bench.machine import host
from bench.model.errors import UsageError, UserError
from bench.model.files import ROOT
from targets.catalogue.stack import Stack
from tests.patience import wait_until

DOCKERFILE = """
ARG BASE=debian
FROM ${BASE} AS environment
# COPY nothing/ nothing/
COPY --chown=1:1 pins/*.txt \\
    extra.txt ./
FROM ${BASE} AS code
COPY --from=environment /opt /opt
COPY code/ code/
FROM code AS stack
FROM code AS suite
COPY more/ more/
"""


@pytest.fixture
def checkout(tmp_path):
    """A folder with a Dockerfile and more files than it copies."""
    root = tmp_path / "checkout"
    contents = {
        "targets/Dockerfile": DOCKERFILE,
        "pins/a.txt": "a==1",
        "pins/a.lock": "not copied",
        "extra.txt": "",
        "code/app.py": "app",
        "code/deep/er.py": "deeper",
        "code/__pycache__/app.pyc": "compiled",
        "more/more.py": "more",
        "nothing/nothing": "in a comment",
        "README": "not copied",
    }
    for name, text in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


# -- What goes into an image


def names(target, root):
    return [str(path.relative_to(root)) for path in build.copied_files(target, root)]


def test_the_files_are_those_that_the_stages_of_a_target_copy(checkout):
    stack = ["code/app.py", "code/deep/er.py", "extra.txt", "pins/a.txt"]
    assert names("stack", checkout) == stack
    assert names("suite", checkout) == sorted([*stack, "more/more.py"])


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("targets/Dockerfile", True),
        ("pins/a.txt", True),
        ("code/deep/er.py", True),
        ("code/new.py", True),
        ("more/more.py", False),
        ("README", False),
        ("code/__pycache__/app.pyc", False),
    ],
)
def test_the_hash_changes_with_what_is_copied_and_with_nothing_else(checkout, name, changes):
    before = build.sources_digest("stack", {}, checkout)
    assert build.sources_digest("stack", {}, checkout) == before
    with (checkout / name).open("a") as file:
        file.write("# changed\n")
    assert (build.sources_digest("stack", {}, checkout) != before) is changes


def test_the_hash_changes_with_what_the_build_is_told_and_with_names(checkout):
    before = build.sources_digest("stack", {"BASE": "a"}, checkout)
    assert before != build.sources_digest("stack", {"BASE": "b"}, checkout)
    assert before != build.sources_digest("suite", {"BASE": "a"}, checkout)
    (checkout / "code" / "app.py").rename(checkout / "code" / "other.py")
    assert before != build.sources_digest("stack", {"BASE": "a"}, checkout)


def test_of_the_real_dockerfile_each_image_holds_its_code():
    stack, suite = names("stack", ROOT), names("suite", ROOT)
    assert {"targets/app.py", "targets/stacks/current.txt", "requirements/suite.txt"} <= set(stack)
    assert not [name for name in stack if name.startswith(("swarm/", "locustfiles/", "bench/"))]
    assert {"swarm/session.py", "swarm/nullserver.py", "locustfiles/index.py", *stack} <= set(suite)


def test_settings_come_from_the_environment_and_else_from_the_file_compose_reads(tmp_path, monkeypatch):
    monkeypatch.delenv("WHICHWORKER_TAG", raising=False)
    assert build.compose_setting("WHICHWORKER_TAG", tmp_path) == ""
    (tmp_path / ".env").write_text("# a comment\nOTHER=1\nWHICHWORKER_TAG='mine'\n")
    assert build.compose_setting("WHICHWORKER_TAG", tmp_path) == "mine"
    monkeypatch.setenv("WHICHWORKER_TAG", "yours")
    assert build.compose_setting("WHICHWORKER_TAG", tmp_path) == "yours"


# -- Images


@pytest.fixture
def stack(catalogue):
    return catalogue.stacks["current"]


def test_an_image_is_built_once_and_again_when_it_is_of_other_sources(docker, stack, current, said):
    here = engine.find()
    environment = images.ensure(here, stack, said.append)
    assert (environment.version, environment.packages) == (current.version, current.packages)
    assert said[0] == "building the image whichworker-current:latest: it is not there yet …"
    assert said[1:] == [
        "  Step 1/3 : ARG BASE=python:3.13-slim-bookworm",
        "  Step 2/3 : FROM ${BASE} AS environment",
        "  Step 3/3 : RUN pip install",
    ]
    said.clear()
    assert images.ensure(here, stack, said.append) == environment and said == []
    (docker.state / "images" / "whichworker-current:latest").write_text("unknown")
    images.ensure(here, stack, said.append)
    assert said[0].endswith("whichworker-current:latest: it was made from other sources …")
    assert len(docker.calls("build", "bench-current")) == 2


def test_what_a_variant_needs_has_an_image_of_its_own(docker, catalogue, said):
    """It is the service of its parent, told of what is changed; flags and variables need no other image."""
    here = engine.find()
    for name, tag in (("uvicorn-plain", "latest-without-uvloop"), ("sanic-python-313", "latest-python-3.13")):
        stack = catalogue.stacks[catalogue.get(name).stack]
        assert images.ensure(here, stack, said.append).image == tag
        assert said.pop(0) == f"building the image whichworker-current:{tag}: it is not there yet …"
        said.clear()
        assert images.ensure(here, stack, said.append).image == tag and said == []
    assert len(docker.calls("build", "bench-current")) == 2
    assert catalogue.get("uvicorn-h11").stack == "current"


def test_a_variant_whose_image_cannot_be_built_is_unavailable(docker, catalogue, said):
    """A run goes on without it."""
    docker.note("build", "pip")
    with pytest.raises(UnavailableError, match=r"(?s)current\+without-uvloop.*No matching") as caught:
        images.ensure(engine.find(), catalogue.stacks["current+without-uvloop"], said.append)
    assert "LAUNCHER=processes" in caught.value.remedy


def test_another_python_takes_the_official_image_unless_one_is_named(catalogue, monkeypatch):
    for name in ("WHICHWORKER_BASE_CURRENT", "WHICHWORKER_TAG"):
        monkeypatch.delenv(name, raising=False)
    parent, other = catalogue.stacks["current"], catalogue.stacks["current+python-3.12"]
    assert images._derived(parent, parent) == {}
    told = images._derived(other, parent)
    assert told["WHICHWORKER_PYTHON_CURRENT"] == "3.12"
    assert told["WHICHWORKER_BASE_CURRENT"] == "python:3.12-slim-bookworm"
    monkeypatch.setenv("WHICHWORKER_BASE_CURRENT", "ours")
    assert images._derived(other, parent)["WHICHWORKER_BASE_CURRENT"] == "ours"
    bare = images._derived(catalogue.stacks["current+without-uvloop"], parent)
    assert bare == {
        "WHICHWORKER_TAG": "latest-without-uvloop", "WHICHWORKER_PACKAGES": "",
        "WHICHWORKER_WITHOUT": "uvloop",
    }  # fmt: skip


def test_another_base_image_is_another_image(docker, stack, said, monkeypatch):
    here = engine.find()
    images.ensure(here, stack, said.append)
    monkeypatch.setenv("WHICHWORKER_BASE_CURRENT", "our-python:3.12")
    images.ensure(here, stack, said.append)
    monkeypatch.setenv("WHICHWORKER_BASE_SUITE", "our-python:3.12")
    images.ensure(here, stack, said.append)
    assert len(docker.calls("build")) == 2


def test_the_suite_has_versions_of_its_own_image(docker, said):
    launcher, _ = choose_launcher("compose")
    found = launcher.suite_versions(said.append)
    assert {"locust", "gevent", "typing_extensions", "jinja2"} <= set(found["packages"])
    assert set(found["packages"]) == set(host.suite_packages())
    assert found["python"] and "building the image whichworker-suite:latest" in said[0]


def test_a_build_that_fails_shows_its_last_lines(docker, stack, said):
    docker.note("build", "pip")
    with pytest.raises(UserError) as caught:
        images.ensure(engine.find(), stack, said.append)
    assert str(caught.value).splitlines()[0] == (
        "the image whichworker-current could not be built; the last lines:"
    )
    assert "  ERROR: No matching distribution found for sanic==99\n  Service failed" in str(caught.value)
    assert "docs/compose.md" in str(caught.value)


def test_without_its_base_image_a_stack_is_unavailable_and_the_suite_an_error(docker, catalogue, said):
    docker.note("build", "base")
    here = engine.find()
    with pytest.raises(UnavailableError) as caught:
        images.ensure(here, catalogue.stacks["sanic-21.12"], said.append)
    assert str(caught.value) == (
        'no base image for the stack "sanic-21.12": '
        "pull access denied for our-python, repository does not exist"
    )
    assert "WHICHWORKER_BASE_SANIC_21_12" in caught.value.remedy
    with pytest.raises(UserError, match="WHICHWORKER_BASE_SUITE"):
        images.suite(here, said.append)


def test_an_image_that_says_it_is_another_is_refused(docker, stack, said):
    docker.note("build", "label")
    with pytest.raises(UserError, match=r"its label whichworker.sources is not that of the sources here"):
        images.ensure(engine.find(), stack, said.append)


def test_a_stack_of_ones_own_has_no_image(docker, tmp_path, stack, said):
    for other in (
        Stack("mine", stack.pythons, stack.requirements),
        replace(stack, requirements=tmp_path / "r"),
    ):
        (tmp_path / "r").write_text("sanic==1\n")
        with pytest.raises(UnavailableError, match="has no image for this stack") as caught:
            images.ensure(engine.find(), other, said.append)
        assert "LAUNCHER=processes" in caught.value.remedy
    copied = tmp_path / "copy.txt"
    copied.write_bytes(stack.requirements.read_bytes())
    assert images.ensure(engine.find(), replace(stack, requirements=copied), said.append).packages


# -- With the requirements of somebody's own app


@pytest.fixture
def with_own(stack, tmp_path):
    (tmp_path / "common").mkdir()
    (tmp_path / "common" / "base.txt").write_text("h11==0.14.0\n")
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "requirements.txt").write_text("-r ../common/base.txt\nmistune==3.4.0\n")
    return replace(stack, own=tmp_path / "app" / "requirements.txt")


def test_an_apps_requirements_have_an_image_of_their_own_for_each_content(docker, with_own, said):
    here = engine.find()
    tag = images.ensure(here, with_own, said.append).image
    assert tag.startswith("own-") and (docker.state / "images" / f"whichworker-current:{tag}").exists()
    assert images.ensure(here, with_own, said.append).image == tag
    assert len(docker.calls("build", "--tag")) == 1
    (with_own.own.parent.parent / "common" / "base.txt").write_text("h11==0.15.0\n")
    assert images.ensure(here, with_own, said.append).image != tag


def test_requirements_that_do_not_get_on_with_the_servers_are_told_in_pips_words(docker, with_own, said):
    here = engine.find()
    images.ensure(here, replace(with_own, own=None), said.append)
    docker.note("build", "conflict")
    with pytest.raises(UserError, match=r"pip says:\n.*\n.*\n  wsproto 1\.3\.2 has requirement h11<1"):
        images.ensure(here, with_own, said.append)


# -- With the packages of somebody's own locustfiles


@pytest.fixture
def packages(tmp_path):
    path = tmp_path / "load.txt"
    path.write_text("mistune==3.4.0\n")
    return path


def test_packages_of_locustfiles_are_over_the_suites_image_for_all_of_its_programs(
    docker, packages, run_folder, said
):
    launcher, _ = choose_launcher("compose", packages=packages)
    versions = launcher.suite_versions(said.append)["packages"]
    assert set(host.suite_packages()) < set(versions), "all that locustfiles may import is recorded"
    (call,) = docker.calls("build", "--tag")
    image = call[call.index("--tag") + 1]
    assert image.startswith("whichworker-suite:own-") and "BASE=whichworker-suite:latest" in call
    with launcher.open({}, run_folder, said.append):
        program = launcher.start_program(["-c", "import sys; sys.stdin.read()"], [0], stdin=subprocess.PIPE)

        def both():
            tags = {each["service"]: each["tag"] for each in docker.containers().values()}
            return tags if len(tags) == 2 else None

        tags = wait_until(both, "network and program have a container each")
        program.communicate()
    assert tags == {"loopback": "latest", "suite": image.partition(":")[2]}
    assert len(docker.calls("build", "--tag")) == 1, "it is built and looked into once"


def test_packages_that_cannot_be_had_with_the_suite_are_told_in_pips_words(docker, packages, said):
    here = engine.find()
    images.suite(here, said.append)
    docker.note("build", "conflict")
    with pytest.raises(
        UserError, match=r"with the load generator, whose versions stay; pip says:\n(.*\n)*.*h11"
    ):
        images.suite(here, said.append, packages)
    packages.write_text("-e .\n")
    with pytest.raises(UsageError, match=r"line 1: pip would build '-e [.]' where it lies"):
        images.suite(here, said.append, packages)
