import json
import subprocess
import sys
import zipfile
from dataclasses import replace

import pytest

from bench.launch import stacks
from bench.model.files import ROOT
from targets.catalogue.configurations import load
from targets.catalogue.stack import Stack

HERE = "{}.{}".format(*sys.version_info)


@pytest.fixture
def stack(tmp_path):
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("# nothing\n")
    return Stack("tiny", (HERE,), requirements)


def test_an_environment_is_made_once_and_again_when_requirements_change(
    tmp_path, stack, quick_venvs, monkeypatch
):
    said = []
    venvs = tmp_path / "venvs"
    environment = stacks.ensure(stack, said.append, venvs)
    assert environment.version.startswith(HERE) and "pip" in environment.packages
    assert len(said) == 1 and 'installing the stack "tiny"' in said[0]

    left = venvs / "tiny" / "left-over"
    left.touch()
    assert stacks.ensure(stack, said.append, venvs) == environment
    assert left.exists() and len(said) == 1

    stack.requirements.write_text("# something else\n")
    monkeypatch.undo()  # this time by the interpreter itself
    stacks.ensure(stack, said.append, venvs)
    assert not left.exists() and len(said) == 2


def wheel(folder, name):
    """A package of nothing, as a file that pip installs."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    about = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    return str(path)


def test_a_derived_stack_has_packages_added_and_left_out(tmp_path, stack, quick_venvs):
    stack.requirements.write_text(f"{wheel(tmp_path, 'one')}\n{wheel(tmp_path, 'two')}\n")
    more = {"name": "tiny+x", "of": "tiny", "packages": (wheel(tmp_path, "three"),)}
    said = []
    found = stacks.ensure(replace(stack, **more, without=("one",)), said.append, tmp_path / "venvs")
    assert {"two", "three"} <= set(found.packages) and "one" not in found.packages
    assert found.python == tmp_path / "venvs" / "tiny+x" / "bin" / "python" and len(said) == 1
    # One of that name in another catalogue is not taken for it.
    found = stacks.ensure(replace(stack, **more, without=("two",)), said.append, tmp_path / "venvs")
    assert "one" in found.packages and "two" not in found.packages and len(said) == 2


def test_what_has_no_wheel_is_left_out_and_told(tmp_path, stack, quick_venvs, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    wheels = tmp_path / "requirements-wheels.txt"
    wheels.write_text("four\n")
    said = []
    found = stacks.ensure(stack, said.append, tmp_path / "venvs")
    assert "four" not in found.packages
    assert said[1].startswith("tiny does without four, of which pip has found no wheel (ERROR: ")
    wheel(tmp_path, "four")
    wheels.write_text("four  # there is one now, and the environment is made anew\n")
    assert "four" in stacks.ensure(stack, said.append, tmp_path / "venvs").packages
    assert len(said) == 3


def test_an_environment_without_its_interpreter_is_made_again(tmp_path):
    (tmp_path / stacks.MARKER).write_text("hash\n")
    assert stacks.ready(tmp_path, "hash") is None
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    assert stacks.ready(tmp_path, "hash").version.startswith(HERE)
    assert stacks.ready(tmp_path, "another hash") is None


def test_packages_that_cannot_be_installed_make_the_stack_unavailable(tmp_path, stack, quick_venvs):
    stack.requirements.write_text("./there-is-no-such-package\n")
    with pytest.raises(stacks.UnavailableError, match="there-is-no-such-package") as caught:
        stacks.ensure(stack, lambda text: None, tmp_path / "venvs")
    assert "make setup" in caught.value.remedy
    # What is left is not taken for a finished environment.
    assert not (tmp_path / "venvs" / "tiny" / stacks.MARKER).exists()


def test_without_an_interpreter_the_stack_is_unavailable(tmp_path, stack):
    wanted = Stack("old", ("2.1", "2.0"), stack.requirements)
    with pytest.raises(stacks.UnavailableError, match="needs Python 2") as caught:
        stacks.ensure(wanted, lambda text: None, tmp_path / "venvs")
    assert "needs Python 2.1 or 2.0, which was not found" in str(caught.value)
    assert "install Python 2.1" in caught.value.remedy and "make setup" in caught.value.remedy
    # Which does not make what only variants need.
    with pytest.raises(stacks.UnavailableError) as caught:
        stacks.ensure(replace(wanted, of="tiny"), lambda text: None, tmp_path / "venvs")
    assert "then give the same command again" in caught.value.remedy


def _fake_python(folder, name, version):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho {version} {path}\n" if version else "#!/bin/sh\nexit 127\n")
    path.chmod(0o755)
    return path


def test_interpreters_are_looked_for_in_order(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    assert stacks.find_interpreter(("4.1",)) is None
    _fake_python(tmp_path / "bin", "python4.1", None)  # a shim of a version that is not selected
    in_pyenv = _fake_python(tmp_path / "pyenv" / "versions" / "4.1.7" / "bin", "python", "4.1")
    assert stacks.find_interpreter(("4.1",)) == str(in_pyenv)
    # As of another user, for root may look everywhere: a name too long is an error as well.
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / ("x" * 300)))
    assert stacks.find_interpreter(("4.1",)) != str(in_pyenv)
    on_path = _fake_python(tmp_path / "bin", "python4.1", "4.1")
    assert stacks.find_interpreter(("4.1",)) == str(on_path)
    assert stacks.find_interpreter(("4.2", "4.1")) == str(on_path)
    best = _fake_python(tmp_path / "bin", "python4.2", "4.2")
    assert stacks.find_interpreter(("4.2", "4.1")) == str(best)


def test_the_suite_itself_takes_the_newest_python_that_its_servers_would(tmp_path):
    newest, next_best, *_ = load().stacks["current"].pythons
    environment = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "PYENV_ROOT": str(tmp_path / "pyenv")}
    command = ["make", "--no-print-directory", "--eval", "found:; @$(FIND_PYTHON)", "found"]

    def found():
        return subprocess.check_output(command, cwd=ROOT, env=environment, text=True).strip()

    # They say that they are what they are asked for: `sys.exit` with 0.
    on_path = _fake_python(tmp_path / "bin", f"python{next_best}", next_best)
    _fake_python(tmp_path / "bin", "python3", None)
    assert found() == on_path.name
    in_pyenv = _fake_python(tmp_path / "pyenv" / "versions" / f"{newest}.1" / "bin", "python", newest)
    assert found() == str(in_pyenv)


def test_the_hash_covers_included_files(tmp_path):
    requirements, included = tmp_path / "a.txt", tmp_path / "b.txt"
    included.write_text("x==1\n")
    requirements.write_text("-r b.txt\n")
    before = stacks.requirements_hash(requirements)
    assert stacks.requirements_hash(requirements) == before
    included.write_text("x==2\n")
    assert stacks.requirements_hash(requirements) != before


def test_the_packages_of_an_environment_are_what_is_installed(current):
    versions = json.loads(json.dumps(current.packages))
    assert {"sanic", "uvicorn", "gunicorn", "granian", "Hypercorn"} <= set(versions)
