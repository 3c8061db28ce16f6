"""The same request twice has one effect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import BaseModel

from dg.core import schema
from dg.core.database import Statement, Tx
from dg.core.errors import Mismatch, Refused
from dg.core.idempotency import Once, once, prune, seen
from dg.core.testing import Ground, ManualClock, open_ground, person

INSERT = Statement(schema.meta.insert())
COUNT = Statement(
    sa.select(sa.func.count().label("n")).select_from(schema.meta).where(schema.meta.c.value == "effect")
)
ANA, BEN = person("operator", name="ana"), person("operator", name="ben")


class Answer(BaseModel):
    number: int


@pytest.fixture
async def ground(tmp_path: Path, database_url: str | None) -> AsyncIterator[Ground]:
    async with open_ground(tmp_path, url=database_url) as ground:
        yield ground


async def count(ground: Ground) -> int:
    row = await ground.db.read(lambda tx: tx.one(COUNT))
    return int(row["n"]) if row else 0


async def ask(ground: Ground, wish: Once | None, number: int = 1, by: object = ANA) -> Answer:
    def effect(tx: Tx) -> Answer:
        tx.run(INSERT, key=ground.ids.new(), value="effect")
        return Answer(number=number)

    return await ground.db.write(lambda tx: once(tx, by, wish, Answer, ground.clock, effect))  # type: ignore[arg-type]


async def test_a_hundred_parallel_requests_have_one_effect(ground: Ground) -> None:
    answers = await asyncio.gather(*(ask(ground, Once("k", "f"), number) for number in range(100)))
    assert len({answer.number for answer in answers}) == 1
    assert await count(ground) == 1


async def test_the_key_survives_a_restart(tmp_path: Path, database_url: str | None) -> None:
    async with open_ground(tmp_path, url=database_url) as ground:
        await ask(ground, Once("k", "f"), 1)
    async with open_ground(tmp_path, url=database_url) as ground:
        assert (await ask(ground, Once("k", "f"), 2)).number == 1


async def test_the_same_key_with_another_request_is_refused(ground: Ground) -> None:
    await ask(ground, Once("k", "f"))
    with pytest.raises(Mismatch) as caught:
        await ask(ground, Once("k", "other"))
    assert caught.value.details == {"key": "k"}
    assert await count(ground) == 1


async def test_a_key_is_its_callers_own(ground: Ground) -> None:
    assert (await ask(ground, Once("k", "f"), 1, ANA)).number == 1
    assert (await ask(ground, Once("k", "g"), 2, BEN)).number == 2


async def test_a_refused_request_keeps_no_key(ground: Ground) -> None:
    def refuse(_: Tx) -> Answer:
        raise Refused("closed")

    with pytest.raises(Refused):
        await ground.db.write(lambda tx: once(tx, ANA, Once("k", "f"), Answer, ground.clock, refuse))
    assert (await ask(ground, Once("k", "f"), 2)).number == 2


async def test_without_a_key_every_request_has_its_effect(ground: Ground) -> None:
    for _ in range(3):
        await ask(ground, None)
    assert await count(ground) == 3
    assert await ground.db.read(lambda tx: seen(tx, ANA, None, Answer)) is None


async def test_old_keys_are_forgotten(tmp_path: Path, database_url: str | None) -> None:
    clock = ManualClock()
    async with open_ground(tmp_path, clock, url=database_url) as ground:
        await ask(ground, Once("old", "f"), 1)
        await clock.advance(100)
        await ask(ground, Once("new", "f"), 1)
        before = clock.micros() - 50_000_000
        assert await ground.db.write(lambda tx: prune(tx, before)) == 1
        assert (await ask(ground, Once("old", "f"), 2)).number == 2
        assert (await ask(ground, Once("new", "f"), 2)).number == 1
