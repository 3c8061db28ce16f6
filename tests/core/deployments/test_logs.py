"""Lines as they are kept: numbered without a break, the beginning and the end of them, any bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dg.core.database import Database
from dg.core.deployments import logs
from dg.core.deployments.logs import Writer, open_writer
from dg.core.deployments.models import Chunk, LogPage
from dg.core.testing import NOON, open_ground

PLENTY = 1 << 30


@dataclass(frozen=True)
class Shelf:
    """The logs' own database, and the reading connection of the state beside it."""

    own: Database
    reading: Database

    async def writer(self, head: int = PLENTY, tail: int = PLENTY) -> Writer:
        return await open_writer(self.own, "d1", head, tail)

    async def page(self, after: int = 0, limit: int = 1000, *, complete: bool = True) -> LogPage:
        return await self.reading.read(lambda tx: logs.page(tx, "d1", after, limit, complete=complete))

    async def tail(self, lines: int) -> tuple[str, ...]:
        return await self.reading.read(lambda tx: logs.tail(tx, "d1", lines))


@pytest.fixture
async def shelf(tmp_path: Path, database_url: str | None) -> AsyncIterator[Shelf]:
    async with open_ground(tmp_path, url=database_url) as ground:
        yield Shelf(ground.logs, ground.db)


def chunk(first: int, *lines: bytes | str, step: int = 0) -> Chunk:
    whole = [line if isinstance(line, bytes) else line.encode() for line in lines]
    return Chunk(first, step, len(whole), b"".join(line + b"\n" for line in whole))


def numbered(first: int, count: int, width: int = 100) -> Chunk:
    """`count` lines of `width` bytes each, the line feed included, that begin with their number."""
    return chunk(first, *(f"{number}".ljust(width - 1, ".") for number in range(first, first + count)))


async def test_lines_come_back_in_order_with_their_step(shelf: Shelf) -> None:
    writer = await shelf.writer()
    await writer.append([chunk(0, "cloning", step=logs.CHECKOUT), chunk(1, "a", "b", step=0)], NOON)
    await writer.append([chunk(3, "c", step=1)], NOON + 1)
    page = await shelf.page()
    assert [(line.seq, line.step, line.text, line.at) for line in page.items] == [
        (0, None, "cloning", NOON),
        (1, 0, "a", NOON),
        (2, 0, "b", NOON),
        (3, 1, "c", NOON + 1),
    ]
    assert (page.next_seq, page.left_out, page.complete) == (4, 0, True)


async def test_a_log_of_nothing_is_an_empty_page(shelf: Shelf) -> None:
    assert await shelf.page() == LogPage(items=(), next_seq=0, complete=True)
    assert await shelf.page(complete=False) == LogPage(items=(), next_seq=0, complete=False)
    assert await shelf.tail(5) == ()


async def test_any_bytes_can_be_shown(shelf: Shelf) -> None:
    await (await shelf.writer()).append([chunk(0, b"\xff\x00\x1b[2J", "näh", "")], NOON)
    assert [line.text for line in (await shelf.page()).items] == ["\ufffd\x00\x1b[2J", "näh", ""]


async def test_a_page_begins_and_ends_inside_a_chunk(shelf: Shelf) -> None:
    await (await shelf.writer()).append([numbered(0, 10), numbered(10, 10)], NOON)
    page = await shelf.page(after=7, limit=5)
    assert [line.seq for line in page.items] == [7, 8, 9, 10, 11]
    assert [line.text.rstrip(".") for line in page.items] == ["7", "8", "9", "10", "11"]
    assert (page.next_seq, page.left_out, page.complete) == (12, 0, False)


async def test_a_cursor_beyond_the_end_waits_there(shelf: Shelf) -> None:
    await (await shelf.writer()).append([chunk(0, "a")], NOON)
    assert await shelf.page(after=5) == LogPage(items=(), next_seq=5, complete=True)


async def test_pages_put_together_are_the_whole(shelf: Shelf) -> None:
    writer = await shelf.writer()
    for first in range(0, 300, 3):
        await writer.append([numbered(first, 3, width=10)], NOON)
    seen: list[int] = []
    page = await shelf.page(limit=7)
    while page.items:
        seen += [line.seq for line in page.items]
        assert not page.complete or page.next_seq == 300
        page = await shelf.page(after=page.next_seq, limit=7)
    assert seen == list(range(300))


