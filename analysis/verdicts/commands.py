"""The command that serves with a configuration, made of one that did: complete, and ready to be copied."""

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePath

from analysis.apps import named
from analysis.verdicts.evidence import Known, Served
from analysis.verdicts.model import Command
from analysis.verdicts.requirements import Requirements
from analysis.words import assignments

# What stands for the suite's app where none of one's own was measured: that of whoever copies the command.
YOURS = "app:app"
HOST, PORT = "127.0.0.1", 8000
# Modules of the suite that a command needs.
_MODULE = re.compile(r"\btargets\.(\w+)")
_BY_REQUESTS = ("--max-requests", "--limit-max-requests")
_BY_JITTER = ("--max-requests-jitter", "--limit-max-requests-jitter")
_BY_MEMORY = ("--workers-max-rss",)
_MANAGER = (
    "a process manager that starts the server again each time it ends (systemd: Restart=always; a container: "
    "restart: always)"
)


def command(known: Known, asked: Requirements) -> Command | None:
    """How to serve with a configuration as `asked`; None where no cell says how.

    Host, port, app, workers and what workers are replaced by are filled in behind the flags of the suite's
    catalogue; everything else stays as it was measured.
    """
    served = _served(known, asked)
    if served is None:
        return None
    replacing = asked.restart != "none"
    # A server that takes no number of workers has the one it was measured with.
    workers = asked.workers if asked.workers and "--workers" in served.words else served.workers
    jitter = asked.max_requests_jitter if served.jitter else None
    app = next((each.app for each in known.served if each.app is not None), YOURS)
    words = named(_filled(served.words, _values(asked, workers)), app)
    words[0] = PurePath(words[0]).name
    modules = sorted({name for word in words for name in _MODULE.findall(word)})
    words = [_MODULE.sub(r"\1", word) for word in words]
    variables = _environment(known, served, words[0])
    by_app = replacing and known.recycle == "app"
    return Command(
        configuration=known.name,
        line=" ".join([*assignments(variables), shlex.join(words)]),
        app_lines=_app_lines(asked) if by_app else (),
        needs=tuple(_needs(known, workers, modules, by_app=by_app, replacing=replacing)),
        settings={
            "workers": workers,
            "keep_alive_s": known.keep_alive_s,
            "backlog": known.backlog,
            "max_requests": asked.max_requests if replacing and known.recycle != "rss" else None,
            "max_requests_jitter": jitter if replacing else None,
            "max_rss_mib": asked.max_rss_mib if replacing and known.recycle == "rss" else None,
            "preload": "--preload" in served.words,
            "loop": served.loop,
            "parser": served.parser,
        },
        versions={name: each for name, each in known.versions.items() if _concerns(name, words)},
    )


def _served(known: Known, asked: Requirements) -> Served | None:
    """The command to go by: of those that did what is asked the one with the most workers."""
    wanted = [
        each
        for each in known.served
        if each.replacing == (asked.restart != "none") and asked.counts(each.workers)
    ]
    # What has one worker at most was measured with one, whatever is asked for.
    fitting = wanted or [each for each in known.served if each.replacing == (asked.restart != "none")]
    return max(fitting, key=lambda each: each.workers, default=None)


def _values(asked: Requirements, workers: int) -> dict[str, str]:
    """What stands behind each flag."""
    return {
        "--host": HOST,
        "--port": str(PORT),
        "--bind": f"{HOST}:{PORT}",
        "--workers": str(workers),
        **dict.fromkeys(_BY_REQUESTS, str(asked.max_requests)),
        **dict.fromkeys(_BY_JITTER, str(asked.max_requests_jitter)),
        **dict.fromkeys(_BY_MEMORY, str(asked.max_rss_mib)),
    }


def _filled(words: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """`words` with the value behind each flag that `values` has replaced."""
    flags = ["", *words[:-1]]
    return [values.get(flag, word) for flag, word in zip(flags, words, strict=True)]


def _environment(known: Known, served: Served, program: str) -> Mapping[str, str]:
    """What a configuration sets for its command, whichever cell recorded it."""
    recorded = (each.environment for each in (served, *known.served))
    found = next((each for each in recorded if each is not None), None)
    return _unrecorded(known, served, program) if found is None else found


def _unrecorded(known: Known, served: Served, program: str) -> dict[str, str]:
    """What the catalogue set when runs did not record it: only Sanic's own HTTP server was told anything."""
    if served.parser != "sanic":
        return {}
    variables = {}
    if known.keep_alive_s is not None:
        variables["SANIC_KEEP_ALIVE_TIMEOUT"] = f"{known.keep_alive_s:g}"
    if program != "sanic":  # whose own command has a flag for it
        variables["SANIC_ACCESS_LOG"] = "false"
    return variables


def _concerns(package: str, words: Sequence[str]) -> bool:
    """Whether a command says that it uses a package; Python and Sanic serve with every one."""
    name = package.lower().replace("-", "_")
    return name in ("python", "sanic") or any(name in word for word in words)


def _app_lines(asked: Requirements) -> tuple[str, ...]:
    jitter = f"{asked.max_requests_jitter:_}"
    return (
        "from recycle import recycle_after",
        "",
        f"recycle_after(app, max_requests={asked.max_requests:_}, jitter={jitter})",
    )


def _needs(known: Known, workers: int, modules: Sequence[str], *, by_app: bool, replacing: bool) -> list[str]:
    """What must be there for the command to do what was measured."""
    needs = [f"targets/{module}.py of this suite, copied beside your app" for module in modules]
    if by_app:
        needs.append("targets/recycle.py of this suite, copied beside your app (docs/recycling.md)")
    if replacing and known.recycle == "respawn" and workers == 1:
        needs.append(_MANAGER)
    return needs
