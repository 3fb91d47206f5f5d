"""Whatever becomes of a file of a run: it is named, and what figures there are is what was measured.

`make fuzz MINUTES=60` tries others than CI does.
"""

import json
import os
import re
import resource
import shutil
import tarfile
import warnings
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from analysis.reading import results
from analysis.reading.frames import EXCEPTIONS_FILE
from analysis.study import Study
from bench.experiment.results import RunFolder
from bench.model.errors import UserError
from bench.model.files import sha256, write_json
from bench.model.records.columns import CONNECTIONS_FILE, FILES
from tests.analysis.reading.runs_to_damage import EVERY, measured, opened
from tests.damage import damaged, damaged_json, damaged_table, examples
from tests.fixtures.make_run import Rotating, Search, Spec, make_run

# What the report is made of, in an order in which each needs what comes before it.
PARTS = (
    "summary", "loads", "rates", "searches", "capacity", "violations", "findings", "alike", "sittings",
    "recycling", "prices", "deploys", "settings", "verdict",
)  # fmt: skip
FIGURES = ["configuration", "scenario", "repeat", "requests", "failures", "throughput", "cpu_us", "p99_us"]


ROTATED_TWICE = Spec(
    configurations=("sanic", "uvicorn"), scenarios={"index": (8,), "json": (8,)}, workers=(1, 2), repeats=3,
    rotation=Rotating(), unavailable=(),
)  # fmt: skip


class Run:
    """A run on the disk in which one file at a time is another, and what it says while it is whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = sorted(path for path in folder.rglob("*") if path.suffix in (".json", ".csv"))
        self.figures = figures(folder)

    def of(self, name):
        """The first of the files of a name."""
        return next(path for path in self.files if path.name == name)

    def with_file(self, path, content):
        """The figures of the run with other bytes in a file, and whether it is refused or left out."""
        try:
            with replaced(path, content):
                left, damage = figures(self.folder), results.damage(self.folder)
        except UserError as error:
            said = str(error)
            left, damage = self.figures[:0], None
        else:
            said = "; ".join(damage.cells.values())
        if damage is None or damage.cells:
            assert len(said.splitlines()) <= 2 and len(said) < 900, said
            place = path.parent.relative_to(self.folder)
            assert path.name in said or str(place) in said, said
        return left, damage is None or bool(damage.cells)


@contextmanager
def replaced(path, content):
    """Have other bytes in a file for a while."""
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)


def figures(folder):
    """All that is computed of a run; returns those of its cells."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        study = Study(results.load(folder))
        for part in PARTS:
            getattr(study, part)
    return study.summary[FIGURES].reset_index(drop=True)


@pytest.fixture(scope="module", params=EVERY, ids=lambda make: make.__name__)
def run(request, tmp_path_factory):
    return Run(request.param(tmp_path_factory.mktemp("results") / "20261130-080000-damaged"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return Run(measured(tmp_path_factory.mktemp("results") / "20261130-080000-whole"))


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    """One whose cells know what their files were, as those of today do."""
    folder = measured(tmp_path_factory.mktemp("results") / "20261130-080000-sealed")
    for path in folder.rglob("cell.json"):
        files = {table.name: sha256(table) for table in path.parent.glob("*.csv")}
        path.write_text(json.dumps(json.loads(path.read_text()) | {"files": files}))
    return Run(folder)


def any_damage(path):
    """A strategy for what may have become of a file."""
    content = path.read_bytes()
    own = damaged_json(content) if path.suffix == ".json" else damaged_table(content)
    return st.one_of(damaged(content), own, own, own)


def test_every_file_of_the_contract_is_among_those_that_are_damaged(tmp_path):
    """A new one must be made here: where no run has it, nothing is known of what its damage does."""
    made = {path.name for make in EVERY for path in Run(make(tmp_path / make.__name__)).files}
    of_cells = {f"{name}.csv" for name in FILES} | {EXCEPTIONS_FILE, "cell.json"}
    assert made == of_cells | {CONNECTIONS_FILE, "run.json"}


@examples(8)
@given(st.data())
def test_a_fuzzed_file_is_named_or_does_no_harm(run, data):
    path = data.draw(st.sampled_from(run.files), label="file")
    run.with_file(path, data.draw(any_damage(path), label="content"))


@examples(12)
@given(st.data())
def test_no_figure_rests_on_a_fuzzed_table(sealed, data):
    """Cells know the SHA-256 of their files: no change is so small that it passes."""
    path = data.draw(st.sampled_from([each for each in sealed.files if each.stem in FILES]), label="file")
    content = data.draw(any_damage(path), label="content")
    found = sealed.with_file(path, content)
    left, known = found
    assert known == (content != path.read_bytes())
    place = path.parent.relative_to(sealed.folder).parts
    of_others = sealed.figures if not known else sealed.figures[sealed.figures["configuration"] != place[0]]
    assert_frame_equal(left, of_others.reset_index(drop=True))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",1\n", ",x\n", r"latency\.csv, line \d+: count is no whole number: 'x'$"),
        (",1\n", ",-1\n", r"latency\.csv, line \d+: count cannot be -1"),
        (",1\n", ",\n", r"latency\.csv, line \d+: has no count"),
        (",1\n", "\n", r"latency\.csv, line \d+: has 5 values, not 6"),
        (",1\n", "," + "9" * 30 + "\n", r"latency\.csv, line \d+: count cannot be 9{30}"),
        ("service,", "service,-", r"latency\.csv, line 2: bucket_us cannot be -"),
        ("service,", "service,inf,", r"latency\.csv, line 2: has 7 values, not 6"),
        (
            "\n1790000",
            "\n1090000",
            r"latency\.csv, line 2: second is 1090\d+, and the cell was measured at 179",
        ),
        ("GET", "\udcff", r"latency\.csv, line 2: is not text in UTF-8"),
        ("GET", '"GET', r"latency\.csv, line \d+: "),
    ],
)
def test_what_is_wrong_is_named_with_its_line(whole, old, new, message):
    path = whole.of("latency.csv")
    text = path.read_text()
    assert old in text
    changed = text.replace(old, new, 1).encode("utf-8", "surrogateescape")
    with replaced(path, changed):
        assert re.search(message, wrong(whole, path))


