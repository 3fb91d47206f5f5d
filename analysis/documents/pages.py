"""`python -m analysis.documents.pages RUN_DIR`: put a run's tables and figures into the project's documents.

A run of recycling goes into docs/recycling.md, between the markers of its plan, one of deploys into
docs/deploys.md, one behind a proxy into docs/proxy.md (of one that was set otherwise than by default all
settings stand beside each other), what it costs and one of the database into bench/studies/README.md, one
of settings into docs/settings.md. Any other goes into docs/one-machine.md and, in
short, into the README, with the verdict and the claims that it answers together with the run of recycling
beside it, and with the verdict behind each proxy that one was measured behind. What stands between two
markers is replaced, so that no figure is written by hand.
"""

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from analysis.charts import registry
from analysis.claims import Material, claims
from analysis.documents import answers, proxies
from analysis.documents.tables import of_charts, of_run, of_settings
from analysis.recommend import Verdict, judge, runs_of_settings, stated
from analysis.recommend.reading import kinds
from analysis.recommend.selection import counterpart
from analysis.study import Study, study
from analysis.table import Listing
from bench.model.documents import check, replace
from bench.model.errors import UserError
from bench.model.files import ROOT, check_plain
from bench.model.plans.proxy import PROXIES
from bench.model.records.replay import latest as latest_replay
from bench.model.requirements import combined

README, MACHINE, RECYCLING = "README.md", "docs/one-machine.md", "docs/recycling.md"
DEPLOYS, PROXY, STUDIES = "docs/deploys.md", "docs/proxy.md", "bench/studies/README.md"
# The names of the parts: of the README, of docs/settings.md, then of docs/one-machine.md.
ANSWER = "answer"
SETTINGS, TLS = "settings", "tls"
# And of docs/proxy.md: what its settings do, by several runs.
PROXY_SETTINGS = "proxy-settings"
VERDICT, SITUATIONS, RANKINGS, CLAIMS = "verdict", "situations", "rankings", "claims"
# Plans that ask why recycling costs what it costs: their finding, beside the table that decides.
EXPERIMENTS = ("recycle-busy", "recycle-causes")
# The plan that asks what each N costs, and the caption of the chart that answers.
PRICES, EACH_N = "price", "what each N costs"
# Plans that are shown elsewhere, by the page that has the marker; the rankings of the one with a database are
# among those of the plan full.
DATABASE = "database"
PAGES = {
    DATABASE: STUDIES, SETTINGS: "docs/settings.md", "deploy": DEPLOYS, "deploy-proxy": DEPLOYS,
    "recycle-proxy": PROXY, "proxy-cost": STUDIES, "proxy-idle": PROXY, TLS: "docs/settings.md",
    PRICES: RECYCLING,
}  # fmt: skip
# The caption of the chart that stands beside the rankings as well.
PRICE = "what recycling costs"


def rewrite(analysed: Study, root: Path) -> None:
    """Rewrite the documents below `root` that show a run, and copy the charts that they show.

    Raises:
        UserError: a run has no report, a document lacks a marker, or the runs are no evidence together.
    """
    part = part_of(analysed)
    if part != RANKINGS:
        _write(root, document_of(analysed), {part: _alone(analysed, part, root)})
        return
    run = analysed.results.directory
    folder = counterpart(run, analysed.results.run)
    beside = None if folder is None else study(folder)
    studies = [analysed] if beside is None else [analysed, beside]
    tried = runs_of_settings(run.parent, analysed.results.run)
    verdict = _judged(studies, tried)
    behind = {proxy: _judged(each, tried) for proxy, each in _behind(analysed)}
    picture = _copied(_figures(analysed), analysed, root)
    # The charts of the plan that asks what each N costs stand beside which N to choose.
    elsewhere = beside is None or part_of(beside) == PRICES
    price = {} if beside is None or elsewhere else _copied(_priced(beside), beside, root)
    replay = latest_replay(run.parent, analysed.results.run.host.machine_id)
    check(root / MACHINE, [VERDICT, SITUATIONS, RANKINGS, CLAIMS])
    in_readme = [f"![{what}](docs/{address})" for address, what in list(picture.items())[:1]]  # its answer
    _write(root, README, {ANSWER: [*in_readme, "", *answers.answer(verdict, studies, behind)]})
    parts = {
        VERDICT: answers.reasons(verdict),
        SITUATIONS: answers.situations(studies, behind),
        RANKINGS: of_run(analysed, picture | price),
        CLAIMS: answers.claims(claims(Material.of(studies, replay, tried))),
    }
    _write(root, MACHINE, parts)


