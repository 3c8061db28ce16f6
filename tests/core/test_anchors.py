"""Anchors: the ledger's head kept in a file and by a command, and what is found by it."""

from __future__ import annotations

import json
import shlex
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.core.access.room import access_to

from dg.core.anchors import Anchors
from dg.core.errors import Unavailable
from dg.core.events import ServerStarted
from dg.core.feed import Feed, open_feed
from dg.core.ledger import GENESIS, Anchor
from dg.core.testing import Ground, ManualClock, open_ground, person

ADMIN = person("admin", name="ada")
KEEP = "import sys; open(sys.argv[1], 'ab').write(sys.stdin.buffer.read())"
ENTRIES = 12


class Stand:
    """A feed over an open home, anchored as it is told."""

    def __init__(self, ground: Ground, feed: Feed, anchors: Anchors) -> None:
        self.ground = ground
        self.feed = feed
        self.anchors = anchors

    async def say(self, count: int = 1, version: str = "1") -> None:
        for _ in range(count):
            await self.ground.db.write(lambda tx: tx.append(ServerStarted(version=version), ADMIN))

    def cut(self, last: int) -> None:
        """Remove what came after entry `last`, and set the head back."""
        with closing(sqlite3.connect(self.ground.home.state)) as other:
            other.execute("DELETE FROM ledger WHERE seq > ?", (last,))
            (newest,) = other.execute("SELECT max(hash) FROM ledger WHERE seq = ?", (last,)).fetchone()
            other.execute("UPDATE ledger_head SET seq = ?, hash = ?", (last, newest or GENESIS))
            other.commit()

    async def found(self) -> tuple[bool, int | None]:
        verdict = await self.feed.verify(ADMIN)
        return verdict.ok, verdict.bad_seq


async def stand_on(ground: Ground, anchors: Anchors) -> Stand:
    access = await access_to(ground)
    feed = await open_feed(ground.db, access=access, bus=ground.bus, clock=ground.clock, anchors=anchors)
    return Stand(ground, feed, anchors)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "anchors.jsonl"


@pytest.fixture
async def stand(tmp_path: Path, file: Path) -> AsyncIterator[Stand]:
    async with open_ground(tmp_path / "home") as ground:
        yield await stand_on(ground, Anchors(file))


