"""Run one configuration and meter its processes: `python -m targets.serve NAME --metrics DIR ...` (`--help`).

It runs with the interpreter of the configuration's stack, from the project's root, and needs Linux, the
standard library and psutil (and tomli on Python 3.9). DIR must be new or empty. The server is started in a
process group of its own. When the right configuration answers `/whoami` and all workers have announced
themselves, serve writes `DIR/server.json` (the keys of `server` in cell.json, docs/contracts.md): that file
is readiness. While it serves, it appends whole lines to `processes.csv`, `workers.csv`, `requests.csv`
(with `--log-requests`, which costs time) and `server.log`.

* Recycling. `--max-requests N` is refused where `recycle` is `none` or `rss`, `--max-rss MIB` where it is
  not `rss`, a `--max-requests-jitter` that `recycle_argv` has no place for. With `app`, serve sets
  `WHICHWORKER_MAX_REQUESTS` and `WHICHWORKER_MAX_REQUESTS_JITTER`, which an app of one's own must heed.
  With `respawn`, it starts a server that ended with status 0 anew.
* An app of one's own (`--app MODULE:NAME --app-folder DIR [--variable NAME]...`) is sent no request: it is
  ready when all workers have announced themselves and the port is open. The command names
  `targets.own:app`, which adds listeners only; the folder is the working directory and first on
  `PYTHONPATH`. With `--startup-timeout` above 30 s, `WHICHWORKER_PATIENCE_S` (ten more) has Sanic's manager
  and Hypercorn wait.
* TLS. A configuration with `{certificate}` needs `--certificate` and `--key`; users trust the file that
  `WHICHWORKER_AUTHORITY` names.
* A deploy. With `--deploys`, SIGUSR1 publishes a new release, and the server takes it up as `reload` says.
  A worker reads its release from the file that `WHICHWORKER_RELEASE` names when it imports the app, and
  announces it (`ready.csv`: time, pid, release). With `--swap-port P` a second copy takes it up at P
  instead; `standby` has its URL once it answers, and SIGUSR1 again ends the first copy.
* Unix sockets. With `--unix FILE` the server listens there and on no port (what a killed one left is removed
  first), its second copy at `--swap-unix FILE`; its URL is `unix:FILE`.
* The end. SIGTERM and SIGINT are forwarded; serve returns when the whole tree is gone (killed after a grace
  period). If serve is killed, the kernel ends the server.

Exit status: 0 ended on request; 2 wrong arguments, a used DIR or not the stack's interpreter; 3 never ready
(the server's last lines on stderr); 4 port in use; 5 the server ended by itself; 6 the metrics could not be
written; 7 it could not be told to deploy.
"""

from __future__ import annotations

import argparse
import errno
import os
import signal
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Callable, Sequence

import psutil

from targets.catalogue.configurations import CONFIGURATIONS, WATCHDOG_S, load
from targets.catalogue.recycling import Recycling
from targets.catalogue.stack import Stack
from targets.catalogue.tables import ConfigurationError
from targets.inside.own_app import OWN_APP, SUITES_APP, OwnApp, reserved
from targets.serving.deploys import DeployError
from targets.serving.metering import Meter, MeteringError
from targets.serving.processes import SUPPORTED, ProcessTree
from targets.serving.readiness import Place
from targets.serving.server import WATCHED_SIGNALS, EndedError, NeverReadyError, Order, Server

WRONG_ARGUMENTS, NEVER_READY, PORT_IN_USE, SERVER_ENDED, NOT_METERED, NOT_DEPLOYED = range(2, 8)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until asked to stop; returns the exit status."""
    try:
        serve(_parser().parse_args(arguments))
    except ServeError as error:
        print(f"serve: {error}", file=sys.stderr)  # noqa: T201
        return error.status
    return 0


class ServeError(Exception):
    """Why it cannot be served (any longer), for the user, and the exit status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def serve(options: argparse.Namespace) -> None:
    """Start the server, meter it until a signal asks to stop, and leave no process behind."""
    if not SUPPORTED:
        raise ServeError(WRONG_ARGUMENTS, "needs Linux with /proc and CONFIG_PROC_CHILDREN to find processes")
    order = _order(options)
    for place in filter(None, (order.place, order.swap_place)):
        if place.socket is None:
            _check_port(place.host, place.port)
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED_SIGNALS)
    meter = _meter(order.metrics, options.memory_interval)
    tree = ProcessTree()
    try:
        Server(order, tree, meter).run()
    except NeverReadyError as error:
        raise ServeError(NEVER_READY, str(error)) from error
    except EndedError as error:
        raise ServeError(SERVER_ENDED, str(error)) from error
    except DeployError as error:
        raise ServeError(NOT_DEPLOYED, str(error)) from error
    except (MeteringError, OSError) as error:
        raise ServeError(NOT_METERED, f"the server was stopped, because {error}") from error
    finally:
        tree.close()
        meter.close()