def _alone(analysed: Study, part: str, root: Path) -> Iterator[str]:
    """The lines of a part that shows one run and no verdict; its charts are copied below `root`."""
    if part == SETTINGS:
        return of_settings(analysed)
    if part.startswith(PROXY_SETTINGS):
        return proxies.settings(analysed)
    if part == PRICES:
        drawn = [each for each in registry.read(_report(analysed)) if each.caption == EACH_N]
        shown = {each.name: each.title for each in drawn}
        return of_charts(analysed, _copied(shown, analysed, root, of="plan_"))
    brief = _experiment(analysed) or part == DATABASE
    return of_run(analysed, _copied(_figures(analysed), analysed, root), brief=brief, only=_only(analysed))


def _judged(studies: Sequence[Study], tried: Sequence[Study]) -> Verdict:
    return judge(studies, combined(stated(studies), {}), tried=tried)


def _behind(analysed: Study) -> Iterator[tuple[str, list[Study]]]:
    """What a verdict for clients behind a proxy goes by: the run, and one of recycling behind that proxy."""
    run = analysed.results
    for proxy in PROXIES if run.run.behind is None else ():
        folder = counterpart(run.directory, run.run, behind=proxy)
        if folder is not None:
            yield proxy, [analysed, study(folder)]


def _write(root: Path, document: str, parts: Mapping[str, Iterator[str] | list[str]]) -> None:
    replace(root / document, {name: "\n".join(lines) for name, lines in parts.items()})


def _only(analysed: Study) -> Listing | None:
    """The one table that answers what a run asked; None where several do."""
    if _plan(analysed) == TLS:
        return analysed.settings_by_load
    return (analysed.asked or analysed.proxied) if document_of(analysed) in (PROXY, STUDIES) else None


def part_of(analysed: Study) -> str:
    """The name of the part that shows a run; an experiment on one configuration has its own."""
    plan, run = _plan(analysed), analysed.results.run
    if plan in proxies.PLANS and run.proxy_settings:
        return f"{PROXY_SETTINGS} {run.behind}"
    if plan in PAGES:
        return " ".join([plan, *_way(analysed)])
    if _ranks(analysed):
        return RANKINGS
    if not _experiment(analysed):
        return "recycling"
    chosen = analysed.results.run.plan.get("configurations", [])
    return " ".join([plan, *(chosen if len(chosen) == 1 else [])])


def _way(analysed: Study) -> Iterator[str]:
    """How clients reached the servers, where that was not directly: the proxy, and how it was set."""
    run = analysed.results.run
    if run.behind is not None:
        yield from (run.behind, *run.proxy_settings)


def document_of(analysed: Study) -> str:
    """The page that shows a run, relative to the project."""
    return PAGES.get(_plan(analysed), MACHINE if _ranks(analysed) else RECYCLING)


def _ranks(analysed: Study) -> bool:
    """Whether a run compares servers, whatever else it measured."""
    return "performance" in kinds(analysed.results.run)


def _plan(analysed: Study) -> str:
    return str(analysed.results.run.plan["name"])


def _experiment(analysed: Study) -> bool:
    return _plan(analysed) in EXPERIMENTS


def _figures(analysed: Study) -> dict[str, str]:
    """The charts that a document shows of a run, by their names, with what they show."""
    if _plan(analysed) in PAGES or _experiment(analysed):
        return {}
    return _captions(analysed)


def _priced(analysed: Study) -> dict[str, str]:
    return {name: caption for name, caption in _captions(analysed).items() if caption == PRICE}


def _captions(analysed: Study) -> dict[str, str]:
    report = _report(analysed)
    drawn = registry.read(report)
    if not drawn:
        raise UserError(f"{report / registry.LIST} is missing: {_remedy(analysed)}")
    return registry.captions(drawn)


def _copied(shown: dict[str, str], analysed: Study, root: Path, of: str = "") -> dict[str, str]:
    """`shown` by their addresses from docs/, once the charts were copied there from the run's report.

    Their names there begin with `of`, so that those of several runs may stand beside each other.
    """
    for name in shown:
        drawn = _report(analysed) / f"{name}.png"
        if not drawn.exists():
            raise UserError(f"{drawn} is missing: {_remedy(analysed)}")
        check_plain(drawn, analysed.results.directory)
        (root / "docs" / "figures").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(drawn, root / "docs" / "figures" / f"{of}{name}.png")
    return {f"figures/{of}{name}.png": what for name, what in shown.items()}


def _report(analysed: Study) -> Path:
    """The folder of a run's report."""
    folder = analysed.results.directory / "report"
    if not folder.is_dir():
        raise UserError(f"{folder} is missing: {_remedy(analysed)}")
    return folder


def _remedy(analysed: Study) -> str:
    return f"run `make report RUN={analysed.results.directory.name}` first"


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Return the exit status: 0 written, 1 this run cannot be shown, 2 wrong arguments."""
    if len(arguments) != 1:
        print("usage: python -m analysis.documents.pages RUN_DIR", file=sys.stderr)  # noqa: T201
        return 2
    try:
        rewrite(study(Path(arguments[0]).resolve()), root)
    except UserError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
