import io
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from bench.experiment import inputs
from bench.experiment.generator.session import Session
from bench.experiment.progress import RunProgress
from bench.experiment.results import RunFolder
from bench.experiment.rig import Rig
from bench.experiment.rotation.sittings import Rotation
from bench.experiment.runner import Runner
from bench.launch import stacks
from bench.launch.local import Processes
from bench.launch.own import own_packages
from bench.machine import cpus
from bench.model.plans import plan
from targets.catalogue.configurations import CONFIGURATIONS
from targets.catalogue.configurations import load as load_catalogue

FAKE_SESSION = Path(__file__).with_name("experiment") / "generator" / "fake_session.py"


@pytest.fixture(scope="session")
def catalogue():
    return load_catalogue()


@pytest.fixture(scope="session")
def current(catalogue):
    """The environment most configurations run in."""
    return stacks.ensure(catalogue.stacks["current"], print)


@pytest.fixture(scope="session")
def bare_venv(tmp_path_factory):
    """An environment of nothing but pip, which all processes of pytest share."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    with stacks.locked(shared, "bare-venv") as folder:
        if not folder.exists():
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    return folder


@pytest.fixture
def quick_venvs(monkeypatch, bare_venv):
    """Has environments begin as copies of one: to put pip into each takes seconds."""
    run = stacks.failed

    def failed(command):
        _, *words, folder = command
        if words != ["-m", "venv", "--clear"]:
            return run(command)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(bare_venv, folder, symlinks=True)
        return None

    monkeypatch.setattr(stacks, "failed", failed)
    monkeypatch.setattr(own_packages, "failed", failed)


@pytest.fixture
def entries(catalogue):
    """Makes configurations under names of one's own; keys are those of `Configuration`."""

    def make(*names, **keys):
        return {name: replace(catalogue.get("uvicorn"), name=name, **keys) for name in names}

    return make


@pytest.fixture
def write(tmp_path):
    """Writes a plan; returns its path."""

    def written(text):
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return str(path)

    return written


@pytest.fixture
def make_plan():
    def make(*configurations, users=(2,), repeats=1, **keys):
        loads = {"users": list(users)} if users else {}
        return plan.Plan(
            summary="a test",
            configurations=list(configurations),
            scenarios={"index": loads | keys.pop("loads", {})},
            workers=[1],
            repeats=repeats,
            warmup_s=0.2,
            measured_s=1,
            **keys,
        )

    return make


@pytest.fixture
def own_catalogue():
    """The catalogue file that `run_blocks` serves from: the suite's, unless a module has another."""
    return CONFIGURATIONS


@pytest.fixture
def run_blocks(tmp_path, own_catalogue, current):
    """Runs blocks of servers under a stand-in for the generator; returns runner and output.

    Sittings, if there are any, come first; `rotated` gets their rotation when they are over.
    """

    def run(
        chosen,
        blocks,
        *,
        sittings=None,
        again=False,
        mode="well",
        launcher=None,
        folder=tmp_path,
        after_block=lambda: None,
        rotated=lambda rotation: None,
    ):
        known = load_catalogue(own_catalogue)
        split = cpus.split_here(1)
        output = io.StringIO()
        console = Console(file=output, width=200)
        words = [sys.executable, str(FAKE_SESSION), mode]
        rig = Rig(
            (launcher or Processes()).open({"current": current}, folder, print, catalogue=own_catalogue),
            split,
            folder,
            session=Session(words, split.generator, folder / "generator.log"),
        )
        with RunFolder(folder) as opened, RunProgress(console, blocks, chosen) as progress:
            runner = Runner(
                folder=opened,
                plan=chosen,
                seed=7,
                configurations=inputs.configurations(chosen, known),
                scenarios={"index": Path("index.py")},
                rig=rig,
                progress=progress,
            )
            try:
                with rig:
                    if sittings is not None:
                        rotation = Rotation(opened, sittings, again=again)
                        rotation.run(runner, after_block)
                        rotated(rotation)
                    runner.run(blocks, after_block)
            finally:
                runner.discard_unfinished()
        return runner, output.getvalue()

    return run
