from types import SimpleNamespace

import pytest

from bench.experiment import ceiling, ceilings
from bench.experiment.ceiling import Ceiling, HeldUpError, Measured, NoCeilingError, Subject, Usage
from bench.experiment.ceilings import Cache
from bench.experiment.rig import Rig
from bench.machine import cpus, host
from bench.model.files import ROOT
from bench.model.plans import plan

INDEX = ROOT / "locustfiles" / "index.py"


def a_ceiling(scenario="index", users=8, measured=1.0):
    return Ceiling(
        scenario=scenario,
        users=users,
        processes=1,
        requests_per_s=1000.0,
        at_least=False,
        cpu_us=6.0,
        generator_busy=0.99,
        server_busy=0.5,
        measured=measured,
    )


# -- What follows from the numbers


@pytest.mark.parametrize(("busy", "at_least"), [(0.99, False), (0.9, False), (0.89, True), (0.1, True)])
def test_a_ceiling_is_at_least_where_the_generator_was_not_full(busy, at_least):
    assert ceiling.is_at_least(busy) is at_least


def generator_csv(folder, *rows):
    path = folder / "generator.csv"
    path.write_text("\n".join(["time,process,cpu_s,spin_s", *rows]) + "\n")
    return path


def test_work_and_polling_of_all_processes_are_taken_between_the_reports_nearest_the_window(tmp_path):
    table = generator_csv(
        tmp_path,
        *("99.0,1,5.0,1.0", "100.1,1,6.0,1.5", "101.1,1,7.0,1.75", "102.0,1,9.0,3.0"),
        *("100.0,2,0.0,0.0", "101.0,2,0.5,0.0"),
        *("100.0,0,0.0,", "101.0,0,0.1,"),
    )
    work, spin = ceiling.generator_cpus(table, 100, 101)
    assert (work, spin) == (pytest.approx(0.75 + 0.5 + 0.1), pytest.approx(0.25))


def test_reports_that_are_late_still_make_a_rate(tmp_path):
    table = generator_csv(tmp_path, "100.0,0,0.0,0.0", "101.6,0,0.8,0.4")
    assert ceiling.generator_cpus(table, 100, 101) == (pytest.approx(0.25), pytest.approx(0.25))


@pytest.mark.parametrize("last", ["100.4,0,1.0,0.0", "101.9,0,1.0,0.0"])
def test_a_generator_that_did_not_report_near_the_edges_has_no_ceiling(tmp_path, last):
    table = generator_csv(tmp_path, "99.0,0,0.0,0.0", last)
    with pytest.raises(NoCeilingError, match="held up"):
        ceiling.generator_cpus(table, 100, 101)


def test_usage_is_interpolated_at_the_edges_of_the_window():
    usages = [
        Usage(99.9, 1.0, 10.0),
        Usage(100.1, 1.2, 10.4),
        Usage(100.9, 1.6, 12.0),
        Usage(101.1, 1.8, 12.4),
    ]
    server, everyone = ceiling.cpus_used(usages, 100, 101)
    assert (server, everyone) == (pytest.approx(0.6), pytest.approx(2.0))
    with pytest.raises(NoCeilingError, match="not watched"):
        ceiling.cpus_used(usages, 100, 102)


def test_a_reading_is_disturbed_where_others_took_the_cpus():
    assert not Measured(a_ceiling(), 1.0, 0.05).disturbed
    assert Measured(a_ceiling(), 1.0, 0.2).disturbed


def test_every_scenario_and_number_of_users_of_a_plan_is_a_subject_once():
    search = {"p99_ms": 10.0, "from_rate_per_s": 100.0, "users": 64}
    scenarios = {
        "index": {"users": [64, 8], "open": [{"rates_per_s": [100.0, 200.0]}], "search": search},
        "sleep": {"open": [{"rates_per_s": [10.0], "users": 8}]},
    }
    chosen = plan.validate(
        {
            "summary": "a test",
            "configurations": ["sanic"],
            "scenarios": scenarios,
            "workers": [1],
            "repeats": 1,
            "warmup_s": 0.2,
            "measured_s": 1,
        },
        "here",
    )
    found = ceiling.subjects(chosen, {"index": INDEX, "sleep": INDEX})
    assert [str(subject) for subject in found] == [
        "index, 8 users",
        "index, 64 users",
        "index, 256 users",
        "sleep, 8 users",
    ]


