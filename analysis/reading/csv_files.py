"""CSV files of a run, read strictly: as they were measured, whole, every value of its type and possible.

A run has thousands of small files, and to begin with a file takes longer than to read it. So all files of a
kind are read as one and checked as columns. What is wrong is looked for, line by line, only then.
"""

import csv
import hashlib
import io
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.reading.damage import DamagedError
from bench.model.errors import UserError
from bench.model.files import check_plain, shortened
from bench.model.records.columns import NEVER_MISSING, CsvFile
from bench.model.records.schema import MOST_NUMBER

# Files of more than that together are read one by one, by several threads.
TOGETHER_BYTES = 64 << 20


def several(
    paths: Sequence[Path], file: CsvFile, within: Path, digests: Sequence[str | None]
) -> tuple[list[pd.DataFrame], list[int]]:
    """The files, one below the other in one or in several frames, and how many rows each file has.

    Arguments are those of `one`. Those that can be read as one are; any that is odd, or wrong, has them all
    read one by one, which finds and names it. So are those with ids, which are large and are looked at file
    by file.

    Raises:
        DamagedError: the files that are not as `one` wants them, all of them.
    """
    together = None if "id" in file.types.values() else _together(paths, file, within, digests)
    if together is not None:
        return together

    def read(path: Path, digest: str | None) -> pd.DataFrame | UserError:
        try:
            return one(path, file, within, digest)
        except UserError as error:
            return error

    with ThreadPoolExecutor(max_workers=4) as pool:
        found = list(pool.map(read, paths, digests))
    parts = [part for part in found if not isinstance(part, UserError)]
    if len(parts) < len(paths):
        both = zip(paths, found, strict=True)
        raise DamagedError({path: str(part) for path, part in both if isinstance(part, UserError)})
    return parts, [len(part) for part in parts]


def _together(
    paths: Sequence[Path], file: CsvFile, within: Path, digests: Sequence[str | None]
) -> tuple[list[pd.DataFrame], list[int]] | None:
    """As `several` in one frame; None if files are large, of unlike columns, or not plainly a row a line."""
    try:
        for path in paths:
            check_plain(path, within)
        if sum(path.stat().st_size for path in paths) > TOGETHER_BYTES:
            return None
        contents = [path.read_bytes() for path in paths]
    except (OSError, UserError):
        return None
    header, _, _ = contents[0].partition(b"\n")
    begin = header + b"\n"
    for content, digest in zip(contents, digests, strict=True):
        plainly = content.startswith(begin) and b'"' not in content and _is_whole(content)
        if not plainly or _is_other(content, digest):
            return None
    bodies = [content[len(begin) :] for content in contents]
    lengths = [body.count(b"\n") for body in bodies]
    try:
        frame = _frame(b"".join([begin, *bodies]), file)
    except (ValueError, OverflowError):
        return None
    whole = len(frame) == sum(lengths) and set(file.types) <= set(frame.columns)
    return ([frame], lengths) if whole and _is_possible(frame, file) else None


def one(path: Path, file: CsvFile, within: Path, digest: str | None = None) -> pd.DataFrame:
    """Read one CSV file of the run in the folder `within`.

    `digest` is the SHA-256 that the file had when it was measured; None where that is not known.

    Raises:
        UserError: it is missing, is another file than that which was measured, or is malformed; the text
            names the file and, where it can, the line.
    """
    check_plain(path, within)
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing{_advice(path, within)}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    if not content.strip():
        raise UserError(f"{path} is empty{_advice(path, within)}")
    try:
        frame = _frame(content, file)
    except (ValueError, OverflowError) as error:  # pandas' errors of parsing are ValueErrors
        wrong = _wrong(content, file) or f": {shortened(error)}"
        raise UserError(f"{path}{wrong}{_advice(path, within)}") from error
    missing = [column for column in file.types if column not in frame.columns]
    if missing:
        raise UserError(f"{path} has no column {', '.join(missing)}; see docs/contracts.md")
    if not (_is_possible(frame, file) and _is_whole(content)):
        raise UserError(f"{path}{_wrong(content, file) or ' is damaged'}{_advice(path, within)}")
    if _is_other(content, digest):
        raise UserError(
            f"{path} was changed after it was measured (its SHA-256 is another){_advice(path, within)}"
        )
    return frame


