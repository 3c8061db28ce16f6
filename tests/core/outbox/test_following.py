"""From the ledger to the outbox: each entry exactly once, whatever dies in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dg.core import ledger
from dg.core.access.models import SYSTEM
from dg.core.database import Tx
from dg.core.errors import Unavailable
from dg.core.events import PipelineRegistered, ServerStarted
from dg.core.ledger import Entry
from dg.core.outbox import Following, store
from dg.core.testing import Ground, ManualClock, eventually, open_ground


@dataclass
class Clerk:
    """Puts a message for each pipeline that was registered; `fails` so often first."""

    fails: int = 0
    seen: list[int] = field(default_factory=list)

    def wants(self, entry: Entry) -> bool:
        return entry.type == PipelineRegistered.type

    def project(self, tx: Tx, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self.seen.append(entry.seq)
            store.put(
                tx,
                id=f"id-{entry.seq}-{len(self.seen)}",
                kind="note",
                key=str(entry.seq),
                destination="there",
                payload={"seq": entry.seq},
                now=entry.at,
            )
        if self.fails:
            self.fails -= 1
            raise Unavailable("the disk is full")


async def happen(ground: Ground, revision: int = 1) -> None:
    fact = PipelineRegistered(service="web", revision=revision, sha256="x")
    await ground.db.write(lambda tx: tx.append(fact, SYSTEM))


async def nothing_much(ground: Ground, times: int) -> None:
    def work(tx: Tx) -> None:
        for _ in range(times):
            tx.append(ServerStarted(version="1"), SYSTEM)

    await ground.db.write(work)


async def made(ground: Ground) -> list[tuple[int, int]]:
    """Of which entries messages were made, and how often each was wanted."""
    rows = await ground.db.read(lambda tx: store.deliveries(tx, "there", 1 << 62, 1000))
    found = []
    for _, delivery in reversed(rows):
        row = await ground.db.read(lambda tx, d=delivery: store.row_of(tx, d.id))  # type: ignore[misc]
        assert row is not None
        found.append((delivery.payload["seq"], row["wanted"]))
    return found


def following(ground: Ground, clerk: Clerk, wakes: list[int] | None = None) -> Following:
    def wake() -> None:
        if wakes is not None:
            wakes.append(1)

    return Following(ground.db, ground.bus, ground.clock, (clerk,), wake)


async def test_what_happened_before_the_first_start_makes_no_message(
    tmp_path: Path, database_url: str | None
) -> None:
    async with open_ground(tmp_path, url=database_url) as ground:
        await happen(ground)
        follow = following(ground, Clerk())
        await follow.begin()
        ground.tasks.spawn("following", follow.run())
        await happen(ground, 2)
        await eventually(lambda: follow.figures["watermark"] == 2)
        assert await made(ground) == [(2, 1)]


async def test_what_happens_while_no_server_runs_is_made_up_for(
    tmp_path: Path, database_url: str | None
) -> None:
    async with open_ground(tmp_path, url=database_url) as ground:
        await following(ground, Clerk()).begin()
    async with open_ground(tmp_path, url=database_url) as ground:
        await happen(ground)
        await nothing_much(ground, 3)
        await happen(ground, 2)
        wakes: list[int] = []
        follow = following(ground, Clerk(), wakes)
        await follow.begin()
        ground.tasks.spawn("following", follow.run())
        await eventually(lambda: follow.figures["watermark"] == 5)
        assert await made(ground) == [(1, 1), (5, 1)]
        assert wakes == [1]


async def test_a_server_that_died_repeats_nothing(tmp_path: Path, database_url: str | None) -> None:
    for _ in range(3):
        async with open_ground(tmp_path, url=database_url) as ground:
            follow = following(ground, Clerk())
            await follow.begin()
            await happen(ground)
            task = ground.tasks.spawn("following", follow.run())
            head = await ground.db.read(ledger.head)
            await eventually(lambda f=follow, h=head: f.figures["watermark"] == h.seq)  # type: ignore[misc]
            await ground.tasks.stop(task)
    async with open_ground(tmp_path, url=database_url) as ground:
        follow = following(ground, Clerk())
        await follow.begin()
        ground.tasks.spawn("following", follow.run())
        await happen(ground)
        await eventually(lambda: follow.figures["watermark"] == 4)
        assert await made(ground) == [(1, 1), (2, 1), (3, 1), (4, 1)]


async def test_a_write_that_fails_leaves_neither_message_nor_cursor(tmp_path: Path) -> None:
    clock = ManualClock()
    async with open_ground(tmp_path, clock) as ground:
        clerk = Clerk(fails=2)
        follow = following(ground, clerk)
        await follow.begin()
        ground.tasks.spawn("following", follow.run())
        await happen(ground)
        for _ in range(2):
            await eventually(lambda: clock.sleeping == 1)
            assert await made(ground) == []
            await clock.advance(1)
        await eventually(lambda: follow.figures["watermark"] == 1)
        assert await made(ground) == [(1, 1)]
        assert clerk.seen == [1, 1, 1]


async def test_what_nobody_wants_costs_no_write_each(tmp_path: Path) -> None:
    async with open_ground(tmp_path) as ground:
        follow = following(ground, Clerk())
        await follow.begin()
        ground.tasks.spawn("following", follow.run())
        await nothing_much(ground, 600)
        await happen(ground)
        await eventually(lambda: follow.figures["watermark"] == 601)
        assert await ground.db.read(store.cursor) == 601
        await nothing_much(ground, 10)
        assert await ground.db.read(store.cursor) == 601


async def test_a_ledger_that_was_put_back_to_before_the_cursor_is_followed_from_its_head(
    tmp_path: Path,
) -> None:
    async with open_ground(tmp_path) as ground:
        await ground.db.write(lambda tx: store.set_cursor(tx, 99))
        follow = following(ground, Clerk())
        await follow.begin()
        ground.tasks.spawn("following", follow.run())
        await happen(ground)
        await eventually(lambda: follow.figures["watermark"] == 1)
        assert await made(ground) == [(1, 1)]
