"""From what the clients of an execution report to its figures, and from these to medians and ratios."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median

from bench.model.records.replay import (
    Beside,
    Client,
    Execution,
    Figures,
    Means,
    Occupancy,
    Replay,
    Report,
    SentRequest,
    Split,
    Steps,
    Task,
)
from bench.studies.self_check.readings import Spread

_MS, _US = 1e3, 1e6


def failures(report: Report) -> dict[str, int]:
    """The failed requests of all processes by their kind."""
    counts: Counter[str] = Counter()
    for task in report.tasks:
        counts.update(task.failures)
    return dict(counts)


def figures(report: Report, server_cpu_s: float) -> Figures | None:
    """The figures of an execution, during which the server used ``server_cpu_s`` seconds of CPU time.

    ``None`` if a request failed: the time of one that failed is no time of a request.
    """
    if failures(report):
        return None
    tasks = report.tasks
    requests = report.requests * len(tasks)
    first = min(task.ready_s for task in tasks)
    sending_s = max(task.ended_s for task in tasks) - first
    clients_cpu_s = sum(task.cpu_s for task in tasks)
    return Figures(
        means=Means(
            loop=fmean(task.ended_s - task.ready_s for task in tasks) / report.requests * _MS,
            task=fmean(task.ended_s - task.began_s for task in tasks) / report.requests * _MS,
            pool=report.done_s / report.requests * _MS,
            all=report.done_s / requests * _MS,
        ),
        requests=requests,
        processes=len({task.pid for task in tasks}),
        first_request_s=first,
        last_process_s=max(task.ready_s for task in tasks),
        sending_s=sending_s,
        client_cpu_us=clients_cpu_s / requests * _US,
        server_cpu_us=server_cpu_s / requests * _US,
        clients_busy=clients_cpu_s / sending_s,
        server_busy=server_cpu_s / sending_s,
        steps=_steps(tasks) if report.recorded else None,
    )


def _steps(tasks: Sequence[Task]) -> Steps:
    by_task = [task.asked or [] for task in tasks]
    requests = [request for of_task in by_task for request in of_task]
    later = [request for of_task in by_task for request in of_task[1:]]
    connects = [request.connect_s for request in requests if request.connect_s is not None]
    span = (min(task.ready_s for task in tasks), max(task.ended_s for task in tasks))
    by_process: dict[int, list[tuple[float, float]]] = {}
    for task, of_task in zip(tasks, by_task, strict=True):
        by_process.setdefault(task.pid, []).extend((request.start_s, request.end_s) for request in of_task)
    return Steps(
        connections=sum(request.connections for request in requests),
        first_ms=_whole_ms(of_task[0] for of_task in by_task),
        later_ms=_whole_ms(later) if later else None,
        connect_ms=fmean(connects) * _MS if connects else None,
        before_ms=fmean(request.sent_s - request.start_s for request in requests) * _MS,
        waiting_ms=fmean(request.answered_s - request.sent_s for request in requests) * _MS,
        after_ms=fmean(request.end_s - request.answered_s for request in requests) * _MS,
        called=occupancy([(request.start_s, request.end_s) for request in requests], *span),
        waiting=occupancy([(request.sent_s, request.answered_s) for request in requests], *span),
        most_in_a_process=max(occupancy(spans, *span).peak for spans in by_process.values()),
    )


def _whole_ms(requests: Iterable[SentRequest]) -> float:
    return fmean(request.end_s - request.start_s for request in requests) * _MS


def occupancy(intervals: Sequence[tuple[float, float]], start: float, end: float) -> Occupancy:
    """How many intervals lay over each other between two moments, which they all lie between.

    One that begins when another ends does not overlap it.
    """
    # Ends sort before beginnings of the same moment.
    edges = sorted([(begin, 1) for begin, _ in intervals] + [(finish, -1) for _, finish in intervals])
    level = peak = 0
    together = 0.0
    before = start
    for moment, step in edges:
        if level > 1:
            together += moment - before
        before = moment
        level += step
        peak = max(peak, level)
    spent = sum(finish - begin for begin, finish in intervals)
    return Occupancy(mean=spent / (end - start), peak=peak, together=together / (end - start))


Series = Mapping[int, float]
"""A figure by repeat; a repeat in which it is unknown is left out."""

# From here on a CPU counts as kept busy. The clients do not begin and end together, and bench itself runs.
NEARLY = 0.85


@dataclass(frozen=True)
class Way:
    """How the old benchmark was executed."""

    split: Split
    client: Client = "process"
    recorded: bool = False

    @property
    def recording(self) -> "Way":
        return replace(self, recorded=True)


SPLITS: dict[Split, str] = {"unpinned": "Not pinned", "pinned": "Pinned"}
"""As they are called in sentences."""

UNPINNED, PINNED = Way("unpinned"), Way("pinned")
OWN_CLIENTS = Way("unpinned", "request")


class Summary:
    """A replay by configuration; those of which nothing was measured are left out."""

    def __init__(self, replay: Replay) -> None:
        self.replay = replay
        measured = {execution.configuration for execution in replay.executions}
        measured |= {cell.configuration for cell in replay.beside}
        self.configurations = [name for name in replay.configurations if name in measured]

    def executions(self, configuration: str, way: Way) -> list[Execution]:
        """The executions of a configuration in their order, those with failed requests included."""
        wanted = (configuration, way.split, way.client, way.recorded)
        found = [
            execution
            for execution in self.replay.executions
            if (execution.configuration, execution.split, execution.client, execution.recorded) == wanted
        ]
        return sorted(found, key=lambda execution: execution.repeat)

    def series(self, configuration: str, way: Way, figure: Callable[[Figures], float | None]) -> Series:
        """A figure of the old benchmark."""
        values = {
            execution.repeat: figure(execution.figures)
            for execution in self.executions(configuration, way)
            if execution.figures is not None
        }
        return {repeat: value for repeat, value in values.items() if value is not None}

    def medians(self, way: Way, figure: Callable[[Figures], float | None]) -> dict[str, float]:
        """The median of a figure of every configuration that has it."""
        found = {name: middle(self.series(name, way, figure)) for name in self.configurations}
        return {name: value for name, value in found.items() if value is not None}

    def beside(self, configuration: str, figure: Callable[[Beside], float | None]) -> Series:
        """A figure of the suite's own cells."""
        cells = [cell for cell in self.replay.beside if cell.configuration == configuration]
        values = {cell.repeat: figure(cell) for cell in cells}
        return {repeat: value for repeat, value in values.items() if value is not None}

    def medians_beside(self, figure: Callable[[Beside], float | None]) -> dict[str, float]:
        """The median of a figure of the suite's of every configuration that has it."""
        found = {name: middle(self.beside(name, figure)) for name in self.configurations}
        return {name: value for name, value in found.items() if value is not None}

    def cpus_busy(self, way: Way) -> dict[str, float]:
        """How busy the CPUs of the clients were, as a share, by configuration.

        Not pinned, they are the server's as well, and its CPU time is part of it.
        """
        pinned = way.split == "pinned"
        cpus = len(self.replay.cpu_split["generator"] if pinned else self.replay.cpus)
        return self.medians(way, lambda of: (of.clients_busy + (0.0 if pinned else of.server_busy)) / cpus)


def loop(of: Figures) -> float:
    """The mean (ms) that is taken for the old one."""
    return of.means.loop


def of_steps(figure: Callable[[Steps], float | None]) -> Callable[[Figures], float | None]:
    """A figure of the steps; unknown where they were not recorded."""
    return lambda of: None if of.steps is None else figure(of.steps)


def middle(series: Series) -> float | None:
    """The median over the repeats; ``None`` where there is nothing."""
    return median(series.values()) if series else None


def ratio(one: Series, other: Series) -> Spread | None:
    """The ratio of two figures within each repeat that has both; ``None`` without one."""
    ratios = [one[repeat] / other[repeat] for repeat in one if repeat in other]
    return Spread.of(ratios) if ratios else None


def span(values: Collection[float], form: str) -> str:
    """The lowest and the highest of some values as text, once where they look the same."""
    low, high = form.format(min(values)), form.format(max(values))
    return low if low == high else f"{low} to {high}"
