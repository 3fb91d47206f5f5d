"""What these tests ask the engine itself, by its own client."""

import json
import os
import subprocess
from pathlib import Path

# Of the images. Where pytest has several processes, each has its own: a test changes the sources, and the
# others would build theirs again for that.
TAG = os.environ.get("PYTEST_XDIST_WORKER") or os.environ.get("WHICHWORKER_TAG", "latest")


def docker(*arguments):
    """What the client printed; the test fails with its words if it did."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


def docker_lines(*arguments):
    return docker(*arguments).splitlines()


def inspect(identifier):
    (found,) = json.loads(docker("inspect", identifier))
    return found


def containers(*labels, running=False):
    """The ids of all containers that have these labels (`KEY` or `KEY=VALUE`), ended ones included unless
    `running`.
    """
    filters = [f"--filter=label={label}" for label in labels]
    return set(docker_lines("ps", *([] if running else ["--all"]), "--quiet", "--no-trunc", *filters))


def things_of(checkout):
    """What a checkout has on the engine: containers, networks and volumes by kind."""
    label = "com.docker.compose.project"
    shown = f'{{{{.Name}}}} {{{{.Label "{label}"}}}}'
    listed = {
        kind: [line.partition(" ") for line in docker_lines(kind, "ls", "--format", shown)]
        for kind in ("network", "volume")
    }
    made = {
        kind: {
            name
            for name, _, project in lines
            if project == checkout.project or project.startswith(f"whichworker-{checkout.hash}-")
        }
        for kind, lines in listed.items()
    }
    own = containers(f"whichworker.checkout={checkout.hash}") | containers(f"{label}={checkout.project}")
    return {"container": own, **made}


def built_steps(image):
    """The steps of an image as `(when it was built, command)`; one from the cache keeps its time."""
    form = "{{.CreatedAt}}\t{{.CreatedBy}}"
    lines = docker_lines("history", "--no-trunc", "--human=false", "--format", form, image)
    return [(time, command) for time, _, command in (line.partition("\t") for line in lines)]


def remove_images(tag=TAG):
    """Take a tag from every image, this process's own; one that has no other goes, as of changed sources."""
    tagged = docker_lines(
        "image", "ls", "--format={{.Repository}}:{{.Tag}}", f"--filter=reference=whichworker-*:{tag}"
    )
    if tagged:
        docker("image", "rm", *tagged)


def label(image, name):
    return inspect(image)["Config"]["Labels"][name]


def compose_command():
    """Docker Compose as it is installed here: the client's plugin, or the program of old."""
    plugin = ["docker", "compose"]
    return (
        plugin
        if subprocess.run([*plugin, "version"], capture_output=True).returncode == 0
        else ["docker-compose"]
    )


def socket():
    """The engine's socket; `None` where it is reached otherwise."""
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    return Path(host.removeprefix("unix://")) if host.startswith("unix://") else None
