"""What the documents tell people to type exists, and their examples work."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.commands import told

ROOT = Path(__file__).parents[2]
OF_ROOMS = (
    "README.md", "CONTRIBUTING.md", "bench/studies/README.md", "bench/studies/replay/README.md",
    "deploy/kubernetes/README.md", "locustfiles/README.md", "swarm/README.md", "targets/README.md",
)  # fmt: skip
DOCUMENTS = [*(ROOT / name for name in OF_ROOMS), *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))


def anchors(document: Path) -> set[str]:
    """Those of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_make_target_exists(document):
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", document.read_text(), re.MULTILINE))
    assert named <= targets()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text())
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_to_a_part_of_a_page_finds_it(document):
    links = re.findall(r"\]\(([^)#:\s]*\.md)?#([^)\s]+)\)", document.read_text())
    assert [
        f"{page}#{part}"
        for page, part in links
        if part not in anchors(document.parent / page if page else document)
    ] == []


def test_every_make_target_has_a_sentence_and_is_phony():
    makefile = (ROOT / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert set(phony.split()) == targets()


LOADS = """
import swarm, sys
from locust.util.load_locustfile import load_locustfile
for path in sys.argv[1:]:
    assert load_locustfile(path)[0], f"{path} has no user class"
"""


@pytest.mark.parametrize("document", ["locustfiles/README.md"])
def test_scenario_examples_are_scenarios(document, tmp_path):
    imports = "from locust import constant, task\nfrom swarm import SwarmUser\n"
    codes = [code for language, code in FENCE.findall((ROOT / document).read_text()) if language == "python"]
    files = [tmp_path / f"example_{number}.py" for number in range(len(codes))]
    for file, code in zip(files, codes, strict=True):
        file.write_text(code if "import" in code else imports + code)
    assert files, f"{document} shows no scenario"
    command = [sys.executable, "-c", LOADS, *map(str, files)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_bench_commands_in_documents_exist():
    help_text = told("--help").stdout
    named = set()
    for document in DOCUMENTS:
        named |= set(re.findall(r"python -m bench ([a-z]+)", document.read_text()))
    assert named, "the documents name no command"
    assert [command for command in named if f" {command} " not in help_text] == []
