"""The state of the stand-in for Docker: the folder $FAKE_DOCKER.

* `containers/NAME/`: `facts.json` (what it is, and the pid of its program), `exit` (its status, once it has
  ended) and `log`
* `images/NAME`: the label `whichworker.sources` of an image; `networks/NAME`: the project it was made for
* `trouble`: `permission` or `down`, where the engine does not answer; `build`: how a build goes wrong; `oom`:
  names of containers that the kernel killed for their memory; `calls`: every command line;
  `security`: an option of the engine; `unprivileged`: why it refuses capabilities; `steered`: CPUs that
  process what the loopback device receives
"""

import contextlib
import json
import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PYTHON = "/opt/stack/bin/python"
# As tests/patience.py has it, which these programs cannot import.
LONG_S = 240.0


class FailError(Exception):
    """What a command says on stderr before it ends with status 1."""


def kept(*names):
    """A place in the folder of the state, which each command is told by its environment."""
    return Path(os.environ["FAKE_DOCKER"], *names)


def say(text):
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def answer():
    """Fail as a client does whose engine does not answer."""
    trouble = text(kept("trouble"))
    if trouble == "permission":
        raise FailError("permission denied while trying to connect to the Docker daemon socket at unix:///x")
    if trouble == "down":
        raise FailError("Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?")


def text(path):
    return path.read_text() if path.exists() else ""


def place(name):
    folder = kept("containers", name)
    if not (folder / "facts.json").exists():
        raise FailError(f"Error response from daemon: No such container: {name}")
    return folder


def facts(name):
    return json.loads((place(name) / "facts.json").read_text())


def exit_status(name):
    """The status of a container that has ended, as Docker has it; None while it runs."""
    status = text(place(name) / "exit")
    return int(status) if status else None


def tell(name, number):
    with contextlib.suppress(ProcessLookupError):
        os.kill(facts(name)["pid"], number)


def installed(proxy):
    """The program that stands for the image of a proxy; None for other services."""
    known = proxy in ("nginx", "haproxy")
    return shutil.which(proxy, path=f"{os.environ['PATH']}:/usr/sbin") if known else None


def python(stack):
    """What stands for the interpreter of an image."""
    return (
        sys.executable if stack in ("suite", "loopback") else str(ROOT / ".venvs" / stack / "bin" / "python")
    )
