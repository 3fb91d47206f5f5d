"""Runs a command as the owner of a folder: python -m bench.machine.owner RESULTS COMMAND …

For a container that writes results into a folder of the host: they shall belong to whom that belongs to.
The container begins as root, which may become another user and nothing else; begun as another user, the
command runs as that. RESULTS is made if it is missing.
"""

import os
import sys
from pathlib import Path
from typing import NoReturn


def become_owner(folder: Path) -> None:
    """Be the owner of a folder from now on, without root's rights, if this is root.

    A folder that is root's own stays so: of root itself, of an engine without root, where that is its caller,
    and of one that hides whose it is (Docker Desktop), where the engine cares for it.
    """
    owner = folder.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)


def main(results: Path, command: list[str]) -> NoReturn:
    """Run the command in place of this process, or end it with what cannot be done."""
    become_owner(results.parent)
    try:
        results.mkdir(exist_ok=True)
    except OSError as error:
        sys.exit(f"error: no results can be written: {error}. Is {results.parent} mounted?")
    if not os.access(results, os.W_OK):
        me = f"{os.getuid()}:{os.getgid()}"
        what = results.name
        sys.exit(f"error: {what} belongs to another user; on the host: sudo chown -R {me} {what}")
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
