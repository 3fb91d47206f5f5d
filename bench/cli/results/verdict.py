"""The command ``bench verdict``."""

from collections.abc import Mapping
from inspect import Parameter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from pydantic.fields import FieldInfo

from bench.cli.options import ResultsOption, spliced
from bench.cli.results import verdict_shown
from bench.cli.terminal import console, reports_errors, say
from bench.experiment import inputs, results
from bench.machine import host
from bench.model import scenarios
from bench.model.errors import UsageError, UserError, unknown
from bench.model.files import write_text
from bench.model.plans import plan
from bench.model.plans.proxy import PROXIES
from bench.model.requirements import Requirements, about, combined, of_options

if TYPE_CHECKING:
    from analysis.study import Study

app = typer.Typer()


def _option(field: tuple[str, FieldInfo]) -> Parameter:
    """The option of a requirement; numbers by scenario, and words of a choice, are text."""
    key, info = field
    kind, *_ = get_args(info.annotation) or (info.annotation,)
    kind = getattr(kind, "__origin__", kind)  # of an annotated number
    kind = kind if kind in (bool, int, float) else str
    option = typer.Option(None, help=about(info).option)
    return Parameter(key, Parameter.KEYWORD_ONLY, default=option, annotation=kind | None)


@app.command()
@reports_errors
@spliced("options", [_option(field) for field in Requirements.model_fields.items()], dict)
def verdict(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN]...", help="One run of performance, one of recycling, or either."),
    ] = None,
    *,
    options: Mapping[str, Any],
    plan_name: Annotated[
        str | None,
        typer.Option("--plan", "-p", help="Take [requirements] from this plan, not from those of the runs."),
    ] = None,
    behind: Annotated[
        str | None,
        typer.Option(
            metavar="PROXY",
            help="Count what clients behind nginx or haproxy lose when workers are replaced: by runs of "
            "`make recycle PROXY=nginx`.",
        ),
    ] = None,
    across: Annotated[
        bool, typer.Option("--across", help="Judge even if hosts or methodology versions differ.")
    ] = False,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json", metavar="FILE", help="Write the verdict here instead of to verdict.json in the results."
        ),
    ] = None,
    results_folder: ResultsOption = Path("results"),
) -> None:
    """Say which configuration to use, how to start it, and why not another.

    It holds your requirements against runs of performance and recycling: `make bench` measures both, `make
    recycle` the second at length. Unless you name them, it takes those of this machine that measured the
    most, of these the latest. Each configuration has passed, has failed, or is *not shown*: what was not
    measured, or too seldom, is never assumed. Those that passed are ranked by performance (by memory or
    tail with `--first`); where none did, those that are *likely* to, and the answer is provisional.
    docs/verdict.md explains it.

    Requirements come from the plans of the runs (`[requirements]`), or from `--plan`; options win over both.

    Exit status: 0 one configuration is recommended; 1 none is, or several tie; 2 the runs cannot be used, or
    wrong names or options.

    For example:

    ```
    bench verdict
    bench verdict --restart none --weights sleep=3,index=1
    bench verdict --behind nginx
    bench verdict --first memory
    bench verdict 20261122-080000-quick 20261122-090000-recycle --lost-per-1000 5 --survive-kill
    ```
    """
    # Imported here: it brings pandas and SciPy, which most commands do not need.
    from analysis.recommend import judge, runs_of_settings

    try:
        with console.status("reading the runs …"):
            studies = _studies(names or [], results_folder, behind)
            asked = _asked(studies, options, plan_name)
            tried = runs_of_settings(results_folder, studies[0].results.run)
            judged = judge(studies, asked, tried=tried, across=across)
    except UserError as error:
        raise UsageError(str(error)) from error
    path = json_file or results_folder / "verdict.json"
    write_text(path, judged.json_text())
    verdict_shown.everything(judged)
    say(f"verdict: {path}")
    if judged.decision != "recommended":
        raise typer.Exit(1)


def _studies(names: list[str], results_folder: Path, behind: str | None) -> "list[Study]":
    """The runs that were named, else the latest of this machine; one is of recycling behind a given proxy."""
    from analysis.recommend import latest
    from analysis.study import study

    if behind is not None and behind not in PROXIES:
        raise UsageError(unknown("proxy", behind, PROXIES))

    folders = [results.find(results_folder, name) for name in names]
    folders = folders or latest(results_folder, host.facts()["machine_id"], behind)
    if not folders:
        raise UsageError(
            f"no finished run of this machine in {results_folder}: `make bench` measures performance, "
            "`make recycle` what replacing workers costs"
        )
    studies = [study(folder) for folder in folders]
    if behind is not None and not any(one.recycling and one.results.run.behind == behind for one in studies):
        which = (
            f"none of {', '.join(names)}" if names else f"no finished run of this machine in {results_folder}"
        )
        raise UsageError(f"{which} replaced workers behind {behind}: `make recycle PROXY={behind}` does")
    return studies


def _asked(studies: "list[Study]", options: Mapping[str, Any], plan_name: str | None) -> Requirements:
    """The requirements of the options, and besides of the plan that was named, else of the runs."""
    from analysis.recommend import stated

    measured = {str(name) for study in studies for name in study.results.cells["scenario"]}
    given = of_options(options)
    given.check_scenarios(measured | set(scenarios.load()), "command line")
    if plan_name is None:
        return combined(stated(studies), given.given())
    chosen = plan.load(plan_name)
    if chosen.requirements is None:
        raise UsageError(f"the plan {plan_name} has no [requirements]")
    chosen.requirements.check_scenarios(measured | set(inputs.scenarios(chosen)), plan_name)
    return combined({plan_name: chosen.requirements.given()}, given.given())