def _order(options: argparse.Namespace) -> Order:
    own = _own(options)
    try:
        catalogue = load(options.catalogue, only=options.name)
        configuration = catalogue.get(options.name)
        recycling = Recycling(options.max_requests, options.max_requests_jitter, options.max_rss)
        places = _places(options, configuration.tls)
        commands = [
            configuration.command(
                host=options.host,
                port=place.port,
                socket=None if place.socket is None else str(place.socket),
                workers=options.workers,
                app=options.app if own is None else OWN_APP,
                recycling=recycling,
                startup_timeout=WATCHDOG_S if own is None else options.startup_timeout,
                certificate=str(options.certificate),
                key=str(options.key),
            )
            for place in places
        ]
    except ConfigurationError as error:
        raise ServeError(WRONG_ARGUMENTS, str(error)) from error
    if configuration.tls and None in (options.certificate, options.key):
        raise ServeError(WRONG_ARGUMENTS, f"{options.name} speaks TLS: give --certificate and --key")
    program = str(_program(commands[0][0], catalogue.stacks[configuration.stack]))
    first, *second = ([program, *command[1:]] for command in commands)
    return Order(
        configuration=configuration,
        command=first,
        place=places[0],
        workers=options.workers,
        recycling=recycling,
        log_requests=options.log_requests,
        metrics=options.metrics,
        sample_interval=options.sample_interval,
        startup_timeout=options.startup_timeout,
        grace_period=options.grace_period,
        own=own,
        deploys=options.deploys,
        swap_place=places[1] if second else None,
        swap_command=second[0] if second else None,
    )


def _places(options: argparse.Namespace, tls: bool) -> list[Place]:
    """Where the server listens, and its second copy, if there is to be one."""
    first = Place(options.host, options.port, options.unix, tls)
    if options.swap_port is None and options.swap_unix is None:
        return [first]
    return [first, replace(first, port=options.swap_port or options.port, socket=options.swap_unix)]


def _own(options: argparse.Namespace) -> OwnApp | None:
    """The user's own app, where a folder is given for it."""
    if options.app_folder is None:
        return None
    if not options.app_folder.is_dir():
        raise ServeError(WRONG_ARGUMENTS, f"there is no folder {options.app_folder}")
    for name in options.variable:
        if reserved(name):
            raise ServeError(WRONG_ARGUMENTS, f"{name} is a setting of servers, and not passed to an app")
    return OwnApp(options.app, options.app_folder.resolve(), tuple(options.variable))


def _program(name: str, stack: Stack) -> Path:
    """The program of the environment that this interpreter belongs to, which must be the stack's."""
    made = "which `make setup` creates" if stack.of is None else "which a run that needs it creates"
    remedy = f"run serve with .venvs/{stack.name}/bin/python, {made}"
    version = "%d.%d" % sys.version_info[:2]
    if version not in stack.pythons:
        wanted = " or ".join(stack.pythons)
        raise ServeError(
            WRONG_ARGUMENTS, f"stack {stack.name} needs Python {wanted}, and this is {version}: {remedy}"
        )
    program = Path(sys.executable).with_name(name)
    if not os.access(program, os.X_OK):
        raise ServeError(WRONG_ARGUMENTS, f"there is no {program}: {remedy}")
    return program


