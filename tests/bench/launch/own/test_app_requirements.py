from pathlib import Path

import pytest

from bench.launch import stacks
from bench.launch.own import own_packages
from bench.launch.stacks import Environment, UnavailableError
from bench.model.errors import UsageError, UserError
from bench.model.plans.own_app import OwnApp
from targets.catalogue.stack import Stack


@pytest.fixture
def write(tmp_path):
    """Writes requirements files; returns the path of one."""

    def put(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return put


@pytest.fixture
def stack(write):
    pins = write("stack.txt", "sanic==21.12.2\nuvloop==0.21.0\nHypercorn==0.18.0\n")
    return Stack("old", ("3.9",), pins, fixed=("sanic",), own=write("own.txt", "mistune\n"))


def installed(**packages):
    return Environment(Path("python"), "3.9.1", {"pip": "24.0", "Hypercorn": "0.18.0", **packages})


def test_files_that_are_included_belong_to_the_requirements(write):
    own = write(
        "app/own.txt", "-r base.txt\n--constraint=../limits.txt  # ours\n-r https://x.invalid/y.txt\n"
    )
    base, limits = write("app/base.txt", "-c ../limits.txt\n-r own.txt\n"), write("limits.txt", "h11<1\n")
    assert stacks.requirement_files(own) == [own, base, limits]
    before = stacks.requirements_hash(own)
    limits.write_text("h11<2\n")
    assert stacks.requirements_hash(own) != before


def test_what_the_app_asks_for_goes_before_what_is_pinned_and_is_told(stack):
    assert own_packages.replaced(stack, installed(sanic="21.12.2", uvloop="0.21.0")) == {}
    assert own_packages.replaced(stack, installed(sanic="21.12.2", uvloop="0.17.0")) == {
        "uvloop": ("0.21.0", "0.17.0")
    }


@pytest.mark.parametrize(
    "line", ["-e .", "--editable ../x", ".", "./lib", "/srv/lib", "lib @ file:///srv/lib"]
)
def test_what_pip_would_build_where_it_lies_is_refused(stack, line):
    stack.own.write_text(f"mistune\n{line}\n")
    with pytest.raises(UsageError, match=r"own\.txt, line 2: pip would build"):
        own_packages.check_app_requirements(stack)


def test_a_stack_is_unavailable_without_the_version_it_is_for(stack, write):
    own_packages.check_app_requirements(stack)
    own_packages.check_fixed(stack, installed(sanic="21.12.2"))
    with pytest.raises(UnavailableError, match=r"and the app's requirements bring 25[.]3[.]0"):
        own_packages.check_fixed(stack, installed(sanic="25.3.0"))
    stack.own.write_text("Sanic[ext] == 25.12.1\n")
    with pytest.raises(UnavailableError, match=r"bring 25[.]12[.]1"):
        own_packages.check_app_requirements(stack)


def test_requirements_that_do_not_get_on_end_a_run_and_make_only_a_special_stack_unavailable(stack):
    said = "  ERROR: one line\n  ERROR: No matching distribution found for mistune==9"
    special = stacks.not_both(stack, said)
    assert isinstance(special, UnavailableError)
    assert special.reason.endswith("pip says: ERROR: No matching distribution found for mistune==9")
    usual = stacks.not_both(Stack("new", ("3.9",), stack.requirements, own=stack.own), said)
    assert isinstance(usual, UserError) and "ERROR: one line" in str(usual)


def test_values_are_found_by_name_and_a_name_that_is_not_set_is_an_error(tmp_path, catalogue):
    own = OwnApp(app="a:b", folder=str(tmp_path), environment=["TOKEN", "URL"])
    assert own.values({"TOKEN": "t", "URL": "", "OTHER": "o"}) == {"TOKEN": "t", "URL": ""}
    with pytest.raises(UsageError, match="names URL, which is not set here"):
        own.values({"TOKEN": "t"})
    own.check(catalogue)
    own = OwnApp(app="a:b", folder=str(tmp_path), environment=["SANIC_KEEP_ALIVE_TIMEOUT"])
    with pytest.raises(UsageError, match="which the configuration sanic sets"):
        own.check(catalogue)
