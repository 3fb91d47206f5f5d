"""What a command says on the terminal: its tables, and nothing where it is interrupted."""

import io
import runpy
import sys
from pathlib import Path

import pytest
import typer
from rich.console import Console

from bench.cli import terminal as terminal_module
from bench.model.documents import ShownTable


@pytest.fixture
def ended(capsys):
    """How a command ends that raises something: its exit status, and what it says on standard error."""

    def made(error):
        @terminal_module.reports_errors
        def command():
            raise error

        with pytest.raises(typer.Exit) as ending:
            command()
        return ending.value.exit_code, capsys.readouterr().err

    return made


def test_a_command_without_memory_says_so_in_a_line(ended):
    status, said = ended(MemoryError())
    assert status == 1 and said.startswith("error: there is no memory left")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(30, "Read-only file system", Path("/results/run")), "/results/run: Read-only file system"),
        (PermissionError(13, "Permission denied"), "Permission denied"),
        (OSError("cannot be had"), "cannot be had"),
    ],
)
def test_a_command_says_which_file_it_could_not_have(error, said, ended):
    status, words = ended(error)
    assert status == 1 and " ".join(words.split()) == f"error: {said}"


def test_a_command_that_is_interrupted_while_it_gets_ready_says_so(ended):
    """The web UI did not (`make faults FAULTS=200 SEED=190`, 52)."""
    assert ended(KeyboardInterrupt()) == (130, "interrupted\n")


def test_a_table_is_whole_in_a_file_and_in_a_narrow_terminal(monkeypatch):
    wide = ShownTable(
        "", ["configuration", *(f"unbreakable-heading-{n}" for n in range(8))], [["sanic"] * 9], []
    )
    for terminal in (False, True):
        shown = io.StringIO()
        monkeypatch.setattr(
            terminal_module,
            "console",
            Console(file=shown, width=40, force_terminal=terminal, color_system=None),
        )
        terminal_module.show([wide])
        assert "unbreakable-heading-7" in shown.getvalue()
        assert terminal_module.console.width == 40


class Interrupting:
    """Ctrl-C while the command line is imported."""

    @staticmethod
    def find_spec(name, *_):
        if name == "bench.cli.main":
            raise KeyboardInterrupt


def test_ctrl_c_during_the_start_says_nothing(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "bench.cli.main", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupting, *sys.meta_path])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("bench", run_name="__main__")
    assert ended.value.code == 130 and capsys.readouterr().err == ""