def _check_port(host: str, port: int) -> None:
    """Raise `ServeError` if no server could listen there.

    Without SO_REUSEPORT the bind also fails where a server that sets it (Granian) listens already,
    which this server would share the connections with; with SO_REUSEADDR it does not fail for
    connections in TIME_WAIT that an earlier server has left.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ServeError(
                PORT_IN_USE, f"port {port} of {host} is in use{_user_of(port)}: choose another"
            ) from error
        raise ServeError(WRONG_ARGUMENTS, f"cannot listen on {host}:{port}: {error.strerror}") from error


def _user_of(port: int) -> str:
    for connection in psutil.net_connections("tcp"):
        if connection.laddr and connection.laddr.port == port and connection.pid:
            return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
    return ""


def _meter(folder: Path, memory_interval: float) -> Meter:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return Meter(folder, memory_interval)
    except FileExistsError as error:
        raise ServeError(
            WRONG_ARGUMENTS, f"{error.filename} is there already: choose an empty folder"
        ) from error
    except OSError as error:
        raise ServeError(WRONG_ARGUMENTS, f"cannot write to {folder}: {error.strerror}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m targets.serve",
        description="Serve the app with one configuration and meter its processes until SIGTERM or Ctrl-C.",
    )
    add = parser.add_argument
    add("name", metavar="NAME", help="the configuration: a table of the catalogue")
    add(
        "--catalogue",
        type=Path,
        default=CONFIGURATIONS,
        metavar="FILE",
        help="where the configurations are (default targets/configurations.toml)",
    )
    add("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    add("--port", type=_number(int, 1, 65535), default=8000, help="port to listen on (default %(default)s)")
    add("--unix", type=Path, metavar="FILE", help="listen on this Unix socket, and on no port")
    add("--workers", type=_number(int, 1), default=1, help="worker processes (default %(default)s)")
    add("--max-requests", type=_number(int, 1), metavar="N", help="replace a worker after N requests")
    add("--max-requests-jitter", type=_number(int, 0), metavar="J", help="... plus up to J, at random")
    add(
        "--max-rss",
        type=_number(int, 1),
        metavar="MIB",
        help="replace a worker that exceeds so many MiB (where the server cannot count requests)",
    )
    add("--certificate", type=Path, metavar="FILE", help="for configurations that speak TLS (PEM)")
    add("--key", type=Path, metavar="FILE", help="the key of the certificate (PEM)")
    add("--app", default=SUITES_APP, metavar="MODULE:NAME", help="the app (default %(default)s)")
    add(
        "--app-folder",
        type=Path,
        metavar="DIR",
        help="the app is your own (an instance or a factory) and lies there: it is served as it is",
    )
    add(
        "--variable",
        action="append",
        default=[],
        metavar="NAME",
        help="with --app-folder: an environment variable for the app, which gets few others",
    )
    add(
        "--metrics",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder for the files, empty or not yet there",
    )
    add(
        "--log-requests",
        action="store_true",
        help="have the app log its requests to DIR/requests.csv (costs time: not for measuring speed)",
    )
    add(
        "--deploys",
        action="store_true",
        help="the app will have new releases: SIGUSR1 publishes one and has the server take it up",
    )
    add(
        "--swap-port",
        type=_number(int, 1, 65535),
        metavar="PORT",
        help="with --deploys: a second copy takes up the release, at this port; SIGUSR1 again ends the first",
    )
    add("--swap-unix", type=Path, metavar="FILE", help="the same, with --unix: its Unix socket")
    add(
        "--sample-interval",
        type=_number(float, 0.01),
        default=0.25,
        metavar="S",
        help="how often the processes are looked at (default %(default)s s)",
    )
    add(
        "--memory-interval",
        type=_number(float, 0.01),
        default=1.0,
        metavar="S",
        help="how often their memory is read, which costs more, at most (default %(default)s s)",
    )
    add(
        "--startup-timeout",
        type=_number(float, 0.1),
        default=30.0,
        metavar="S",
        help="(default %(default)s s)",
    )
    add(
        "--grace-period",
        type=_number(float, 0),
        default=5.0,
        metavar="S",
        help="how long the server may take to stop before it is killed (default %(default)s s)",
    )
    return parser


def _number(kind: type[int] | type[float], low: float, high: float = float("inf")) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = kind(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not between {low} and {high}")
        return value

    return number


if __name__ == "__main__":
    sys.exit(main())
