"""The commands of `docker-compose` that bench gives: `build` and `run`."""

import contextlib
import io
import itertools
import json
import os
import re
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import container
from state import LONG_S, PYTHON, ROOT, FailError, answer, facts, installed, kept, python, say, text


def main(*words):
    if words == ("version", "--short"):
        say("1.29.2")
        return 0
    answer()
    assert words[:2] == ("--file", str(ROOT / "docker-compose.yml")) and words[2] == "--project-name"
    assert words[4:6] == ("--profile", "bench")
    if words[6] == "run":
        kept("networks", f"{words[3]}_default").write_text(words[3])
    return {"build": _build, "run": _run}[words[6]](*words[7:])


def _build(service):
    stack, trouble = service.removeprefix("bench-"), text(kept("build"))
    say("Step 1/3 : ARG BASE=python:3.13-slim-bookworm")
    say("Step 2/3 : FROM ${BASE} AS environment")
    if trouble == "base":
        say("pull access denied for our-python, repository does not exist")
        raise FailError("Service 'bench-current' failed to build : Build failed")
    say("Step 3/3 : RUN pip install")
    if trouble == "hang":
        time.sleep(600)
    if trouble == "pip":
        raise FailError("ERROR: No matching distribution found for sanic==99\nService failed to build")
    made_from = "somebody else's" if trouble == "label" else os.environ["WHICHWORKER_SOURCES"]
    tag = os.environ.get("WHICHWORKER_TAG") or "latest"
    kept("images", f"whichworker-{stack}:{tag}").write_text(made_from)
    return 0


def _run(*words):
    words, flags = list(words), set()
    options = {"--label": [], "--volume": [], "-e": []}
    while words[0].startswith("-"):
        option = words.pop(0)
        if option in ("--detach", "-T", "--rm", "--no-deps"):
            flags.add(option)
        elif option in options:
            options[option].append(words.pop(0))
        else:
            options[option] = words.pop(0)
    service, *arguments = words
    mounts = [each.rsplit(":", 2) for each in options["--volume"]]
    assert all(host == inside for host, inside, _ in mounts) and "--no-deps" in flags
    _check_network(service)
    _check_paths(arguments, mounts)
    cpus = os.environ["WHICHWORKER_SERVER_CPUS" if "bench-" in service else "WHICHWORKER_GENERATOR_CPUS"]
    folder = kept("containers", options["--name"])
    folder.mkdir()
    described = {
        "service": service,
        "labels": dict(each.split("=", 1) for each in options["--label"]),
        "mounts": mounts,
        "user": os.environ["WHICHWORKER_USER"],
        "tag": os.environ.get("WHICHWORKER_TAG") or "latest",
    }
    (folder / "new.json").write_text(json.dumps(described))
    # Anybody can read a command line: values come by the client's environment.
    assert all("=" not in name and name in os.environ for name in options["-e"])
    os.sched_setaffinity(0, [int(cpu) for cpu in cpus.split(",")])
    command = _program(service, options, arguments)
    os.chdir(ROOT)
    return _detached(folder, command) if "--detach" in flags else _attached(folder, command)


def _check_network(service):
    """Whether the namespace is there that the service is to join."""
    kind, _, name = os.environ["WHICHWORKER_NETWORK"].partition(":")
    if service != "loopback" and (kind != "container" or facts(name)["service"] != "loopback"):
        raise FailError(f"Error response from daemon: cannot join network of {kind} {name}")


def _check_paths(arguments, mounts):
    """Whether a program in a container could see what it is told to read, and write to what it is told to."""
    for option, path in itertools.pairwise(arguments):
        writable = option in ("--metrics", "--unix", "--swap-unix", "-p")
        if writable or (option in ("--scenario", "--catalogue") and not path.startswith("/whichworker/")):
            modes = [mode for host, _, mode in mounts if Path(path).is_relative_to(host)]
            if not modes or (writable and "rw" not in modes):
                raise FailError(f"{path} is not mounted for that: {mounts}")


def _program(service, options, arguments):
    """The command of a service."""
    if service in ("loopback", "bench-postgres"):
        return ["sleep", "infinity"]
    if (proxy := installed(service.removeprefix("bench-"))) is not None:
        return [proxy, *arguments]
    interpreter = python(service.removeprefix("bench-"))
    arguments = [re.sub("^/whichworker", str(ROOT), argument) for argument in arguments]
    if options.get("--entrypoint") == PYTHON or service == "suite":
        return [interpreter, *arguments]
    fixed = ["--host", "0.0.0.0", "--port", "8000", "--metrics", "/tmp/metrics"]
    return [interpreter, "-m", "targets.serve", *fixed, *arguments]


def _detached(folder, command):
    with Path(os.devnull).open("rb") as nothing, (folder / "log").open("wb") as log:
        container.start(folder, command, nothing.fileno(), log.fileno(), log.fileno())
    deadline = time.monotonic() + LONG_S
    while not (folder / "facts.json").exists():
        if time.monotonic() > deadline:
            raise FailError(f"did not start: {text(folder / 'log')}")
        time.sleep(0.01)
    say(folder.name)
    return 0


def _attached(folder, command):
    """With the streams of this process; signals go to the program, and the container goes when it ends."""
    if {"swarm.session", "swarm.cockpit"}.isdisjoint(command):
        init = container.start(folder, command, 0, 1, 2)
    else:
        init = _talking(folder, command)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: os.kill(init, received))
    _, status = os.waitpid(init, 0)
    shutil.rmtree(folder, ignore_errors=True)
    return os.waitstatus_to_exitcode(status)


def _talking(folder, command):
    """Start a program that has the paths of its container, and tells them."""
    inner_input, to_program = os.pipe()
    from_program, inner_output = os.pipe()
    init = container.start(folder, command, inner_input, inner_output, 2)
    os.close(inner_input)
    os.close(inner_output)
    here, inside = str(ROOT).encode(), b"/whichworker"
    _translate(sys.stdin.buffer, io.FileIO(to_program, "w"), inside + b"/", here + b"/")
    _translate(io.BufferedReader(io.FileIO(from_program)), sys.stdout.buffer, here + b"/", inside + b"/")
    return init


def _translate(source, target, ours, theirs):
    """Pass lines on, with the paths of this side as the other side has them, until one of them ends."""

    def run():
        with contextlib.suppress(BrokenPipeError), target:
            for line in source:
                target.write(line.replace(ours, theirs))
                target.flush()

    threading.Thread(target=run, daemon=True).start()
