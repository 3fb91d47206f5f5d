"""Somebody's Sanic app by its name, `package.module:app`: an instance, or a factory that makes one."""

from __future__ import annotations

import difflib
import os
import traceback
from importlib import import_module
from inspect import signature
from types import ModuleType
from typing import Any

from sanic import Sanic

_LAST_FRAMES = 3


class AppError(Exception):
    """Why there is no app of that name; the message is for whoever wrote it."""


def load_app(name: str) -> tuple[Sanic, str]:
    """The app that `MODULE:NAME` is or makes, and its name; that of a factory ends in `()`.

    Raises `AppError`.
    """
    module_name, _, path = name.partition(":")
    path = path[:-2] if path.endswith("()") else path
    if not module_name or not path:
        raise AppError(f"{name!r} names no app: write MODULE:NAME, such as service.main:app")
    found: Any = _module(module_name)
    for part in path.split("."):
        found = _attribute(found, part, module_name)
    if isinstance(found, Sanic):
        return found, f"{module_name}:{path}"
    return _made(found, f"{module_name}:{path}"), f"{module_name}:{path}()"


def _module(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(f"{missing}."):
            raise AppError(f"there is no module {missing} in {os.getcwd()}") from error  # noqa: PTH109
        raise AppError(f"{name} cannot be imported:\n{_story(error)}") from error
    except (Exception, SystemExit) as error:
        raise AppError(f"{name} cannot be imported:\n{_story(error)}") from error


def _attribute(owner: Any, name: str, module: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError as error:
        apps = [key for key, value in vars(owner).items() if isinstance(value, Sanic)]
        near = difflib.get_close_matches(name, dir(owner), n=1, cutoff=0.5)
        hint = f"; its apps: {', '.join(apps)}" if apps else f"; did you mean {near[0]!r}?" if near else ""
        raise AppError(f"{module} has no {name!r}{hint}") from error


def _made(factory: Any, name: str) -> Sanic:
    if not callable(factory):
        raise AppError(f"{name} is no Sanic app and no function that makes one: it is a {_kind(factory)}")
    try:
        signature(factory).bind()
    except (TypeError, ValueError) as error:
        raise AppError(
            f"{name} needs arguments, and nobody has any for it: name a function that needs none"
        ) from error
    try:
        app = factory()
    except (Exception, SystemExit) as error:
        raise AppError(f"{name}() failed:\n{_story(error)}") from error
    if not isinstance(app, Sanic):
        raise AppError(f"{name}() makes no Sanic app: it returned a {_kind(app)}")
    return app


def _kind(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__name__}"


def _story(error: BaseException) -> str:
    """The last frames of a traceback, and the last of the app's own, without those of imports."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__ and not frame.filename.startswith("<frozen importlib")
    ]
    own = [frame for frame in frames[:-_LAST_FRAMES] if frame.filename.startswith(f"{os.getcwd()}{os.sep}")]  # noqa: PTH109
    if isinstance(error, SystemExit):
        last = f"it ended the program: SystemExit({error.code!r})\n"
    else:
        last = "".join(traceback.format_exception_only(type(error), error))
    return "".join([*traceback.format_list([*own[-1:], *frames[-_LAST_FRAMES:]]), last]).rstrip()
