import pytest

from analysis.study import Study, study
from tests.fixtures.make_settings import make_settings


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A run of eight settings of two servers. Do not change it."""
    return make_settings(tmp_path_factory.mktemp("results") / "20261130-080000-settings")


@pytest.fixture(scope="session")
def tried(folder) -> Study:
    return study(folder)
