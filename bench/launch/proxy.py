"""The proxies that servers can be measured behind: which is there, and how it is configured."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from bench.model.errors import UserError
from bench.model.plans.plan import Plan

if TYPE_CHECKING:
    import jinja2

# Debian keeps them where only root's PATH leads.
_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
_ASK_S = 10.0
# A proxy holds two connections for each client, and some of its own.
_LEAST_CONNECTIONS, _SPARE_CONNECTIONS = 1024, 64
# The addresses in what is shown to copy.
_LISTEN = "127.0.0.1:8080"
_SERVER = {"tcp": "127.0.0.1:8000", "unix": "unix:/run/app/server.sock"}
# And the certificate.
_CERTIFICATE = "certificate.pem"
# In what they say of themselves.
_VERSION = re.compile(r"^(?:nginx|haproxy) version:? (?:nginx/)?(\S+)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class _Kind:
    """A proxy's template, its arguments for a folder and a configuration file, and what reloads that."""

    template: str
    arguments: tuple[str, ...]
    reload: signal.Signals


_KINDS = {
    "nginx": _Kind("nginx.conf.j2", ("-p", "{folder}", "-e", "stderr", "-c", "{file}"), signal.SIGHUP),
    # A master with workers, else it could not be told of another configuration.
    "haproxy": _Kind("haproxy.cfg.j2", ("-W", "-db", "-f", "{file}"), signal.SIGUSR2),
}


@dataclass(frozen=True)
class Found:
    """A proxy that can be run: its ``program`` is a file or, in containers, an image."""

    program: str
    version: str


@dataclass(frozen=True)
class Proxy:
    """A proxy, and how it is to be run: on which CPUs, with how many connections at most.

    ``retries`` and ``keepalive`` (of connections to the server): "default", what the proxy does by itself, or
    "off". ``tls``: clients reach it by that. ``socket``: it reaches the server by "tcp", or by a Unix socket.
    """

    kind: str
    program: str
    version: str
    cpus: tuple[int, ...]
    retries: str = "default"
    keepalive: str = "default"
    tls: bool = False
    socket: Literal["tcp", "unix"] = "tcp"
    connections: int = _LEAST_CONNECTIONS

    def arguments(self, folder: Path) -> list[str]:
        """How it is started in the foreground; ``configure`` has written its file into the folder."""
        words = {"folder": str(folder), "file": str(folder / self._file)}
        return [word.format(**words) for word in _KINDS[self.kind].arguments]

    def configure(
        self, folder: Path, server: str, listen: str, threads: int, certificate: Path | None = None
    ) -> None:
        """Write its configuration: where the server is (``HOST:PORT`` or ``unix:PATH``), and where to listen.

        By TLS it presents the ``certificate``, a file with its key in it.
        """
        assert certificate is not None or not self.tls
        values = self._values(server, listen, certificate)
        values |= {"threads": threads, "root": os.geteuid() == 0}
        text = _template(self.kind).render(**values, connections=self.connections)
        (folder / self._file).write_text(text, encoding="utf-8")

    @property
    def reload_signal(self) -> signal.Signals:
        """What its first process takes for: read your configuration again."""
        return _KINDS[self.kind].reload

    @property
    def snippet(self) -> str:
        """The part of its configuration that clients and servers notice, to be copied."""
        template = _template(self.kind)
        context = template.new_context(self._values(_SERVER[self.socket], _LISTEN))
        return dedent("".join(template.blocks["service"](context))).strip()

    @property
    def facts(self) -> dict[str, Any]:
        """The ``proxy`` of ``run.json``."""
        return {"version": self.version, "cpus": list(self.cpus), "configuration": self.snippet}

    @property
    def _file(self) -> str:
        return _KINDS[self.kind].template.removesuffix(".j2")

    def _values(
        self, server: str, listen: str, certificate: str | Path | None = _CERTIFICATE
    ) -> dict[str, Any]:
        chosen = {"retries": self.retries, "keepalive": self.keepalive, "tls": self.tls}
        return {"server": server, "listen": listen, "certificate": certificate, **chosen}


def find(plan: Plan, cpus: Sequence[int], have: Callable[[str], Found]) -> Proxy | None:
    """The proxy that a plan asks for, to run on some CPUs; ``None`` where it asks for none.

    ``have`` finds that of a kind (``Launcher.find_proxy``), and raises where it cannot.
    """
    if plan.proxy is None:
        return None
    return replace(
        as_it_comes(plan.proxy, cpus, plan.most_users, have),
        retries=plan.proxy_retries or "default",
        keepalive=plan.proxy_keepalive or "default",
        tls=plan.proxy_tls,
        socket=plan.proxy_socket or "tcp",
    )


def as_it_comes(kind: str, cpus: Sequence[int], users: int, have: Callable[[str], Found]) -> Proxy:
    """The proxy of a kind, for so many users at most; ``have`` as ``find`` takes it."""
    found = have(kind)
    connections = max(_LEAST_CONNECTIONS, 2 * users + _SPARE_CONNECTIONS)
    return Proxy(kind, found.program, found.version, tuple(cpus), connections=connections)


def upstream(url: str) -> str:
    """Where a server is, as ``Proxy.configure`` takes it: of a URL with a port, or of ``unix:PATH``."""
    return urlsplit(url).netloc or url


def installed(kind: str) -> str | None:
    """The program of a kind of proxy on this machine; ``None`` if there is none."""
    return shutil.which(kind, path=os.pathsep.join([os.environ.get("PATH", ""), *_FOLDERS]))


def find_installed(kind: str) -> Found:
    """That of this machine.

    Raises:
        UserError: there is none, or it does not run.
    """
    program = installed(kind)
    if program is None:
        raise UserError(
            f"there is no {kind} on this machine: install it (Debian: apt install {kind}), "
            "or leave out PROXY="
        )
    try:
        done = subprocess.run(
            [program, "-v"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_ASK_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"{program} does not run: {error}; install it anew, or leave out PROXY=") from error
    version = version_in(done.stdout)
    if done.returncode != 0 or version is None:
        said = (done.stdout.strip() or f"exit status {done.returncode}").splitlines()[0]
        raise UserError(f"{program} -v says no version: {said}; install it anew, or leave out PROXY=")
    return Found(program, version)


def version_in(said: str) -> str | None:
    """The version in what a proxy says of itself (``-v``)."""
    found = _VERSION.search(said)
    return None if found is None else found[1]


@cache
def _template(kind: str) -> "jinja2.Template":
    import jinja2  # here, because it takes a fifth of a start, and few runs have a proxy

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("proxies")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(_KINDS[kind].template)
