"""How tables are printed."""

import io

import pytest
import typer
from rich.console import Console

from bench.cli import terminal as terminal_module
from bench.model.documents import Table


def test_a_command_without_memory_says_so_in_a_line(capsys):
    @terminal_module.reports_errors
    def hungry():
        raise MemoryError

    with pytest.raises(typer.Exit) as ended:
        hungry()
    assert ended.value.exit_code == 1
    assert capsys.readouterr().err.startswith("error: there is no memory left")


def test_a_table_is_whole_in_a_file_and_in_a_narrow_terminal(monkeypatch):
    wide = Table("", ["configuration", *(f"unbreakable-heading-{n}" for n in range(8))], [["sanic"] * 9], [])
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
