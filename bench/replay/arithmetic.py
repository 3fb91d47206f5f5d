"""From what the clients of one execution report to its figures."""

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import fmean

from bench.replay.records import Asked, Figures, Means, Occupancy, Report, Steps, Task

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
    asked = [task.asked or [] for task in tasks]
    every = [each for of_task in asked for each in of_task]
    later = [each for of_task in asked for each in of_task[1:]]
    connects = [each.connect_s for each in every if each.connect_s is not None]
    span = (min(task.ready_s for task in tasks), max(task.ended_s for task in tasks))
    by_process: dict[int, list[tuple[float, float]]] = {}
    for task, of_task in zip(tasks, asked, strict=True):
        by_process.setdefault(task.pid, []).extend((each.start_s, each.end_s) for each in of_task)
    return Steps(
        connections=sum(each.connections for each in every),
        first_ms=_whole_ms(of_task[0] for of_task in asked),
        later_ms=_whole_ms(later) if later else None,
        connect_ms=fmean(connects) * _MS if connects else None,
        before_ms=fmean(each.sent_s - each.start_s for each in every) * _MS,
        waiting_ms=fmean(each.answered_s - each.sent_s for each in every) * _MS,
        after_ms=fmean(each.end_s - each.answered_s for each in every) * _MS,
        called=occupancy([(each.start_s, each.end_s) for each in every], *span),
        waiting=occupancy([(each.sent_s, each.answered_s) for each in every], *span),
        most_in_a_process=max(occupancy(spans, *span).peak for spans in by_process.values()),
    )


def _whole_ms(asked: Iterable[Asked]) -> float:
    return fmean(each.end_s - each.start_s for each in asked) * _MS


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
