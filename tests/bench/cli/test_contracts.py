"""docs/contracts.md says what the models say, and the files that are written have the columns it lists."""

import json
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from bench.cli import contracts
from bench.model import documents
from bench.model.records.cell import Cell
from bench.model.records.columns import FILES
from bench.model.records.run import Run
from bench.model.records.schema import SCHEMA
from bench.model.requirements import Requirements
from targets.serving import metering

RECORDED = Path(__file__).parents[2] / "fixtures" / "recorded"


def test_the_document_is_in_step(tmp_path):
    written = tmp_path / "contracts.md"
    written.write_text(contracts.CONTRACTS.read_text())
    documents.replace(written, contracts.parts(), kind="generated")
    assert written.read_text() == contracts.CONTRACTS.read_text(), "run make docs"


def test_every_requirement_is_in_it_with_its_default():
    tables = "\n".join(contracts.parts()[name] for name in ("requirements", "ranking", "command"))
    told = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", tables, re.MULTILINE))
    assert list(told) == list(Requirements.model_fields)
    assert {told[name] for name in ("lost_per_1000", "process_manager", "restart", "max_rss_mib")} == {
        "`0`", "`true`", '`"requests"`', "`512`",
    }  # fmt: skip
    assert (told["stall_s"], told["weights"]) == ("none", "all 1")


@pytest.mark.parametrize("model", [Run, Cell])
def test_every_key_of_a_record_is_in_it(model: type[BaseModel]):
    told = contracts.parts()["run.json" if model is Run else "cell.json"]
    for name, field in model.model_fields.items():
        assert f"`{name}`" in told
        for below in contracts._models(field.annotation):
            assert all(f"`{key}`" in told for key in below.model_fields)


def test_columns_of_one_meaning_are_told_together_and_those_of_two_files_once():
    told = contracts.parts()["files"]
    assert "* `rss_bytes`, `pss_bytes`: empty in samples of CPU alone" in told
    assert (
        "by the generator's clock. Where the servers are on another machine only. Columns as in host.csv."
        in told
    )
    assert told.count("`nice` included") == 1


def test_what_two_keys_hold_is_told_at_the_first():
    told = contracts.parts()["run.json"]
    assert "`machine_id` (a hash)" in told and told.count("`machine_id`") == 1
    assert "only where it is another one. Keys as of `host`." in told


def test_serve_writes_the_columns_that_are_listed():
    assert [column.name for column in FILES["processes"].columns] == list(metering.PROCESSES)
    assert list(FILES["workers"].types) == list(metering.WORKERS)


@pytest.mark.parametrize(("file", "model"), [("run.json", Run), ("*/*/*/*/cell.json", Cell)])
def test_what_runs_have_recorded_is_listed(file, model):
    paths = [path for run in sorted(RECORDED.iterdir()) for path in run.glob(file)]
    assert paths
    for path in paths:
        recorded = json.loads(path.read_text())
        assert recorded.pop("schema") == SCHEMA
        model.model_validate(recorded, extra="forbid")
