"""From readings to tables: medians over the rounds, and ratios taken within each round."""

from collections.abc import Iterator, Sequence

from bench.model.documents import ShownTable
from bench.studies.self_check.readings import (
    FAST_HTTP_USER,
    HTTP_USER,
    PERCENTS,
    SWARM,
    Arm,
    Figure,
    Reading,
    Readings,
    Spread,
)
from bench.studies.self_check.tools import LOCUST, TOOLS, WRK

LABELS = {SWARM: "SwarmUser"} | {tool.name: tool.label for tool in TOOLS.values()}
# A difference beyond this is marked and wants an explanation.
NOTABLE = 0.1
# What a document shows of what was measured beside the suite.
_BRIEF = ("configuration", "generator", "requests/s", "p99 ms", "CPU µs/request")

# Against the null server: the suite's own user, the same without recording, and what it is compared with.
OURS = Arm(None, 1, SWARM)
BARE = Arm(None, 1, SWARM, recorded=False)
FAST, HTTP = Arm(None, 1, FAST_HTTP_USER), Arm(None, 1, HTTP_USER)
BY_WRK = Arm(None, 1, WRK.name)
_GENERATORS = {
    OURS: "SwarmUser, recording",
    FAST: "FastHttpUser, recording",
    HTTP: "HttpUser, recording",
    BARE: "SwarmUser, no recording",
    BY_WRK: WRK.label,
}


def _rate(reading: Reading) -> float:
    return reading.requests_per_s


def _cpu(reading: Reading) -> float:
    return reading.cpu_us


def _busy(reading: Reading) -> float:
    return reading.server_busy


def _latency(percent: int) -> Figure:
    def figure(reading: Reading) -> float:
        assert reading.latency_us is not None
        return reading.latency_us[f"p{percent}"]

    return figure


def _marked(ratio: Spread) -> str:
    """A ratio, marked when its median is further than ``NOTABLE`` from 1."""
    return f"**{ratio}**" if abs(ratio.middle - 1) > NOTABLE else str(ratio)


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.0%}"


def _closed(configuration: str, generator: str) -> Arm:
    return Arm(configuration, 1, generator)


def beside_tools(readings: Readings, configurations: Sequence[str], tools: Sequence[str]) -> list[ShownTable]:
    """The suite's user and each tool: their figures, then the tools' as ratios to the suite's."""
    names = [SWARM, *(tool for tool in tools if tool != LOCUST.name)]
    percents = [f"p{percent} ms" for percent in PERCENTS]
    figures = [[*_figures(readings, c, name)] for c in configurations for name in names]
    headings = ["configuration", "generator", "requests/s", *percents, "CPU µs/request"]
    tables = [ShownTable("Figures", [*headings, "server busy", "generator busy"], figures)]
    rows = []
    for configuration in configurations:
        ours = _closed(configuration, SWARM)
        for name in names[1:]:
            theirs = _closed(configuration, name)
            ratios = [
                _marked(readings.ratio(theirs, ours, figure))
                for figure in (_rate, *map(_latency, PERCENTS), _cpu)
            ]
            rows.append([configuration, LABELS[name], *ratios])
    if rows:
        notable = sum(text.startswith("**") for row in rows for text in row)
        count = f"{notable} of {5 * len(rows)}, with those of p50 and p90"
        note = f"Bold: more than {NOTABLE:.0%} from the suite's own figure ({count})."
        tables.append(ShownTable("Ratios to the suite's own figures", headings, rows, [note], _BRIEF))
    return tables


def between_servers(
    readings: Readings, configurations: Sequence[str], tools: Sequence[str]
) -> list[ShownTable]:
    """What each server does beside the first, as each generator sees it; no table of a single server.

    The notes say how far apart the generators see these ratios.
    """
    # Imported here: it brings pandas, which most commands do not need.
    from analysis.words import Value

    first, *others = configurations
    if not others:
        return []
    names = [SWARM, *(tool for tool in tools if tool != LOCUST.name)]
    seen = {
        name: [readings.compared(_closed(each, name), _closed(first, name), _rate) for each in others]
        for name in names
    }
    rows = [
        [configuration, *(Value.of(ratios[place]).text() for ratios in seen.values())]
        for place, configuration in enumerate(others)
    ]
    notes = ["Paired by round; intervals are 95 %. In blocks: what drifts within a round is in them."]
    for name in names[1:]:
        beside = [one.ratio / ours.ratio for one, ours in zip(seen[name], seen[SWARM], strict=True)]
        notes.append(
            f"Over {first}, {LABELS[name]} sees {min(beside):.2f} to {max(beside):.2f} times the ratios that "
            f"{LABELS[SWARM]} sees."
        )
    headings = ["configuration", *(LABELS[name] for name in names)]
    return [ShownTable(f"Requests per second beside {first}", headings, rows, notes, brief=headings[:3])]


def _figures(readings: Readings, configuration: str, generator: str) -> Iterator[str]:
    arm = _closed(configuration, generator)
    yield configuration
    yield LABELS[generator]
    yield f"{readings.median(arm, _rate):,.0f}"
    for percent in PERCENTS:
        yield f"{readings.median(arm, _latency(percent)) / 1e3:.2f}"
    yield f"{readings.median(arm, _cpu):.1f}"
    yield _share(readings.median(arm, _busy))
    yield _share(readings.median_known(arm, lambda reading: reading.generator_busy))


