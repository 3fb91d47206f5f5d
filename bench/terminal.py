"""What the commands share: where they print, and how they tell of errors."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, NoReturn, ParamSpec

import typer
from rich.console import Console

from bench.errors import UsageError, UserError
from targets.configurations import ConfigurationError

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

ResultsOption = Annotated[Path, typer.Option("--results", help="The folder that holds the runs.")]
LauncherOption = Annotated[
    str | None,
    typer.Option(help="What runs servers and load: processes or compose; the best there is if left out."),
]

P = ParamSpec("P")


def reports_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Turn errors that a user can mend into a message and an exit status."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except ConfigurationError as error:
            _fail(str(error), 2)
        except UserError as error:
            _fail(str(error), error.status)
        except OSError as error:  # a folder that may not be written to, a program that is missing
            _fail(str(error), 1)

    return wrapped


def words(text: str | None) -> list[str] | None:
    """Split "a,b c" into names; ``None`` if the option was not given."""
    return None if text is None else text.replace(",", " ").split()


def numbers(option: str, text: str | None) -> list[int] | None:
    """Split "8,64" into numbers; ``None`` if the ``option`` was not given. Raises ``UsageError``."""
    given = words(text)
    try:
        return None if given is None else [int(word) for word in given]
    except ValueError:
        raise UsageError(f'{option} takes whole numbers like "8,64", not "{text}"') from None


def _fail(message: str, status: int) -> NoReturn:
    errors.print("[red]error:[/red] ", end="")
    errors.print(message, markup=False, soft_wrap=True)
    raise typer.Exit(status)
