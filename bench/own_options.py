"""The options of the command line that bring in what is the user's own, and what they change in a plan."""

from pathlib import Path
from typing import Annotated, Any

import typer

from bench.errors import UsageError

AppOption = Annotated[
    str | None,
    typer.Option(
        "--app",
        metavar="MODULE:NAME",
        help="Serve your own Sanic app, an instance or a factory, such as service.main:app "
        "(docs/own-app.md). Needs --locustfile.",
    ),
]
AppDirOption = Annotated[
    Path, typer.Option("--app-dir", help="The folder it is served in; nothing is written there.")
]
RequirementsOption = Annotated[
    Path | None,
    typer.Option(
        "--requirements",
        help="What pip installs for it beside the servers; versions that it names go before theirs.",
    ),
]
LocustfileOption = Annotated[
    Path | None,
    typer.Option(
        "--locustfile",
        help="Your own scenario, under the plan's loads: an ordinary locustfile (all its users are one "
        "scenario), or a folder of them.",
    ),
]
VariablesOption = Annotated[
    str | None,
    typer.Option(
        "--environment",
        metavar="NAMES",
        help="Variables that your app and locustfile get, by name: DATABASE_URL,TOKEN. Their values are "
        "recorded nowhere.",
    ),
]


def changes(
    app: str | None,
    folder: Path,
    requirements: Path | None,
    locustfile: Path | None,
    variables: list[str] | None,
) -> dict[str, Any]:
    """The keys of a plan that these options change; their paths are relative to where we are.

    Raises:
        UsageError: an option that belongs to an app is given without one.
    """
    changed: dict[str, Any] = {}
    if locustfile is not None:
        changed["locustfiles"] = str(locustfile.resolve())
    if app is not None:
        changed["own_app"] = {"app": app, "folder": str(folder.resolve()), "environment": variables or []}
        if requirements is not None:
            changed["own_app"]["requirements"] = str(requirements.resolve())
        return changed
    given = {
        "--app-dir (APP_DIR=)": folder != Path(),
        "--requirements (REQUIREMENTS=)": requirements is not None,
    }
    for option, there in (given | {"--environment (ENVIRONMENT=)": bool(variables)}).items():
        if there:
            raise UsageError(f"{option} belongs to an app of your own: give --app module:app (APP=) too")
    return changed