def naive(readings: Readings, configurations: Sequence[str]) -> list[ShownTable]:
    """What Locust's ``FastHttpUser`` says of each configuration beside what the suite measures."""
    rows = []
    for configuration in configurations:
        locust, ours = _closed(configuration, LOCUST.name), _closed(configuration, SWARM)
        percentiles = [
            f"{readings.median(locust, _latency(percent)) / 1e3:.0f} / "
            f"{readings.median(ours, _latency(percent)) / 1e3:.2f}"
            for percent in PERCENTS
        ]
        rows.append(
            [
                configuration,
                f"{readings.median(locust, _rate):,.0f} / {readings.median(ours, _rate):,.0f}",
                _marked(readings.ratio(locust, ours, _rate)),
                f"{_share(readings.median(locust, _busy))} / {_share(readings.median(ours, _busy))}",
                *percentiles,
                _marked(readings.ratio(locust, ours, _cpu)),
            ]
        )
    headings = ["configuration", "requests/s", "ratio", "server busy"]
    headings += [*(f"p{percent} ms" for percent in PERCENTS), "ratio of CPU/request"]
    notes = ["Pairs are FastHttpUser / suite; the percentiles of FastHttpUser are as Locust prints them."]
    told = [*notes, *_verdicts(readings)]
    return [ShownTable("FastHttpUser beside the suite", headings, rows, told, brief=headings[:4])]


def _verdicts(readings: Readings) -> Iterator[str]:
    """How much faster Sanic is than Uvicorn, by each generator; in CPU time per request the other way."""
    texts = []
    for name in (LOCUST.name, SWARM):
        sanic, uvicorn = _closed("sanic", name), _closed("uvicorn", name)
        rate, cpu = readings.ratio(sanic, uvicorn, _rate), readings.ratio(uvicorn, sanic, _cpu)
        texts.append((rate, cpu))
    (naive_rate, naive_cpu), (our_rate, our_cpu) = texts
    yield (
        f"Sanic answers {naive_rate} times as many requests/s as Uvicorn under FastHttpUser, "
        f"{our_rate} times as many under the suite."
    )
    yield (
        f"Uvicorn needs {naive_cpu} times Sanic's CPU time per request under FastHttpUser, "
        f"{our_cpu} times under the suite."
    )
    generator = readings.median_known(_closed("sanic", LOCUST.name), lambda reading: reading.generator_busy)
    yield f"Loading Sanic, the process of FastHttpUser was {_share(generator)} busy."


def cost(readings: Readings) -> list[ShownTable]:
    """With against without: the metering of servers, and the recording of the generator."""
    pairs = [
        (Arm(without.configuration, without.workers, without.generator), without)
        for without in readings.arms
        if not (without.metered and without.recorded)
    ]
    pairs.sort(key=lambda pair: (pair[1].metered, pair[1].configuration or "", pair[1].workers))
    rows = []
    for full, without in pairs:
        workers = f"{without.workers} worker{'s' if without.workers > 1 else ''}"
        rows.append(
            [
                "recording" if without.metered else "metering",
                "null server" if without.configuration is None else f"{without.configuration}, {workers}",
                *(_marked(readings.ratio(full, without, figure)) for figure in (_rate, _cpu)),
                _share(readings.median(full, _busy)),
                "" if without.metered else _meter(readings, full),
            ]
        )
    headings = ["what", "server", "requests/s, with / without", "CPU/request, with / without"]
    return [ShownTable("Cost", [*headings, "server busy", "the meter's own CPU"], rows)]


def _meter(readings: Readings, arm: Arm) -> str:
    busy = readings.median_known(arm, lambda reading: reading.meter_busy)
    cpus = ", ".join(map(str, readings.meter_cpus(arm)))
    return "unknown" if busy is None else f"{busy:.2%} of CPU {cpus}"


def generators(readings: Readings, many: Reading, connections: int, users: int) -> ShownTable:
    """The suite's user beside Locust's and wrk, and whether the ratios meet their goals.

    ``many`` is the suite's user with so many ``connections``; the others had as many as ``users``.
    """
    rows = []
    for arm, label in _GENERATORS.items():
        if arm not in readings.arms:
            continue
        rate = readings.spread(arm, _rate)
        spent_us = readings.median_known(arm, lambda reading: reading.generator_us)
        rows.append(
            [
                label,
                f"{rate.middle:,.0f}",
                f"{rate.low:,.0f} to {rate.high:,.0f}",
                "not metered" if spent_us is None else f"{spent_us:.1f}",
                _share(readings.median(arm, _busy)),
            ]
        )
    headings = ["generator", "requests/s", "range", "CPU µs/request", "null server busy"]
    return ShownTable("", headings, rows, list(_goals(readings, many, connections, users)))


def _goals(readings: Readings, many: Reading, connections: int, users: int) -> Iterator[str]:
    yield f"SwarmUser / FastHttpUser: {readings.ratio(OURS, FAST, _rate)}; the goal is at least 12."
    if BY_WRK in readings.arms:
        yield f"SwarmUser / wrk: {readings.ratio(OURS, BY_WRK, _rate)}; the goal is at least 0.80."
    else:
        yield f"SwarmUser / wrk: unknown, wrk is not installed ({WRK.remedy})."
    yield f"With / without recording: {readings.ratio(OURS, BARE, _rate)}; the goal is at least 0.95."
    few_bytes = readings.median_known(OURS, lambda reading: reading.generator_rss_bytes)
    assert few_bytes is not None and many.generator_rss_bytes is not None
    per_connection = (many.generator_rss_bytes - few_bytes) / (connections - users) / 1024
    yield (
        f"With {connections:,} connections: {many.requests_per_s:,.0f} requests/s, {per_connection:.1f} KiB "
        "of memory per connection; the longest it did not look at its sockets was "
        f"{many.generator_lag_ms:.0f} ms."
    )
