"""Evidence that nobody measured, to try the verdict with."""

from dataclasses import replace

from analysis.recommend.evidence import (
    Evidence,
    Known,
    Latency,
    Performance,
    Rate,
    Recycled,
    ReplacementPrice,
    Seen,
    Served,
    Source,
)
from analysis.recycling.requests import rate
from targets.catalogue.configurations import load

CATALOGUE = load()

# What a round does to all configurations, and what chance does to every other one of them.
MOODS = (1.0, 1.1, 0.9)
CHANCE = ((0.0, 0.003, -0.003), (0.002, -0.002, 0.0))
YES = Seen("passed", "yes", ("r/yes",))
NO = Seen("failed", "no", ("r/no",))


def losses(lost: int, recycles: int) -> Rate:
    """So many losses, spread evenly, with the interval that the analysis gives them."""
    counts = [lost // recycles + (place < lost % recycles) for place in range(recycles)]
    per_1000, low, high = (1000 * each for each in rate(counts))
    return Rate(lost, per_1000, low, high)


def price(ran=0, retryable=0, recycles=40, connections="keep-alive", workers=2) -> ReplacementPrice:
    cells = (f"r/{connections}-w{workers}",)
    return ReplacementPrice(
        connections, workers, recycles, losses(ran, recycles), losses(retryable, recycles), cells
    )


def both(**keys) -> tuple[ReplacementPrice, ReplacementPrice]:
    """The same price on both kinds of connections."""
    return price(**keys), price(connections="per-request", **keys)


def recycled(outcome="replaced", workers=2, scenario="index", stall_s=0.02) -> Recycled:
    return Recycled(f"r/{scenario}-w{workers}-{outcome}", scenario, workers, outcome, "as imagined", stall_s)


def served(line: str, *, replacing=True, workers=2, parser="httptools", environment=()) -> Served:
    return Served(workers, tuple(line.split()), parser, "uvloop", replacing, dict(environment))


def latency(p99_ms=10.0, spread=1.1, *, scenario="index", rate_per_s=1000.0, workers=1, **changes) -> Latency:
    sound = Latency(
        scenario, workers, "constant", rate_per_s, p99_ms, p99_ms / spread, p99_ms * spread, 1.0, 0.0, 0.5,
        (f"p/{scenario}-{rate_per_s:g}",),
    )  # fmt: skip
    return replace(sound, **changes)


def known(name="gunicorn-uvicorn", recycle="flag", **changes) -> Known:
    """A configuration that replaces two workers without a loss, unless `changes` say otherwise."""
    line = "/venv/bin/gunicorn targets.app:app --bind 127.0.0.1:50001 --workers 2"
    sound = {
        "recycled": (recycled(),),
        "prices": both(),
        "served": (
            served(line, replacing=False),
            served(f"{line} --max-requests 500 --max-requests-jitter 50"),
        ),
        "keep_alive_s": 75.0,
        "backlog": 2048,
        "entry": CATALOGUE.configurations.get(name),
    }
    return Known(name, recycle, **(sound | changes))


def unrecycled(name="sanic-single", **changes) -> Known:
    """One that has no way to replace its workers."""
    line = "/venv/bin/sanic targets.app:app --host 127.0.0.1 --port 50001 --single-process"
    alone = served(line, replacing=False, workers=1, parser="sanic")
    return known(name, "none", recycled=(), prices=(), served=(alone,), **changes)


def performance(figures, scenario="index", *, workers=1, metric="second", left_out=()) -> Performance:
    """`figures` are mean requests per second by configuration; three repeats, noise of less than 1 %."""
    values = {
        name: {
            repeat: figure * mood * (1 + CHANCE[place % 2][repeat - 1])
            for repeat, mood in enumerate(MOODS, 1)
        }
        for place, (name, figure) in enumerate(figures.items())
    }
    return Performance(scenario, workers, 64, metric, values, dict(left_out))


def source(run: str, kind: str) -> Source:
    machine = ("processes", 2, "host", "CPU", 2)
    return Source(run, kind, 1.79e9, kind, f"make {kind}", None, *machine)


def evidence(*configurations, performance=(), kinds=("performance", "recycling"), gaps=()) -> Evidence:
    runs = tuple(source(f"20261122-08000{place}-{kind}", kind) for place, kind in enumerate(kinds))
    return Evidence(runs, tuple(configurations), tuple(performance), 1, tuple(gaps))