# -- What is kept


def test_what_is_put_into_the_cache_is_found_again_and_other_entries_stay(tmp_path):
    path, said = tmp_path / ".cache" / "ceilings.json", []
    cache = Cache(said.append, path)
    assert cache.read() == {}
    cache.add({"one": a_ceiling()})
    Cache(said.append, path).add({"two": a_ceiling("sleep"), "one": a_ceiling(measured=2.0)})
    assert cache.read() == {"one": a_ceiling(measured=2.0), "two": a_ceiling("sleep")}
    assert not said


def test_the_cache_keeps_the_newest(tmp_path):
    cache = Cache(print, tmp_path / "ceilings.json")
    cache.add({str(number): a_ceiling(measured=float(number)) for number in range(600)})
    assert set(cache.read()) == {str(number) for number in range(100, 600)}


@pytest.mark.parametrize(
    "content",
    [
        '{"version": 1, "ceil',
        '{"version": 2, "ceilings": {}}',
        '{"version": 1, "ceilings": {"key": {"scenario": "index"}}}',
        "[]",
        "\udcff",
    ],
)
def test_a_cache_that_cannot_be_used_is_told_and_made_anew(tmp_path, content):
    path, said = tmp_path / "ceilings.json", []
    path.write_bytes(content.encode(errors="surrogateescape"))
    cache = Cache(said.append, path)
    assert cache.read() == {} and "cannot be used and is made anew" in said[0]
    cache.add({"one": a_ceiling()})
    said.clear()
    assert cache.read() == {"one": a_ceiling()} and not said


def test_a_cache_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "taken").write_text("")
    said = []
    Cache(said.append, tmp_path / "taken" / "ceilings.json").add({"one": a_ceiling()})
    assert "cannot be kept for the next run" in said[0]


def test_the_key_changes_with_all_that_a_ceiling_depends_on(tmp_path, catalogue):
    scenario = tmp_path / "index.py"
    scenario.write_text("1")
    split = cpus.split([0, 1, 2, 3], None, 1, {})
    machine, suite = host.facts(), host.suite_versions()
    newer = suite | {"packages": suite["packages"] | {"gevent": "99"}}
    unrelated = newer | {"packages": newer["packages"] | {"matplotlib": "99"}}
    with_own = suite | {"packages": suite["packages"] | {"faker": "1"}}

    def key(
        users=8, split=split, machine=machine, suite=suite, launcher="processes", network=None, servers=None
    ):
        rig = Rig(
            SimpleNamespace(name=launcher, network=None, server_host=servers), split, tmp_path, suite=suite
        )
        rig.machine = machine
        return ceilings.key(Subject("index", scenario, users), rig, network)

    first = key()
    assert key() == first and key(suite=unrelated) == key(suite=newer)
    keys = {
        first,
        key(users=9),
        key(split=cpus.split([1, 2], None, 1, {})),
        key(machine=machine | {"machine_id": "another"}),
        key(suite=newer),
        key(launcher="compose"),
        key(network={"namespace": True, "steered_to": [1], "note": None}),
        key(network={"namespace": True, "steered_to": None, "note": "why"}),
        key(suite=with_own),
    }
    scenario.write_text("2")
    keys.add(key())
    assert len(keys) == 10


def test_a_generator_that_is_held_up_is_given_another_attempt(monkeypatch, tmp_path):
    said = [HeldUpError("held up"), Measured(a_ceiling(), 1.0, 0.0)]

    def cell(*_):
        outcome = said.pop(0)
        if isinstance(outcome, HeldUpError):
            raise outcome
        return outcome

    monkeypatch.setattr(ceiling, "_cell", cell)
    null = SimpleNamespace(last_asked=lambda: None)
    subject = Subject("index", INDEX, 2)
    assert ceiling._settled(None, subject, null, tmp_path).ceiling == a_ceiling()
    said += [HeldUpError("held up"), HeldUpError("held up again")]
    with pytest.raises(HeldUpError, match="held up again"):
        ceiling._settled(None, subject, null, tmp_path)
