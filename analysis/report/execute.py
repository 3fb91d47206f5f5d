"""Runs the notebooks, in order, in one kernel: imports and frames are paid for once."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import jupytext
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from analysis.study import REPORT_VARIABLE, RUN_VARIABLE, STUDY_VARIABLE, Study, hand_over
from bench.model import folders
from bench.model.errors import UserError
from bench.model.files import ROOT

NOTEBOOKS = ROOT / "analysis" / "notebooks"
TIMEOUT_S = 300
_TEMPORARY = "whichworker-kernel-"
# What takes longest to import, as the kernel begins.
_FIRST = ("import analysis.report.exports, analysis.report.publish", "analysis.charts.registry.load()")


def notebooks() -> list[Path]:
    """The notebooks of the pipeline, in their order."""
    return sorted(NOTEBOOKS.glob("[0-9]*.py"))


def step_of(path: Path) -> str:
    """What executing a notebook is called."""
    return f"notebook {path.name}"


class Kernel:
    """A kernel, as a context: it begins, and imports, while whoever has it does something else."""

    def __enter__(self) -> "Kernel":
        """Begin it; raises ``UserError`` if there can be no temporary files."""
        with contextlib.ExitStack() as stack, _told():
            # No user's kernel specification or IPython profile may change what the report says; sockets in a
            # folder of our own need no ports and let nobody else in.
            self._folder = stack.enter_context(folders.temporary(_TEMPORARY))
            self._manager = AsyncKernelManager(
                kernel_spec_manager=KernelSpecManager(kernel_dirs=[]),
                transport="ipc",
                connection_file=str(self._folder / "kernel.json"),
            )
            stack.callback(self._end)
            environment = {"IPYTHONDIR": str(self._folder), "PYTHONPATH": str(NOTEBOOKS.parents[1])}
            run_sync(self._manager.start_kernel)(
                extra_arguments=[f"--IPKernelApp.exec_lines={line}" for line in _FIRST],
                env=os.environ | environment,
                cwd=str(NOTEBOOKS),
            )
            self._variables: dict[str, str] = {}
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def take(self, analysed: Study) -> None:
        """Have the notebooks start from a copy of a study, with all that is computed of it by now.

        Raises:
            UserError: there is no place for it.
        """
        path = self._folder / "study"
        with _told():
            hand_over(analysed, path)
        self._variables[STUDY_VARIABLE] = str(path)

    def execute(
        self, run_dir: Path, folder: Path, say: Callable[[str], None], paths: list[Path] | None = None
    ) -> None:
        """Execute notebooks on a run; what they publish, and they themselves as `.ipynb`, go to `folder`.

        Raises:
            UserError: a cell failed; the text names the notebook and the cell.
        """
        self._variables |= {RUN_VARIABLE: str(run_dir), REPORT_VARIABLE: str(folder.resolve())}
        first = jupytext.reads(f"import os; os.environ.update({self._variables})", fmt="py:percent")
        client = NotebookClient(first, km=self._manager, timeout=TIMEOUT_S, startup_timeout=TIMEOUT_S)
        with client.setup_kernel():
            assert client.kc is not None
            try:
                client.execute_cell(first.cells[0], 0, store_history=False)
                for path in paths or notebooks():
                    say(step_of(path))
                    _execute_one(client, path, folder)
            finally:
                client.kc.stop_channels()

    def _end(self) -> None:
        """At once: what was published is written."""
        if self._manager.has_kernel:
            run_sync(self._manager.shutdown_kernel)(now=True)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = tempfile.gettempdir()
        raise UserError(f"cannot write temporary files in {where}: {error.strerror or error}") from error


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
