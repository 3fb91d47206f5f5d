"""The tables of a replay, for the terminal and for its document."""

from collections.abc import Callable, Iterator
from statistics import fmean

from bench.model.documents import ShownTable
from bench.model.records.replay import Beside, Figures, Steps
from bench.studies.replay.figures import (
    OWN_CLIENTS,
    PINNED,
    UNPINNED,
    Summary,
    Way,
    loop,
    middle,
    of_steps,
    ratio,
)
from bench.studies.replay.measure import COMPARED

# What the old answer printed for the one Gunicorn worker class and for the other (ms).
OLD = ((6.11, 5.59, 6.11, 5.97, 6.19), (7.64, 7.06, 7.30, 7.09, 6.74))
OLD_RATIO = fmean(OLD[1]) / fmean(OLD[0])

_UNKNOWN = "unknown"


def tables(summary: Summary) -> list[ShownTable]:
    """All tables."""
    return [_means(summary), _beside(summary), _readings(summary), _steps(summary), _compared(summary)]


def _number(value: float | None, form: str = "{:.2f}") -> str:
    return _UNKNOWN if value is None else form.format(value)


def _means(summary: Summary) -> ShownTable:
    rows = []
    for name in summary.configurations:
        cells = []
        for way in (UNPINNED, PINNED):
            cells += [_printed(summary, name, way), _number(middle(summary.series(name, way, loop)))]
        executions = [*summary.executions(name, UNPINNED), *summary.executions(name, PINNED)]
        failed = sum(sum(execution.failures.values()) for execution in executions)
        rows.append([name, *cells, f"{failed}"])
    old = "; ".join(", ".join(f"{value:.2f}" for value in values) for values in OLD)
    headings = ["configuration", "not pinned", "median", "pinned", "median", "failed requests"]
    note = f"The old answer printed {old} (ms), the one {OLD_RATIO:.2f} times the other on average."
    return ShownTable("The mean in ms, as the old benchmark printed it", headings, rows, [note])


def _printed(summary: Summary, configuration: str, way: Way) -> str:
    """The means one after the other; one with failed requests has none."""
    means = [
        "failed" if execution.figures is None else f"{loop(execution.figures):.2f}"
        for execution in summary.executions(configuration, way)
    ]
    return ", ".join(means) or _UNKNOWN


def _beside(summary: Summary) -> ShownTable:
    def old(name: str, figure: Callable[[Figures], float | None], form: str) -> str:
        return _number(middle(summary.series(name, PINNED, figure)), form)

    def suite(name: str, figure: Callable[[Beside], float | None], form: str) -> str:
        return _number(middle(summary.beside(name, figure)), form)

    rows = [
        [
            name,
            old(name, lambda of: of.requests / of.sending_s, "{:,.0f}"),
            suite(name, lambda of: of.requests_per_s, "{:,.0f}"),
            old(name, loop, "{:.2f}"),
            suite(name, _p50_ms, "{:.2f}"),
            old(name, lambda of: of.server_cpu_us, "{:.0f}"),
            suite(name, lambda of: of.cpu_us, "{:.0f}"),
            old(name, lambda of: of.server_busy, "{:.0%}"),
            suite(name, lambda of: of.server_busy, "{:.0%}"),
        ]
        for name in summary.configurations
    ]
    headings = ["configuration"]
    for figures in (("requests/s",) * 2, ("mean ms", "p50 ms"), ("server CPU µs",) * 2, ("server busy",) * 2):
        headings += [f"old: {figures[0]}", f"suite: {figures[1]}"]
    note = f"The suite: {summary.replay.processes} users in a closed loop; the old benchmark: pinned as well."
    return ShownTable("Beside what the suite measures", headings, rows, [note])


def _p50_ms(of: Beside) -> float | None:
    return of.latency_us["p50"] / 1e3 if "p50" in of.latency_us else None


