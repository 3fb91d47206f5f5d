"""Several machines on one: network namespaces with a switch between them, and a real sshd in all but one."""

import contextlib
import os
import shlex
import stat
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from bench.launch import stacks
from bench.launch.remote import files, fleet
from tests.patience import wait_until

HERE, PORT = "192.0.2.1", 2222
"""Addresses for documentation (RFC 5737): nobody has them."""
SSHD = Path("/usr/sbin/sshd")
TOOLS = (SSHD, *map(Path, ("/usr/bin/ssh", "/usr/bin/nsenter", "/usr/bin/unshare", "/sbin/ip")))


def why_not():
    """Why two machines cannot be made of this one; `None` if they can."""
    if os.geteuid() == 0 and all(path.exists() for path in TOOLS):
        return None
    return "a network namespace with an sshd needs root, openssh-server and iproute2"


def executable(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def kept(cache):
    """Put into a folder what a machine keeps of a run: environments, which take a network to make."""
    venvs = cache / "whichworker" / "venvs"
    own = venvs / f"agent-{files.pinned('psutil').replace('==', '-')}"
    executable(
        own / "bin" / "python", f'#!/bin/sh\nexec "{stacks.VENVS / "current" / "bin" / "python"}" "$@"\n'
    )
    (own / "whole").touch()
    generator = venvs / fleet.environment_name(None)
    executable(generator / "bin" / "python", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (generator / "whole").touch()
    (venvs / "current").symlink_to(stacks.VENVS / "current")
    return cache


@dataclass
class Elsewhere:
    """A machine with an sshd, which keeps things in `cache` and has some `cpus`; the rest is known later."""

    cache: Path
    cpus: list
    address: str = field(init=False)
    namespace: str = field(init=False)
    sshd: subprocess.Popen = field(init=False)

    @property
    def at_work(self):
        """What sshd has running for runs: its sessions, agents, and what they run."""
        return psutil.Process(self.sshd.pid).children(recursive=True)

    def inside(self, *words):
        """A command of this machine."""
        return [*_inside(self.namespace), *words]

    def pull(self, *, plugged):
        """Pull its cable, or plug it in again."""
        _run(*_inside(self.namespace), "ip", "link", "set", "cable", "up" if plugged else "down")

    @contextlib.contextmanager
    def frozen(self):
        """Have all of it stand still: sshd, and what that has started."""
        stopped = [psutil.Process(self.sshd.pid), *self.at_work]
        for each in stopped:
            each.suspend()
        try:
            yield
        finally:
            for each in stopped:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.resume()


class Wire:
    """The machines by their names, as a context: namespaces go with the processes that hold them."""

    def __init__(self, folder, **machines):
        self.folder, self.machines = folder, machines
        self._open = contextlib.ExitStack()

    def __enter__(self):
        with self._open as stack:
            self._here = stack.enter_context(namespace())
            _run(*_inside(self._here), "ip", "link", "add", "switch", "type", "bridge")
            self._up(self._here, "switch", HERE)
            self._write_keys()
            for number, (name, machine) in enumerate(self.machines.items(), start=2):
                machine.namespace, machine.address = stack.enter_context(namespace()), f"192.0.2.{number}"
                far = ["type", "veth", "peer", "cable", "netns", machine.namespace]
                _run("ip", "link", "add", name, "netns", self._here, *far)
                _run(*_inside(self._here), "ip", "link", "set", name, "master", "switch", "up")
                self._up(machine.namespace, "cable", machine.address)
                machine.sshd = stack.enter_context(self._serving(name, machine))
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_):
        self._open.close()

    def here(self, *words):
        """A command, in the namespace without an sshd."""
        return [*_inside(self._here), *words]

    @property
    def environment(self):
        """Has ssh know the machines, by a key of the test's own."""
        return {"WHICHWORKER_SSH_OPTIONS": f"-F {shlex.quote(str(self.folder / 'ssh_config'))}"}

    def _up(self, namespace, device, address):
        _run(*_inside(namespace), "ip", "addr", "add", f"{address}/24", "dev", device)
        for each in (device, "lo"):
            _run(*_inside(namespace), "ip", "link", "set", each, "up")

    def _write_keys(self):
        for name in ("host", "user"):
            _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / name)
        (self.folder / "ssh_config").write_text("")
        (self.folder / "known").write_text("")

    @contextlib.contextmanager
    def _serving(self, name, machine):
        folder, log, config = self.folder, self.folder / f"{name}.log", self.folder / f"{name}_sshd_config"
        with (folder / "known").open("a") as known:
            known.write(f"[{machine.address}]:{PORT} {(folder / 'host.pub').read_text()}")
        config.write_text(
            f"Port {PORT}\nListenAddress {machine.address}\nHostKey {folder / 'host'}\nPidFile none\n"
            f"UsePAM no\nStrictModes no\nAuthorizedKeysFile {folder / 'user.pub'}\n"
            f"PermitRootLogin prohibit-password\n"
            f"SetEnv XDG_CACHE_HOME={machine.cache} TMPDIR={tempfile.gettempdir()}\n"
        )
        with (folder / "ssh_config").open("a") as known_as:
            known_as.write(
                f"Host {name}\n HostName {machine.address}\n Port {PORT}\n User root\n"
                f" IdentityFile {folder / 'user'}\n IdentitiesOnly yes\n"
                f" UserKnownHostsFile {folder / 'known'}\n"
            )
        Path("/run/sshd").mkdir(exist_ok=True)
        cpus = ",".join(map(str, machine.cpus))
        words = [*_inside(machine.namespace), "taskset", "-c", cpus, str(SSHD), "-D", "-e", "-f", str(config)]
        nothing = subprocess.DEVNULL
        with log.open("wb") as stream, subprocess.Popen(words, stderr=stream, stdin=nothing) as sshd:
            try:
                wait_until(lambda: b"Server listening" in log.read_bytes(), f"sshd of {name} listens")
                yield sshd
            finally:
                for left in machine.at_work:  # of a connection that was cut, sshd may not know for long
                    with contextlib.suppress(psutil.NoSuchProcess):
                        left.kill()
                sshd.terminate()


@contextlib.contextmanager
def namespace(*options, first="true"):
    """The pid of a process that holds a network namespace, and others by `options` of unshare(1).

    In them it has run a command of a shell `first`.
    """
    words = ["unshare", "--net", *options, "sh", "-c", f"{first} && echo; cat"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        yield str(holder.pid)
        holder.stdin.close()


def _inside(holder):
    return ["nsenter", f"--net=/proc/{holder}/ns/net"]


def _run(*words):
    environment = {**os.environ, "LC_ALL": "C"}
    subprocess.run([*map(str, words)], check=True, capture_output=True, text=True, env=environment)
