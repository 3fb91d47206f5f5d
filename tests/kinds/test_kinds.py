"""The command itself: what its table covers, what it says of what fails, and two of its kinds."""

import subprocess
import sys
from dataclasses import replace

import pytest

from tests.kinds.__main__ import Table, main
from tests.kinds.kind import COMPOSE, MANNERS, PROCESSES, SUBJECTS, UI, Done, Expected, Kind
from tests.kinds.kinds import KINDS

MADE_UP = Kind(1, "made up", {}, Expected(1, ["no  such user"], never=["oops"], finished=0))


def test_the_table_has_every_kind_in_every_manner_that_can_be():
    tried = {(kind.subject, manner) for kind in KINDS for manner in MANNERS if kind.why_not(manner) is None}
    # The web UI imports no app.
    assert tried == {(subject, manner) for subject in SUBJECTS for manner in MANNERS} - {(2, UI)}
    names = [kind.name for kind in KINDS]
    assert len(set(names)) == len(names) and not any("," in name for name in names)


@pytest.mark.parametrize(
    ("status", "said", "why"),
    [
        (1, "There is no such\nuser.", None),
        (0, "no such user", "exit status 0, not 1"),
        (1, "no user", "nowhere it says: no  such user"),
        (1, "no such user: oops", "it says: oops"),
        (1, "no such user\nTraceback (most recent call last)", "a traceback is shown"),
    ],
)
def test_what_does_not_hold_is_told_and_sets_the_exit_status(tmp_path, capsys, status, said, why):
    ended = Table(tmp_path).carry_out(
        [MADE_UP], {PROCESSES: lambda _kind, place, _url: Done(status, said, place)}
    )
    printed = capsys.readouterr().out
    assert ended == int(why is not None)
    assert ("FAILED" in printed) == bool(why) and (why or "holds") in printed
    assert (tmp_path / PROCESSES / "made-up").exists() == bool(why), "what failed stays to be looked at"


def test_what_is_left_of_a_trial_fails_it(tmp_path, capsys):
    def untidy(kind, place, url):
        left.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]))
        (place.temporary / "scrap").touch()
        return Done(1, "no such user", place)

    left = []
    assert Table(tmp_path, orphans_s=0.1).carry_out([MADE_UP], {UI: untidy}) == 1
    assert left[0].wait(10) == -9
    printed = capsys.readouterr().out
    assert f"process {left[0].pid} was left" in printed and "scrap was left" in printed


def test_what_comes_to_no_end_and_what_is_not_tried_are_told(tmp_path, capsys):
    def stuck(*_):
        raise AssertionError("waited 240 s in vain")

    alone = replace(MADE_UP, name="alone", not_contained="it has no container")
    assert Table(tmp_path).carry_out([MADE_UP, alone], {COMPOSE: stuck}) == 1
    printed = capsys.readouterr().out
    assert "AssertionError: waited 240 s in vain" in printed
    assert "it has no container" in printed and "1 FAILED, 1 not tried" in printed


def test_two_kinds_hold(capsys):
    only = "serves itself,prints at each start"
    assert main(["--manners", PROCESSES, "--only", only]) == 0, capsys.readouterr().out
    assert "2 holds" in capsys.readouterr().out


def test_a_name_that_is_none_is_told(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--only", "prints twice"])
    assert ended.value.code == 2 and "prints twice: none of prints at each" in capsys.readouterr().err
