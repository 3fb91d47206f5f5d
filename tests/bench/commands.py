"""Commands of the suite, as tests give them."""

from typer.testing import CliRunner

from bench.cli import app


def told(*arguments):
    """What a command says, in this process: one of its own takes seconds to begin."""
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    return done
