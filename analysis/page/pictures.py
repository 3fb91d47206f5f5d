"""The figures as the page embeds them."""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image


@dataclass(frozen=True)
class Picture:
    """A figure: its name, what it shows in words, its size in pixels, and the picture as a data URI.

    `file` is the drawing of the same figure that lies beside the page, which can be enlarged without loss.
    """

    name: str
    title: str
    width: int
    height: int
    data: str
    file: str


def drawn(folder: Path, sections: Mapping[str, Iterable[str]]) -> dict[str, list[Picture]]:
    """The figures of each section that `folder` has, without the sections that have none."""
    found = {title: _pictures(folder, names) for title, names in sections.items()}
    return {title: pictures for title, pictures in found.items() if pictures}


def _pictures(folder: Path, names: Iterable[str]) -> list[Picture]:
    return [_picture(path, name) for name in names if (path := folder / f"{name}.png").exists()]


def _picture(path: Path, name: str) -> Picture:
    with Image.open(path) as picture:
        title, (width, height) = str(picture.info["Title"]), picture.size
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return Picture(name, title, width, height, f"data:image/png;base64,{data}", f"{name}.svg")
