"""`make docs`: write the tables of docs/contracts.md from the models that they are about."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from bench.model import documents
from bench.model.files import ROOT
from bench.model.plans.loads import Loads, OpenLoads, Search
from bench.model.plans.own_app import OwnApp
from bench.model.plans.plan import Plan
from bench.model.plans.recycling import Probe, RecyclingTable
from bench.model.plans.rotation import RotationTable
from bench.model.plans.settings import ConnectionsTable
from bench.model.plans.soak import SoakTable
from bench.model.records.cell import Cell
from bench.model.records.columns import CONNECTIONS, FILES, INTERVALS, Column, CsvFile
from bench.model.records.lane import Lane
from bench.model.records.run import Run
from bench.model.requirements import Requirements, about

CONTRACTS = ROOT / "docs" / "contracts.md"


def parts() -> dict[str, str]:
    """What stands between the markers of each name, in Markdown."""
    return {
        "plan": _keys(Plan),
        "loads": "\n\n".join(
            f"{head}\n\n{_keys(model)}"
            for head, model in (
                ("`[scenarios.NAME]`:", Loads),
                ("`[[scenarios.NAME.open]]`:", OpenLoads),
                ("`[scenarios.NAME.search]`:", Search),
                ("`[own_app]`:", OwnApp),
            )
        ),
        "recycling": _keys(RecyclingTable),
        "probes": _keys(Probe),
        "rotation": _keys(RotationTable),
        "connections": f"{_keys(ConnectionsTable)}\n\n{_file('connections', CONNECTIONS)}",
        "soak": _keys(SoakTable),
        "lane.json": f"{_keys(Lane, nested=True)}\n\n{_file('intervals', INTERVALS)}",
        "requirements": _judged(),
        "ranking": _others("ranking"),
        "command": _others("command"),
        "run.json": _keys(Run, nested=True),
        "cell.json": _keys(Cell, nested=True),
        "files": "\n\n".join(_files()),
    }


def write() -> None:
    """Replace the parts; raises ``UserError`` where the document lacks the markers of one."""
    documents.replace(CONTRACTS, parts(), kind="generated")


def _keys(model: type[BaseModel], *, nested: bool = False) -> str:
    seen: dict[type[BaseModel], str] = {}  # the key that told a model's own keys
    told = [
        (name, field, _meaning(name, field, seen if nested else None))
        for name, field in model.model_fields.items()
    ]
    rows = [(_given(name, field, nested=nested), meaning) for name, field, meaning in told if meaning]
    plain = ", ".join(f"`{name}`" for name, _, meaning in told if not meaning)
    table = _table(("key", "meaning"), rows)
    return f"{table}\n\nBesides: {plain}." if plain else table


def _given(name: str, field: FieldInfo, *, nested: bool) -> str:
    """A key, of what people write with its default."""
    stated = not nested and field.default not in (None, PydanticUndefined, False)
    return f"`{name} = {_toml(field.default)}`" if stated else f"`{name}`"


def _meaning(name: str, field: FieldInfo, seen: dict[type[BaseModel], str] | None) -> str:
    """What a key means, and unless ``seen`` is None the keys below it, or where they were told already."""
    texts = [_line(field.description)]
    if seen is None:
        return texts[0]
    for model in _models(field.annotation):
        if (first := seen.setdefault(model, name)) != name:
            texts.append(f"Keys as of `{first}`.")
            continue
        keys = ", ".join(_key(below, of) for below, of in model.model_fields.items())
        about_it = [] if field.description else [_summary(model)]
        texts += [*about_it, f"{keys}."]
    if not any(texts) and get_origin(field.annotation) is Literal:
        texts.append(", ".join(f"`{value}`" for value in get_args(field.annotation)))
    return " ".join(text for text in texts if text)


def _key(name: str, field: FieldInfo) -> str:
    note = _line(field.description).rstrip(".")
    note = note if note[1:2].isupper() else note[:1].lower() + note[1:]
    return f"`{name}`" + (f" ({note})" if note else "")


def _summary(model: type[BaseModel]) -> str:
    return _line((model.__doc__ or "").partition("\n\n")[0])


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in a type such as ``list[Model] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    for part in get_args(annotation):
        yield from _models(part)


def _judged() -> str:
    rows = [
        (f"`{name}`", _default(field), _line(of.meaning), of.passed, of.failed)
        for name, field in Requirements.model_fields.items()
        if (of := about(field)).part == "judged"
    ]
    return _table(("key", "default", "what is required", "passed", "failed"), rows)


def _others(part: str) -> str:
    fields = Requirements.model_fields.items()
    rows = [(f"`{n}`", _default(f), about(f).meaning) for n, f in fields if about(f).part == part]
    return _table(("key", "default", "meaning"), rows)


def _default(field: FieldInfo) -> str:
    if (told := about(field).default) is not None:
        return told
    return "none" if field.default is None else f"`{_toml(field.default)}`"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return (
        f"{value:g}" if isinstance(value, float) else f'"{value}"' if isinstance(value, str) else str(value)
    )


def _files() -> Iterator[str]:
    """Each file of a cell; one with the columns of an earlier one has them there."""
    seen: dict[tuple[Column, ...], str] = {}
    for name, file in FILES.items():
        first = seen.setdefault(file.columns, name)
        yield _file(name, file, None if first == name else first)


def _file(name: str, file: CsvFile, like: str | None = None) -> str:
    """What a row is, and its columns, those with one meaning together; or of which file they are."""
    where = (
        " In cells of recycling only." * file.of_recycling
        + " In cells of a rotation only." * file.of_rotation
        + " Where the servers are on another machine only." * file.apart
        + " Not of an external server." * file.of_server
    )
    head = f"`{name}.csv`, a row: {file.meaning[:1].lower()}{file.meaning[1:]}{where}"
    if like is not None:
        return f"{head} Columns as in {like}.csv."
    by_meaning: dict[str, list[str]] = {}
    for column in file.columns:
        by_meaning.setdefault(column.meaning, []).append(f"`{column.name}`")
    plain = by_meaning.pop("", [])
    lines = [f"* {', '.join(names)}: {meaning}" for meaning, names in by_meaning.items()]
    return "\n".join([head, "", *lines, *([f"* {', '.join(plain)}"] if plain else [])])


def _line(text: str | None) -> str:
    return " ".join((text or "").split())


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(documents.markdown_table(headings, rows, left=headings))


if __name__ == "__main__":
    write()
