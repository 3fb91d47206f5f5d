"""Files that are whole or not there, and the folders they are written to."""

import errno
import json
import re
import shutil
from pathlib import Path
from typing import Any

from bench.model.errors import UserError

# The checkout: what paths of a plan are relative to.
ROOT = Path(__file__).parents[2]

# C0 and C1 controls, bidirectional overrides and isolates, surrogates.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# With less than this left the next cell cannot be written.
_LEAST_FREE_BYTES = 1 << 20


def write_text(path: Path, text: str) -> None:
    """Write a file under a temporary name and rename it, so that a file that exists is whole."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON for programs and people."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


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
