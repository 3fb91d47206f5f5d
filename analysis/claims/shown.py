"""The frames that the notebook on the claims shows: the answers, and what they were computed from."""

import pandas as pd

from analysis.claims.material import Material
from analysis.claims.model import Claims
from analysis.comparison import mean


def runs(material: Material) -> pd.DataFrame:
    """A row for each run that was read, replays included."""
    rows: list[tuple[str, ...]] = [
        (each.run, each.kind, each.plan, each.launcher, each.hostname, each.cpu)
        for each in material.evidence.runs
    ]
    if material.replay is not None:
        replay = material.replay
        rows.append((replay.replay, "replay", "replay", "processes", replay.host.hostname, replay.host.cpu))
    return pd.DataFrame(rows, columns=["run", "of", "plan", "launcher", "host", "CPU"])


def frame(answered: Claims) -> pd.DataFrame:
    """The claims with their answers."""
    return pd.DataFrame([row.texts() for row in answered.rows], columns=list(answered.columns))


def speed(material: Material) -> pd.DataFrame:
    """A row for each configuration of a ranking: what it delivered, on average over its repeats."""
    rows = [
        (
            table.scenario,
            table.workers,
            table.users,
            f"requests per {table.metric}",
            name,
            mean([*each.values()]),
        )
        for table in material.evidence.performance
        for name, each in table.values.items()
    ]
    return pd.DataFrame(
        rows, columns=["scenario", "workers", "users", "delivered", "configuration", "mean"]
    ).sort_values(["scenario", "workers", "mean"], ascending=[True, True, False], ignore_index=True)


def prices(material: Material) -> pd.DataFrame:
    """A row for each configuration, number of workers and kind of connection."""
    rows = [
        (
            known.name, price.workers, price.connections, price.recycles,
            price.ran.per_1000, price.ran.low, price.ran.high,
            price.retryable.per_1000, price.retryable.low, price.retryable.high,
        )
        for known in material.evidence.configurations
        for price in known.prices
    ]  # fmt: skip
    columns = ["configuration", "workers", "connections", "replaced"]
    columns += ["handler_ran", "handler_ran_low", "handler_ran_high"]
    columns += ["not_handled", "not_handled_low", "not_handled_high"]
    return pd.DataFrame(rows, columns=columns)


def simultaneous(material: Material) -> pd.DataFrame:
    """A row for each recorded execution of the old benchmark with a client for each process."""
    rows = []
    for each in () if material.replay is None else material.replay.recorded:
        steps = each.steps
        rows.append(
            (
                each.configuration, each.split, steps.most_in_a_process, steps.called.mean,
                steps.waiting.mean, steps.waiting.peak, steps.waiting.together,
            )
        )  # fmt: skip
    columns = ["configuration", "split", "most_in_a_client", "called", "unanswered", "unanswered_at_most"]
    return pd.DataFrame(rows, columns=[*columns, "share_of_time_two_or_more"])
