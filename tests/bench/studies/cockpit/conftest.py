import pytest

from tests.bench.studies.cockpit.ui import CATALOGUE, Ui


@pytest.fixture(scope="session")
def catalogue_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("catalogue") / "configurations.toml"
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


@pytest.fixture(scope="module")
def shared_ui(tmp_path_factory, current, catalogue_file):
    """One for all tests that are about a load, and not about how the web UI ends."""
    opened = Ui(tmp_path_factory.mktemp("ui") / "results", "--catalogue", str(catalogue_file))
    yield opened
    opened.close()


@pytest.fixture
def ui(shared_ui):
    """The same, when no load runs."""
    return shared_ui.idle()
