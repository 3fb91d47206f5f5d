"""A stand-in for `docker` and `docker-compose`: what runs in containers are local processes here.

    python program.py (docker|docker-compose) ARGUMENTS…

The network namespace is the machine's own, the images are the environments in .venvs (see `state`). With
$FAKE_COMPOSE = plugin, Compose is a plugin of Docker.
"""

import json
import os
import sys

import compose
import engine
from state import STATE, FailError, answer


def main(program, *words):
    with (STATE / "calls").open("a") as calls:
        calls.write(json.dumps([program, *words]) + "\n")
    if program == "docker-compose":
        return compose.main(*words)
    if words[0] == "compose":
        if os.environ.get("FAKE_COMPOSE") != "plugin":
            raise FailError("docker: 'compose' is not a docker command.\nSee 'docker --help'")
        return compose.main(*words[1:])
    answer()
    return engine.COMMANDS[words[0]](*words[1:])


try:
    sys.exit(main(*sys.argv[1:]))
except FailError as error:
    sys.stderr.write(f"{error}\n")
    sys.exit(1)
