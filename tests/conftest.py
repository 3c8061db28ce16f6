"""What holds for every test."""

from __future__ import annotations

import itertools
import os
import tempfile
import uuid
from collections.abc import Iterator

import pytest
from hypothesis import settings
from tests import postgresql
from tests.observed import Observed, figures, table

# A time limit per example measures the machine's other work, not the code.
settings.register_profile("dg", deadline=None)
settings.load_profile("dg")


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> postgresql.Cluster:
    """The PostgreSQL server of this test run, started when the first test asks for it."""
    worker = getattr(request.config, "workerinput", None)
    if worker is None:
        return postgresql.shared(uuid.uuid4().hex, os.getpid())
    return postgresql.shared(worker["testrunuid"], os.getppid())


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """Runs a test on both databases: None for SQLite in the home, or the URL of a migrated one of its own."""
    yield from _database(request)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def either_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """As `database_url`, on PostgreSQL in `bin/test --long` alone."""
    yield from _database(request)


def _database(request: pytest.FixtureRequest) -> Iterator[str | None]:
    if request.param == "sqlite":
        yield None
        return
    cluster: postgresql.Cluster = request.getfixturevalue("cluster")
    url = cluster.create(postgresql.TEMPLATE)
    yield url
    cluster.drop(url)


@pytest.fixture(scope="session", autouse=True)
def no_state_of_ones_own() -> Iterator[None]:
    """The command line, started here or as a process, remembers nothing where the user's own does."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "XDG_STATE_HOME", folder)
        yield


@pytest.fixture
def observed(request: pytest.FixtureRequest) -> Observed:
    """Call it with what was measured under a fault: the run ends with a table of all of it."""
    return Observed(request.node)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was observed."""
    lines = table(figures(itertools.chain.from_iterable(terminalreporter.stats.values())))
    if lines:
        terminalreporter.section("what was promised and what was observed")
        for line in lines:
            terminalreporter.write_line(line)
