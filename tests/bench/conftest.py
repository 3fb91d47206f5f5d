import io
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from bench import cpus, host, plan, prepare, stacks
from bench.launch_processes import Processes
from bench.progress import RunProgress
from bench.results import RunFolder
from bench.run import Runner
from bench.session import Session
from targets.configurations import load as load_catalogue

FAKE_SESSION = Path(__file__).with_name("fake_session.py")


@pytest.fixture(scope="session")
def catalogue():
    return load_catalogue()


@pytest.fixture(scope="session")
def current(catalogue):
    """The environment most configurations run in."""
    return stacks.ensure(catalogue.stacks["current"], print)


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
def run_blocks(tmp_path, catalogue, current):
    """Runs blocks of real servers under a stand-in for the generator; returns runner and output."""

    def run(chosen, blocks, *, mode="well", launcher=None, folder=tmp_path, after_block=lambda: None):
        split = cpus.split_here(1)
        output = io.StringIO()
        console = Console(file=output, width=200)
        with (
            RunFolder(folder) as opened,
            RunProgress(console, blocks, chosen) as progress,
            host.HostSampler() as sampler,
        ):
            runner = Runner(
                folder=opened,
                plan=chosen,
                seed=7,
                configurations=prepare.named(chosen, catalogue),
                scenarios={"index": Path("index.py")},
                cpus=split,
                launcher=launcher or Processes({"current": current}),
                session=Session(
                    [sys.executable, str(FAKE_SESSION), mode], split.generator, folder / "generator.log"
                ),
                host=sampler,
                progress=progress,
            )
            runner.run(blocks, after_block)
        return runner, output.getvalue()

    return run