async def test_a_long_chunk_is_kept_in_small_ones(shelf: Shelf) -> None:
    await (await shelf.writer()).append([numbered(0, 5000)], NOON)
    assert len(await shelf.tail(1)) == 1
    found = (await shelf.page(limit=5000)).items
    assert [line.seq for line in found] == list(range(5000))
    assert found[-1].text.startswith("4999.")


# --- the caps


async def test_the_beginning_and_the_end_stay_and_what_is_left_out_is_counted(shelf: Shelf) -> None:
    writer = await shelf.writer(head=1000, tail=2000)
    for first in range(0, 100, 5):
        await writer.append([numbered(first, 5)], NOON)
    head = await shelf.page()
    assert [line.seq for line in head.items] == list(range(10))
    assert (head.left_out, head.complete) == (0, False)
    rest = await shelf.page(after=head.next_seq)
    assert [line.seq for line in rest.items] == list(range(80, 100))
    assert (rest.left_out, rest.next_seq, rest.complete) == (70, 100, True)


async def test_a_page_in_the_gap_says_how_many_are_missing_before_it(shelf: Shelf) -> None:
    writer = await shelf.writer(head=500, tail=500)
    for first in range(0, 50, 5):
        await writer.append([numbered(first, 5)], NOON)
    page = await shelf.page(after=20)
    assert (page.items[0].seq, page.left_out) == (45, 25)


async def test_another_server_goes_on_with_the_same_caps(shelf: Shelf) -> None:
    for first in range(0, 100, 5):
        writer = await shelf.writer(head=1000, tail=2000)
        assert writer.next_seq == first
        await writer.append([numbered(first, 5)], NOON)
    kept = [line.seq for line in (await shelf.page()).items]
    kept += [line.seq for line in (await shelf.page(after=kept[-1] + 1)).items]
    assert kept == [*range(10), *range(80, 100)]


async def test_lines_that_the_runner_dropped_itself_are_a_gap_too(shelf: Shelf) -> None:
    await (await shelf.writer()).append([numbered(0, 2), numbered(40, 2)], NOON)
    first, second = await shelf.page(), await shelf.page(after=2)
    assert [line.seq for line in first.items] == [0, 1]
    assert ([line.seq for line in second.items], second.left_out) == ([40, 41], 38)


@given(
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=40),
    head=st.integers(0, 2000),
    tail=st.integers(1, 2000),
)
def test_accounting_keeps_whole_pieces_within_the_caps(sizes: Sequence[int], head: int, tail: int) -> None:
    writer = Writer(None, "d1", head, tail)  # type: ignore[arg-type]
    kept: dict[int, int] = {}
    for seq, size in enumerate(sizes):
        kept[seq] = size
        dropped = writer._account([Chunk(seq, 0, 1, b"x" * (size - 1) + b"\n")])
        for gone in range(*(dropped or (0, 0))):
            del kept[gone]
    assert writer.next_seq == len(sizes)
    assert len(sizes) - 1 in kept
    gaps = [seq for seq in kept if seq and seq - 1 not in kept]
    assert len(gaps) <= 1
    if gaps:
        begin = sum(size for seq, size in kept.items() if seq < gaps[0])
        end = sum(size for seq, size in kept.items() if seq >= gaps[0])
        assert begin >= head
        assert end <= tail or gaps[0] == len(sizes) - 1


# --- the newest lines


@pytest.mark.parametrize("lines", [0, 1, 3, 50])
async def test_the_newest_lines_come_oldest_first(shelf: Shelf, lines: int) -> None:
    writer = await shelf.writer()
    for seq in range(20):
        await writer.append([chunk(seq, f"line {seq}")], NOON)
    newest = range(max(0, 20 - lines), 20)
    assert await shelf.tail(lines) == tuple(f"line {seq}" for seq in newest)


async def test_what_is_forgotten_is_gone_and_only_that(shelf: Shelf) -> None:
    await (await shelf.writer()).append([chunk(0, "a")], NOON)
    other = await open_writer(shelf.own, "d2", PLENTY, PLENTY)
    await other.append([chunk(0, "b"), chunk(1, "c")], NOON)
    assert await shelf.own.read(logs.sizes) == {"d1": 2, "d2": 4}
    assert await shelf.own.write(lambda tx: logs.forget(tx, "d2")) == 2
    assert await shelf.own.read(logs.sizes) == {"d1": 2}
    assert (await shelf.page()).items[0].text == "a"
