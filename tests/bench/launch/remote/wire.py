"""Two machines on one: two network namespaces with a cable between them, and a real sshd in one of them."""

import contextlib
import os
import shlex
import stat
import subprocess
from pathlib import Path

from bench.launch import stacks
from bench.launch.remote import files
from tests.patience import wait_until

HERE, THERE, PORT = "192.0.2.1", "192.0.2.2", 2222
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
    (venvs / "current").symlink_to(stacks.VENVS / "current")
    return cache


class Wire:
    """The namespaces, as a context: they go with the processes that hold them.

    The machine `there` keeps things in `cache` and has some `cpus`.
    """

    def __init__(self, folder, cache, cpus):
        self.folder, self.cache, self.cpus = folder, cache, cpus
        self._open = contextlib.ExitStack()

    def __enter__(self):
        with self._open as stack:
            self._here, self._there = (stack.enter_context(namespace()) for _ in range(2))
            ends = ["here", "netns", self._here, "type", "veth", "peer", "there", "netns", self._there]
            _run("ip", "link", "add", *ends)
            for holder, device, address in ((self._here, "here", HERE), (self._there, "there", THERE)):
                _run(*_inside(holder), "ip", "addr", "add", f"{address}/30", "dev", device)
                for each in (device, "lo"):
                    _run(*_inside(holder), "ip", "link", "set", each, "up")
            self.sshd = stack.enter_context(self._serving())
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_):
        self._open.close()

    def here(self, *words):
        """A command, in the namespace of the generator."""
        return [*_inside(self._here), *words]

    def there(self, *words):
        """A command, in that of the servers."""
        return [*_inside(self._there), *words]

    @property
    def environment(self):
        """Has ssh know the machine `there`, by a key of the test's own."""
        return {"WHICHWORKER_SSH_OPTIONS": f"-F {shlex.quote(str(self.folder / 'ssh_config'))}"}

    @contextlib.contextmanager
    def _serving(self):
        folder, log = self.folder, self.folder / "sshd.log"
        for name in ("host", "user"):
            _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name)
        (folder / "known").write_text(f"[{THERE}]:{PORT} {(folder / 'host.pub').read_text()}")
        (folder / "sshd_config").write_text(
            f"Port {PORT}\nListenAddress {THERE}\nHostKey {folder / 'host'}\nPidFile none\nUsePAM no\n"
            f"StrictModes no\nAuthorizedKeysFile {folder / 'user.pub'}\nPermitRootLogin prohibit-password\n"
            f"SetEnv XDG_CACHE_HOME={self.cache}\n"
        )
        (folder / "ssh_config").write_text(
            f"Host there\n HostName {THERE}\n Port {PORT}\n User root\n IdentityFile {folder / 'user'}\n"
            f" IdentitiesOnly yes\n UserKnownHostsFile {folder / 'known'}\n"
        )
        Path("/run/sshd").mkdir(exist_ok=True)
        cpus = ",".join(map(str, self.cpus))
        words = self.there("taskset", "-c", cpus, str(SSHD), "-D", "-e", "-f", str(folder / "sshd_config"))
        nothing = subprocess.DEVNULL
        with log.open("wb") as stream, subprocess.Popen(words, stderr=stream, stdin=nothing) as sshd:
            try:
                wait_until(lambda: b"Server listening" in log.read_bytes(), "sshd listens")
                yield sshd
            finally:
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