def wrong(run, path):
    """What is said of the only damaged cell of a run, that of a file; the others are analysed."""
    loaded = results.load(run.folder)
    ((place, why),) = loaded.damage.cells.items()
    assert run.folder / place == path.parent and str(place) not in set(loaded.cells["path"])
    assert len(loaded.finished) == len(run.figures) - 1 - len(loaded.damage.others)
    return why


def test_a_file_that_was_cut_is_named_with_its_last_line(whole):
    path = whole.of("host.csv")
    content = path.read_bytes()
    lines = content.count(b"\n")
    with replaced(path, content[:-2]):
        assert f"line {lines}: is cut short" in wrong(whole, path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window": {"start": 0, "end": 1e12}}, "longer than a month"),
        ({"started": float("inf")}, "started: inf is no number that can be measured"),
        ({"block": 10**300}, r"block: 10+… is no number"),
        ({"configuration": "nobody"}, "run.json knows no 'nobody'"),
        ({"configuration": "uvicorn"}, "says that it is another cell than its folder does"),
        ({"repeat": 2}, "says that it is another cell"),
        ({"load": {"kind": "closed", "users": 80}}, "says that it is another cell"),
        ({"workers": 2}, "says that it is another cell"),
        ({"workers": None}, "says that it is another cell"),
        ({"server": {"a": [[[]]] * 3}}, "server.command: Field required"),
        ({"reason": json.loads("[" * 60 + "]" * 60)}, "nothing is nested so deeply"),
    ],
)
def test_what_cannot_be_in_a_cell_is_named_with_its_key(whole, changes, message):
    path = whole.of("cell.json")
    content = json.dumps(json.loads(path.read_text()) | changes).encode()
    with replaced(path, content):
        assert re.search(message, wrong(whole, path))


def test_a_cell_that_is_there_twice_is_left_out_twice(whole):
    path = whole.of("cell.json")
    other = path.parent.with_name("r1")
    twin = path.parent.parent.with_name(f"{path.parent.parent.name}-control") / "r1"
    shutil.copytree(other, twin)
    try:
        found = results.load(whole.folder).damage.cells
        assert len(found) == 2 and all("are the same cell" in why for why in found.values())
    finally:
        shutil.rmtree(twin.parent)


@pytest.mark.parametrize("name", ["cell.json", "slices.csv"])
def test_a_sitting_with_a_damaged_cell_is_lost_as_a_whole(tmp_path, name):
    folder = make_run(tmp_path / "rotated", ROTATED_TWICE)
    path = folder / "sanic" / "index" / "c8-w1" / "r2" / name
    with replaced(path, b"{"):
        loaded = results.load(folder)
        (place,), others = loaded.damage.cells, loaded.damage.others
        assert folder / place == path.parent
        # Of both scenarios and of both servers, of one worker alone.
        assert {str(other) for other in others} == {
            "sanic/json/c8-w1/r2", "uvicorn/index/c8-w1/r2", "uvicorn/json/c8-w1/r2",
        }  # fmt: skip
        left = loaded.cells[["workers", "repeat"]].value_counts().to_dict()
        assert left == {(1, 1): 4, (1, 3): 4, (2, 1): 4, (2, 2): 4, (2, 3): 4}
        (found,) = Study(loaded).found("damaged")
        assert found.group == "answer"
        assert f"{place}/{name}" in found.message and "3 cells of the same sittings" in found.spoils


@pytest.mark.parametrize("name", ["cell.json", "latency.csv"])
def test_a_search_without_one_of_its_steps_is_lost_as_a_whole(tmp_path, name):
    spec = Spec(
        configurations=("sanic", "uvicorn"), scenarios={}, searches={"index": Search(1.0)}, repeats=2,
        unavailable=(),
    )  # fmt: skip
    folder = make_run(tmp_path / "searched", spec)
    before = Study(results.load(folder)).searches
    steps = sorted(folder.glob("sanic/index/*/r2"))
    with replaced(steps[1] / name, b"{"):
        loaded = results.load(folder)
        assert len(loaded.damage.others) == len(steps) - 1 > 1
        lost = (before["configuration"] == "sanic") & (before["repeat"] == 2)
        assert_frame_equal(Study(loaded).searches, before[~lost].reset_index(drop=True))


