"""An account of what the old benchmark really measured, computed from the data of a replay.

Every sentence holds for other outcomes as well, or is another one then; what the data do not tell is said.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain, combinations

from bench.model import documents
from bench.model.records.replay import Replay
from bench.studies.replay.figures import (
    NEARLY,
    OWN_CLIENTS,
    PINNED,
    SPLITS,
    UNPINNED,
    Summary,
    Way,
    loop,
    of_steps,
    ratio,
    span,
)
from bench.studies.replay.measure import CLIENTS, COMPARED
from bench.studies.replay.tables import OLD_RATIO, tables

# The share of the CPUs that other programs may take before figures suffer.
_QUIET = 0.1
# Of the time: from the first on requests were under way together, below the second hardly ever.
_MOSTLY, _HARDLY = 0.5, 0.1
_SHARE = "{:.0%}"

Part = Callable[[Summary, Way], Iterator[str]]


def account(summary: Summary, *, brief: bool = False) -> list[str]:
    """The paragraphs of the account.

    A brief one leaves out what was no request (connecting and starting), and what pinned clients show in
    other figures once more.
    """
    paragraphs = [validity(summary), limits(summary, UNPINNED)]
    if not brief:
        paragraphs += [
            limits(summary, PINNED),
            chain(connections(summary), _both(first_requests, summary)),
            _both(start_up, summary),
        ]
    paragraphs.append(own_clients(summary))
    parts: tuple[Part, ...] = (simultaneous, order)
    paragraphs += [part(summary, UNPINNED) if brief else _both(part, summary) for part in parts]
    paragraphs.append(pair(summary))
    return [text for sentences in paragraphs if (text := " ".join(sentences))]


def _both(part: Part, summary: Summary) -> Iterator[str]:
    return chain(part(summary, UNPINNED), part(summary, PINNED))


def validity(summary: Summary) -> Iterator[str]:
    """What is missing or failed, and what the recording cost."""
    replay = summary.replay
    if replay.status != "finished":
        yield "The replay was not finished: this account is about what there is."
    failures = [execution for execution in replay.executions if execution.failures]
    if failures:
        count = sum(sum(execution.failures.values()) for execution in failures)
        kinds = ", ".join(sorted({kind for execution in failures for kind in execution.failures}))
        yield (
            f"{count} requests failed ({kinds}) in {len(failures)} of {len(replay.executions)} executions, "
            "which therefore have no figures."
        )
    elif replay.executions:
        yield f"No request failed in {len(replay.executions)} executions."
    for failed in replay.failed:
        where = f"{failed.configuration}, {failed.block}, repeat {failed.repeat}"
        yield f"Not measured: {where}: {_first_line(failed.reason)}."
    for missing in replay.unavailable:
        yield f"Unavailable: {missing['configuration']}: {_first_line(missing['reason'])}."
    if replay.repeats < 2:
        yield "There was one repeat: nothing tells whether another one would say the same."
    yield from _others(summary)
    fewer = [
        execution
        for execution in replay.executions
        if execution.figures and execution.figures.processes < replay.processes
    ]
    if fewer:
        yield f"In {len(fewer)} executions a process of the pool did the work of two."
    costs = [
        cost.middle
        for name in summary.configurations
        for way in (UNPINNED, PINNED)
        if (cost := ratio(summary.series(name, way.recording, loop), summary.series(name, way, loop)))
    ]
    if costs:
        yield (
            f"Recording made the mean {span(costs, '{:.2f}')} times as long; only the steps of requests, "
            "connections and what was under way at once are taken from recorded executions."
        )


def _others(summary: Summary) -> Iterator[str]:
    """Whether the machine was quiet."""
    if not summary.replay.executions:
        return
    most = max(execution.others_busy for execution in summary.replay.executions)
    if most > _QUIET:
        yield (
            f"Other programs, or a hypervisor, took up to {most:.0%} of the CPUs during an execution: times "
            "and busy shares say little; quiet the machine and measure again."
        )
    else:
        yield f"Other programs took at most {most:.0%} of the CPUs."


def _first_line(text: str) -> str:
    return text.partition("\n")[0].rstrip(".:")


def limits(summary: Summary, way: Way) -> Iterator[str]:
    """What used the CPU time, and what therefore decided the mean."""
    split = SPLITS[way.split]
    client = summary.medians(way, lambda of: of.client_cpu_us)
    server = summary.medians(way, lambda of: of.server_cpu_us)
    if not client:
        yield f"{split}: nothing was measured, so nothing can be told."
        return
    busy = summary.medians(way, lambda of: of.server_busy)
    of_client, of_server = span(client.values(), "{:.0f}"), span(server.values(), "{:.0f}")
    times = span([client[name] / server[name] for name in client], "{:.1f}")
    yield (
        f"{split}, a request took its client {of_client} µs of CPU time and the server {of_server} µs: the "
        f"clients used {times} times as much as the server. The server was busy for "
        f"{span(busy.values(), _SHARE)} of the time in which requests were sent, and idle for the rest."
    )
    cpus = summary.cpus_busy(way)
    at_server = [name for name in client if busy[name] >= NEARLY]
    at_cpus = [name for name in client if name not in at_server and cpus[name] >= NEARLY]
    neither = [name for name in client if name not in at_server and name not in at_cpus]
    if at_server:
        yield (
            f"{_with(at_server, client)}, the server was at its limit ({_shares(busy, at_server)} busy): "
            "there the mean follows the server's own CPU time."
        )
    if at_cpus and way.split == "pinned":
        yield (
            f"{_with(at_cpus, client)}, the clients kept their CPUs {_shares(cpus, at_cpus)} busy and "
            "the server waited for them: the mean follows the clients' CPU time. A server that needed none "
            "would hardly change it."
        )
    elif at_cpus:
        part = {name: server[name] / (client[name] + server[name]) for name in at_cpus}
        yield (
            f"{_with(at_cpus, client)}, clients and server together kept all CPUs {_shares(cpus, at_cpus)} "
            f"busy: the mean follows the CPU time of both, of which the server's is "
            f"{_shares(part, at_cpus)}. A server that needed none would lower the mean by about as much."
        )
    if neither:
        yield (
            f"{_with(neither, client)}, neither the server nor the CPUs of the clients "
            f"({_shares(cpus, neither)} busy) were at their limit: what decided the mean cannot be told from "
            "CPU times."
        )


def _shares(values: Mapping[str, float], names: Collection[str]) -> str:
    return span([values[name] for name in names], _SHARE)


def _with(names: Collection[str], all_names: Collection[str]) -> str:
    return "With every configuration" if len(names) == len(all_names) else f"With {', '.join(names)}"


def connections(summary: Summary) -> Iterator[str]:
    """How many connections were opened for how many requests."""
    replay = summary.replay
    opened = [
        value / replay.processes
        for split in SPLITS
        for value in summary.medians(Way(split, recorded=True), of_steps(lambda of: of.connections)).values()
    ]
    if not opened:
        yield "How many connections were opened cannot be told: nothing was recorded without failures."
        return
    per_request = span([value / replay.requests for value in opened], "{:.3g}")
    kept = "; it kept the one it had" if max(opened) <= 1 else ""
    by_process = span(opened, "{:.3g}")
    yield f"Connections opened by each process: {by_process}, for each request {per_request}{kept}."


def first_requests(summary: Summary, way: Way) -> Iterator[str]:
    """Connection set-up and the first request against the later ones."""
    recorded = way.recording
    first = summary.medians(recorded, of_steps(lambda of: of.first_ms))
    later = summary.medians(recorded, of_steps(lambda of: of.later_ms))
    connect = summary.medians(recorded, of_steps(lambda of: of.connect_ms))
    means = summary.medians(recorded, loop)
    if not (later and connect):
        return
    adds = [(first[name] - later[name]) / summary.replay.requests / means[name] for name in later]
    yield (
        f"{SPLITS[way.split]}, the first request of a process took {span(first.values(), '{:.1f}')} ms, "
        f"{span(connect.values(), '{:.2f}')} ms of it to open the connection, a later one "
        f"{span(later.values(), '{:.1f}')} ms: that changed the mean by {span(adds, '{:+.1%}')}."
    )


def start_up(summary: Summary, way: Way) -> Iterator[str]:
    """The start of the pool, and its share of the mean if it is counted."""
    first = summary.medians(way, lambda of: of.first_request_s * 1e3)
    if not first:
        return
    last = summary.medians(way, lambda of: of.last_process_s * 1e3)
    share = summary.medians(way, lambda of: 1 - of.means.loop / of.means.pool)
    yield (
        f"{SPLITS[way.split]}, the first process began to send {span(first.values(), '{:.0f}')} ms after the "
        f"pool was about to be made, the last one after {span(last.values(), '{:.0f}')} ms. If the time was "
        f"taken around the whole pool, {span(share.values(), _SHARE)} of the mean was no request but the "
        "making of the pool and of the clients, and waiting for the slowest process."
    )


def own_clients(summary: Summary) -> Iterator[str]:
    """What a client made for each request would have measured."""
    names = [name for name in COMPARED if summary.series(name, OWN_CLIENTS, loop)]
    plain = Way(OWN_CLIENTS.split)
    ratios = [
        ratio(summary.series(name, OWN_CLIENTS, loop), summary.series(name, plain, loop)) for name in names
    ]
    longer = [value.middle for value in ratios if value is not None]
    if not longer:
        return
    client = summary.medians(OWN_CLIENTS, lambda of: of.client_cpu_us / 1e3)
    server = summary.medians(OWN_CLIENTS, lambda of: of.server_cpu_us / 1e3)
    part = {name: server[name] / (server[name] + client[name]) for name in names}
    yield (
        f"With a client made for each request, the mean would have been {span(longer, '{:.1f}')} times as "
        f"long: such a request took its client {span([client[name] for name in names], '{:.1f}')} ms of CPU "
        f"time, and the server's was {span(part.values(), '{:.1%}')} of both."
    )


def simultaneous(summary: Summary, way: Way) -> Iterator[str]:
    """Does a synchronous client make simultaneous requests?"""
    split, recorded = SPLITS[way.split], way.recording
    most = summary.medians(recorded, of_steps(lambda of: of.most_in_a_process))
    if not most:
        yield f"{split}: whether requests were simultaneous cannot be told, as none of them was recorded."
        return
    called = summary.medians(recorded, of_steps(lambda of: of.called.mean))
    waiting = summary.medians(recorded, of_steps(lambda of: of.waiting.mean))
    together = summary.medians(recorded, of_steps(lambda of: of.waiting.together))
    idle = summary.medians(recorded, lambda of: max(0.0, 1 - of.server_busy))
    yield (
        f"{split}, the most requests that a process had under way at once: {max(most.values()):.0f}; the "
        f"{summary.replay.processes} together had {span(called.values(), '{:.1f}')} on average, of which "
        f"{span(waiting.values(), '{:.1f}')} had been sent and not answered, two or more of these for "
        f"{span(together.values(), _SHARE)} of the time. {_verdict(together.values())} How many of them were "
        "at the server, and how many were answered already and waited for their client to get a CPU, "
        f"clients cannot tell; the server had nothing to do for {span(idle.values(), _SHARE)} of the time."
    )


def _verdict(together: Collection[float]) -> str:
    if min(together) >= _MOSTLY:
        return (
            "So each synchronous client makes one request after the other, as was said, but clients in "
            "processes of their own do make simultaneous requests."
        )
    if max(together) < _HARDLY:
        return "So there were hardly any simultaneous requests, as was said."
    return "So requests were simultaneous for a part of the time."


def order(summary: Summary, way: Way) -> Iterator[str]:
    """Do the old benchmark and the suite put the configurations in the same order?"""
    suite = summary.medians_beside(lambda of: 1e3 / of.requests_per_s)
    old = {name: value for name, value in summary.medians(way, loop).items() if name in suite}
    if len(old) < 2:
        yield f"{SPLITS[way.split]}: too few configurations were measured both ways to compare their order."
        return
    both = {name: suite[name] for name in old}
    pairs = list(combinations(old, 2))
    alike = sum((old[one] < old[other]) == (both[one] < both[other]) for one, other in pairs)
    yield (
        f"{SPLITS[way.split]}, by the old mean {_extremes(old)}; by the time per request that the suite "
        f"measures {_extremes(both)}. Of {len(pairs)} pairs of configurations {alike} come in the same order."
    )


def _extremes(values: Mapping[str, float]) -> str:
    low, high = min(values, key=lambda name: values[name]), max(values, key=lambda name: values[name])
    return f"{high} takes {values[high] / values[low]:.2f} times as long as {low}"


def pair(summary: Summary) -> Iterator[str]:
    """The two workers that the old answer decided between."""
    one, other = COMPARED
    suite = ratio(
        summary.beside(one, lambda of: 1 / of.requests_per_s),
        summary.beside(other, lambda of: 1 / of.requests_per_s),
    )
    replayed = {
        split: found
        for split, way in ((SPLITS["unpinned"], UNPINNED), (SPLITS["pinned"], PINNED))
        if (found := ratio(summary.series(one, way, loop), summary.series(other, way, loop)))
    }
    if suite is None or not replayed:
        yield f"{one} and {other} were not measured both ways: which of them is faster cannot be told here."
        return
    texts = " and ".join(f"{found} {split.lower()}" for split, found in replayed.items())
    yield (
        f"The old mean of {one} is {texts} times that of {other}; the suite measures {suite} times the time "
        f"per request. The two means of the old answer were {OLD_RATIO:.2f} apart."
    )
    for split, found in replayed.items():
        if summary.replay.repeats > 1 and found.low <= 1 <= found.high:
            yield f"{split}, the repeats do not agree on which of the two has the lower mean."


def markdown(replay: Replay) -> str:
    """What stands in the document: the tables that answer, the account, and where they come from."""
    summary = Summary(replay)
    means, beside, _, _, compared = tables(summary)
    medians = [[name, median] for name, _, median, *_ in means.rows]  # pinned ones stand beside the suite's
    means = replace(means, headings=["configuration", "median, not pinned"], rows=medians)
    shown = (means, beside, compared)
    told = account(summary, brief=True)
    parts = [f"### {table.title}\n\n{documents.markdown([table], '').strip()}" for table in shown]
    parts.append("### What it really measured\n\n" + "\n".join(f"* {text}" for text in told))
    return "\n\n".join([*parts, _provenance(replay)])


def _provenance(replay: Replay) -> str:
    began, machine, clients = (
        datetime.fromtimestamp(replay.started, UTC),
        replay.host,
        replay.stacks[CLIENTS.name],
    )
    server, generator, every_cpu = (
        ", ".join(map(str, cpus))
        for cpus in (replay.cpu_split["server"], replay.cpu_split["generator"], replay.cpus)
    )
    return (
        f"Measured on {began:%Y-%m-%d} by `make replay` on {machine.cpu}, {machine.cpus} CPUs, "
        f"{machine.system}: {replay.repeats} repeats of {replay.processes} processes with "
        f"{replay.requests} requests each, httpx {clients['packages']['httpx']}, Python {clients['python']}; "
        f"medians. Pinned: server on CPU {server}, clients on CPU {generator}; not pinned: both on CPUs "
        f"{every_cpu}."
    )
