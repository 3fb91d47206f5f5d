"""The command that says which configuration to use: ``bench verdict``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench import host, plan, prepare, results, scenarios, verdict_shown
from bench.errors import UsageError
from bench.files import write_text
from bench.requirements import numbers, of_options
from bench.terminal import ResultsOption, console, reports_errors

if TYPE_CHECKING:
    from analysis.study import Study
    from analysis.verdicts import Requirements

app = typer.Typer()


@app.command()
@reports_errors
def verdict(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN]...", help="One run of performance, one of recycling, or either."),
    ] = None,
    restart: Annotated[
        str | None,
        typer.Option(help="Workers must be replaced after N requests: requests; or: memory, any, none."),
    ] = None,
    process_manager: Annotated[
        bool | None, typer.Option(help="May a process manager be needed that starts the server again?")
    ] = None,
    connections: Annotated[
        str | None, typer.Option(help="What clients use: both, keep-alive or per-request.")
    ] = None,
    lost_per_1000: Annotated[
        float | None, typer.Option(help="Requests lost per 1000 recycles whose handler ran; 0 unless given.")
    ] = None,
    retryable_per_1000: Annotated[
        float | None, typer.Option(help="Those whose handler did not run, which may be sent again.")
    ] = None,
    enough_recycles: Annotated[
        int | None, typer.Option(help="So many recycles without a loss pass for none; 20 unless given.")
    ] = None,
    stall_s: Annotated[
        float | None, typer.Option(help="Longest time without an answer while workers are replaced.")
    ] = None,
    memory_bounded: Annotated[bool | None, typer.Option(help="A leak must stay within bounds.")] = None,
    survive_kill: Annotated[
        bool | None, typer.Option(help="Another worker must come for one that was killed.")
    ] = None,
    graceful_stop: Annotated[
        bool | None, typer.Option(help="Requests in flight must be finished at SIGTERM.")
    ] = None,
    p99_ms: Annotated[
        str | None, typer.Option(help="p99 from the schedule by scenario, e.g. sleep=50,index=10.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="What counts how much, e.g. sleep=3,index=1; all alike unless given.")
    ] = None,
    margin: Annotated[
        float | None, typer.Option(help="A difference, as a share, that is too small to matter; 0.02.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Workers to serve with: one, or several.")] = None,
    max_requests: Annotated[
        int | None, typer.Option(help="N in the recommended command; 10000 unless given.")
    ] = None,
    max_requests_jitter: Annotated[
        int | None, typer.Option(help="The jitter in it; 1000 unless given.")
    ] = None,
    max_rss_mib: Annotated[
        int | None, typer.Option(help="The size of a worker in it, where memory decides; 512 unless given.")
    ] = None,
    plan_name: Annotated[
        str | None,
        typer.Option("--plan", "-p", help="Take [requirements] from this plan, not from those of the runs."),
    ] = None,
    across: Annotated[
        bool, typer.Option("--across", help="Even if hosts or methodology versions differ.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Instead of verdict.json in the results.")
    ] = None,
    results_folder: ResultsOption = Path("results"),
) -> None:
    """Say which configuration to use, how to start it, and why not another.

    Requirements are held against what was measured: in a run of performance (`make bench`) and in one of
    recycling (`make recycle`), of this machine unless given those that measured the most, and of these the
    latest. Each configuration has
    passed, has failed, or it is *not shown*: what was not measured, or too seldom, is never assumed. Those
    that passed are ranked by performance. docs/verdict.md explains it.

    Requirements come from the plans of the runs (`[requirements]`), or from `--plan`; options go before both.

    Exit status: 0 one configuration is recommended; 1 none is, or several tie; 2 the runs cannot be used, or
    wrong names or options.

    For example:

    ```
    bench verdict
    bench verdict --restart none --weights sleep=3,index=1
    bench verdict 20261122-080000-quick 20261122-090000-recycle --lost-per-1000 5 --survive-kill
    ```
    """
    options = {
        "restart": restart,
        "process_manager": process_manager,
        "connections": connections,
        "lost_per_1000": lost_per_1000,
        "retryable_per_1000": retryable_per_1000,
        "enough_recycles": enough_recycles,
        "stall_s": stall_s,
        "memory_bounded": memory_bounded,
        "survive_kill": survive_kill,
        "graceful_stop": graceful_stop,
        "p99_ms": numbers("--p99-ms", p99_ms),
        "weights": numbers("--weights", weights),
        "margin": margin,
        "workers": workers,
        "max_requests": max_requests,
        "max_requests_jitter": max_requests_jitter,
        "max_rss_mib": max_rss_mib,
    }
    # Imported here: it brings pandas and SciPy, which most commands do not need.
    from analysis.errors import AnalysisError
    from analysis.verdicts import judge

    try:
        with console.status("reading the runs …"):
            studies = _studies(names or [], results_folder)
            asked = _asked(studies, options, plan_name)
            judged = judge(studies, asked, across=across)
    except AnalysisError as error:
        raise UsageError(str(error)) from error
    path = json_file or results_folder / "verdict.json"
    write_text(path, judged.json_text())
    verdict_shown.everything(judged)
    console.print(f"verdict: {path}", markup=False, soft_wrap=True)
    if judged.decision != "recommended":
        raise typer.Exit(1)


def _studies(names: list[str], results_folder: Path) -> "list[Study]":
    """The runs that were named, else the latest of this machine."""
    from analysis.study import study
    from analysis.verdicts import latest

    folders = [results.find(results_folder, name) for name in names]
    folders = folders or latest(results_folder, host.facts()["machine_id"])
    if not folders:
        raise UsageError(
            f"no finished run of this machine in {results_folder}: `make bench` measures performance, "
            "`make recycle` what replacing workers costs"
        )
    return [study(folder) for folder in folders]


def _asked(studies: "list[Study]", options: dict[str, Any], plan_name: str | None) -> "Requirements":
    """The requirements of the options, and besides of the plan that was named, else of the runs."""
    from analysis.verdicts import requirements, stated

    measured = {str(name) for study in studies for name in study.results.cells["scenario"]}
    given = of_options(options)
    given.check_scenarios(measured | set(scenarios.load()), "command line")
    if plan_name is None:
        return requirements(stated(studies), given.given())
    chosen = plan.load(plan_name)
    if chosen.requirements is None:
        raise UsageError(f"the plan {plan_name} has no [requirements]")
    chosen.requirements.check_scenarios(measured | set(prepare.scenarios(chosen)), plan_name)
    return requirements({plan_name: chosen.requirements.given()}, given.given())
