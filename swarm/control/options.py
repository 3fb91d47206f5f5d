"""The options of a session's locustfiles, and of Locust itself.

What a locustfile adds with `init_command_line_parser` works as under `locust`: by its defaults, by its
environment variables, and by what `--option` gives it. Locust's own options are those of the cell that runs,
whatever its variables and settings files say, because these are meant for other tests.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NoReturn

from locust import argument_parser, events
from locust.argument_parser import (
    DEFAULT_CONFIG_FILES,
    LocustArgumentParser,
    get_empty_argument_parser,
    get_parser,
    setup_parser_arguments,
)

from ..users.user_code import described

BEYOND_OPTIONS: Final = (
    "LOCUST_USER_CLASSES",
    "LOCUST_WAIT_FOR_WORKERS_REPORT_AFTER_RAMP_UP",
    "LOCUST_WORKER_ADDITIONAL_WAIT_BEFORE_READY_AFTER_STOP",
)
"""Variables that Locust reads itself, beside those of its options."""


class OptionsError(Exception):
    """The options of a locustfile are missing or wrong; the message is for the person who started the run."""


@dataclass(frozen=True)
class LocustSettings:
    """What would set Locust's own options: the names of environment variables, and of settings files."""

    variables: tuple[str, ...]
    files: tuple[str, ...] = DEFAULT_CONFIG_FILES


def locust_settings() -> LocustSettings:
    """What sets the options of this version of Locust."""
    named = (getattr(action, "env_var", None) for action in _locusts_parser()._actions)
    return LocustSettings((*filter(None, named), *BEYOND_OPTIONS))


def leave_settings_aside(given: Sequence[str]) -> None:
    """Forget what sets Locust's own options: the variables, also for programs started here, and the files.

    The command line becomes that of `locust` with the options that were `given`: locustfiles read it.
    """
    for name in locust_settings().variables:
        os.environ.pop(name, None)
    # Locust's web UI makes parsers of its own, too, and so do locustfiles.
    sys.argv[:] = ["locust", *given]
    argument_parser.get_parser = partial(get_parser, [])


def parse(given: Sequence[str]) -> tuple[Namespace, list[str]]:
    """Locust's options at their defaults, and those that locustfiles add, as `given`.

    Also returns the words of `given` that none of them knows. Raises OptionsError for options that are
    required and not given, wrong values, and options of Locust's own.
    """
    parser = _locusts_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    for listener in list(events.init_command_line_parser._handlers):
        call(listener, "init_command_line_parser", parser=parser)
    missing = [action for action in parser._actions if action.required and not _is_given(action, given)]
    if missing:
        raise OptionsError(_ask_for(missing))
    options, unknown = parser.parse_known_args(list(given))
    own = _locusts_parser()
    for name, value in vars(own.parse_args([])).items():
        if name == "user_classes":  # words that no option takes
            unknown += options.user_classes
            options.user_classes = value
        elif getattr(options, name, value) != value:
            flags = next(action.option_strings for action in own._actions if action.dest == name)
            raise OptionsError(f"{max(flags, key=len)} is Locust's own option: the plan and the suite set it")
    return options, unknown


def call(listener: Callable[..., Any], event: str, **fields: Any) -> None:
    """Call a listener of an event after which Locust ends if one fails; raises OptionsError."""
    try:
        listener(**fields)
    except (Exception, SystemExit) as error:
        name, why = getattr(listener, "__qualname__", repr(listener)), described(error)
        if event == "init" and "NoneType" in why:
            why += " (host and users are those of a load: listen to test_start where they are needed)"
        raise OptionsError(f"its listener {name} of the event {event} failed: {why}") from error


def _locusts_parser() -> LocustArgumentParser:
    """A parser without the options of locustfiles, which reads no settings file."""
    parser = get_empty_argument_parser(default_config_files=[])
    setup_parser_arguments(parser)
    return parser


def _refuse(message: str) -> NoReturn:
    raise OptionsError(message)


def _is_given(action: Any, given: Sequence[str]) -> bool:
    variable = getattr(action, "env_var", None)
    if variable is not None and variable in os.environ:
        return True
    return any(word.partition("=")[0] in action.option_strings for word in given)


def _ask_for(missing: Sequence[Any]) -> str:
    """Which options are required, and how each can be given."""
    flags = [action.option_strings[0] if action.option_strings else action.dest for action in missing]
    variables = [action.env_var for action in missing if getattr(action, "env_var", None)]
    example = " ".join(f"{flag} VALUE" if flag.startswith("-") else "VALUE" for flag in flags)
    way = f'give SCENARIO_OPTIONS="{example}"'
    if variables:
        names = ",".join(variables)
        way += f", or export {' and '.join(variables)} (beside APP= also ENVIRONMENT={names})"
    return f"it requires {' and '.join(flags)}: {way}"
