"""A stand-in for `docker` and `docker-compose`: what runs in containers are local processes here.

The network namespace is the machine's own, the images are the environments in .venvs (see `state`). With
$FAKE_COMPOSE = plugin, Compose is a plugin of Docker.
"""

import json
import os
import sys

import compose
import engine
from state import FailError, answer, kept


def main(program, *words):
    """Do the command of these words; returns its exit status."""
    with kept("calls").open("a") as calls:
        calls.write(json.dumps([program, *words]) + "\n")
    try:
        return _command(program, *words)
    except FailError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _command(program, *words):
    if program == "docker-compose":
        return compose.main(*words)
    if words[0] == "compose":
        if os.environ.get("FAKE_COMPOSE") != "plugin":
            raise FailError("docker: 'compose' is not a docker command.\nSee 'docker --help'")
        return compose.main(*words[1:])
    answer()
    return engine.COMMANDS[words[0]](*words[1:])
