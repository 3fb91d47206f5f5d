"""The commands of `docker` that bench gives; anything else is an error."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from state import PYTHON, FailError, exit_status, facts, installed, kept, place, python, say, tell, text


def version(*_words):
    say("20.10.24")


def kill(option, number, name):
    assert option == "--signal"
    if exit_status(name) is not None:
        raise FailError(
            f"Error response from daemon: Cannot kill container: {name}: Container 1 is not running"
        )
    tell(name, signal.Signals[number])


def wait(name):
    while exit_status(name) is None:
        time.sleep(0.02)
    say(exit_status(name))


def inspect(*words):
    assert words[:3] == ("--type", "container", "--format")
    shown, name = words[3:]
    status = exit_status(name)
    values = {
        ".State.Pid": 0 if status is not None else facts(name)["pid"],
        ".State.Running": status is None,
        ".State.ExitCode": status or 0,
        ".State.OOMKilled": name in text(kept("oom")).split(),
        ".HostConfig.Memory": 64 << 20,
    }
    if shown == "{{.Image}}":
        say("sha256:an-image")
        return
    say(re.sub(r"\{\{(.+?)\}\}", lambda found: json.dumps(values[found.group(1)]), shown))


def logs(name):
    sys.stdout.write(text(place(name) / "log"))


def execute(name, program, *arguments):
    if exit_status(name) is not None:
        raise FailError(f"Error response from daemon: Container {name} is not running")
    if program == "pg_isready":  # when it is asked for the second time
        asked = place(name) / "asked"
        ready = asked.exists()
        asked.touch()
        return 0 if ready else 2
    assert program == PYTHON
    return subprocess.run([sys.executable, *arguments]).returncode


def remove(force, volumes, *names):
    assert (force, volumes) == ("--force", "--volumes")
    missing = []
    for name in names:
        try:
            folder = place(name)
            tell(name, signal.SIGKILL)
            while exit_status(name) is None:
                time.sleep(0.01)
            shutil.rmtree(folder)
        except (FailError, FileNotFoundError):  # of --rm, its client removes it, too
            missing.append(f"Error response from daemon: No such container: {name}")
    if missing:
        raise FailError("\n".join(missing))


def ps(_all, *words):
    shown = "{{.ID}}" if "--quiet" in words else words[words.index("--format") + 1]
    key, _, value = words[words.index("--filter") + 1].removeprefix("label=").partition("=")
    for path in sorted(kept("containers").glob("*/facts.json")):
        labels = json.loads(path.read_text())["labels"]
        if labels.get(key) == value:
            say(_line(shown, path.parent.name, labels))


def network(command, *words):
    folder = kept("networks")
    if command == "rm":
        for name in words:
            (folder / name).unlink()
        return
    assert words[:3] == ("--filter", "label=com.docker.compose.project", "--format")
    for path in sorted(folder.iterdir()):
        say(_line(words[3], path.name, {"com.docker.compose.project": path.read_text()}))


def volume(command, *_words):
    assert command == "ls"


def image(command, option, _shown, name):
    assert (command, option) == ("inspect", "--format")
    if not kept("images", name).exists():
        raise FailError(f"Error response from daemon: No such image: {name}")
    say(kept("images", name).read_text())


def build(*words):
    """Only requirements over an image: they, and what installs them, must be in the folder."""
    *options, folder = words
    assert options[::2] == ["--tag", *["--build-arg"] * 3]
    told = dict(each.split("=", 1) for each in options[3::2])
    here = Path(folder)
    needed = ["Dockerfile", "install.sh", "wheels", "certificates", f"requirements/{told['REQUIREMENTS']}"]
    # Over the suite's what is pinned stays.
    needed += ["pinned.txt"] if told["BASE"].startswith("whichworker-suite:") else []
    assert all((here / name).exists() for name in needed) and kept("images", told["BASE"]).exists()
    say("Step 1/9 : ARG BASE")
    say("Step 6/9 : RUN sh install.sh")
    if text(kept("build")) == "conflict":
        raise FailError("wsproto 1.3.2 has requirement h11<1,>=0.16.0, but you have h11 0.14.0.")
    kept("images", options[1]).write_text(told["SOURCES"])


def info(option, shown):
    assert (option, shown) == ("--format", "{{.SecurityOptions}}")
    say(f"[name=seccomp,profile=builtin {text(kept('security'))}]")


def run(*words):
    """Only what looks into an image, `run … --entrypoint PROGRAM IMAGE …`, and what steers."""
    if "--cap-add=NET_ADMIN" in words:
        return _steer(*words)
    at = words.index("--entrypoint")
    assert {"--rm", "--network=none"} <= set(words)
    program, name, *arguments = words[at + 1 :]
    if not kept("images", name).exists():
        refused = f"docker: Error response from daemon: pull access denied for {name}."
        raise FailError(f"Unable to find image '{name}' locally\n{refused}\nSee 'docker run --help'.")
    if program != PYTHON:
        assert "--tty" in words
        return subprocess.run([installed(program), *arguments], stderr=subprocess.STDOUT).returncode
    stack = name.removeprefix("whichworker-").partition(":")[0]
    return subprocess.run([python(stack), *arguments]).returncode


def _steer(*words):
    """The network namespace is the machine's: it is noted what would have been steered."""
    at = words.index("--entrypoint")
    assert words[at + 1 : at + 4] == (PYTHON, "sha256:an-image", "-ISc")
    _, _, name = words[words.index("--network") + 1].partition(":")
    assert facts(name)["service"] == "loopback" and {"--rm", "--userns=host", "--user=0:0"} <= set(words)
    program, kind, cpus = words[at + 4 :]
    compile(program, "loopback.py", "exec")
    assert kind == "here"
    if refusal := text(kept("unprivileged")):
        raise FailError(f"docker: {refusal}")
    kept("steered").write_text(cpus)
    say(json.dumps({"namespace": False, "why": None, "sysctls": {}}))
    return 0


def _line(shown, name, labels):
    shown = re.sub(r"\{\{\.(ID|Name)\}\}", name, shown)
    return re.sub(r'\{\{\.Label "(.+?)"\}\}', lambda found: labels.get(found.group(1), ""), shown)


COMMANDS = {
    "version": version,
    "kill": kill,
    "wait": wait,
    "inspect": inspect,
    "logs": logs,
    "exec": execute,
    "rm": remove,
    "ps": ps,
    "network": network,
    "volume": volume,
    "image": image,
    "info": info,
    "build": build,
    "run": run,
}
