"""How containers are removed: one's own, and what a bench left that was killed."""

from collections.abc import Sequence

from bench.compose import identity
from bench.compose.engine import ClientError, Engine

_PROJECT_LABEL = "com.docker.compose.project"
# What Docker says of things that are gone, or that somebody else is removing at this moment.
_GONE = ("no such ", "not found", "already in progress", "is not running")


def is_gone(error: ClientError) -> bool:
    """Whether a command failed only because what it was about is not there, or not running, any more."""
    return all(any(words in line.lower() for words in _GONE) for line in str(error).splitlines())


def remove(engine: Engine, names: Sequence[str]) -> None:
    """Remove containers, running or not, with their volumes; those that are gone already are well."""
    _try(engine, ["rm", "--force", "--volumes"], names)


def remove_own(engine: Engine) -> None:
    """Remove everything that this bench has started, and what Compose made for it."""
    own = f"label={identity.BENCH_LABEL}={identity.bench()}"
    remove(engine, engine.docker("ps", "--all", "--quiet", "--filter", own).splitlines())
    for kind in ("network", "volume"):
        made = [name for name, project in _made_by_compose(engine, kind) if project == identity.project()]
        _try(engine, [kind, "rm"], made)


def remove_leftovers(engine: Engine) -> int:
    """Remove what benches of this checkout left that live no more; returns how many containers it was."""
    ours = f"label={identity.CHECKOUT_LABEL}={identity.checkout()}"
    shown = f'{{{{.ID}}}} {{{{.Label "{identity.BENCH_LABEL}"}}}}'
    listed = engine.docker("ps", "--all", "--filter", ours, "--format", shown).splitlines()
    dead = [name for name, _, bench in (line.partition(" ") for line in listed) if not identity.lives(bench)]
    remove(engine, dead)
    for kind in ("network", "volume"):
        made = [
            name for name, project in _made_by_compose(engine, kind) if identity.project_of_the_dead(project)
        ]
        _try(engine, [kind, "rm"], made)
    return len(dead)


def _made_by_compose(engine: Engine, kind: str) -> list[tuple[str, str]]:
    """The networks or volumes that Compose made, each with the project it was for."""
    shown = f'{{{{.Name}}}} {{{{.Label "{_PROJECT_LABEL}"}}}}'
    listed = engine.docker(kind, "ls", "--filter", f"label={_PROJECT_LABEL}", "--format", shown)
    return [(name, project) for name, _, project in (line.partition(" ") for line in listed.splitlines())]


def _try(engine: Engine, command: Sequence[str], names: Sequence[str]) -> None:
    if not names:
        return
    try:
        engine.docker(*command, *names)
    except ClientError as error:
        if not is_gone(error):
            raise
