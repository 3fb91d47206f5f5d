"""Runs the notebooks, in order, in one kernel: imports and frames are paid for once."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import jupytext
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from analysis.study import REPORT_VARIABLE, RUN_VARIABLE
from bench.model.errors import UserError
from bench.model.files import ROOT

NOTEBOOKS = ROOT / "analysis" / "notebooks"
TIMEOUT_S = 300


def notebooks() -> list[Path]:
    """The notebooks of the pipeline, in their order."""
    return sorted(NOTEBOOKS.glob("[0-9]*.py"))


def step_of(path: Path) -> str:
    """What executing a notebook is called."""
    return f"notebook {path.name}"


def execute(run_dir: Path, folder: Path, say: Callable[[str], None], paths: list[Path] | None = None) -> None:
    """Execute notebooks on a run; what they publish, and they themselves as `.ipynb`, go to `folder`.

    Raises:
        UserError: a cell failed; the text names the notebook and the cell.
    """
    # No user's kernel specification or IPython profile may change what the report says; sockets in a
    # folder of our own need no ports and let nobody else in.
    with tempfile.TemporaryDirectory() as profile:
        manager = AsyncKernelManager(
            kernel_spec_manager=KernelSpecManager(kernel_dirs=[]),
            transport="ipc",
            connection_file=f"{profile}/kernel.json",
        )
        client = NotebookClient(
            jupytext.reads("", fmt="py"), km=manager, timeout=TIMEOUT_S, startup_timeout=TIMEOUT_S
        )
        environment = os.environ | {
            RUN_VARIABLE: str(run_dir),
            REPORT_VARIABLE: str(folder.resolve()),
            "IPYTHONDIR": profile,
            "PYTHONPATH": str(NOTEBOOKS.parents[1]),
        }
        with client.setup_kernel(env=environment, cwd=str(NOTEBOOKS), cleanup_kc=True):
            for path in paths or notebooks():
                say(step_of(path))
                _execute_one(client, path, folder)


def _execute_one(client: NotebookClient, path: Path, folder: Path) -> None:
    client.nb = jupytext.read(path)
    client.reset_execution_trackers()
    number = 0
    for index, cell in enumerate(client.nb.cells):
        number += cell.cell_type == "code"
        try:
            client.execute_cell(cell, index, execution_count=number)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            last = cell.source.strip().splitlines()[-1]
            raise UserError(f"{path.name}, cell {number} ({last}): {_reason(error)}") from error
    jupytext.write(client.nb, folder / f"{path.stem}.ipynb")


def _reason(error: Exception) -> str:
    if isinstance(error, CellExecutionError):
        return f"{error.ename}: {error.evalue}"
    return "the kernel died" if isinstance(error, DeadKernelError) else f"no answer within {TIMEOUT_S} s"
