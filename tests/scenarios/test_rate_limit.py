"""Far more requests than one caller may send: what is let through, and what the rest is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.observed import Observed
from tests.scenarios.house import House

MOST, WINDOW = 100, 60.0
ASKED = 400

pytestmark = pytest.mark.long


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[House]:
    """A server that lets one caller read a hundred times a minute."""
    house = House(tmp_path, {"DG_LIMITS__READ": f"{MOST}/1m"})
    try:
        house.start()
        yield house
    finally:
        house.close()


async def test_no_more_is_let_through_than_promised_and_the_rest_is_told_when(
    strict: House, observed: Observed
) -> None:
    """R33: also by a server that has just been started again, and never on `/health`."""
    fault = f"{ASKED} reads at once against {MOST} a minute"
    for _ in range(2):
        headers = {"Authorization": f"Bearer {strict.token}"}
        async with httpx.AsyncClient(base_url=strict.url, headers=headers, timeout=30.0) as client:
            began = time.monotonic()
            answers = await asyncio.gather(*(client.get("/v1/lanes") for _ in range(ASKED)))
            seconds = time.monotonic() - began
            health = [(await client.get("/health")).status_code for _ in range(50)]
        passed = sum(answer.status_code == 200 for answer in answers)
        refused = [answer for answer in answers if answer.status_code == 429]
        told = [answer for answer in refused if is_told(answer)]
        assert passed + len(refused) == ASKED
        assert health == [200] * 50
        off = max(MOST - passed, passed - MOST - seconds * MOST / WINDOW)
        observed("R33", fault, "let through beside the limit", max(0.0, off), at_most=1)
        observed("R33", fault, "refusals that do not say when", len(refused) - len(told), at_most=0)
        strict.stop()
        strict.start()


def is_told(refusal: httpx.Response) -> bool:
    """Whether it has the time to wait and the specification's RateLimit."""
    found = refusal.json()["error"]["details"]["rate_limit"]
    return int(refusal.headers["Retry-After"]) > 0 and (found["limit"], found["remaining"]) == (MOST, 0)
