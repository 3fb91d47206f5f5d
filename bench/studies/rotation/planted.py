"""Sensitivity: does a rotation see a planted cost of some per cent of a request's CPU time?

A pilot finds out how much work that is: it plants a known amount, and what a request costs with and without
it is measured within the same seconds. The cost is proportional to the work.
"""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from analysis.cells.rotation import controls
from analysis.findings.bottleneck import ranked_by
from analysis.study import Study
from bench.model.documents import ShownTable
from bench.model.errors import UserError
from bench.model.files import ROOT, write_text
from bench.model.plans.plan import PLANS
from bench.stats.comparison import Ratio
from bench.studies.rotation.figures import counted_of, service, span, told
from bench.studies.rotation.series import Leg, Series
from targets.catalogue.configurations import load

QUESTION, MARKER = "planted", "planted cost"
PLAIN, PLANTED = "uvicorn", "uvicorn-planted"
PILOT = "pilot"
CATALOGUE = PLANS / "planted" / "configurations.toml"
_PILOT_SITTINGS = 5
# The pilot's cost must be so large that its own interval is small beside it.
_LEAST_EXCESS = 0.2


def legs(series: Series) -> Iterator[Leg]:
    """The pilot, then so many runs with the cost that was asked for."""
    yield Leg(PILOT, QUESTION, {"sittings": _PILOT_SITTINGS})
    catalogue = series.folder / CATALOGUE.name
    if not catalogue.exists():
        write_catalogue(catalogue, turns_for(series.settings["share"], pilot_cost(series)))
    for number in range(1, series.settings["runs"] + 1):
        yield Leg(f"run {number}", QUESTION, {"catalogue": str(catalogue.resolve())})


def pilot_cost(series: Series) -> Ratio:
    """How many times the CPU time of a plain request one with the pilot's cost takes."""
    cost = _cost(_cells(series.study(PILOT)))
    if cost is None:
        raise UserError(f"the pilot in {series.folder} did not measure {PLAIN} and {PLANTED}: start anew")
    return cost


def turns_for(share: float, pilot: Ratio) -> int:
    """How many turns of the loop cost that share of a plain request.

    Raises:
        UserError: the pilot's own cost hardly shows.
    """
    if not pilot.ratio - 1 > _LEAST_EXCESS:
        raise UserError(
            f"a request with the pilot's planted cost takes {pilot.ratio:.2f} times the CPU time of a plain "
            "one, too little to go by: run again on a quiet machine, or raise the turns in "
            f"{CATALOGUE.relative_to(ROOT)}"
        )
    return max(1, round(_planted_turns(CATALOGUE)[1] * share / (pilot.ratio - 1)))


def write_catalogue(path: Path, turns: int) -> None:
    """Write the catalogue of the pair with another cost, to be read from where it is."""
    variable, pilots = _planted_turns(CATALOGUE)
    text = CATALOGUE.read_text(encoding="utf-8")
    text = text.replace(f'{variable} = "{pilots}"', f'{variable} = "{turns}"')
    write_text(path, text.replace('"../../../targets/', f'"{ROOT}/targets/'))


def tables(series: Series) -> list[ShownTable]:
    """A row for each run: whether its interval is on one side of 1, and what the cost came to.

    The notes say what all of them come to.
    """
    headings = [
        "run",
        "sittings",
        f"{PLANTED} / {PLAIN}: service",
        "on one side of 1",
        "CPU per request",
        "control",
    ]
    rows, sides, controlled, served, costs = [], [], [], [], []
    for purpose, study in series.studies.items():
        if purpose == PILOT:
            continue
        cells = _cells(study)
        aliases = study.results.run.plan.get("aliases", {})
        metric = ranked_by(cells[~cells["configuration"].isin(aliases)])
        ratio = service(cells, metric, PLANTED, PLAIN)
        sides.append(ratio is not None and ratio.high < 1)
        alike = list(controls(cells, metric, aliases))
        controlled += [control.different for control in alike]
        cost = _cost(cells)
        served += [] if ratio is None else [ratio.ratio]
        costs += [] if cost is None else [cost.ratio]
        rows.append(
            [
                purpose,
                str(cells["repeat"].nunique()),
                told(ratio),
                "yes" if sides[-1] else "no",
                told(cost),
                "; ".join(told(control.versus) for control in alike),
            ]
        )
    share = series.settings["share"]
    _, turns = _planted_turns(series.folder / CATALOGUE.name)
    notes = [
        f"{counted_of(sides)} runs have the whole interval below 1; a cost of {share:.1%} is a ratio of "
        f"{1 / (1 + share):.3f} where CPU time is all that counts.",
        f"{PLANTED} / {PLAIN}: {span(served)} of the service, {span(costs)} times the CPU per request.",
        f"{counted_of(controlled)} controls, the plain server against itself, have an interval without 1.",
        f"{turns:,} turns of an empty loop before each request, by the pilot, in which more of them took a "
        f"request to {told(pilot_cost(series))} times the CPU time of a plain one.",
    ]
    title = f"A planted cost of {share:.1%} of the CPU time of a request"
    return [ShownTable(title, headings, rows, notes, brief=())]


def command(series: Series) -> str:
    """What measures it again."""
    return f"make {QUESTION} RUNS={series.settings['runs']} SHARE={series.settings['share']:g}"


def _cells(study: Study) -> pd.DataFrame:
    return study.summary[study.summary["rotated"]]


def _cost(cells: pd.DataFrame) -> Ratio | None:
    served = service(cells, "cpu_us", PLANTED, PLAIN)
    return None if served is None else served.inverse


def _planted_turns(catalogue: Path) -> tuple[str, int]:
    """The variable that plants the cost in a catalogue, and its value."""
    ((variable, turns),) = load(catalogue).get(PLANTED).environment.items()
    return variable, int(turns)
