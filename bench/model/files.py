"""Files that are whole or not there, and the folders they are written to."""

import errno
import hashlib
import json
import re
import shutil
import stat
from pathlib import Path
from typing import Any

from bench.model.errors import UserError

# The checkout: what paths of a plan are relative to.
ROOT = Path(__file__).parents[2]

# C0 and C1 controls, bidirectional overrides and isolates, surrogates.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# More than any file of a run has: what is larger is none, or would fill the memory.
_MOST_BYTES = 1 << 30
_MOST_TEXT_BYTES = 64 << 20
# With less than this left the next cell cannot be written.
_LEAST_FREE_BYTES = 1 << 20


def write_text(path: Path, text: str) -> None:
    """Write a file under a temporary name and rename it, so that a file that exists is whole."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        # Of a process that was killed; or a link that a stranger left, behind which is somebody's own.
        temporary.unlink(missing_ok=True)
        with temporary.open("x", encoding="utf-8") as stream:
            stream.write(text)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON for programs and people."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def check_plain(path: Path, within: Path | None = None, most_bytes: int = _MOST_BYTES) -> None:
    """Raise `UserError` for what must not be read as a file, such as a pipe or one too large for the memory.

    With `within`, neither is one that lies elsewhere: results of a stranger may have links to anything. One
    that is missing is left to who opens it.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {getattr(error, 'strerror', error)}") from error
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"{path} is no file (but a folder, a pipe or a device): restore it")
    if found.st_size > most_bytes:
        raise UserError(
            f"{path} has {found.st_size >> 20:,} MiB, more than the {most_bytes >> 20:,} there can be"
        )
    if within is not None and not path.resolve().is_relative_to(within.resolve()):
        raise UserError(
            f"{path} leads to {path.resolve()}, out of {within}, and links are not followed there: "
            "put a copy in its place"
        )


def read_text(path: Path, within: Path | None = None) -> str:
    """The text of a file, whole.

    Raises:
        UserError: it is missing, cannot be read (`check_plain`), or is not UTF-8; names file and line.
    """
    check_plain(path, within, _MOST_TEXT_BYTES)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {line}: is not text in UTF-8 ({error.reason})") from error


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits. Raises OSError."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def is_full(error: OSError) -> bool:
    """Whether an error says that there is no more space."""
    return error.errno in _FULL


def no_space(folder: Path) -> UserError:
    """The error for a full disk."""
    return UserError(
        f"no space left for results in {folder} (finished cells are kept).\n"
        "Free some and give the same command again: the run goes on where it stopped."
    )


def check_space(folder: Path) -> None:
    """Raise ``UserError`` when the disk of a folder is as good as full."""
    if shutil.disk_usage(folder).free < _LEAST_FREE_BYTES:
        raise no_space(folder)


def shown(path: Path) -> str:
    """A path for people: from where they are, if it lies below."""
    here, whole = Path.cwd(), path.resolve()
    return str(whole.relative_to(here) if whole.is_relative_to(here) else whole)


def plain(text: str) -> str:
    """`text` without what a terminal or a browser would obey instead of showing it.

    Control characters, overrides of the writing direction and halves of surrogate pairs become U+FFFD; line
    breaks and tabs stay.
    """
    return _OBEYED.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def shortened(value: object, most: int = 120) -> str:
    """A value that a file has, for a message in one line: made `plain`, and cut where it is long."""
    text = " ".join(plain(str(value)[: 4 * most]).split())
    return text if len(text) <= most else f"{text[: most - 1]}…"