def lines(file: Path) -> list[dict[str, object]]:
    """What was anchored so far."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


# --- by command


def keeping(file: Path) -> Anchors:
    """Anchors by a command that appends what it gets to `file`."""
    return Anchors(command=(sys.executable, "-c", KEEP, str(file)))


async def test_a_command_gets_each_new_head_on_its_standard_input(tmp_path: Path, file: Path) -> None:
    async with open_ground(tmp_path / "home") as ground:
        stand = await stand_on(ground, keeping(file))
        await stand.feed.anchor()
        assert lines(file) == []
        for _ in range(2):
            await stand.say(2)
            await stand.feed.anchor()
            await stand.feed.anchor()
        assert [line["seq"] for line in lines(file)] == [2, 5]
        entries = {entry.seq: entry.hash for entry in await stand.feed.read(ADMIN)}
        assert all(entries[int(str(line["seq"]))] == line["hash"] for line in lines(file))
        kept = [entry.seq for entry in await stand.feed.read(ADMIN, filter="type=ledger.anchored")]
        assert kept == [3, 6]
        assert stand.anchors.trouble is None


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("/nowhere/at-all", "`/nowhere/at-all` cannot be run: No such file or directory"),
        ("sh -c 'echo no route >&2; exit 3'", "`sh` ended with code 3: no route"),
        ("sh -c 'exit 4'", "`sh` ended with code 4"),
        ("sh -c 'printf \"\\033[2Jx\"; exit 1'", "`sh` ended with code 1: ␛[2Jx"),
    ],
)
async def test_a_command_that_fails_is_said_and_asked_again(
    tmp_path: Path, command: str, sentence: str
) -> None:
    async with open_ground(tmp_path / "home") as ground:
        stand = await stand_on(ground, Anchors(command=shlex.split(command)))
        await stand.say()
        for _ in range(2):
            await stand.feed.anchor()
            assert stand.anchors.trouble == f"the ledger's head was not anchored: {sentence}"
        assert await stand.feed.read(ADMIN, filter="type=ledger.anchored") == ()


async def test_a_command_that_reads_nothing_is_no_failure(tmp_path: Path) -> None:
    async with open_ground(tmp_path / "home") as ground:
        stand = await stand_on(ground, Anchors(command=("true",)))
        await stand.say()
        await stand.feed.anchor()
        assert stand.anchors.trouble is None


async def test_one_place_that_fails_does_not_keep_it_from_the_other(tmp_path: Path, file: Path) -> None:
    async with open_ground(tmp_path / "home") as ground:
        stand = await stand_on(ground, Anchors(file, ("false",)))
        await stand.say()
        await stand.feed.anchor()
        assert [line["seq"] for line in lines(file)] == [1]
        assert stand.anchors.trouble is not None
        well = await stand_on(ground, Anchors(tmp_path / "missing" / "file", ("true",)))
        await well.feed.anchor()
        assert "cannot be written: No such file or directory" in (well.anchors.trouble or "")


async def test_trouble_is_over_when_it_went_well(tmp_path: Path, file: Path) -> None:
    async with open_ground(tmp_path / "home") as ground:
        stand = await stand_on(ground, Anchors(file.parent / "folder" / "anchors"))
        await stand.say()
        await stand.feed.anchor()
        assert stand.anchors.trouble
        (file.parent / "folder").mkdir()
        await stand.feed.anchor()
        assert stand.anchors.trouble is None


# --- what is found


@pytest.mark.parametrize("last", range(ENTRIES))
async def test_a_ledger_cut_anywhere_is_found(stand: Stand, last: int) -> None:
    await stand.say(ENTRIES)
    await stand.feed.anchor()
    stand.cut(last)
    assert await stand.found() == (False, ENTRIES)


@pytest.mark.parametrize("first", range(1, ENTRIES + 1, 2))
async def test_a_ledger_written_anew_from_anywhere_is_found_at_the_next_anchor(
    tmp_path: Path, file: Path, first: int
) -> None:
    anchored = (4, 8, ENTRIES)
    async with open_ground(tmp_path / "home", ManualClock()) as ground:
        stand = await stand_on(ground, Anchors(file))
        for seq in range(1, ENTRIES + 1):
            await stand.say()
            if seq in anchored:
                await keep(stand, file)
    async with open_ground(tmp_path / "forgery", ManualClock()) as ground:
        forged = await stand_on(ground, Anchors(file))
        await forged.say(first - 1)
        await forged.say(ENTRIES - first + 1, version="another")
        assert await forged.found() == (False, next(seq for seq in anchored if seq >= first))


async def keep(stand: Stand, file: Path) -> None:
    """Anchor the head without leaving an entry about it."""
    head = await stand.feed.head(ADMIN)
    await Anchors(file).keep(Anchor(head.seq, head.hash, "2026-11-26T07:30:00Z"), 0)


async def test_a_ledger_written_anew_is_anchored_no_more(stand: Stand, tmp_path: Path, file: Path) -> None:
    await stand.say(5)
    await stand.feed.anchor()
    before = lines(file)
    async with open_ground(tmp_path / "forgery") as ground:
        forged = await stand_on(ground, Anchors(file))
        await forged.say(20, version="another")
        await forged.feed.anchor()
        assert lines(file) == before
        assert "not the one whose entry 5 was anchored" in (forged.anchors.trouble or "")
        assert await forged.found() == (False, 5)


async def test_an_older_anchor_tells_though_the_newest_fits(stand: Stand, tmp_path: Path, file: Path) -> None:
    await stand.say(5)
    await stand.feed.anchor()
    async with open_ground(tmp_path / "forgery") as ground:
        forged = await stand_on(ground, Anchors(file))
        await forged.say(20, version="another")
        await keep(forged, file)
        assert await forged.found() == (False, 5)


async def test_the_same_ledger_fits_all_its_anchors(stand: Stand, file: Path) -> None:
    for _ in range(4):
        await stand.say(3)
        await stand.feed.anchor()
    assert len(lines(file)) == 4
    assert await stand.found() == (True, None)


@pytest.fixture
def torn(file: Path) -> Path:
    """An anchor file with half a line in it."""
    file.write_text('{"seq": 1\n')
    return file


async def test_an_anchor_file_with_a_bad_line_in_it_proves_nothing(torn: Path, stand: Stand) -> None:
    await stand.say()
    with pytest.raises(Unavailable, match="cannot be read"):
        await stand.feed.verify(ADMIN)
    await stand.feed.anchor()
    assert "cannot be read" in (stand.anchors.trouble or "")