def _readings(summary: Summary) -> ShownTable:
    columns: list[tuple[str, Way, Callable[[Figures], float]]] = [
        ("its requests", UNPINNED, loop),
        ("and its client", UNPINNED, lambda of: of.means.task),
        ("and the pool", UNPINNED, lambda of: of.means.pool),
        ("of all requests", UNPINNED, lambda of: of.means.all),
        ("a client each", OWN_CLIENTS, loop),
        ("a client each, of all", OWN_CLIENTS, lambda of: of.means.all),
    ]
    rows = []
    for name in summary.configurations:
        cells = [
            _number(middle(summary.series(name, way, figure)))
            if way != OWN_CLIENTS or name in COMPARED
            else ""
            for _, way, figure in columns
        ]
        rows.append([name, *cells])
    requests, processes = summary.replay.requests, summary.replay.processes
    note = (
        f"The time of a process over its {requests:,} requests: of the requests alone, with the making of "
        "its client, with everything from making the pool to its end; that last time over all "
        f"{requests * processes:,} requests; then the first and the fourth with a client made for each "
        "request. Not pinned."
    )
    headings = ["configuration", *(heading for heading, *_ in columns)]
    return ShownTable("What the mean may have been (ms)", headings, rows, [note])


def _steps(summary: Summary) -> ShownTable:
    rows = list(_steps_rows(summary))
    headings = ["configuration", "CPUs", "to be sent", "to the answer", "to return"]
    headings += ["client's CPU", "server's CPU", "called at once", "unanswered at once"]
    note = (
        "Means over every request, in ms, recorded; CPU times of the plain executions. At once: requests on "
        "average while any was sent, those called and not returned, and those sent and not answered."
    )
    return ShownTable("Where the time of a request went (ms)", headings, rows, [note])


def _steps_rows(summary: Summary) -> Iterator[list[str]]:
    shown: list[tuple[Callable[[Steps], float], str]] = [
        (lambda of: of.before_ms, "{:.2f}"),
        (lambda of: of.waiting_ms, "{:.2f}"),
        (lambda of: of.after_ms, "{:.2f}"),
        (lambda of: of.called.mean, "{:.1f}"),
        (lambda of: of.waiting.mean, "{:.1f}"),
    ]
    for name in summary.configurations:
        for way, cpus in ((UNPINNED, "not pinned"), (PINNED, "pinned")):
            steps = [
                _number(middle(summary.series(name, way.recording, of_steps(figure))), form)
                for figure, form in shown
            ]
            client = middle(summary.series(name, way, lambda of: of.client_cpu_us / 1e3))
            server = middle(summary.series(name, way, lambda of: of.server_cpu_us / 1e3))
            yield [name, cpus, *steps[:3], _number(client, "{:.3f}"), _number(server, "{:.3f}"), *steps[3:]]


def _compared(summary: Summary) -> ShownTable:
    """The two Gunicorn workers of the old answer, by each way to look at them."""
    one, other = COMPARED
    replayed: list[tuple[str, Way, Callable[[Figures], float]]] = [
        ("the mean, not pinned", UNPINNED, loop),
        ("the mean, pinned", PINNED, loop),
        ("with the pool, not pinned", UNPINNED, lambda of: of.means.pool),
        ("a client for each request", OWN_CLIENTS, loop),
        ("the server's CPU time per request, not pinned", UNPINNED, lambda of: of.server_cpu_us),
        ("the server's CPU time per request, pinned", PINNED, lambda of: of.server_cpu_us),
    ]
    found = [
        (what, ratio(summary.series(one, way, figure), summary.series(other, way, figure)))
        for what, way, figure in replayed
    ]
    suite: list[tuple[str, Callable[[Beside], float]]] = [
        ("the suite: time per request (1 / throughput)", lambda of: 1 / of.requests_per_s),
        ("the suite: the server's CPU time per request", lambda of: of.cpu_us),
    ]
    found += [
        (what, ratio(summary.beside(one, figure), summary.beside(other, figure))) for what, figure in suite
    ]
    rows = [[what, _UNKNOWN if value is None else str(value)] for what, value in found]
    note = "Ratios within each repeat: their median, lowest and highest."
    return ShownTable("The two Gunicorn workers", ["by", f"{one} / {other}"], rows, [note])
