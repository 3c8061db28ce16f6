"""Houses for the crash and fault suites: one for each module, with its server up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.scenarios.house import House


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house whose server is not started yet."""
    house = House(tmp_path_factory.mktemp("house"))
    try:
        yield house
    finally:
        house.close()
