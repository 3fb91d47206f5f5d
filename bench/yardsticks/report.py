"""From readings to tables: medians over the rounds, and ratios taken within each round."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from bench.yardsticks.readings import PERCENTS, SWARM, Arm, Reading
from bench.yardsticks.tools import LOCUST, TOOLS

LABELS = {SWARM: "SwarmUser"} | {tool.name: tool.label for tool in TOOLS.values()}
# A difference beyond this is marked and wants an explanation.
NOTABLE = 0.1

Figure = Callable[[Reading], float]


@dataclass(frozen=True)
class Table:
    """Rows of texts under headings; ``**`` around a text marks it, as in Markdown. ``notes`` follow it."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


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


class Readings:
    """All readings of a sitting by arm, and what is computed of them."""

    def __init__(self, readings: Sequence[Reading]) -> None:
        self._of: dict[Arm, dict[int, Reading]] = {}
        for reading in readings:
            self._of.setdefault(reading.arm, {})[reading.round] = reading

    @property
    def arms(self) -> list[Arm]:
        """The arms that were measured."""
        return list(self._of)

    def median(self, arm: Arm, figure: Figure) -> float:
        """The median of a figure over the rounds."""
        return median(figure(reading) for reading in self._of[arm].values())

    def median_known(self, arm: Arm, figure: Callable[[Reading], float | None]) -> float | None:
        """The same of a figure that may be unknown."""
        known = [value for reading in self._of[arm].values() if (value := figure(reading)) is not None]
        return median(known) if known else None

    def meter_cpus(self, arm: Arm) -> list[int]:
        """The CPUs that serve may have run on."""
        return sorted({cpu for reading in self._of[arm].values() for cpu in reading.meter_cpus or ()})

    def ratios(self, of: Arm, to: Arm, figure: Figure) -> list[float]:
        """The ratio of a figure in each round."""
        return [figure(one) / figure(self._of[to][number]) for number, one in self._of[of].items()]


def _ratio_text(ratios: Sequence[float]) -> str:
    """Median and range; marked when the median is further than ``NOTABLE`` from 1."""
    middle = median(ratios)
    text = f"{middle:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    return f"**{text}**" if abs(middle - 1) > NOTABLE else text


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.0%}"


def _closed(configuration: str, generator: str) -> Arm:
    return Arm(configuration, 1, generator)


def beside_tools(readings: Readings, configurations: Sequence[str], tools: Sequence[str]) -> list[Table]:
    """The suite's user and each tool: their figures, then the tools' as ratios to the suite's."""
    names = [SWARM, *(tool for tool in tools if tool != LOCUST.name)]
    percents = [f"p{percent} ms" for percent in PERCENTS]
    figures = [[*_figures(readings, c, name)] for c in configurations for name in names]
    headings = ["configuration", "generator", "requests/s", *percents, "CPU µs/request"]
    tables = [Table("Figures", [*headings, "server busy", "generator busy"], figures)]
    rows = []
    for configuration in configurations:
        ours = _closed(configuration, SWARM)
        for name in names[1:]:
            theirs = _closed(configuration, name)
            ratios = [
                _ratio_text(readings.ratios(theirs, ours, figure))
                for figure in (_rate, *map(_latency, PERCENTS), _cpu)
            ]
            rows.append([configuration, LABELS[name], *ratios])
    if rows:
        notable = sum(text.startswith("**") for row in rows for text in row)
        note = f"Bold: more than {NOTABLE:.0%} from the suite's own figure ({notable} of {5 * len(rows)})."
        tables.append(Table("Ratios to the suite's own figures", headings, rows, [note]))
    return tables


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


def naive(readings: Readings, configurations: Sequence[str]) -> list[Table]:
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
                _ratio_text(readings.ratios(locust, ours, _rate)),
                f"{_share(readings.median(locust, _busy))} / {_share(readings.median(ours, _busy))}",
                *percentiles,
                _ratio_text(readings.ratios(locust, ours, _cpu)),
            ]
        )
    headings = ["configuration", "requests/s", "ratio", "server busy"]
    headings += [*(f"p{percent} ms" for percent in PERCENTS), "ratio of CPU/request"]
    notes = ["Pairs are FastHttpUser / suite; the percentiles of FastHttpUser are as Locust prints them."]
    return [Table("FastHttpUser beside the suite", headings, rows, [*notes, *_verdicts(readings)])]


def _verdicts(readings: Readings) -> Iterator[str]:
    """How much faster Sanic is than Uvicorn, by each generator; in CPU time per request the other way."""
    texts = []
    for name in (LOCUST.name, SWARM):
        sanic, uvicorn = _closed("sanic", name), _closed("uvicorn", name)
        rate, cpu = readings.ratios(sanic, uvicorn, _rate), readings.ratios(uvicorn, sanic, _cpu)
        texts.append((_plain(rate), _plain(cpu)))
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


def _plain(ratios: Sequence[float]) -> str:
    return _ratio_text(ratios).strip("*")


def cost(readings: Readings) -> list[Table]:
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
                *(_ratio_text(readings.ratios(full, without, figure)) for figure in (_rate, _cpu)),
                _share(readings.median(full, _busy)),
                "" if without.metered else _meter(readings, full),
            ]
        )
    headings = ["what", "server", "requests/s, with / without", "CPU/request, with / without"]
    return [Table("Cost", [*headings, "server busy", "the meter's own CPU"], rows)]


def _meter(readings: Readings, arm: Arm) -> str:
    busy = readings.median_known(arm, lambda reading: reading.meter_busy)
    cpus = ", ".join(map(str, readings.meter_cpus(arm)))
    return "unknown" if busy is None else f"{busy:.2%} of CPU {cpus}"


def markdown(tables: Sequence[Table], provenance: str) -> str:
    """The tables as they stand in a document."""
    lines: list[str] = []
    for table in tables:
        lines += ["| " + " | ".join(row) + " |" for row in (table.headings, *table.rows)]
        lines.insert(len(lines) - len(table.rows), "|---|" + "--:|" * (len(table.headings) - 1))
        lines += ["", *(f"* {note}" for note in table.notes), *([""] if table.notes else [])]
    return "\n".join([*lines, provenance])
