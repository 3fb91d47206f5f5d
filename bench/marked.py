"""Parts of documents that a command writes: what stands between two markers, so none is written by hand."""

from pathlib import Path

from bench.errors import UserError
from bench.files import write_text


def replace(path: Path, bodies: dict[str, str]) -> None:
    """Replace what stands between the markers of each name in a Markdown file.

    The markers are lines of their own: ``<!-- measured: NAME -->`` and ``<!-- /measured: NAME -->``.

    Raises:
        UserError: the file lacks a marker; it is left as it was.
    """
    text = _read(path)
    for name, body in bodies.items():
        before, begin, _, end, after = _parts(path, text, name)
        text = f"{before}{begin}\n{body.strip()}\n{end}{after}"
    write_text(path, text)


def check(path: Path, names: list[str]) -> None:
    """Raise ``UserError`` unless the file can be read and has the markers of every name."""
    text = _read(path)
    for name in names:
        _parts(path, text, name)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error


def _parts(path: Path, text: str, name: str) -> tuple[str, str, str, str, str]:
    """The text before, the first marker, the body, the second marker and the text after."""
    begin, end = f"<!-- measured: {name} -->", f"<!-- /measured: {name} -->"
    before, found_begin, rest = text.partition(f"{begin}\n")
    body, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        raise UserError(
            f"{path} lacks the line {begin} or, below it, {end}: put them where the figures belong"
        )
    return before, begin, body, end, after
