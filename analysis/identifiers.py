"""The ids of traced requests, `PROCESS-SERIAL`, of which a run may have ten million: read as numbers."""

import warnings

import numpy as np
import numpy.typing as npt
import pandas as pd

Ints = npt.NDArray[np.int64]
# A process has fewer requests than this in a cell.
MOST = 1 << 40


def parsed(ids: pd.Series) -> Ints:
    """A number for each id of a file.

    Raises:
        ValueError: one is missing or none of ours.
    """
    texts = ids.tolist()
    if not texts:
        return np.array([], dtype=np.int64)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # NumPy warns of what it cannot read to its end
            parts = np.fromstring("-".join(texts), dtype=np.int64, sep="-")
    except (TypeError, ValueError, DeprecationWarning) as error:
        raise ValueError("a request has no id, or none that is PROCESS-SERIAL") from error
    if len(parts) != 2 * len(texts) or parts.min() < 0:
        raise ValueError("a request has no id, or none that is PROCESS-SERIAL")
    numbers: Ints = parts[::2] * MOST + parts[1::2]
    return numbers


def column(pieces: list[Ints]) -> pd.Categorical:
    """One column of the ids of several files, as texts again."""
    codes, unique = pd.factorize(np.concatenate(pieces))
    texts = [f"{number // MOST}-{number % MOST}" for number in unique.tolist()]
    return pd.Categorical.from_codes(codes, categories=pd.Index(texts, dtype="str"))


def processes(ids: pd.Series) -> Ints:
    """The process of each id of such a column."""
    texts = ids.cat.categories
    each = np.array([int(text.partition("-")[0]) for text in texts], dtype=np.int64)
    return np.append(each, -1)[ids.cat.codes]
