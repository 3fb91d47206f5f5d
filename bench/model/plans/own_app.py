"""An app of the user's own in place of the suite's: what a plan says of it, and the options of serve."""

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from bench.model.errors import UsageError
from bench.model.files import ROOT
from bench.model.tables import PlanTable, distinct
from targets.catalogue.configurations import Catalogue
from targets.catalogue.stack import Stack
from targets.inside.own_app import reserved

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


# What is behind the name of a configuration that serves the baseline, and of its stack.
BEFORE = "-before"


def _existing(name: str | None, info: ValidationInfo, given: str) -> str | None:
    """A path as plans have it, of the file or folder that the variable ``given`` of make names."""
    if name is None:
        return None
    path = ((info.context or ROOT) / name).resolve()
    if info.field_name == "folder" and not path.is_dir():
        raise ValueError(f"there is no folder {path} ({given}=)")
    if info.field_name == "requirements" and not path.is_file():
        raise ValueError(f"there is no file {path} ({given}=)")
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


class Baseline(PlanTable):
    """``[own_app.baseline]``: the version of the app, or of its packages, that it is compared with."""

    folder: str
    """The folder that this version is imported from."""
    requirements: str | None = None
    """A file that pip reads: what this version needs."""

    @field_validator("folder", "requirements")
    @classmethod
    def _there(cls, name: str | None, info: ValidationInfo) -> str | None:
        return _existing(name, info, "BASELINE" if info.field_name == "folder" else "BASELINE_REQUIREMENTS")


class OwnApp(PlanTable):
    """``[own_app]``: the app (``MODULE:NAME``, an instance or a factory), and the folder that it lies in.

    ``requirements`` is a file that pip reads, ``environment`` the names of the variables that are passed on.
    Paths are as ``Plan``'s.
    """

    app: Annotated[str, AfterValidator(_app)]
    """`MODULE:NAME`, an instance or a factory (`MODULE:NAME()`)."""
    folder: str
    """The folder that it is imported from."""
    requirements: str | None = None
    """A file for pip: what it needs beside the stack's packages."""
    environment: Annotated[list[str], AfterValidator(_variable_names)] = Field(default_factory=list)
    """Names of variables that servers get; values are recorded nowhere."""

    baseline: Baseline | None = Field(default=None, exclude_if=lambda value: value is None)
    """`[own_app.baseline]` (`folder`, `requirements`): [another version](ci.md), served as `NAME-before`."""

    @field_validator("folder", "requirements")
    @classmethod
    def _there(cls, name: str | None, info: ValidationInfo) -> str | None:
        return _existing(name, info, "APP_DIR" if info.field_name == "folder" else "REQUIREMENTS")

    @property
    def before(self) -> "OwnApp | None":
        """The version that it is compared with, as an app."""
        if self.baseline is None:
            return None
        return self.model_copy(update={**self.baseline.model_dump(), "baseline": None})

    @property
    def path(self) -> Path:
        """The folder."""
        return ROOT / self.folder

    def over(self, stack: Stack) -> Stack:
        """A stack with the app's requirements over its own."""
        return stack if self.requirements is None else replace(stack, own=ROOT / self.requirements)

    def serve_options(self, folder: str) -> list[str]:
        """The options of serve for it; ``folder`` is where it lies for servers."""
        variables = [word for name in self.environment for word in ("--variable", name)]
        return ["--app", self.app, "--app-folder", folder, *variables]

    def values(self, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
        """The variables that servers get, with their values, which are recorded nowhere.

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
