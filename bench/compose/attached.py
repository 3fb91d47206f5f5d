"""The client of a container whose streams are here."""

import signal
import subprocess
from collections.abc import Callable
from typing import Any


class Attached(subprocess.Popen[bytes]):
    """Signals sent to it reach the program in the container; when it is killed, the container is removed."""

    def __init__(
        self,
        container: str,
        deliver: Callable[[str, int], bool],
        remove: Callable[[str], None],
        *arguments: Any,
        **options: Any,
    ) -> None:
        """``deliver`` sends a signal to a container and says whether it was there; the rest is Popen's."""
        self.container = container
        self._deliver = deliver
        self._remove = remove
        super().__init__(*arguments, **options)

    def send_signal(self, sig: int) -> None:
        """See Popen; before there is a container, the client itself gets the signal."""
        if sig == signal.SIGKILL:
            super().send_signal(sig)
            self._remove(self.container)
        elif not self._deliver(self.container, sig):
            super().send_signal(sig)