def line_of(path: Path, row: int) -> int:
    """The line of a file that its row ends on; rows are counted from 0, the heading not among them."""
    with path.open(newline="", encoding="utf-8", errors="replace") as stream:
        lines = csv.reader(stream)
        for _ in range(row + 2):
            next(lines)
    return lines.line_num


def _advice(path: Path, within: Path) -> str:
    """What to do about a file of the run itself, which is not measured again, as a cell is."""
    return "; restore it, or measure again" if path.parent == within else ""


def _frame(content: bytes, file: CsvFile) -> pd.DataFrame:
    """A file as it is, and what one of an older run lacks."""
    types = {column: "object" if kind == "id" else kind for column, kind in file.types.items()}
    with np.errstate(invalid="ignore"):  # of an infinite integer pandas warns before it raises
        frame = pd.read_csv(io.BytesIO(content), dtype=types, keep_default_na=False, na_values=[""])
    for column, value in file.older.items():
        if column not in frame.columns:
            frame[column] = np.full(len(frame), value)
    return frame


def _is_other(content: bytes, digest: str | None) -> bool:
    return digest is not None and hashlib.sha256(content).hexdigest() != digest


def _is_whole(content: bytes) -> bool:
    """Whether a file ends with a line, and all its lines have as many values; pandas fills short ones up."""
    if not content.endswith(b"\n"):
        return False
    if b'"' not in content:
        header, _, _ = content.partition(b"\n")
        return content.count(b",") == header.count(b",") * content.count(b"\n")
    csv.field_size_limit(sys.maxsize)  # a check may say whatever it likes
    rows = csv.reader(io.StringIO(content.decode("utf-8"), newline=""))
    try:
        width = len(next(rows))
        return all(len(row) == width for row in rows)
    except csv.Error:
        return False


def _is_possible(frame: pd.DataFrame, file: CsvFile) -> bool:
    """Whether numbers are finite, none is below zero that cannot be, and none missing that is needed."""
    least = file.least
    for name, kind in file.types.items():
        if kind in ("int64", "float64"):
            values = frame[name].to_numpy()
            known = values if name in NEVER_MISSING or kind == "int64" else values[~np.isnan(values)]
            if not ((known >= max(least[name], -MOST_NUMBER)) & (known <= MOST_NUMBER)).all():
                return False
    return True


def _wrong(content: bytes, file: CsvFile) -> str | None:
    """The first line that is not as it must be, and why, to be put behind the file's name."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return f", line {line}: is not text in UTF-8 ({error.reason})"
    csv.field_size_limit(sys.maxsize)  # a check may say whatever it likes
    rows, least = csv.reader(io.StringIO(text, newline="")), file.least
    try:
        header = next(rows)
        for row in rows:
            problem = _problem(header, row, file.types, least)
            if problem is not None:
                return f", line {rows.line_num}: {problem}"
    except csv.Error as error:
        return f", line {rows.line_num}: {error}"
    if not text.endswith("\n"):
        return f", line {rows.line_num}: is cut short"
    return None


def _problem(
    header: Sequence[str], row: Sequence[str], types: Mapping[str, str], least: Mapping[str, float]
) -> str | None:
    """What is wrong with the values of a line."""
    if len(row) != len(header):
        return f"has {len(row)} values, not {len(header)}"
    for name, value in zip(header, row, strict=True):
        kind = types.get(name)
        if kind not in ("int64", "float64"):
            continue
        if not value:
            if kind == "int64" or name in NEVER_MISSING:
                return f"has no {name}"
            continue
        try:
            number = int(value) if kind == "int64" else float(value)
        except ValueError:
            return f"{name} is no {'whole ' * (kind == 'int64')}number: {shortened(value)!r}"
        if not max(least[name], -MOST_NUMBER) <= number <= MOST_NUMBER and (
            number == number or name in NEVER_MISSING
        ):
            return f"{name} cannot be {shortened(value)}"
    return None
