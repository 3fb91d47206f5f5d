"""Somebody's own app in place of the suite's: what a plan says of it, and what servers are told."""

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from bench.errors import UsageError
from bench.launch import Launcher
from bench.processes import ROOT
from bench.tables import Table, distinct
from targets.configurations import Catalogue, Stack
from targets.surroundings import reserved

_APP = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*(\(\))?")
_VARIABLE = re.compile(r"[A-Za-z_]\w*")


def _app(name: str) -> str:
    if not _APP.fullmatch(name):
        raise ValueError(f'"{name}" names no app: write MODULE:NAME, such as service.main:app (APP=)')
    return name


def _variable_names(names: list[str]) -> list[str]:
    for name in names:
        if not _VARIABLE.fullmatch(name):
            raise ValueError(f'"{name}" is no name of a variable; give names, and no values')
        if reserved(name):
            raise ValueError(f"{name} is a setting of servers, which configurations state; leave it out")
    return distinct(names)


class OwnApp(Table):
    """``[own_app]``: the app (``MODULE:NAME``, an instance or a factory), and the folder that it lies in.

    ``requirements`` is a file that pip reads, ``environment`` the names of the variables that are passed on.
    Paths are as ``Plan``'s.
    """

    app: Annotated[str, AfterValidator(_app)]
    folder: str
    requirements: str | None = None
    environment: Annotated[list[str], AfterValidator(_variable_names)] = Field(default_factory=list)

    @field_validator("folder", "requirements")
    @classmethod
    def _existing(cls, name: str | None, info: ValidationInfo) -> str | None:
        if name is None:
            return None
        path = ((info.context or ROOT) / name).resolve()
        if info.field_name == "folder" and not path.is_dir():
            raise ValueError(f"there is no folder {path} (APP_DIR=)")
        if info.field_name == "requirements" and not path.is_file():
            raise ValueError(f"there is no file {path} (REQUIREMENTS=)")
        return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)

    @property
    def path(self) -> Path:
        """The folder."""
        return ROOT / self.folder

    def over(self, stack: Stack) -> Stack:
        """A stack with the app's requirements over its own."""
        return stack if self.requirements is None else replace(stack, own=ROOT / self.requirements)

    def serve_options(self) -> list[str]:
        """What serve is told of it."""
        variables = [word for name in self.environment for word in ("--variable", name)]
        return ["--app", self.app, "--app-folder", str(self.path), *variables]

    def tell(self, launcher: Launcher) -> None:
        """Have a launcher serve it; raises as ``values``."""
        launcher.app_options = self.serve_options()
        launcher.shared.update(self.values())

    def values(self, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
        """The variables that are passed on, with their values, which are recorded nowhere.

        Raises:
            UsageError: one of them is not set.
        """
        for name in self.environment:
            if name not in environment:
                raise UsageError(f"ENVIRONMENT names {name}, which is not set here: export it first")
        return {name: environment[name] for name in self.environment}

    def check(self, catalogue: Catalogue) -> None:
        """Raise ``UsageError`` if a configuration sets one of its variables, and would win."""
        for configuration in catalogue.configurations.values():
            for name in self.environment:
                if name in configuration.environment:
                    raise UsageError(
                        f"ENVIRONMENT names {name}, which the configuration {configuration.name} sets: "
                        "leave it out, or set it in the app"
                    )
