"""What a rotation says of itself: its control, its manners, its slices, its idle servers."""

from dataclasses import replace

import pytest

from analysis import findings
from analysis.report import exports
from analysis.study import study
from tests.fixtures.make_run import ROTATED, Rotating, Spec, make_run

THREE = replace(
    ROTATED,
    configurations=("sanic", "uvicorn", "gunicorn-uvicorn-worker"),
    scenarios={"index": (64,)},
    repeats=5,
    noise=0.005,
    seed=3,
)
UNSTEERED = {"namespace": False, "steered_to": None, "note": "run make bench as root"}


@pytest.fixture
def rotated(tmp_path):
    """The study of a rotated run of three and an alias: `rotated(spoiled=2)`."""

    def make(**how):
        changed = {name: how.pop(name) for name in list(how) if name in Spec.__dataclass_fields__}
        spec = replace(THREE, rotation=Rotating(**how), **changed)
        return study(make_run(tmp_path / "results" / "rotated", spec))

    return make


def test_a_clean_rotation_has_nothing_to_say(rotated):
    assert rotated().findings == []


def test_the_control_stands_beside_the_ranking_and_not_in_it(rotated):
    (table,) = rotated().verdict.tables
    assert [row.configuration for row in table.rows] == ["sanic", "uvicorn", "gunicorn-uvicorn-worker"]
    (control,) = table.controls
    assert control.text.startswith("The same server twice (uvicorn-again and uvicorn): ")
    assert control.text in table.basis


def test_ratios_to_the_best_have_the_interval_of_the_pair(rotated):
    analysed = rotated()
    (table,) = analysed.verdict.tables
    best, second, third = table.rows
    assert (best.ratio.mean, best.ratio.interval()) == (1, "")
    assert second.ratio.mean == pytest.approx(0.5, abs=0.01)
    assert third.ratio.low < 35 / 72 < third.ratio.high
    # The mood of a sitting is in both, and cancels.
    width = second.ratio.high / second.ratio.low
    assert width < second.throughput.high / second.throughput.low
    kept = exports.ranking(analysed)
    assert kept["ratio_to_best"].tolist() == [row.ratio.mean for row in table.rows]
    assert kept[["ratio_low", "ratio_high"]].isna().all(axis=1).tolist() == [True, False, False]


def test_where_cpu_decides_more_is_better_too(rotated):
    (table,) = rotated(scenarios={"sleep": (64,)}).verdict.tables
    assert table.metric == "cpu_us"
    assert table.rows[1].ratio.mean == pytest.approx(0.5, abs=0.01)
    assert table.controls[0].versus.ratio == pytest.approx(1, abs=0.02)


def test_a_control_that_differs_is_the_first_warning(rotated, monkeypatch):
    from tests.fixtures import imagined

    slow = replace(imagined.SERVERS["uvicorn"], cpu_us=80)
    monkeypatch.setitem(imagined.SERVERS, "slow", slow)
    analysed = rotated(aliases={"uvicorn-again": "slow"}, spoiled=4, steal=0.1)
    analysed.results.run.plan["aliases"]["uvicorn-again"] = "uvicorn"
    first = analysed.findings[0]
    assert (first.kind, first.group, first.scenario) == ("control", "answer", "index")
    assert "uvicorn-again served 0.87" in first.message and "the same server" in first.message
    assert {"steal", "overrun"} <= {finding.kind for finding in analysed.findings[1:]}


def test_what_the_generators_manner_decides_ranks_nothing(rotated):
    """A little behind while the generator polls, and a fifth ahead while it sleeps."""
    how = {"manners": ("polls", "sleeps"), "network": UNSTEERED, "rounds": 24}
    analysed = rotated(**how, asleep={"gunicorn-uvicorn-worker": 1.25})
    (table,) = analysed.verdict.tables
    assert [(row.configuration, row.rank) for row in table.rows] == [
        ("sanic", 1), ("gunicorn-uvicorn-worker", 2), ("uvicorn", 2),
    ]  # fmt: skip
    worker = table.rows[1]
    assert worker.ratio.low < 0.49 and worker.ratio.high > 0.60
    assert worker.notes == ("depends on how the generator waits",)
    (finding,) = analysed.found("manner")
    assert finding.group == "answer" and finding.configurations == ("gunicorn-uvicorn-worker",)
    assert "gunicorn-uvicorn-worker 0.48" in finding.message and "while it polls" in finding.message
    assert finding.advice == "run make bench as root"
    (note,) = analysed.found("unsteered")
    assert note.group == "note"


