"""What the settings of a proxy do, from several runs: what clients lose with each, and what servers serve."""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from analysis.proxy.losses import per_1000
from analysis.reading.results import finished
from analysis.reproduction import command
from analysis.study import Study, study
from analysis.words import listed, spanned, with_workers
from bench.model.documents import markdown_table, shown_command
from bench.model.records.run import Run

RECYCLES, COSTS = PLANS = ("recycle-proxy", "proxy-cost")
"""Those that tell what clients lose at recycles, and what servers serve, behind a proxy and past it."""
_AS_IT_COMES = "by default"
# In a command.
_SETTING = re.compile(r" PROXY_[A-Z]+=\S+")

# What a proxy may be set to, then heads of columns, then configurations, with a figure each.
_Told = dict[str, dict[str, dict[str, float]]]


def settings(analysed: Study) -> Iterator[str]:
    """The lines of the table: a run with a setting of its proxy, and its like with others and with none.

    Of each plan and setting it is the latest run beside this one, of the same machine and kind of proxy. Of
    each plan only loads count that all of its runs have.
    """
    runs = sorted(_alike(analysed), key=lambda one: one.results.run.proxy_settings)
    losses, costs = (_lost(runs), ""), (_served(runs), "x")
    rows = {_setting(each): [_setting(each)] for each in runs}
    heads = [f"{analysed.results.run.behind}'s settings"]
    for told, unit in (losses, costs):
        for head in dict.fromkeys(head for columns in told.values() for head in columns):
            heads.append(head)
            for setting, row in rows.items():
                row.append(spanned(told.get(setting, {}).get(head, {}), unit))
    yield (
        "Lost: a 5xx or no answer, per 1,000 recycles; ran twice: handlers, likewise. Requests/s and CPU "
        "time per request: behind it to past it. Medians over configurations, with the least and the most."
    )
    yield from ("", *markdown_table(heads, list(rows.values()), heads), "", _provenance(runs))


def _lost(runs: Sequence[Study]) -> _Told:
    """What clients behind the proxy lost, by their method, and what ran twice."""
    behind = {
        _setting(each): each.proxied.counts[each.proxied.counts["proxy"] == each.proxied.kind]
        for each in runs
        if _plan(each) == RECYCLES and each.proxied is not None
    }
    places = {setting: list(_places(counts)) for setting, counts in behind.items()}
    common = _common(places.values())
    told: _Told = {}
    for setting, counts in behind.items():
        mine = counts[[place in common for place in places[setting]]]
        told[setting] = {
            f"lost of {method}s": _by_configuration(of_method, "lost")
            for method, of_method in mine.groupby("method", sort=True)
        }
        told[setting]["ran twice"] = _by_configuration(mine, "ran_twice")
    return told


def _by_configuration(counts: pd.DataFrame, figure: str) -> dict[str, float]:
    """A column of `per_1000`."""
    return {str(name): float(each) for name, each in per_1000(counts, ["configuration"])[figure].items()}


def _places(counts: pd.DataFrame) -> Iterator[tuple[object, ...]]:
    return zip(*(counts[name] for name in ("configuration", "workers", "scenario")), strict=True)


def _served(runs: Sequence[Study]) -> _Told:
    """What servers served behind the proxy to what they did past it, and their CPU time per request."""
    rows = {
        _setting(each): {
            (row.configuration, row.scenario, row.workers, row.users): row for row in each.proxy_cost.rows
        }
        for each in runs
        if _plan(each) == COSTS and each.proxy_cost is not None
    }
    common = _common(rows.values())
    every = [row for of_setting in rows.values() for place, row in of_setting.items() if place in common]
    sizes = {(row.scenario, row.workers, row.users) for row in every}
    several = len(sizes) > len({row.scenario for row in every})
    told: _Told = {}
    for setting, of_setting in rows.items():
        columns = told.setdefault(setting, {})
        for place, row in of_setting.items():
            size = f", {row.users} users, {with_workers(row.workers)}" if several else ""
            for what, ratio in (("requests/s", row.throughput), ("CPU", row.cpu)):
                if place in common:
                    columns.setdefault(f"{row.scenario}{size}: {what}", {})[row.configuration] = ratio.mean
    return told


def _common(places: Iterable[Iterable[object]]) -> set[object]:
    """What all of some runs have."""
    every = [set(each) for each in places]
    return set.intersection(*every) if every else set()


def _alike(analysed: Study) -> list[Study]:
    """The run, and those beside it that ask the same of such a proxy, the latest of each setting."""
    own = analysed.results.run
    found: dict[tuple[str, str], tuple[float, Path]] = {}
    for folder, run in finished(analysed.results.directory.parent):
        if _comparable(run, own):
            key = str(run.plan["name"]), _words(run)
            found[key] = max(found.get(key, (0.0, folder)), (run.started, folder))
    found.pop((_plan(analysed), _setting(analysed)), None)
    return [analysed, *(study(folder) for _, folder in found.values())]


def _comparable(run: Run, own: Run) -> bool:
    """Whether a run is one of `PLANS`, where and behind what the other one was."""
    same = ("behind", "app", "launcher", "methodology")
    return (
        run.plan["name"] in PLANS
        and run.host.machine_id == own.host.machine_id
        and not (run.over_wire or own.over_wire)
        and all(getattr(run, key) == getattr(own, key) for key in same)
    )


def _plan(one: Study) -> str:
    return str(one.results.run.plan["name"])


def _setting(one: Study) -> str:
    return _words(one.results.run)


def _words(run: Run) -> str:
    """How the proxy of a run was set."""
    return ", ".join(run.proxy_settings) or _AS_IT_COMES


def _provenance(runs: Sequence[Study]) -> str:
    """When, by which commands and on which machine the runs were measured."""
    told = sorted((each.results.run for each in runs), key=lambda run: run.started)
    dates = dict.fromkeys(f"{datetime.fromtimestamp(run.started, UTC):%Y-%m-%d}" for run in told)
    commands = dict.fromkeys(f"`{_SETTING.sub('', shown_command(command(run)))}`" for run in told)
    machine = told[0].host
    return (
        f"Measured on {listed(list(dates))} by {listed(list(commands))}, with the settings of each row, on "
        f"{machine.cpu}, {machine.cpus} CPUs, launcher {told[0].launcher}."
    )
