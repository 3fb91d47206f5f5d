"""The report of a run: notebooks executed, figures and frames kept, one self-contained page."""

import base64
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import jinja2
from PIL import Image

from analysis.checks import Finding
from analysis.errors import AnalysisError
from analysis.execute import execute
from analysis.ranking import Table
from analysis.rates import CapacityTable, RateTable
from analysis.recycling_shown import page as recycled
from analysis.recycling_shown.table import deciding
from analysis.schema import SCHEMA
from analysis.study import Study, study
from analysis.thresholds import Violation

# The figures in the order of the page: its section, then the names the notebooks give them.
SECTIONS = {
    "How much each configuration serves": [
        "throughput",
        "throughput_by_concurrency",
        "latency_by_throughput",
    ],
    "How long an answer takes": ["percentiles", "over_time"],
    "What an open loop shows": ["latency_by_rate", "hidden_latency"],
    "What a request costs": ["cpu_per_request", "memory"],
}


class Listed(Protocol):
    """A row of a table."""

    def texts(self) -> list[str]:
        """One text for each column."""


class Listing(Protocol):
    """What every table can be printed by; `basis` says what it is ranked by, or how to read it."""

    @property
    def title(self) -> str: ...  # noqa: D102
    @property
    def finding(self) -> str: ...  # noqa: D102
    @property
    def basis(self) -> str: ...  # noqa: D102
    @property
    def columns(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def rows(self) -> Sequence[Listed]: ...  # noqa: D102


@dataclass(frozen=True)
class Rendered:
    """What a command line prints: the page, the sentence it opens with, all tables in the order of the page,
    the findings, and the cells that do not keep the plan's thresholds.
    """

    html: Path
    finding: str
    ranking: tuple[Listing, ...]
    findings: list[Finding]
    violations: list[Violation]


def render(run_dir: Path, progress: Callable[[str], None] | None = None) -> Rendered:
    """Analyse a run and write `run_dir/report/`; a report that is there already is replaced as a whole.

    `progress` is told, in a few words, what is being done.

    Raises:
        AnalysisError: the run cannot be read, a notebook failed, or the report cannot be written.
    """
    say = progress or (lambda _: None)
    say("reading the run")
    analysed = study(run_dir)
    target = run_dir / "report"
    try:
        # Its own folder until it is whole, so that a failure leaves the previous report alone.
        with tempfile.TemporaryDirectory(prefix=".report-", dir=run_dir) as temporary:
            folder = Path(temporary) / "report"
            folder.mkdir()
            execute(run_dir.resolve(), folder, say)
            say("writing the page")
            (folder / "report.html").write_text(page(analysed, folder), encoding="utf-8")
            shutil.rmtree(target, ignore_errors=True)
            folder.rename(target)
    except OSError as error:
        raise AnalysisError(f"cannot write the report in {run_dir}: {error.strerror or error}") from error
    return Rendered(
        target / "report.html",
        analysed.verdict.finding,
        _tables(analysed),
        analysed.findings,
        analysed.violations,
    )


def _tables(analysed: Study) -> tuple[Listing, ...]:
    """Recycling, the ranking, searches, rates, and aliases, where there are any."""
    verdict, alike = analysed.verdict, analysed.alike
    decides = deciding(analysed)
    first = () if decides is None else (decides,)
    return (*first, *verdict.tables, *verdict.capacity, *verdict.rates, *([alike] if alike.rows else []))


def page(analysed: Study, figures: Path) -> str:
    """The whole page as HTML, with the pictures of the folder `figures` inside."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    run = analysed.results.run
    findings = analysed.findings
    return environment.get_template("report.html.j2").render(
        run=run,
        verdict=analysed.verdict,
        deciding=deciding(analysed),
        rows=recycled.rows(analysed, figures),
        alike=analysed.alike,
        violations=analysed.violations,
        of_the_run=[finding for finding in findings if finding.scenario is None],
        scenarios=_scenarios(analysed),
        ranked=bool(analysed.verdict.tables or analysed.verdict.capacity or analysed.verdict.rates),
        recycled=_illustrated(figures, recycled.sections(analysed)),
        sections=_illustrated(figures, SECTIONS),
        facts=_facts(analysed),
        configurations=_configurations(analysed),
        failed=analysed.results.cells.query("status == 'failed'").to_dict("records"),
        date=datetime.fromtimestamp(run.started, UTC).strftime("%d %B %Y, %H:%M UTC"),
    )


def _scenarios(analysed: Study) -> list[dict[str, Any]]:
    """Each scenario with its tables, closed and open, and the findings about it."""
    verdict, findings = analysed.verdict, analysed.findings
    tables: list[Table | CapacityTable | RateTable]
    tables = [*verdict.tables, *verdict.capacity, *verdict.rates]
    named = list(dict.fromkeys([table.scenario for table in tables]))
    # A scenario of which every cell failed has findings and no table.
    named += sorted({finding.scenario for finding in findings if finding.scenario} - set(named))
    return [
        {
            "name": name,
            "tables": [table for table in tables if table.scenario == name],
            "findings": [finding for finding in findings if finding.scenario == name],
        }
        for name in named
    ]


def _illustrated(folder: Path, sections: dict[str, list[str]]) -> dict[str, list[dict[str, str]]]:
    return {title: _pictures(folder, names) for title, names in sections.items()}


def _pictures(folder: Path, names: list[str]) -> list[dict[str, str]]:
    """The figures that were drawn: name, what it shows in words, and the picture as a data URI."""
    pictures = []
    for name in names:
        path = folder / f"{name}.png"
        if path.exists():
            with Image.open(path) as picture:
                title = str(picture.info["Title"])
            data = base64.b64encode(path.read_bytes()).decode("ascii")
            pictures.append({"name": name, "title": title, "data": f"data:image/png;base64,{data}"})
    return pictures


def _facts(analysed: Study) -> dict[str, str]:
    """How it was measured, as label and text."""
    results, run = analysed.results, analysed.results.run
    host = run.host
    memory = f", {host.memory_bytes / 2**30:.1f} GiB" if host.memory_bytes else ""
    split = f"server on CPU {_cpus(run.cpu_split.server)}, generator on CPU {_cpus(run.cpu_split.generator)}"
    engines = ", ".join(sorted(results.finished["engine"].unique()))
    loops = " and ".join(f"{kind} loop" for kind in sorted(results.finished["load_kind"].unique()))
    facts = {
        "Machine": f"{host.hostname}: {host.cpu}, {host.cpus} CPUs{memory}, {host.system}"
        + (" (in a container)" if host.container else ""),
        "CPU split": split + (f": {run.cpu_split.note}" if run.cpu_split.note else ""),
        "Launcher": run.launcher,
        "Load": f"Locust {run.suite.packages.get('locust', '')} (engine: {engines}), {loops}",
        "Plan": f"{run.plan.get('name', 'unnamed')}, seed {run.seed}",
        "Cells": f"{len(results.finished)} finished of {run.cells_planned} planned",
        "Suite": f"Python {run.suite.python}, {_packages(run.suite.packages)}",
    }
    if run.wall_s and run.load_s:
        facts["Time"] = f"{run.wall_s:.0f} s, {run.load_s / run.wall_s:.0%} of them under load"
    for name, stack in run.stacks.items():
        facts[f"Stack {name}"] = f"Python {stack.python}, {_packages(stack.packages)}"
    if run.git and run.git.revision:
        facts["Revision"] = run.git.revision[:12] + (" with local changes" if run.git.dirty else "")
    facts["Results"] = f"{run.run}, schema {SCHEMA}, methodology {run.methodology}"
    return facts


def _configurations(analysed: Study) -> list[dict[str, Any]]:
    """Every measured configuration with its exact commands, one per number of workers."""
    cells = analysed.results.finished
    return [
        {
            "about": configuration,
            "commands": cells.loc[cells["configuration"] == configuration.name, "command"].unique().tolist(),
            "serves_with": _serves_with(analysed, configuration.name),
        }
        for configuration in analysed.results.run.configurations
        if (cells["configuration"] == configuration.name).any()
    ]


def _serves_with(analysed: Study, name: str) -> str:
    """The event loop and HTTP parser the server said it uses."""
    cells = analysed.results.finished
    first = cells[cells["configuration"] == name].iloc[0]
    parts = [f"{label} {first[label]}" for label in ("loop", "parser") if first[label]]
    return ", ".join(parts)


def _cpus(cpus: list[int]) -> str:
    return ", ".join(map(str, cpus))


def _packages(packages: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(packages.items()))
