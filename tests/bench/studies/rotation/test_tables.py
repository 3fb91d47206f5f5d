"""What the studies of the rotation make of runs: synthetic ones, of which the truth is known."""

import json
from dataclasses import replace

import pytest

from analysis.cells.summary import summarise
from analysis.study import Study
from bench.cli.trust import rotation as commands
from bench.model.errors import UsageError, UserError
from bench.stats.comparison import Ratio
from bench.studies.rotation import alone, calm, manners, planted
from bench.studies.rotation import series as serial
from targets.catalogue.configurations import load
from tests.bench.commands import told
from tests.fixtures.make_run import ROTATED, make_run

INDEX = {"index": (64,)}
BOTH = ("polls", "sleeps")
RECORD = serial.Record(question="alone", settings={"turns": 3})


@pytest.fixture
def series(tmp_path):
    """Make a series of synthetic runs, each given by its purpose."""

    def make(question, settings, **specs):
        folder = tmp_path / "results" / f"20261129-000000-{question}"
        folder.mkdir(parents=True)
        runs = {}
        for number, (purpose, spec) in enumerate(specs.items()):
            runs[purpose] = make_run(folder / f"2026112{number}-000000-{question}", spec).name
        record = serial.Record(question=question, settings=settings, finished=True, runs=runs)
        (folder / serial.FILE).write_text(record.model_dump_json())
        return serial.Series.read(folder)

    return make


def spec(**changes):
    names = changes.pop("configurations", ("sanic", "uvicorn"))
    how = {key: changes.pop(key) for key in ("manners", "asleep", "network") if key in changes}
    made = replace(ROTATED, configurations=names, scenarios=INDEX, aliases={}, noise=0.01, **changes)
    return replace(made, rotation=replace(made.rotation, **how))


# -- A planted cost


def test_the_cost_is_so_many_turns_as_the_pilot_says():
    pilots = planted._planted_turns(planted.CATALOGUE)[1]
    assert planted.turns_for(0.05, Ratio(2.0, 1.9, 2.1, 5)) == pilots * 0.05
    assert planted.turns_for(0.10, Ratio(1.5, 1.4, 1.6, 5)) == pilots * 0.2
    with pytest.raises(UserError, match=r"takes 1.01 times .* too little to go by"):
        planted.turns_for(0.05, Ratio(1.01, 0.9, 1.1, 5))


def test_the_written_catalogue_differs_in_the_cost_alone(tmp_path):
    planted.write_catalogue(tmp_path / "configurations.toml", 217)
    before, now = load(planted.CATALOGUE), load(tmp_path / "configurations.toml")
    assert now.get(planted.PLAIN) == before.get(planted.PLAIN)
    assert list(now.get(planted.PLANTED).environment.values()) == ["217"]
    stacks = [each.stacks["current"].requirements.resolve() for each in (before, now)]
    assert stacks[0] == stacks[1]


def test_the_pair_is_the_same_server():
    pair = [load(planted.CATALOGUE).get(name) for name in (planted.PLAIN, planted.PLANTED)]
    own = load().get("uvicorn")
    assert pair[0].argv == own.argv
    assert [word for word in pair[1].argv if word != "targets.planted:app"] == [
        word for word in own.argv if word != "{app}"
    ]
    assert {each.environment == {} for each in pair} == {True, False}


def test_runs_that_see_the_cost_are_counted(series, monkeypatch):
    # uvicorn takes twice the CPU time of sanic: first it is the burdened one, then the plain one.
    monkeypatch.setattr(planted, "PLAIN", "sanic")
    monkeypatch.setattr(planted, "PLANTED", "uvicorn")
    monkeypatch.setattr(planted, "_planted_turns", lambda _: ("X", 1000))
    runs = {"run 1": spec(), "run 2": spec(seed=2), "pilot": spec()}
    found = series("planted", {"runs": 2, "share": 1.0}, **runs)
    (table,) = planted.tables(found)
    assert [row[0] for row in table.rows] == ["run 1", "run 2"]
    assert [row[3] for row in table.rows] == ["yes", "yes"]
    assert table.rows[0][2].startswith("0.5") and table.rows[0][4].startswith(("1.9", "2.0"))
    assert table.notes[0].startswith("2 of 2 runs have the whole interval below 1")
    assert table.notes[1] == (
        "uvicorn / sanic: 0.498 to 0.500 of the service, 2.00 to 2.01 times the CPU per request."
    )
    monkeypatch.setattr(planted, "PLAIN", "uvicorn")
    monkeypatch.setattr(planted, "PLANTED", "sanic")
    (table,) = planted.tables(found)
    assert [row[3] for row in table.rows] == ["no", "no"] and table.notes[0].startswith("0 of 2 runs")


# -- Manners


def test_a_ratio_that_depends_on_the_manner_is_marked_where_it_does(series):
    names = ("sanic", "uvicorn", "granian")
    unsteered = {"namespace": True, "steered_to": None, "note": "it is not steered, as asked"}
    found = series(
        "manners",
        {"sittings": 5},
        **{
            manners.UNSTEERED: spec(
                configurations=names, manners=BOTH, asleep={"sanic": 0.7}, network=unsteered
            ),
            manners.STEERED: spec(configurations=names, manners=BOTH),
        },
    )
    (rates,) = manners.tables(found)
    assert [row[0] for row in rates.rows] == ["sanic", "granian"]
    sanic = dict(zip(rates.headings, rates.rows[0], strict=True))
    changed, kept = (sanic[f"polls / sleeps, {how}"] for how in (manners.UNSTEERED, manners.STEERED))
    assert changed.startswith("**1.4") and not kept.startswith("**")
    assert rates.notes == [
        "Ratios that depend on the manner by more than 2%, not steered: "
        "1 of requests/s (sanic), 1 of requests per CPU-second (sanic)",
        "Ratios that depend on the manner by more than 2%, steered: "
        "0 of requests/s, 0 of requests per CPU-second",
    ]