def test_manners_that_agree_rank(rotated):
    analysed = rotated(manners=("polls", "sleeps"), network=UNSTEERED, rounds=24)
    assert [finding.kind for finding in analysed.findings] == ["unsteered"]
    (table,) = analysed.verdict.tables
    assert [row.rank for row in table.rows][:2] == [1, 2]
    assert "way of waiting" in table.basis


def test_one_manner_alone_without_steering_spoils_the_answer(rotated):
    (finding,) = rotated(network=UNSTEERED).findings
    assert (finding.kind, finding.group) == ("unsteered", "answer")
    assert finding.advice == UNSTEERED["note"]


def test_a_run_from_before_the_network_was_recorded_says_nothing_of_it(rotated):
    assert rotated(network=None).findings == []


@pytest.mark.parametrize(("rounds", "spoiled", "group"), [(12, 1, "number"), (40, 1, "note")])
def test_slices_that_overran_are_told_with_what_was_before_them(rotated, rounds, spoiled, group):
    (finding,) = rotated(rounds=rounds, spoiled=spoiled).findings
    assert (finding.kind, finding.group) == ("overrun", group)
    assert f"20 of {rounds * 20} slices" in finding.message
    assert "after the settling" in finding.message and "after sanic" in finding.message


def test_a_machine_that_was_suspended_is_told(rotated):
    (finding,) = rotated(late_s=30.0).found("off-timetable")
    assert "20 of 240 slices" in finding.message and "30.0 s" in finding.message


def test_slices_that_never_began_are_counted(rotated):
    folder = rotated().results.directory
    for path in (folder / "uvicorn").rglob("slices.csv"):
        lines = path.read_text().splitlines()
        path.write_text("\n".join([*lines[:3], *lines[5:]]) + "\n")
    (finding,) = study(folder).findings
    assert (finding.kind, finding.group) == ("skipped-slices", "number")
    assert "10 of 240 slices" in finding.message and "uvicorn 10" in finding.message


def test_slices_that_a_process_missed_are_told(rotated):
    (finding,) = rotated(missed=1, rounds=48).found("skipped-slices")
    assert finding.group == "note" and "20 of 960 slices" in finding.message


@pytest.mark.parametrize("reached", [0.7, 1.4])
def test_a_server_that_had_not_settled_is_told(rotated, reached):
    (finding,) = rotated(cold={"sanic": reached}, rounds=16).findings
    assert (finding.kind, finding.configurations) == ("unsettled", ("sanic",))
    assert f"sanic {reached - 1:+.0%}" in finding.message


def test_what_befalls_all_in_the_first_rounds_is_no_warm_up(rotated):
    all_of_them = {*THREE.configurations, *THREE.aliases}
    assert rotated(cold=dict.fromkeys(all_of_them, 0.7), rounds=16).findings == []


@pytest.mark.parametrize(
    ("ended", "told"),
    [
        ({"stopped": "limit", "widest": 0.084}, "±8.4%, asked for was ±5.0%; its time was up"),
        ({"stopped": "most", "widest": 0.06}, "it may have no more"),
        ({"stopped": "blocks", "sittings": 0, "reason": "memory is short"}, "in blocks, one server after"),
    ],
)
def test_a_rotation_that_ended_early_or_was_none_is_told(rotated, ended, told):
    (finding,) = rotated(ended=ended).findings
    assert finding.group == "note" and told in finding.message


@pytest.mark.parametrize("ended", [{"stopped": "limit", "widest": 0.04}, {"stopped": "asked", "widest": 0.2}])
def test_a_rotation_that_is_precise_or_was_not_asked_to_be_says_nothing(rotated, ended):
    assert rotated(ended=ended).findings == []


def test_few_rounds_tell_no_warm_up(rotated):
    assert rotated(cold={"sanic": 0.7}, rounds=7).found("unsettled") == []


@pytest.mark.parametrize(("opened", "group"), [(1, "note"), (20, "number"), (1400, None)])
def test_connections_opened_in_slices(rotated, opened, group):
    found = rotated(opened=opened).found("opened-in-slices")
    assert [finding.group for finding in found] == ([] if group is None else [group])
    if group:
        assert f"sanic {opened * 60:,}" in found[0].message


def test_a_server_that_works_while_idle_is_told(rotated):
    (finding,) = rotated(idle={"uvicorn": 0.03}).findings
    assert (finding.kind, finding.configurations) == ("idle-cpu", ("uvicorn",))
    assert "uvicorn 3.0% of a CPU" in finding.message


def test_the_rotations_findings_come_before_the_others_of_their_group():
    names = list(findings.KINDS)
    assert names[0] == "control"
