"""What is worth it, together."""

import pytest

from bench.studies.settings import combination
from targets.catalogue.configurations import load

OWN = """
[variant.fewer-waiting]
of = "uvicorn"
varies = "backlog"
replace = { "--backlog" = "100" }
backlog = 100
expects = ["tail"]

[variant.h11]
of = "uvicorn"
varies = "parser"
replace = { "--http" = "h11" }
parser = "h11"

[variant.h11-backlog]
of = "uvicorn"
varies = "both"
replace = { "--http" = "h11", "--backlog" = "200" }
environment = { HOW = "slow" }
parser = "h11"
backlog = 200

[variant.any-parser]
of = "uvicorn"
varies = "choice of the parser"
drop = ["--http"]
environment = { HOW = "fast" }

[variant.uvicorn-combined]
of = "uvicorn"
varies = "log"
drop = ["--no-access-log"]
"""


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(OWN)
    return path


def test_changes_of_several_variants_are_one_variant(own, tmp_path):
    catalogue = load(own)
    found = combination.combine("uvicorn", ["h11", "fewer-waiting", "uvicorn-combined"], catalogue)
    assert found.parts == ("h11", "fewer-waiting", "uvicorn-combined") and not found.left_out
    assert found.expects == ("throughput", "cpu", "tail", "memory")
    assert found.name == "uvicorn-combined-2"  # the other name is taken
    path = tmp_path / "combined.toml"
    combination.write(path, [found], own)
    entry, before = load(path).get(found.name), load().get("uvicorn")
    assert entry.variant.of == "uvicorn" and entry.variant.expects == found.expects
    assert (entry.parser, entry.backlog, entry.loop) == ("h11", 100, "uvloop")
    changed = dict(zip(before.argv, entry.argv, strict=False))
    assert changed["httptools"] == "h11" and changed["2048"] == "100"
    assert set(before.argv) - set(entry.argv) == {"httptools", "2048", "--no-access-log"}
    assert found.words.startswith("uvicorn (without --no-access-log, ")


def test_of_two_that_contradict_each_other_the_better_one_stays(own):
    catalogue = load(own)
    found = combination.combine("uvicorn", ["h11-backlog", "fewer-waiting", "any-parser", "h11"], catalogue)
    assert found.parts == ("h11-backlog", "h11")
    assert "cannot be both 200 and 100" in found.left_out["fewer-waiting"]
    assert "cannot be both slow and fast" in found.left_out["any-parser"]
    found = combination.combine("uvicorn", ["any-parser", "h11"], catalogue)
    assert found.parts == ("any-parser",) and "has no '--http'" in found.left_out["h11"]


def test_without_another_catalogue_it_is_over_the_suites(tmp_path):
    known = load()
    name = next(iter(known.variants("uvicorn")))
    found = combination.combine("uvicorn", [name], known)
    path = tmp_path / "combined.toml"
    combination.write(path, [found], None)
    entry = load(path).get("uvicorn-combined")
    assert entry.argv == known.get(name).argv and entry.environment == known.get(name).environment
