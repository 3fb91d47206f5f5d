"""`make faults`: runs met by faults at random moments, and what must hold of them nevertheless.

Each fault is drawn from the seed and its number, and tried by a process of its own. What fails stays in a
folder, with a record; `--only NUMBER` tries it again. With `--folder` all records are kept there, with a
table of them (table.json), and the same command goes on where it ended; `--docs` puts the table of such
folders into bench/studies/README.md.
"""

import argparse
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.cli.terminal import show
from bench.model.errors import UserError
from tests.faults import table
from tests.faults.campaign import Asked, Campaign, records
from tests.faults.fault import lacking, possible
from tests.faults.kinds import KINDS
from tests.faults.strikes import OF_ROLE, STRIKES

_FAULTS, _JOBS = 200, 4


def _parsed() -> tuple[argparse.Namespace, argparse.ArgumentParser]:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--faults", type=int, default=_FAULTS, help="how many (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="the number of the only one to try")
    parser.add_argument("--jobs", type=int, default=_JOBS, help="how many at once (default %(default)s)")
    parser.add_argument("--minutes", type=float, help="begin none after so many; with --folder: go on later")
    parser.add_argument("--kinds", default="", help=f"some of: {', '.join(KINDS)}")
    parser.add_argument(
        "--strike", action="append", choices=STRIKES, help="only this one, and others so given"
    )
    parser.add_argument(
        "--role", action="append", choices=OF_ROLE, help="only what strikes this one, and others so given"
    )
    parser.add_argument(
        "--folder", type=Path, help="keep all records there; else failures, in a temporary one"
    )
    parser.add_argument("--docs", type=Path, nargs="+", metavar="FOLDER", help="try nothing: tell of these")
    return parser.parse_args(), parser


def _command(options: argparse.Namespace) -> str:
    """What a reader gives to have the same campaign, wherever its records are."""
    more = [("--kinds", options.kinds), *(("--strike", each) for each in options.strike or ())]
    more += [("--role", each) for each in options.role or ()]
    more += [("--jobs", options.jobs if options.jobs != _JOBS else "")]
    words = " ".join(f"{name} {shlex.quote(str(value))}" for name, value in more if value)
    arguments = f' ARGUMENTS="{words}"' if words else ""
    return f"make faults FAULTS={options.faults} SEED={options.seed}{arguments}"


def _asked(options: argparse.Namespace, parser: argparse.ArgumentParser) -> Asked:
    """What can be had here of what is asked for; says what cannot."""
    left_out = lacking()
    for name, why in left_out.items():
        print(f"left out: {name}: {why}")
    wanted = [name.strip() for name in options.kinds.split(",") if name.strip()] or list(KINDS)
    lacks, roles = {*left_out, *(set(STRIKES) - set(options.strike or STRIKES))}, options.role or ()
    kinds = [name for name in wanted if name not in left_out and possible(name, lacks, roles)]
    if not kinds:
        parser.error("no kind of run that can be had here has such a fault")
    return Asked(options.seed, kinds, lacks, roles)


def _numbers(options: argparse.Namespace, folder: Path) -> Sequence[int]:
    """The faults that are to be tried: what has a record is only tried again where it is asked for."""
    if options.only is not None:
        return [options.only]
    before = records(folder)
    return [number for number in range(1, options.faults + 1) if number not in before]


def main() -> int:
    """Return the exit status: 1 if something does not hold."""
    options, parser = _parsed()
    try:
        if options.docs:
            table.document(options.docs)
            return 0
        folder = options.folder or Path(tempfile.mkdtemp(prefix="faults-"))
        campaign = Campaign(folder, _asked(options, parser), _command(options))
        for _ in campaign.tried(_numbers(options, folder), options.jobs, options.minutes):
            table.written(folder)  # whoever ends this has a table
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    table.written(folder)
    found = list(records(folder).values())
    show(table.tables(found))
    failed = [record["fault"]["number"] for record in found if record["problems"]]
    if failed:
        print(f"\nwhat failed: {folder}/NUMBER.json; again: --seed {options.seed} --only NUMBER")
    elif options.folder is None:
        shutil.rmtree(folder)
    left = options.faults - len(found) if options.only is None else 0
    if left:
        print(f"\n{left} faults are left: the same command goes on with them")
    return bool(failed)


if __name__ == "__main__":
    os.environ["WHICHWORKER_LAUNCHER"] = "processes"
    sys.exit(main())
