"""The chain: what enters it, and that nothing can be changed in it unseen."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.vandal import damage

from dg.core import ledger
from dg.core.access.models import SYSTEM
from dg.core.database import Database, Tx
from dg.core.events import AccessDenied, DeploymentCreated, DeploymentFinished, Fact, ServerStarted
from dg.core.ledger import GENESIS, Check, Verdict
from dg.core.testing import NOON, Ground, ManualClock, open_ground, person


def created(number: int) -> DeploymentCreated:
    return DeploymentCreated(
        deployment=f"id-{number}",
        service="shop",
        environment="staging",
        kind="deploy",
        version=f"v{number}",
        commit="a" * 40,
    )


async def say(db: Database, *facts: Fact) -> None:
    def work(tx: Tx) -> None:
        for fact in facts:
            tx.append(fact, person("operator"))

    await db.write(work)


async def verdict(db: Database, page: int = 3) -> Verdict:
    def work(tx: Tx) -> Verdict:
        check = Check()
        while check.page(tx, page):
            pass
        return check.verdict(ledger.head(tx))

    return await db.read(work)


@pytest.fixture
async def ground(tmp_path: Path, database_url: str | None) -> AsyncIterator[Ground]:
    async with open_ground(tmp_path, url=database_url) as ground:
        for number in range(1, 11):
            await say(ground.db, created(number))
        yield ground


async def test_an_entry_holds_the_whole_fact(tmp_path: Path, database_url: str | None) -> None:
    async with open_ground(tmp_path, ManualClock(NOON), url=database_url) as ground:
        await say(ground.db, created(1), ServerStarted(version="1"))
        first, second = await ground.db.read(lambda tx: ledger.after(tx, 0, 10))
    assert (first.seq, first.at, first.type) == (1, NOON, "deployment.created")
    assert (first.actor, first.auth, first.object) == ("id-of-operator", "token", "id-1")
    assert (first.environment, first.service) == ("staging", "shop")
    assert first.payload["version"] == "v1"
    assert "ref" not in first.payload
    assert first.prev == GENESIS
    assert (second.seq, second.prev, second.environment) == (2, first.hash, None)


async def test_an_empty_ledger_is_whole(tmp_path: Path, database_url: str | None) -> None:
    async with open_ground(tmp_path, url=database_url) as ground:
        assert await verdict(ground.db) == Verdict(True, 0, "0 entries, chain whole", 0, GENESIS)


async def test_a_chain_is_whole_and_its_head_is_the_last_entry(ground: Ground) -> None:
    found = await verdict(ground.db)
    entries = await ground.db.read(lambda tx: ledger.after(tx, 0, 100))
    assert (found.ok, found.checked) == (True, 10)
    assert (found.head_seq, found.head_hash) == (10, entries[-1].hash)


async def test_a_chain_goes_on_after_a_restart(tmp_path: Path, database_url: str | None) -> None:
    for count in (1, 2, 3):
        async with open_ground(tmp_path, url=database_url) as ground:
            await say(ground.db, ServerStarted(version="1"))
            found = await verdict(ground.db)
            assert (found.ok, found.checked) == (True, count)


FIELDS = {
    "at": "at + 1",
    "type": "'deployment.updated'",
    "actor": "'somebody-else'",
    "auth": "'local'",
    "object": "'other'",
    "environment": "'production'",
    "service": "NULL",
    "payload": "replace(payload, 'v5', 'v6')",
    "prev": "hash",
    "hash": "prev",
}


@pytest.mark.parametrize("field", FIELDS)
async def test_a_changed_field_is_named(ground: Ground, field: str) -> None:
    damage(ground, f"UPDATE ledger SET {field} = {FIELDS[field]} WHERE seq = 5")  # noqa: S608
    found = await verdict(ground.db)
    assert (found.ok, found.bad_seq, found.checked) == (False, 5, 4)


DAMAGE = {
    "first deleted": ("DELETE FROM ledger WHERE seq = 1", 1),
    "deleted in the middle": ("DELETE FROM ledger WHERE seq = 5", 5),
    "deleted and closed up": (
        "DELETE FROM ledger WHERE seq = 5; UPDATE ledger SET seq = seq - 1 WHERE seq > 5;",
        5,
    ),
    "end cut off": ("DELETE FROM ledger WHERE seq > 7", 8),
    "everything deleted": ("DELETE FROM ledger", 1),
    "head deleted": ("DELETE FROM ledger_head", 11),
    "head set back": ("UPDATE ledger_head SET seq = 9", 11),
    "two exchanged": (
        (
            "UPDATE ledger SET seq = 99 WHERE seq = 5; UPDATE ledger SET seq = 5 WHERE seq = 6;"
            "UPDATE ledger SET seq = 6 WHERE seq = 99;"
        ),
        5,
    ),
    "one put between": (
        (
            "INSERT INTO ledger SELECT 11, at, type, actor, auth, 'forged', environment, service, payload,"
            " hash, prev FROM ledger WHERE seq = 10;"
        ),
        11,
    ),
}


@pytest.mark.parametrize("how", DAMAGE)
async def test_a_damaged_chain_is_named_by_its_first_bad_entry(ground: Ground, how: str) -> None:
    script, bad = DAMAGE[how]
    damage(ground, script)
    found = await verdict(ground.db)
    assert (found.ok, found.bad_seq) == (False, bad)
    assert str(bad) in found.message or "missing" in found.message


async def test_fields_cannot_flow_into_one_another(tmp_path: Path, database_url: str | None) -> None:
    """`a` + `bc` and `ab` + `c` are different entries to the hash."""
    async with open_ground(tmp_path, url=database_url) as ground:
        await say(ground.db, AccessDenied(action="x", count=1, environment="staging", service="shop"))
        damage(ground, "UPDATE ledger SET environment = 'stagings', service = 'hop'")
        assert (await verdict(ground.db)).bad_seq == 1


async def test_what_happened_to_one_object(ground: Ground) -> None:
    finished = DeploymentFinished(deployment="id-3", service="shop", environment="staging", status="success")
    await say(ground.db, finished)
    entries = await ground.db.read(lambda tx: ledger.about(tx, "id-3"))
    assert [entry.type for entry in entries] == ["deployment.created", "deployment.finished"]


async def test_parallel_writers_leave_no_gap(ground: Ground) -> None:
    await asyncio.gather(*(say(ground.db, created(n), created(n + 1000)) for n in range(100)))
    entries = await ground.db.read(lambda tx: ledger.after(tx, 0, 1000))
    assert [entry.seq for entry in entries] == list(range(1, 211))
    assert (await verdict(ground.db)).ok


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
batches = st.lists(st.lists(words, max_size=4), max_size=5)


@settings(max_examples=15, deadline=None)
@given(batches=batches, page=st.integers(1, 7))
async def test_any_facts_in_any_batches_make_a_whole_chain(batches: list[list[str]], page: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with open_ground(Path(folder)) as ground:
            for batch in batches:
                await say(ground.db, *(ServerStarted(version=text) for text in batch))
            entries = await ground.db.read(lambda tx: ledger.after(tx, 0, 1000))
            found = await verdict(ground.db, page)
    said = [text for batch in batches for text in batch]
    assert [entry.payload["version"] for entry in entries] == said
    assert [entry.seq for entry in entries] == list(range(1, len(said) + 1))
    assert (found.ok, found.checked) == (True, len(said))


def test_plain_entries_are_json_values() -> None:
    entry = ledger.Entry(1, 2, "t", SYSTEM.id, SYSTEM.method, "o", None, "shop", {"a": 1}, GENESIS, "h")
    assert ledger.plain([entry])[0]["payload"] == {"a": 1}
