"""Claims about which server is faster, answered from a run of performance."""

import math
from collections.abc import Collection, Mapping

import pandas as pd

from analysis.claims.material import Material
from analysis.claims.model import SANIC_WORKER, UVICORN_WORKER, ClaimAnswer, Outcome
from analysis.recommend.evidence import Performance, ReplacementPrice
from analysis.words import Value, counted, figures
from bench.stats.comparison import Ratio, compare

OWN_SERVER = ("sanic", "sanic-single")
# More comparisons than that are counted, not listed.
FEW = 4
# By scenario and number of workers: in words, and as a number.
Ratios = Mapping[str, tuple[str, Ratio]]
NOT_MEASURED = ClaimAnswer("not measured", "There is no run of performance: `make bench` measures it.")


def sanic_worker_is_faster(material: Material) -> ClaimAnswer:
    """Under Gunicorn, the Sanic worker is faster than the Uvicorn worker."""
    if material.performance is None:
        return NOT_MEASURED
    ratios = _ratios(material, [SANIC_WORKER], [UVICORN_WORKER])
    if not ratios:
        return _missing(material, SANIC_WORKER, UVICORN_WORKER)
    texts = _texts(ratios)
    texts.append(f"Sanic {_sanic(material, SANIC_WORKER)} against {_sanic(material, UVICORN_WORKER)}")
    outcome = _all([ratio for _, ratio in ratios.values()])
    return ClaimAnswer(outcome, f"{'; '.join(texts)}.", (material.performance.results.run.run,))


def uvicorn_worker_is_much_better(material: Material) -> ClaimAnswer:
    """Under Gunicorn, the Uvicorn worker is much better."""
    if material.performance is None:
        return NOT_MEASURED
    ratios = _ratios(material, [UVICORN_WORKER], [SANIC_WORKER])
    if not ratios:
        return _missing(material, UVICORN_WORKER, SANIC_WORKER)
    speed = _all([ratio for _, ratio in ratios.values()])
    runs = [material.performance.results.run.run]
    texts = _texts(ratios)
    prices = material.worst(UVICORN_WORKER), material.worst(SANIC_WORKER)
    one, other = prices
    if material.recycling is None or one is None or other is None:
        texts.append("what replacing workers costs was not measured")
        return ClaimAnswer(speed, f"{'; '.join(texts)}.", tuple(runs))
    runs.append(material.recycling.results.run.run)
    safer = one.ran.high < other.ran.low
    texts.append(
        "requests lost per 1000 replaced workers although their handler ran: "
        f"{_lost(one)} with {UVICORN_WORKER}, {_lost(other)} with {SANIC_WORKER}"
    )
    return ClaimAnswer(_both(speed, safer=safer), f"{'; '.join(texts)}.", tuple(runs))


def _both(speed: Outcome, *, safer: bool) -> Outcome:
    """A claim about speed and about safety at once."""
    if speed == "holds":
        return "holds" if safer else "holds in part"
    return "holds in part" if safer else speed


def sanic_is_the_fastest(material: Material) -> ClaimAnswer:
    """Sanic's own server, directly, is the fastest."""
    if material.performance is None:
        return NOT_MEASURED
    others = {name for table in material.evidence.performance for name in table.values} - set(OWN_SERVER)
    ratios = _ratios(material, OWN_SERVER, others)
    if not ratios:
        return _missing(material, *OWN_SERVER[:1])
    texts = _texts(ratios)
    same = {name for name in others if _sanic(material, name) == _sanic(material, OWN_SERVER[0])}
    if same != others:
        of_version = _ratios(material, OWN_SERVER, same)
        version = f"with the same Sanic {_sanic(material, OWN_SERVER[0])}"
        texts += [f"{version}, {'; '.join(_texts(of_version))}"] if of_version else []
    texts.append(f"{counted(len(others), 'other configuration')} in all")
    outcome = _all([ratio for _, ratio in ratios.values()])
    return ClaimAnswer(outcome, f"{'; '.join(texts)}.", (material.performance.results.run.run,))


def _ratios(material: Material, names: Collection[str], others: Collection[str]) -> Ratios:
    """The best of `names` against the best of `others`, for each scenario and number of workers."""
    found: dict[str, tuple[str, Ratio]] = {}
    for table in material.evidence.performance:
        one, other = _best(table, names), _best(table, others)
        if one is None or other is None:
            continue
        ratio = compare(pd.Series(table.values[one]), pd.Series(table.values[other]))
        if math.isnan(ratio.ratio):
            continue
        text = f"{one} {Value.of(ratio).times()} the requests per {table.metric} of {other}"
        found[f"{table.scenario}, {counted(table.workers, 'worker')}"] = text, ratio
    return found


def _texts(ratios: Ratios) -> list[str]:
    """Every ratio with its scenario; of many the extremes, and how many are certainly above or below 1."""
    if len(ratios) <= FEW:
        return [f"{where}: {text}" for where, (text, _) in ratios.items()]
    ahead = sum(ratio.low > 1 for _, ratio in ratios.values())
    behind = sum(ratio.high < 1 for _, ratio in ratios.values())
    ordered = sorted(ratios, key=lambda where: ratios[where][1].ratio)
    return [
        f"certainly ahead in {ahead} of {len(ratios)} rankings, certainly behind in {behind}",
        f"furthest ahead in {ordered[-1]}: {ratios[ordered[-1]][0]}",
        f"least in {ordered[0]}: {ratios[ordered[0]][0]}",
    ]


def _best(table: Performance, names: Collection[str]) -> str | None:
    """Of `names` the one with the highest mean; None where none was measured."""
    means = {name: sum(each.values()) / len(each) for name, each in table.values.items() if each}
    return max((name for name in means if name in names), key=lambda name: means[name], default=None)


def _all(ratios: Collection[Ratio]) -> Outcome:
    """Whether all ratios are certainly above 1, in some scenarios, or in none."""
    above = [ratio.low > 1 for ratio in ratios]
    if all(above):
        return "holds"
    if any(above):
        return "holds in part"
    return "does not hold" if any(ratio.high < 1 for ratio in ratios) else "not shown"


def _missing(material: Material, *names: str) -> ClaimAnswer:
    """Why there is nothing to compare."""
    absent = [
        name for name in names if not any(name in table.values for table in material.evidence.performance)
    ]
    why = material.unavailable(absent[0]) if absent else "no scenario has both of them"
    return ClaimAnswer("not measured", f"{why}.")


def _sanic(material: Material, configuration: str) -> str:
    """The version of Sanic that a configuration served with."""
    known = material.known(configuration)
    return "unknown" if known is None else known.versions.get("sanic", "unknown")


def _lost(price: ReplacementPrice) -> str:
    rate = price.ran
    if rate.lost == 0:
        return f"0 of {counted(price.recycles, 'replacement')} (up to {figures(rate.high)})"
    return f"{figures(rate.per_1000)} ({figures(rate.low)} to {figures(rate.high)})"
