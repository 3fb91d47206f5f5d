"""The proxies that servers can be measured behind: which is installed, and how it is configured."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from textwrap import dedent
from typing import Any

import jinja2

from bench.model.errors import UserError
from bench.model.plan import Plan

# Debian keeps them where only root's PATH leads.
_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
_ASK_S = 10.0
# A proxy holds two connections for each client, and some of its own.
_LEAST_CONNECTIONS, _SPARE_CONNECTIONS = 1024, 64
# The addresses in what is shown to copy.
_LISTEN, _SERVER = "127.0.0.1:8080", "127.0.0.1:8000"
# And the certificate.
_CERTIFICATE = "certificate.pem"


@dataclass(frozen=True)
class _Program:
    """A program's template, its arguments for a folder and a configuration file, and what reloads that."""

    template: str
    arguments: tuple[str, ...]
    reload: signal.Signals


_PROGRAMS = {
    "nginx": _Program("nginx.conf.j2", ("-p", "{folder}", "-e", "stderr", "-c", "{file}"), signal.SIGHUP),
    # A master with workers, else it could not be told of another configuration.
    "haproxy": _Program("haproxy.cfg.j2", ("-W", "-db", "-f", "{file}"), signal.SIGUSR2),
}


@dataclass(frozen=True)
class Proxy:
    """An installed proxy, and how it is to be run: on which CPUs, with how many connections at most.

    ``retries`` and ``keepalive`` (of connections to the server): "default", what the proxy does by itself, or
    "off". ``tls``: clients reach it by that.
    """

    kind: str
    program: Path
    version: str
    cpus: tuple[int, ...]
    retries: str = "default"
    keepalive: str = "default"
    tls: bool = False
    connections: int = _LEAST_CONNECTIONS

    def command(self, folder: Path) -> list[str]:
        """How it is started in the foreground; ``configure`` has written its file into the folder."""
        words = {"folder": str(folder), "file": str(folder / self._file)}
        return [str(self.program), *(word.format(**words) for word in _PROGRAMS[self.kind].arguments)]

    def configure(
        self, folder: Path, server: str, listen: str, threads: int, certificate: Path | None = None
    ) -> None:
        """Write its configuration: where the server is and where to listen, both ``HOST:PORT``.

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
        return _PROGRAMS[self.kind].reload

    @property
    def snippet(self) -> str:
        """The part of its configuration that clients and servers notice, to be copied."""
        template = _template(self.kind)
        context = template.new_context(self._values(_SERVER, _LISTEN))
        return dedent("".join(template.blocks["service"](context))).strip()

    @property
    def facts(self) -> dict[str, Any]:
        """The ``proxy`` of ``run.json``."""
        return {"version": self.version, "cpus": list(self.cpus), "configuration": self.snippet}

    @property
    def _file(self) -> str:
        return _PROGRAMS[self.kind].template.removesuffix(".j2")

    def _values(
        self, server: str, listen: str, certificate: str | Path | None = _CERTIFICATE
    ) -> dict[str, Any]:
        chosen = {"retries": self.retries, "keepalive": self.keepalive, "tls": self.tls}
        return {"server": server, "listen": listen, "certificate": certificate, **chosen}


def find(plan: Plan, cpus: Sequence[int]) -> Proxy | None:
    """The proxy that a plan asks for, to run on some CPUs; ``None`` where it asks for none.

    Raises:
        UserError: it is not installed, or does not run.
    """
    if plan.proxy is None:
        return None
    if installed(plan.proxy) is None:
        raise UserError(
            f"there is no {plan.proxy} on this machine: install it (Debian: apt install {plan.proxy}), "
            "or leave out PROXY="
        )
    return replace(
        as_it_comes(plan.proxy, cpus, plan.most_users),
        retries=plan.proxy_retries or "default",
        keepalive=plan.proxy_keepalive or "default",
        tls=plan.proxy_tls,
    )


def as_it_comes(kind: str, cpus: Sequence[int], users: int) -> Proxy:
    """The installed proxy of a kind for so many users at most; raises ``UserError`` if it does not run."""
    program = installed(kind)
    assert program is not None
    connections = max(_LEAST_CONNECTIONS, 2 * users + _SPARE_CONNECTIONS)
    return Proxy(kind, Path(program), _version(program), tuple(cpus), connections=connections)


def installed(kind: str) -> str | None:
    """The program of a kind of proxy on this machine; ``None`` if there is none."""
    return shutil.which(kind, path=os.pathsep.join([os.environ.get("PATH", ""), *_FOLDERS]))


def _version(program: str) -> str:
    """What a program says of its version, as a number."""
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
    found = re.search(r"version:? (?:nginx/)?(\S+)", done.stdout)
    if done.returncode != 0 or found is None:
        said = (done.stdout.strip() or f"exit status {done.returncode}").splitlines()[0]
        raise UserError(f"{program} -v says no version: {said}; install it anew, or leave out PROXY=")
    return found[1]


@cache
def _template(kind: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("proxies")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(_PROGRAMS[kind].template)
