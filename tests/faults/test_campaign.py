"""What a campaign keeps and tells; what it tries is in test_faults.py."""

import json

import pytest

from bench.model.errors import UserError
from tests.faults import table
from tests.faults.campaign import FILE, Asked, Campaign, records

COMMAND = "make faults FAULTS=5 SEED=3"
ASKED = Asked(3, ["run", "soak"], {"disk full"})


def record(number, kind, strike, role=None, *, struck=True, problems=(), earlier=()):
    fault = {"number": number, "kind": kind, "strike": strike, "role": role}
    told = {"fault": fault, "struck": f"{kind}: {strike}" if struck else None, "problems": list(problems)}
    return told | ({"earlier": [list(earlier)]} if earlier else {})


RECORDS = [
    record(1, "run", "killed", "bench"),
    record(2, "run", "killed", "generator", problems=["a process was left"]),
    record(3, "soak", "suspended", struck=False),
    record(4, "run", "suspended", earlier=["a cell was lost"]),
    record(10, "soak", "killed", "bench"),
]


@pytest.fixture
def folder(tmp_path):
    Campaign(tmp_path, ASKED, COMMAND)._note(600)
    for each in RECORDS:
        (tmp_path / f"{each['fault']['number']}.json").write_text(json.dumps(each))
    (tmp_path / "undisturbed-run.json").write_text("{}")
    return tmp_path


def test_a_campaign_goes_on_in_its_folder_and_no_other_does(folder):
    again = Campaign(folder, ASKED, "make faults FAULTS=9 SEED=3")
    again._note(30)
    told = json.loads((folder / FILE).read_text())
    assert (told["command"], told["minutes"]) == ("make faults FAULTS=9 SEED=3", 10.5)
    assert list(records(folder)) == [1, 2, 3, 4, 10]
    with pytest.raises(UserError, match=f"has another campaign: {again._told['command']}"):
        Campaign(folder, Asked(4, ["run", "soak"], {"disk full"}), COMMAND)


def test_no_fault_is_begun_when_the_minutes_are_over(folder, monkeypatch):
    campaign = Campaign(folder, ASKED, COMMAND)
    monkeypatch.setattr(campaign, "_undisturbed", lambda pool, faults: None)
    assert list(campaign.tried([5, 6], 2, minutes=0)) == []


def test_what_failed_once_is_told_whatever_came_of_it_later(folder):
    written = table.written(folder)
    assert json.loads((folder / table.FILE).read_text()) == written
    assert written["campaign"]["command"] == COMMAND
    of_none = dict.fromkeys(("tried", *table.OUTCOMES), 0)
    assert written["kinds"] == {
        "run": {**of_none, "tried": 3, "held": 1, "failed": 1, "failed, held once mended": 1},
        "soak": {**of_none, "tried": 2, "held": 1, "never due": 1},
    }
    assert written["strikes"]["bench: killed"] == {**of_none, "tried": 2, "held": 2}
    assert written["strikes"]["all of it: suspended"]["tried"] == 2


def test_campaigns_are_put_into_the_document(folder, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- measured: faults -->\n<!-- /measured -->\nafter\n")
    table.document([folder], page)
    lines = page.read_text().splitlines()
    assert "| run | 3 | 1 | 1 | 1 | 0 |" in lines and "| all | 5 | 2 | 1 | 1 | 1 |" in lines
    assert "| killed | 3 | 2 | 0 | 1 | 0 | bench 2, generator 1 |" in lines
    assert any(line.startswith("Tried on ") and f"by `{COMMAND}` in 10 minutes on " in line for line in lines)
    assert "SEED=3`, 4 of them, in 10" in table.provenance(table.told(folder), 4)
    with pytest.raises(UserError, match=r"campaign\.json"):
        table.document([tmp_path / "elsewhere"], page)


def test_outcomes_that_none_had_have_no_column():
    kinds, _ = table.tables(RECORDS[:1])
    assert kinds.headings == ("run", "tried", "held") and kinds.rows == [("run", "1", "1")]
