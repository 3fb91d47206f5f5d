import pytest

from tests.bench.studies.cockpit.ui import CATALOGUE, Ui


@pytest.fixture
def catalogue_file(tmp_path):
    path = tmp_path / "configurations.toml"
    path.write_text(CATALOGUE)
    return path


@pytest.fixture
def open_ui(tmp_path, current, catalogue_file):
    """Opens web UIs with a catalogue of the tests' own: `open_ui("--option", "value")`."""
    opened = []

    def make(*options):
        opened.append(Ui(tmp_path / "results", "--catalogue", str(catalogue_file), *options))
        return opened[-1]

    yield make
    for each in opened:
        each.close()
