"""Settings as frames: a row for each measure, and one for each setting."""

import pandas as pd

from analysis.settings.model import Settings


def measures(settings: Settings) -> pd.DataFrame:
    """Every measure of every variant, as ratio to its parent with the bounds of the 95 % interval.

    The fate is that of the measure alone. A ratio or bound that is infinite, or unknown, is missing. The last
    rows have what is worth it together beside the server's plain default, which is the parent there.
    """
    columns = ["variant", "parent", "measure", "ratio", "ratio_low", "ratio_high", "fate"]
    rows = [
        (
            each.variant,
            each.parent,
            each.measure,
            each.ratio.ratio,
            each.ratio.low,
            each.ratio.high,
            each.fate,
        )
        for each in (*settings.rows, *(each for judged in settings.whole for each in judged.measured))
    ]
    return pd.DataFrame(rows, columns=columns).replace(float("inf"), float("nan"))


def fates(settings: Settings) -> pd.DataFrame:
    """What each setting is worth, all of its measures together, and what became of what people say of it."""
    rows = [
        {
            "variant": each.name,
            "parent": each.parent,
            "varies": each.facts.varies,
            "change": each.facts.change,
            "fate": each.fate,
            "claim": each.facts.claim or None,
            "today": each.claim if each.facts.claim else None,
            "source": each.facts.source or None,
            "measured": each.figure,
        }
        for each in settings.judged
    ]
    columns = ["variant", "parent", "varies", "change", "fate", "claim", "today", "source", "measured"]
    return pd.DataFrame(rows, columns=columns)
