"""A process that is the child of a child of the tests, and ends as it is told."""

import subprocess
import sys

from targets.serving import exits
from tests.patience import wait_until

# Starts a child, says its pid, and lets it end as it is told; reaps it only when told again.
_PARENT = """
import os
end = os.pipe()
child = os.fork()
if child == 0:
    os.close(end[1])
    how = int(os.read(end[0], 9) or 0)
    os.kill(os.getpid(), -how) if how < 0 else os._exit(how)
os.write(1, b"%d\\n" % child)
os.write(end[1], os.read(0, 9))
os.close(end[1])
os.read(0, 1)
os.waitpid(child, 0)
os.write(1, b"reaped\\n")
os.read(0, 1)
"""


class Grandchild:
    """To be used as a context; `parent` and `pid` are the pids of the two."""

    def __enter__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PARENT], bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._process.__enter__()
        self.parent = self._process.pid
        self.pid = int(self._process.stdout.readline())
        return self

    def __exit__(self, *error):
        self._process.stdin.close()  # which ends both
        self._process.__exit__(*error)

    def end(self, status):
        """Let it end (negative: by that signal); its parent does not ask for its status."""
        self._process.stdin.write(b"%d" % status)
        wait_until(self._is_zombie, "the grandchild ends")

    def reap(self):
        """Let its parent ask for its status."""
        self._process.stdin.write(b"\n")
        assert self._process.stdout.readline() == b"reaped\n"

    def _is_zombie(self):
        stat = exits.stat_of(self.pid)
        return stat is not None and stat[exits.STATE] == "Z"