def test_a_run_that_could_not_be_steered_is_not_passed_off_as_steered(series):
    host = {"namespace": False, "steered_to": None, "note": "that needs root"}
    found = series("manners", {"sittings": 5}, steered=spec(manners=BOTH, network=host))
    notes = manners.tables(found)[0].notes
    assert notes[0] == "**Not what it says:** the run 'steered' was not steered: that needs root"


# -- Alone


def test_servers_are_compared_with_themselves_turn_by_turn(series):
    pairs = {}
    for turn in (1, 2, 3):
        pairs[f"rotation {turn}"] = spec(repeats=1, seed=turn)
        pairs[f"blocks {turn}"] = replace(spec(repeats=1, seed=turn + 9), rotation=None)
    (table,) = alone.tables(series("alone", {"turns": 3}, **pairs))
    assert [row[0] for row in table.rows] == ["sanic", "uvicorn"]
    for row in table.rows:
        for text in row[1:]:
            assert float(text.strip("*").split()[0]) == pytest.approx(1, abs=0.06) and " to " in text
    assert table.notes[0].endswith("of the requests/s that each serves alone.")
    assert "of which there are 3" in table.notes[2]


def test_turns_are_runs_of_either_kind_too(series):
    names = ("sanic", "uvicorn", "granian")
    pairs = {}
    for turn in range(1, 2 * alone.RUN_TURNS + 1):
        quiet = replace(spec(configurations=names, repeats=1, seed=turn), noise=0.001)
        loud = replace(spec(configurations=names, repeats=1, seed=turn + 99), rotation=None, noise=0.2)
        pairs |= {f"rotation {turn}": quiet, f"blocks {turn}": loud}
    _, runs = alone.tables(series("alone", {"turns": 2 * alone.RUN_TURNS}, **pairs))
    assert [row[0] for row in runs.rows] == ["rotation", "blocks"]
    for column in (3, 4):
        narrow, wide = (float(row[column].rstrip("%")) for row in runs.rows)
        assert narrow < 1 < wide
    assert [row[1].count("±") for row in runs.rows] == [2, 2]
    assert "Runs of 5 turns, 2 of each kind" in runs.notes[0] and "of 2 configurations" in runs.notes[0]


def test_turns_alternate():
    legs = list(alone.legs(serial.Series(None, RECORD)))
    assert [leg.purpose for leg in legs] == [
        "rotation 1", "blocks 1", "blocks 2", "rotation 2", "rotation 3", "blocks 3",
    ]  # fmt: skip
    assert [leg.changes.get("blocks", False) for leg in legs] == [False, True, True, False, False, True]


# -- Calm


def test_equals_that_were_called_different_are_counted_once_each(tmp_path):
    aliases = {"sanic-again": "sanic", "uvicorn-again": "uvicorn"}
    run = make_run(tmp_path / "aa", replace(spec(), aliases=aliases, scenarios={"index": (8, 64)}))
    found = calm.read(run)
    table = calm.table(found)
    assert table.headings[:4] == ("figure", "comparisons", "called different", "intervals without 1")
    assert [row[1] for row in table.rows] == ["4"] * len(table.rows)
    chance = int(table.rows[0][3])
    assert table.rows[0][:3] == ["requests/s", "4", "0"]
    # Twice the throughput under one name, at one load.
    summary = summarise(found.results)
    spoilt = (summary["configuration"] == "sanic-again") & (summary["users"] == 64)
    summary.loc[spoilt, "throughput"] *= 2
    other = Study(found.results)
    other.__dict__["summary"] = summary
    assert calm.table(other).rows[0][:3] == ["requests/s", "4", "1"]
    assert int(calm.table(other).rows[0][3]) > chance


def test_a_run_without_second_names_is_no_answer(tmp_path):
    run = make_run(tmp_path / "run", spec())
    with pytest.raises(UserError, match="measured nothing under two names twice"):
        calm.read(run)
    with pytest.raises(UsageError, match="no finished run of the plan aa"):
        calm.latest(tmp_path)


# -- Commands


def test_what_was_found_goes_into_the_document(series, tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text("<!-- measured: rotation and alone -->\nbefore\n<!-- /measured -->\n")
    monkeypatch.setattr(commands, "DOCUMENT", page)
    monkeypatch.setattr(commands, "ROOT", tmp_path)
    pairs = {"rotation 1": spec(repeats=1), "blocks 1": replace(spec(repeats=1), rotation=None)}
    found = series("alone", {"turns": 1}, **pairs)
    done = told("alone", "--docs", "--results", str(tmp_path / "results"))
    assert done.exit_code == 0, done.output
    text = page.read_text()
    assert "before" not in text and "that each serves alone" in text and "by `make alone TURNS=1` in " in text
    record = json.loads((found.folder / serial.FILE).read_text())
    (found.folder / serial.FILE).write_text(json.dumps(record | {"finished": False}))
    done = told("alone", "--docs", "--results", str(tmp_path / "results"))
    assert done.exit_code == 1 and "was not finished" in done.output


def test_wrong_words_are_told(tmp_path):
    results = ("--results", str(tmp_path))
    assert "`make manners` makes one" in told("manners", "--show", "latest", *results).output
    done = told("planted", "--resume", "nothing", *results)
    assert done.exit_code == 2 and "unknown series" in done.output
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / serial.FILE).write_text("{}")
    done = told("planted", "--show", "broken", *results)
    assert done.exit_code == 1 and "is not as this suite writes it" in done.output
