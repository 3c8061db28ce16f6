"""Houses for the crash and fault suites: one for each module, with its server up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.postgresql import Cluster
from tests.scenarios.house import House


@pytest.fixture(scope="module")
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house whose server is not started yet; modules marked `on_both_databases` get one on each."""
    folder = tmp_path_factory.mktemp("house")
    if getattr(request, "param", "sqlite") == "postgresql":
        cluster: Cluster = request.getfixturevalue("cluster")
        house = House(folder, database=cluster.create())
    else:
        house = House(folder)
    try:
        yield house
    finally:
        house.close()
