"""Claims about settings: every variant's, from the latest run that tried it."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from analysis.claims import claims, gather
from analysis.claims.model import runs, settings
from analysis.documents import answers
from analysis.settings import measured
from bench.model.records.hosts import Host
from targets.catalogue import configurations
from tests.analysis.claims.test_claims import nothing
from tests.fixtures.make_run import Spec, make_run
from tests.fixtures.make_settings import SETTINGS, SOURCE, VARIED, make_settings

LOG, KEPT = "uvicorn-access-log", "uvicorn-keep-alive-5"
FEW = replace(
    SETTINGS, configurations=("uvicorn",), variants={name: VARIED[name] for name in (LOG, KEPT)}, open={},
    aliases={}, repeats=3,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _only_one_variant_in_the_catalogue(monkeypatch):
    """The suite's own are many, and change."""
    said = SimpleNamespace(
        variant=SimpleNamespace(**VARIED["sanic-jitter"]), least_workers=None, workers=None
    )
    monkeypatch.setattr(
        configurations,
        "load",
        lambda *_: SimpleNamespace(configurations={"sanic-jitter": said, "sanic": BARE}),
    )


BARE = SimpleNamespace(variant=None)


def started(folder, time, **changes):
    """Have a run begin at a time, and change what else its run.json says."""
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"started": time} | changes))
    return folder


def of_settings(answered):
    return {row.text.partition(":")[0]: row for row in answered.rows[7:]}


def test_what_people_say_of_each_setting_is_answered_by_the_run_that_tried_it(tmp_path):
    make_settings(tmp_path / "tried", FEW)
    found = of_settings(claims(gather(tmp_path, "0")))
    log, kept = found[LOG], found[KEPT]
    assert (log.answer.outcome, log.answer.runs, log.source) == ("does not hold", ("tried",), SOURCE)
    assert log.text == f"{LOG}: Access logs cost next to nothing."
    assert log.answer.figure.startswith("without --no-access-log: 0.6")
    assert "the requests per second; 1." in log.answer.figure
    assert (kept.answer.outcome, kept.answer.runs) == ("holds", ("tried",))


def test_a_document_names_the_runs_and_leaves_settings_to_the_page_of_settings(tmp_path):
    make_settings(tmp_path / "tried", FEW)
    told = list(answers.claims(claims(gather(tmp_path, "0"))))
    assert sum(line.startswith("| ") for line in told) == 1 + 7 and told[-1] == "Runs: tried."
    assert not any(LOG in line for line in told)


def test_one_that_no_run_tried_says_what_measures_it(tmp_path):
    make_settings(tmp_path / "tried", FEW)
    answered = claims(gather(tmp_path, "0"))
    jitter = of_settings(answered)["sanic-jitter"]
    assert (jitter.answer.outcome, jitter.answer.runs) == ("not measured", ())
    assert jitter.untried and jitter not in answered.told.rows and len(answered.told.rows) == 9
    assert answered.untold == "1 claim about settings was not measured."
    assert answered.told.untold == ""
    assert jitter.answer.figure == "with jitter: `make settings CONFIGURATIONS=sanic` measures it."


def test_one_that_a_run_could_not_try_says_why(tmp_path):
    lacking = {"configuration": "sanic-jitter", "reason": "no Python 3.14 here", "remedy": "install it"}
    started(make_settings(tmp_path / "tried", FEW), 5.0, unavailable=[lacking])
    jitter = of_settings(claims(gather(tmp_path, "0")))["sanic-jitter"]
    assert jitter.answer.figure == "with jitter: it could not be measured: no Python 3.14 here."
    assert jitter.answer.runs == ("tried",) and not jitter.untried


def test_the_latest_run_answers_and_an_earlier_one_for_what_that_did_not_try(tmp_path):
    started(make_settings(tmp_path / "early", FEW), 1.0)
    late = replace(FEW, variants={LOG: VARIED[LOG] | {"says": "worse"}})
    started(make_settings(tmp_path / "late", late), 2.0)
    found = of_settings(claims(gather(tmp_path, "0")))
    assert (found[LOG].answer.outcome, found[LOG].answer.runs) == ("holds", ("late",))
    assert found[KEPT].answer.runs == ("early",)


def test_runs_of_another_machine_unfinished_ones_and_those_of_an_own_app_tell_nothing(tmp_path):
    started(make_settings(tmp_path / "other", FEW), 1.0, host=schema_host("another"))
    started(make_settings(tmp_path / "stopped", FEW), 2.0, status="interrupted")
    make_settings(tmp_path / "own", FEW, own_app={"app": "shop:app", "folder": "/shop"})
    make_run(tmp_path / "plain", Spec(configurations=("sanic",), scenarios={"index": (8,)}, repeats=1))
    assert measured(tmp_path, "0") == []
    started(make_settings(tmp_path / "whole", FEW), 3.0)
    started(make_settings(tmp_path / "again", FEW), 4.0)
    assert [folder.name for folder in measured(tmp_path, "0")] == ["again"]


def schema_host(machine_id):
    fields = {"hostname": "h", "system": "s", "cpu": "c", "cpus": 2, "memory_bytes": None, "container": False}
    return Host(machine_id=machine_id, **fields).model_dump()


def test_the_frames_behind_the_claims_name_run_and_fate(tmp_path):
    started(make_settings(tmp_path / "tried", FEW), 5.0)
    material = gather(tmp_path, "0")
    told = settings(material).set_index("variant")
    assert told["run"].to_dict() == {LOG: "tried", KEPT: "tried"}
    assert told.loc[LOG, "fate"] == "costs"
    assert runs(material)[["run", "of"]].values.tolist() == [["tried", "settings"]]
    assert settings(nothing()).empty


def test_a_run_of_settings_ranks_no_configurations(tmp_path):
    make_settings(tmp_path / "tried", FEW)
    material = gather(tmp_path, "0")
    assert material.performance is None and [each.results.run.run for each in material.settings] == ["tried"]
