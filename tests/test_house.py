"""The house stays one that a newcomer can draw: what its rooms, files and documents are held to."""

from pathlib import Path

import pytest

from tests import house

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_no_folder_is_crowded():
    assert not house.crowded(), (
        f"More than {house.MODULES} modules: move those that belong together into a folder of their own "
        '(CONTRIBUTING.md, "The house").'
    )


def test_no_file_is_long():
    assert not house.long(), (
        f"More than {house.LINES} lines: move what is another subject into the module it belongs to, or into "
        "one of its own. Do not squeeze lines."
    )


def test_the_readme_is_one_screen_of_text():
    assert house.lines_of(Path("README.md")) <= house.README_LINES, (
        "The README has the answer, the commands, and a line each for the rest: move details to docs/. What "
        "`make readme-figures` writes is made shorter in analysis/documents/answers.py."
    )


def test_the_documents_are_short():
    assert house.docs_bytes() < house.DOCS_BYTES, (
        "docs/*.md have grown: say each rule once and link to it, show no figure twice. What is generated is "
        "made shorter where it is written: bench/cli/contracts.py with bench/model, analysis/documents."
    )


def test_the_house_is_shown_in_figures():
    shown = house.report()
    rooms = {words[0]: words for line in shown if len(words := line.split()) == 4}
    modules = [path for path in Path("bench/stats").glob("*.py") if path.name != "__init__.py"]
    assert rooms["bench/stats"][1] == str(len(modules))
    assert int(rooms["bench/cli"][3]) > 0 and rooms["bench/stats"][3] == "0"
    assert any(line.startswith("import contracts") and line.endswith("exceptions: 0") for line in shown)
