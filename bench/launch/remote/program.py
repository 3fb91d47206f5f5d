"""A program of the suite's own on another machine, as a process of this one."""

import contextlib
import subprocess
from typing import Any


class RemoteProgram(subprocess.Popen[bytes]):
    """ssh, whose end is that of the program there (``there.relay``); other signals reach the program."""

    def __init__(self, pid_file: str, *arguments: Any, **options: Any) -> None:
        """``pid_file`` has the program's pid there. The rest is Popen's; its input is the relay's."""
        self.pid_file = pid_file
        super().__init__(*arguments, **options)

    def send_signal(self, sig: int) -> None:
        assert self.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.stdin.write(b"%d\n" % sig)
            self.stdin.flush()

    def kill(self) -> None:
        super().send_signal(9)
