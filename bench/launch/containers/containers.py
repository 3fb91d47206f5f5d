"""The containers of one bench: how they are started, asked and signalled."""

import itertools
import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from bench.launch.containers import cleanup
from bench.launch.containers.engine import CLIENT_S, ClientError, Engine, run
from bench.machine import network
from bench.machine.processes import Streams, outcome, spawn, uninterrupted

# The interpreter of every image of targets/Dockerfile.
PYTHON = "/opt/stack/bin/python"

_STATE = (
    '{"running": {{.State.Running}}, "status": {{.State.ExitCode}},'
    ' "out_of_memory": {{.State.OOMKilled}}, "limit_bytes": {{.HostConfig.Memory}}}'
)
# Names are used once in a process, whatever launcher asks for them.
_numbers = itertools.count(1)


@dataclass(frozen=True)
class State:
    """What became of a container; ``limit_bytes`` of memory is 0 without a limit."""

    running: bool
    status: int
    out_of_memory: bool
    limit_bytes: int


@dataclass
class Containers:
    """Starts services of docker-compose.yml under labels that say whose they are (``cleanup`` goes by them).

    ``mounts`` are folders of the host and whether they may be written to; they have the same path inside.
    ``tags`` are those of the images of some services, where they are not those that everybody uses. What is
    behind a "+" tells a service from the same one of another image.
    ``network`` is the container in whose network namespace the others run; none at first. ``host_pids``: the
    suite's programs see processes by the numbers that the host has for them.
    """

    engine: Engine
    mounts: dict[Path, bool] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    network: str | None = None
    host_pids: bool = False

    def start(
        self,
        service: str,
        arguments: Sequence[str],
        cpus: Sequence[int],
        *,
        variables: Mapping[str, str] | None = None,
        timeout_s: float = CLIENT_S,
    ) -> str:
        """Start a service in a container that runs by itself; returns the container's name.

        ``variables`` are for its environment. Raises:
            ClientError: it could not be started; says why in Docker's words.
        """
        name = _new_name(service)
        command = self._run(name, ["--detach"], service, arguments, variables)
        run(command, environment=self._settings(service, cpus, variables), timeout_s=timeout_s)
        return name

    def attach(
        self,
        service: str,
        arguments: Sequence[str],
        cpus: Sequence[int],
        *,
        entry_point: str | None = None,
        variables: Mapping[str, str] | None = None,
        **streams: Unpack[Streams],
    ) -> subprocess.Popen[bytes]:
        """Start a service in a container that is removed when it ends, with its streams here."""
        name = _new_name(service)
        options = ["-T", "--rm", *(["--entrypoint", entry_point] if entry_point else [])]
        return spawn(
            self._run(name, options, service, arguments, variables),
            own_cpus(),
            **streams,
            environment=self._settings(service, cpus, variables),
            kind=partial(Attached, name, self.signal, self.remove),
        )

    def once(
        self,
        service: str,
        arguments: Sequence[str],
        timeout_s: float,
        variables: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run ``python ARGUMENTS`` of a service's image to its end, on the CPUs of this process.

        Raises:
            subprocess.TimeoutExpired: it takes longer than ``timeout_s``.
        """
        with uninterrupted():
            client = self.attach(
                service,
                arguments,
                own_cpus(),
                entry_point=PYTHON,
                variables=variables,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        return outcome(client, timeout_s)

    def _run(
        self,
        name: str,
        options: Sequence[str],
        service: str,
        arguments: Sequence[str],
        variables: Mapping[str, str] | None,
    ) -> list[str]:
        """The command that runs a service once, under our name and labels.

        It names the ``variables``; their values, which everybody could see in it, are in its environment.
        """
        words = ["run", *options, "--no-deps", "--name", name, *cleanup.labels()]
        for folder, writable in self.mounts.items():
            words += ["--volume", f"{folder}:{folder}:{'rw' if writable else 'ro'}"]
        for key in variables or {}:
            words += ["-e", key]
        return self.engine.compose(cleanup.this_project(), *words, service.partition("+")[0], *arguments)

    def _settings(
        self, service: str, cpus: Sequence[int], variables: Mapping[str, str] | None
    ) -> dict[str, str]:
        """What docker-compose.yml is told: on which CPUs and in whose name, and where 127.0.0.1 is."""
        listed = ",".join(map(str, cpus))
        tag = {"WHICHWORKER_TAG": self.tags[service]} if service in self.tags else {}
        return {
            **(variables or {}),
            **tag,
            "WHICHWORKER_USER": f"{os.getuid()}:{os.getgid()}",
            "WHICHWORKER_SERVER_CPUS": listed,
            "WHICHWORKER_GENERATOR_CPUS": listed,
            "WHICHWORKER_PID": "host" if self.host_pids else "",
            "WHICHWORKER_NETWORK": "none" if self.network is None else f"container:{self.network}",
        }

    def steer(self, cpus: Sequence[int]) -> tuple[str | None, dict[str, int]]:
        """Have CPUs process what the loopback device of the network receives; returns why not, if so.

        And the network's ``loopback.SYSCTLS``, as far as they could be read.

        A container with the capabilities that this takes does it, and is gone then: it makes its /sys one
        that can be written to.
        """
        assert self.network is not None
        image = self._inspect(self.network, "{{.Image}}")
        words = [
            "run",
            "--rm",
            *cleanup.labels(),
            "--cap-drop=ALL",
            "--cap-add=NET_ADMIN",
            "--cap-add=SYS_ADMIN",
        ]
        words += ["--security-opt=apparmor=unconfined", "--security-opt=label=disable"]
        words += ["--userns=host", "--user=0:0"]
        words += ["--network", f"container:{self.network}", "--entrypoint", PYTHON, image]
        words += ["-ISc", network.PROGRAM.read_text(), "here", ",".join(map(str, cpus))]
        try:
            said: dict[str, Any] = json.loads(self.engine.docker(*words).splitlines()[-1])
        except ClientError as error:
            return str(error).splitlines()[0], {}
        return said["why"], said["sysctls"]

    def signal(self, name: str, number: int) -> bool:
        """Send a signal to a container's program; returns whether it was there to get it."""
        try:
            self.engine.docker("kill", "--signal", signal.Signals(number).name, name)
        except ClientError as error:
            if cleanup.is_gone(error):
                return False
            raise
        return True

    def execute(self, name: str, *command: str) -> str:
        """Run a command inside of a container; returns what it printed. Raises ``ClientError``."""
        return self.engine.docker("exec", name, *command)

    def main_pid(self, name: str) -> int:
        """The pid that a container's first process has on this host; 0 if it does not run."""
        try:
            return int(self._inspect(name, "{{.State.Pid}}"))
        except ClientError as error:
            if cleanup.is_gone(error):
                return 0
            raise

    def state(self, name: str) -> State | None:
        """What became of a container; ``None`` if it is not there any more."""
        try:
            return State(**json.loads(self._inspect(name, _STATE)))
        except ClientError as error:
            if cleanup.is_gone(error):
                return None
            raise

    def _inspect(self, name: str, what: str) -> str:
        return self.engine.docker("inspect", "--type", "container", "--format", what, name)

    def log(self, name: str) -> str:
        """What a container printed."""
        client = spawn(["docker", "logs", name], own_cpus(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output, _ = client.communicate()
        return output.decode(errors="replace")

    def remove(self, name: str) -> None:
        """Remove a container, running or not."""
        cleanup.remove(self.engine, [name])


class Attached(subprocess.Popen[bytes]):
    """Signals sent to it reach the program in the container; when it is killed, the container is removed."""

    def __init__(
        self,
        container: str,
        deliver: Callable[[str, int], bool],
        remove: Callable[[str], None],
        *arguments: Any,
        **options: Any,
    ) -> None:
        """``deliver`` sends a signal to a container and says whether it was there; the rest is Popen's."""
        self.container = container
        self._deliver = deliver
        self._remove = remove
        super().__init__(*arguments, **options)

    def send_signal(self, sig: int) -> None:
        # Before there is a container, the client itself gets the signal.
        if sig == signal.SIGKILL:
            super().send_signal(sig)
            self._remove(self.container)
        elif not self._deliver(self.container, sig):
            super().send_signal(sig)


def own_cpus() -> list[int]:
    """The CPUs that this process may use: those of the suite's own work."""
    return sorted(os.sched_getaffinity(0))


def _new_name(service: str) -> str:
    return f"{cleanup.this_project()}-{next(_numbers)}-{service.partition('+')[0]}"
