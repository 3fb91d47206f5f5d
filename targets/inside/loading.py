"""A user's Sanic app by its name, `package.module:app`: an instance, or a factory that makes one."""

from __future__ import annotations

import difflib
import importlib
import os
import runpy
import sys
import traceback
from contextlib import contextmanager
from importlib import import_module
from inspect import signature
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, Iterator, Sequence

from sanic import Sanic

_LAST_FRAMES = 3
_OURS = Path(__file__).resolve().parents[1]
_IMPORTING = (importlib.__file__, runpy.__file__)
# Methods of an app (Sanic 21.12 has fewer) that serve it, or are there for that.
_SERVING = ("run", "prepare", "serve", "serve_single", "serve_legacy", "create_server")


class AppError(Exception):
    """Why there is no app of that name; the message is for its author."""


class ServesItselfError(AppError):
    """The app tried to serve itself while it was imported."""


class _RefusedError(BaseException):
    """What the app meets then; no `except Exception` of its own is to hide it."""


def load_app(name: str) -> tuple[Sanic, str]:
    """The app that `MODULE:NAME` is or makes, and its name; that of a factory ends in `()`.

    An app that serves itself when it is imported is stopped: a second server would be started, or the one
    that is about to serve it would never start. Raises `AppError`.
    """
    module_name, _, path = name.partition(":")
    path = path[:-2] if path.endswith("()") else path
    if not module_name or not path:
        raise AppError(f"{name!r} names no app: write MODULE:NAME, such as service.main:app")
    folder = Path.cwd()  # the app may go elsewhere
    with _serving_refused(folder) as tried:
        try:
            found = _loaded(module_name, path, folder)
        except (_RefusedError, AppError):
            if not tried:
                raise
    if tried:  # whatever came of it
        raise ServesItselfError(tried[0])
    return found


def _loaded(module_name: str, path: str, folder: Path) -> tuple[Sanic, str]:
    found: Any = _module(module_name, folder)
    for part in path.split("."):
        found = _attribute(found, part, module_name)
    if isinstance(found, Sanic):
        return found, f"{module_name}:{path}"
    return _made(found, f"{module_name}:{path}", folder), f"{module_name}:{path}()"


@contextmanager
def _serving_refused(folder: Path) -> Iterator[list[str]]:
    """Have Sanic's own ways to serve an app raise while the block lasts; yields what was tried, in words."""
    tried: list[str] = []

    def refuse(*_: Any, **__: Any) -> None:
        place = place_of(sys._getframe(1), folder, frames=1)
        tried.append(
            f"the app serves itself when it is imported, and a server imports it to serve it:\n{place}\n"
            'Put that call under `if __name__ == "__main__":`'
        )
        raise _RefusedError(tried[-1])

    present = [name for name in _SERVING if hasattr(Sanic, name)]
    own = {name: vars(Sanic)[name] for name in present if name in vars(Sanic)}
    try:
        for name in present:
            setattr(Sanic, name, refuse)
        yield tried
    finally:
        for name in present:
            if name in own:
                setattr(Sanic, name, own[name])
            else:
                delattr(Sanic, name)


def _module(name: str, folder: Path) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(f"{missing}."):
            raise AppError(f"there is no module {missing} in {folder}") from error
        raise AppError(f"{name} cannot be imported:\n{_story(error, folder)}") from error
    except (KeyboardInterrupt, _RefusedError):
        raise
    except BaseException as error:
        raise AppError(f"{name} cannot be imported:\n{_story(error, folder)}") from error


def _attribute(owner: Any, name: str, module: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError as error:
        apps = [key for key, value in vars(owner).items() if isinstance(value, Sanic)]
        near = difflib.get_close_matches(name, dir(owner), n=1, cutoff=0.5)
        hint = f"; its apps: {', '.join(apps)}" if apps else f"; did you mean {near[0]!r}?" if near else ""
        raise AppError(f"{module} has no {name!r}{hint}") from error


def _made(factory: Any, name: str, folder: Path) -> Sanic:
    if not callable(factory):
        raise AppError(f"{name} is no Sanic app and no function that makes one: it is a {_kind(factory)}")
    try:
        signature(factory).bind()
    except (TypeError, ValueError) as error:
        raise AppError(
            f"{name} needs arguments, and there are none for it: name a function that needs none"
        ) from error
    try:
        app = factory()
    except (KeyboardInterrupt, _RefusedError):
        raise
    except BaseException as error:
        raise AppError(f"{name}() failed:\n{_story(error, folder)}") from error
    if not isinstance(app, Sanic):
        raise AppError(f"{name}() makes no Sanic app: it returned a {_kind(app)}")
    return app


def _kind(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__name__}"


def _story(error: BaseException, folder: Path) -> str:
    """The last frames of a traceback, and the last of the app's own, without those of imports."""
    if isinstance(error, SystemExit):
        last = f"it ended the program: SystemExit({error.code!r})\n"
    else:
        last = "".join(traceback.format_exception_only(type(error), error))
    if isinstance(error, EOFError):
        last += "(a server has no keyboard: input() gets nothing)\n"
    return f"{_frames(traceback.extract_tb(error.__traceback__), folder, _LAST_FRAMES)}\n{last}".strip("\n")


def place_of(frame: FrameType, folder: Path, frames: int) -> str:
    """Where a program is: so many of its last frames, and the last of the app's own."""
    return _frames(traceback.extract_stack(frame), folder, frames)


def _frames(stack: Sequence[traceback.FrameSummary], folder: Path, count: int) -> str:
    """The last of some frames as lines, and the last of the app's own, without those of imports and ours."""
    theirs = [
        frame
        for frame in stack
        if _OURS not in Path(frame.filename).parents
        and not frame.filename.startswith(("<frozen ", *_IMPORTING))
    ]
    own = [frame for frame in theirs[:-count] if frame.filename.startswith(f"{folder}{os.sep}")]
    return "".join(traceback.format_list([*own[-1:], *theirs[-count:]])).rstrip()
