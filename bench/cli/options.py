"""Options that several commands have, and what those for the user's own app change in a plan."""

import shlex
from collections.abc import Callable, Sequence
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.model.errors import UsageError
from bench.model.plans.plan import IMPORT_S, STARTUP_S

# The group of --help.
_OWN = "Your own app and locustfile"

ResultsOption = Annotated[Path, typer.Option("--results", help="The folder that holds the runs.")]
NoReportOption = Annotated[
    bool,
    typer.Option("--no-report", help="Only measure: `bench report` makes the report, here or elsewhere."),
]
LauncherOption = Annotated[
    str | None,
    typer.Option(
        help="What runs servers and load: processes, or compose (containers); without it, the best there is."
    ),
]
AppOption = Annotated[
    str | None,
    typer.Option(
        "--app",
        metavar="MODULE:NAME",
        help="Serve your own Sanic app, an instance or a factory, such as service.main:app "
        "(docs/own-app.md). Needs --locustfile.",
        rich_help_panel=_OWN,
    ),
]
AppDirOption = Annotated[
    Path,
    typer.Option(
        "--app-dir", rich_help_panel=_OWN, help="The folder it is served in; nothing is written there."
    ),
]
RequirementsOption = Annotated[
    Path | None,
    typer.Option(
        "--requirements",
        help="What pip installs for your app beside the servers; the versions that it names win over theirs.",
        rich_help_panel=_OWN,
    ),
]
BaselineOption = Annotated[
    Path | None,
    typer.Option(
        "--baseline",
        metavar="FOLDER",
        help="Another checkout of your app, to compare with: each configuration serves both versions, in one "
        "rotation, and a certain regression is exit status 1 (docs/ci.md).",
        rich_help_panel=_OWN,
    ),
]
BaselineRequirementsOption = Annotated[
    Path | None,
    typer.Option(
        "--baseline-requirements",
        metavar="FILE",
        help="What pip installs for the version to compare with; --requirements if left out.",
        rich_help_panel=_OWN,
    ),
]
LocustfileOption = Annotated[
    Path | None,
    typer.Option(
        "--locustfile",
        help="Your own scenario, under the plan's loads: an ordinary locustfile (all its users are one "
        "scenario), or a folder of them.",
        rich_help_panel=_OWN,
    ),
]
ScenarioOptionsOption = Annotated[
    str | None,
    typer.Option(
        "--scenario-options",
        metavar="TEXT",
        help="Options of your locustfile's own, as on Locust's command line: \"--tenant acme\". They are "
        "recorded, so pass secrets by --environment.",
        rich_help_panel=_OWN,
    ),
]
LocustfileRequirementsOption = Annotated[
    Path | None,
    typer.Option(
        "--locustfile-requirements",
        metavar="FILE",
        help="What pip installs for your locustfiles beside the suite, into an environment of their own.",
        rich_help_panel=_OWN,
    ),
]
VariablesOption = Annotated[
    str | None,
    typer.Option(
        "--environment",
        metavar="NAMES",
        help="Names of variables that your app and locustfile get: DATABASE_URL,TOKEN. Their values are "
        "recorded nowhere.",
        rich_help_panel=_OWN,
    ),
]
StartupTimeoutOption = Annotated[
    float | None,
    typer.Option(
        "--startup-timeout",
        min=0.1,
        metavar="S",
        help=f"How long a server may take to start; {STARTUP_S:g} s if left out.",
    ),
]
ImportTimeoutOption = Annotated[
    float | None,
    typer.Option(
        "--import-timeout",
        min=0.1,
        metavar="S",
        help=f"How long your app and your locustfiles may take to be imported; {IMPORT_S:g} s if left out.",
    ),
]


def spliced(
    name: str, options: Sequence[Parameter], make: Callable[..., Any]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command some options in the place of its parameter ``name``, which ``make`` makes of them."""

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        def wrapped(**arguments: Any) -> None:
            given = {option.name: arguments.pop(option.name) for option in options}
            command(**arguments, **{name: make(**given)})

        own = list(signature(command).parameters.values())
        place = [parameter.name for parameter in own].index(name)
        parameters = [
            parameter.replace(kind=Parameter.KEYWORD_ONLY)
            for parameter in (*own[:place], *options, *own[place + 1 :])
        ]
        wrapped.__doc__, wrapped.__name__ = command.__doc__, command.__name__
        wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        vars(wrapped)["__signature__"] = Signature(parameters)
        return wrapped

    return decorated


def changes(
    app: str | None,
    folder: Path,
    requirements: Path | None,
    locustfile: Path | None,
    variables: list[str] | None,
    scenario_options: str | None = None,
    locustfile_requirements: Path | None = None,
    baseline: Path | None = None,
    baseline_requirements: Path | None = None,
) -> dict[str, Any]:
    """The keys of a plan that these options change; their paths are relative to where we are.

    Raises:
        UsageError: an option that belongs to an app is given without one.
    """
    changed: dict[str, Any] = {}
    if locustfile is not None:
        changed["locustfiles"] = str(locustfile.resolve())
    if scenario_options is not None:
        changed["scenario_options"] = split_options(scenario_options)
    if locustfile_requirements is not None:
        changed["locustfile_requirements"] = str(locustfile_requirements.resolve())
    if app is not None:
        changed["own_app"] = {"app": app, "folder": str(folder.resolve()), "environment": variables or []}
        if requirements is not None:
            changed["own_app"]["requirements"] = str(requirements.resolve())
        if baseline is not None or baseline_requirements is not None:
            before = baseline_requirements or requirements
            changed["own_app"]["baseline"] = {
                "folder": str((baseline or folder).resolve()),
                **({} if before is None else {"requirements": str(before.resolve())}),
            }
        return changed
    given = {
        "--app-dir (APP_DIR=)": folder != Path(),
        "--requirements (REQUIREMENTS=)": requirements is not None,
        "--baseline (BASELINE=)": baseline is not None,
        "--baseline-requirements (BASELINE_REQUIREMENTS=)": baseline_requirements is not None,
    }
    for option, there in (given | {"--environment (ENVIRONMENT=)": bool(variables)}).items():
        if there:
            raise UsageError(f"{option} belongs to an app of your own: give --app module:app (APP=) too")
    return changed


def split_options(text: str | None) -> list[str]:
    """The words of --scenario-options, as a shell would split them; raises ``UsageError``."""
    if text is None:
        return []
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(f"--scenario-options (SCENARIO_OPTIONS=) {text!r}: {error}") from error


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
