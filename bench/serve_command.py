"""The command line of ``targets.serve``."""

from dataclasses import dataclass
from pathlib import Path

from bench.stacks import Environment
from targets.configurations import NEVER, Recycling

HOST = "127.0.0.1"
# How often serve samples its process tree: the CPU time of a window is exact to one sample at each end.
SAMPLE_INTERVAL_S = 0.2


@dataclass(frozen=True)
class Options:
    """How serve runs a server: when workers are replaced, and what is recorded how often (seconds).

    ``None`` leaves a time to serve.
    """

    recycling: Recycling = NEVER
    log_requests: bool = False
    sample_interval_s: float = SAMPLE_INTERVAL_S
    memory_interval_s: float | None = None
    grace_period_s: float | None = None

    def arguments(self) -> list[str]:
        """The arguments of serve."""
        values = {
            "--sample-interval": self.sample_interval_s,
            "--memory-interval": self.memory_interval_s,
            "--grace-period": self.grace_period_s,
        }
        given = [word for name, value in values.items() if value is not None for word in (name, f"{value:g}")]
        log = ["--log-requests"] if self.log_requests else []
        return [*recycling_arguments(self.recycling), *given, *log]


ORDINARY = Options()


def serve_command(environment: Environment, configuration: str, port: int, workers: int) -> list[str]:
    """The command that serves a configuration from its stack's environment, without metrics options."""
    return [str(environment.python), "-m", "targets.serve", *serve_arguments(configuration, port, workers)]


def serve_arguments(configuration: str, port: int, workers: int, catalogue: Path | None = None) -> list[str]:
    """The arguments of serve for a configuration, without metrics options."""
    arguments = [configuration, "--host", HOST, "--port", str(port), "--workers", str(workers)]
    return arguments if catalogue is None else [*arguments, "--catalogue", str(catalogue)]


def recycling_arguments(recycling: Recycling) -> list[str]:
    """The arguments that tell serve when workers are to be replaced."""
    values = {
        "--max-requests": recycling.max_requests,
        "--max-requests-jitter": recycling.max_requests_jitter,
        "--max-rss": recycling.max_rss_mib,
    }
    return [word for name, value in values.items() if value is not None for word in (name, str(value))]
