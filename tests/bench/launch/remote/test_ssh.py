import subprocess
import sys

import pytest

from bench.launch.remote import files, ssh
from bench.launch.remote.ssh import Host, RemoteError, digest
from bench.model.errors import UsageError
from tests.bench.commands import told
from tests.bench.launch.remote.wire import executable


@pytest.mark.parametrize(
    ("text", "target", "port"),
    [
        ("there", "there", []),
        ("me@there", "me@there", []),
        ("me@10.0.0.1:2222", "me@10.0.0.1", ["-p", "2222"]),
    ],
)
def test_a_machine_is_named_as_for_ssh(text, target, port):
    host = Host.parse(text)
    *words, where, end, command = host.command(["echo", "two words"])
    assert str(host) == text and where == target and (end, command) == ("--", "echo 'two words'")
    assert (words[-2:] == port) if port else "-p" not in words
    assert {"BatchMode=yes", "ServerAliveInterval=5", "ControlPath=none"} <= set(words)


@pytest.mark.parametrize(
    "text", ["", "me@", "-oProxyCommand=evil", "me@-v", "there:0", "there:70000", "a b", "a:b:c"]
)
def test_what_is_no_machine_is_refused(text):
    with pytest.raises(UsageError, match="is no machine to reach by ssh: write user@host"):
        Host.parse(text)


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ("ssh: Could not resolve hostname there: Name or service not known", "there is no host there"),
        ("me@there: Permission denied (publickey,password).", "takes no key of .*`ssh-copy-id me@there`"),
        ("Host key verification failed.", "host key of there is not known here: once, `ssh me@there`"),
        ("@ REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.", "another host key"),
        ("ssh: connect to host there port 22: Connection refused", "nothing listens for ssh at there"),
        ("ssh: connect to host there port 22: Connection timed out", "there does not answer"),
        ("ssh: connect to host there port 22: No route to host", "no way from here to there"),
        ("Timeout, server there not responding.", "has not answered for 15 s"),
        ("something new", "the connection was lost: something new"),
        ("", "the connection was lost$"),
    ],
)
def test_why_there_is_no_connection_is_one_line_that_says_where(fake_ssh, monkeypatch, said, meaning):
    monkeypatch.setenv("FAKE_SSH_SAYS", said or " ")
    with pytest.raises(RemoteError, match=meaning) as caught:
        Host.parse("me@there").run(["true"])
    assert str(caught.value).startswith("me@there: ") and "\n" not in str(caught.value)


def test_without_ssh_a_run_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    done = told("run", "--server", "me@there", "--results", str(tmp_path))
    assert done.exit_code == 1 and "there is no program ssh on this machine: install" in done.output


def test_what_fails_there_says_so_in_its_own_words(fake_ssh):
    host = Host.parse("there")
    with pytest.raises(RemoteError, match=r"there: counting failed: no fingers$"):
        host.check(["sh", "-c", "echo oh >&2; echo no fingers >&2; exit 3"], "counting")
    with pytest.raises(RemoteError, match=r"there: counting failed \(exit status 3\)$"):
        host.check(["sh", "-c", "exit 3"], "counting")
    with pytest.raises(RemoteError, match="there: no space is left there; free some"):
        host.check(["sh", "-c", "echo 'tar: f: No space left on device' >&2; exit 2"], "copying")


def test_files_are_copied_once_and_whole(tmp_path, fake_ssh):
    script = executable(tmp_path / "here" / "run.sh", "#!/bin/sh\n")
    (tmp_path / "here" / "text").write_text("text")
    content = {"a/run.sh": script, "text": tmp_path / "here" / "text"}
    host, place = Host.parse("there"), tmp_path / "there" / digest(content)
    assert host.copy_tree(content, str(place)) and not host.copy_tree(content, str(place))
    assert (place / "text").read_text() == "text" and (place / "a" / "run.sh").stat().st_mode & 0o100
    assert [path.name for path in place.parent.iterdir()] == [place.name]
    assert (place / "a" / "run.sh").read_text() == "#!/bin/sh\n"
    (tmp_path / "here" / "text").write_text("another text")
    assert digest(content) != place.name


def test_of_an_app_what_is_made_anew_stays_here(tmp_path):
    left_out = (".git/config", "__pycache__/app.pyc", ".venv/pyvenv.cfg", ".venv/x.py")
    for name in ("app.py", "static/logo.svg", *left_out):
        executable(tmp_path / name, "")
    assert sorted(files.of_folder(tmp_path)) == ["app.py", "static/logo.svg"]


def test_what_runs_there_imports_nothing_that_is_not_copied(tmp_path):
    for name, path in files.of_suite().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(path.read_bytes())
    modules = [name for name in files.of_suite() if "/there/" in name and not name.endswith("__init__.py")]
    imports = "; ".join(f"import {name.removesuffix('.py').replace('/', '.')}" for name in modules)
    blocked = "import sys; sys.modules.update(dict.fromkeys(['pydantic', 'rich', 'typer', 'trustme']))"
    words = [sys.executable, "-c", f"{blocked}; {imports}"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert len(modules) >= 5 and done.returncode == 0, done.stderr


def test_options_of_a_test_or_a_user_reach_ssh(monkeypatch):
    monkeypatch.setenv(ssh.VARIABLE, "-F 'my config'")
    assert Host.parse("there").command(["true"])[1:3] == ["-F", "my config"]