def test_a_run_of_which_no_cell_is_whole_is_an_error(tmp_path):
    folder = opened(tmp_path / "opened")
    path = next(folder.rglob("latency.csv"))
    with replaced(path, b""), pytest.raises(UserError, match=r"latency\.csv is empty"):
        results.load(folder)


def test_links_out_of_the_folder_and_what_is_no_file_are_not_read(whole, tmp_path):
    path = whole.of("latency.csv")
    before = path.read_bytes()
    secret = tmp_path / "secret"
    secret.write_bytes(before)
    path.unlink()
    try:
        path.symlink_to(secret)
        assert re.search(r"latency\.csv leads to .*secret, out of ", wrong(whole, path))
        for target, what in (("/dev/zero", "is no file"), (path.name, "Too many levels|cannot be read")):
            path.unlink()
            path.symlink_to(target)
            assert re.search(what, wrong(whole, path))
        path.unlink()
        os.mkfifo(path)
        assert "is no file" in wrong(whole, path)
    finally:
        path.unlink()
        path.write_bytes(before)
    elsewhere = shutil.move(path.parent, tmp_path / "cell")
    try:
        path.parent.symlink_to(elsewhere)
        assert "cell.json leads to " in wrong(whole, path)
    finally:
        path.parent.unlink()
        shutil.move(elsewhere, path.parent)
    # A run that is looked at through a link is that run.
    (tmp_path / "link").symlink_to(whole.folder)
    assert results.load(tmp_path / "link").run.run == whole.folder.name


def test_an_archive_of_a_stranger_leads_nowhere_outside(whole, tmp_path):
    """Whatever an archive unpacks to: nothing outside of the run's folder is read, and nothing changed."""
    secret = tmp_path / "own"
    secret.mkdir()
    (secret / "cell.json").write_text(whole.of("cell.json").read_text())
    (secret / "private.csv").write_text("a secret")
    before = {path: path.read_bytes() for path in secret.iterdir()}
    cell = whole.of("cell.json").parent.relative_to(whole.folder)
    links = {
        "generator.log": secret / "private.csv",
        "report": secret,
        ".lock": secret / "private.csv",
        ".run.json.tmp": secret / "private.csv",
        str(cell / "server.log"): secret / "private.csv",
        str(cell / "latency.csv"): secret / "private.csv",
        str(cell.parent / "r9"): secret,
        "uvicorn/json": secret,
    }
    with tarfile.open(tmp_path / "run.tar", "w") as archive:
        archive.add(
            whole.folder, "run", filter=lambda each: None if each.name.removeprefix("run/") in links else each
        )
        for name, target in links.items():
            link = tarfile.TarInfo(f"run/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, str(target)
            archive.addfile(link)
    with tarfile.open(tmp_path / "run.tar") as archive:
        # As tar does; before Python 3.11.4 there is no other way.
        trusting = {"filter": "fully_trusted"} if hasattr(tarfile, "fully_trusted_filter") else {}
        archive.extractall(tmp_path, **trusting)
    run = tmp_path / "run"
    loaded = results.load(run)
    assert set(loaded.damage.cells) == {cell, cell.parent / "r9"} and len(loaded.finished) == 2
    assert all("leads to" in why and "a secret" not in why for why in loaded.damage.cells.values())
    with pytest.raises(UserError, match=r"\.lock cannot be opened"), RunFolder(run):
        pass
    (run / ".lock").unlink()
    with pytest.raises(UserError, match="is a link, which no run makes"), RunFolder(run):
        pass
    write_json(run / "run.json", {})
    assert {path: path.read_bytes() for path in secret.iterdir()} == before


# The others where there is time: `make fuzz`.
MANY = ["failures"] if "WHICHWORKER_EXAMPLES" not in os.environ else sorted(FILES)


@pytest.fixture(scope="module")
def before_kib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.parametrize("name", MANY)
def test_a_million_rows_are_read_or_named_in_bounded_memory(whole, before_kib, name):
    path = next((path for path in whole.files if path.name == f"{name}.csv"), None)
    if path is None:
        pytest.skip(f"a run such as this one has no {name}.csv")
    header, *rows = path.read_bytes().splitlines(keepends=True)
    if name == "failures":
        window = json.loads((path.parent / "cell.json").read_text())["window"]["start"]
        what = "GET,/index,timeout,1000.0,1.0,1,0,1,,no whole response within 1 s"
        rows = [f"{window + 0.5},{what}\n".encode()]
    if not rows:
        pytest.skip(f"{name}.csv has no row in a run such as this one")
    with replaced(path, header + b"".join(rows) * (1_000_000 // len(rows) + 1)):
        found = results.load(whole.folder)
        if not found.damage.cells:
            figures(whole.folder)
    if name == "failures":
        assert found.failures["count"].sum() > 1_000_000 - 1
    assert all(path.name in why for why in found.damage.cells.values())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 1_500_000
