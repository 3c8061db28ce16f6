"""The form of a backup: what is cut off, changed or made on purpose is refused before anything is written."""

from __future__ import annotations

import fcntl
import gzip
import io
import os
import random
import subprocess
import sys
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dg.core.backup import archive
from dg.core.backup.archive import Archive, Writer
from dg.core.backup.encryption import CHUNK, Identity
from dg.core.errors import Invalid, Problem, Refused

POINTS = 100
KEY = Identity(bytes(range(32)))
NOISE = random.Random(1).randbytes(3 * CHUNK)  # noqa: S311 - the same each time is what is wanted
"""Bytes that do not compress: three whole chunks."""


def good(_: Archive) -> None:
    """Whatever is read back."""


def read(path: Path, identities: Sequence[Identity] = (KEY,)) -> dict[str, bytes]:
    """Every file of a backup."""
    with path.open("rb") as file:
        found = archive.examine(file, identities)
        return {each.name: b"".join(each.pieces()) for each in archive.members(found)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A sound backup of two files; one compresses well, the other not at all."""
    path = tmp_path_factory.mktemp("whole") / "backup"
    with archive.writing(path, [KEY.recipient]) as writer:
        for name, content in (("dg.db", b"row " * 5000), ("logs.db", NOISE)):
            writer.add(name, io.BytesIO(content), len(content))
        writer.finish(good)
    return path.read_bytes()


def test_what_was_written_is_read_again(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "backup"
    path.write_bytes(whole)
    assert read(path) == {"dg.db": b"row " * 5000, "logs.db": NOISE}


def test_inside_a_backup_is_a_tar_as_other_programs_read_it(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "backup"
    path.write_bytes(whole)
    with path.open("rb") as file:
        packed = archive.examine(file, [KEY]).open().read()
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(packed[:-8]))) as tar:
        assert tar.getnames() == ["dg.db", "logs.db"]
        assert {info.mode for info in tar} == {0o600}


def test_a_backup_is_for_its_owner_alone_and_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "backup"
    with (
        pytest.raises(OSError, match="unexpected end of data"),
        archive.writing(path, [KEY.recipient]) as writer,
    ):
        writer.add("dg.db", io.BytesIO(b"half"), 8)
    assert list(tmp_path.iterdir()) == []
    with archive.writing(path, [KEY.recipient]) as writer:
        writer.finish(good)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_backup_that_does_not_read_back_does_not_appear(tmp_path: Path) -> None:
    def refuse(_: Archive) -> None:
        raise OSError("another one")

    with (
        pytest.raises(OSError, match="another one"),
        archive.writing(tmp_path / "backup", [KEY.recipient]) as writer,
    ):
        writer.finish(refuse)
    assert list(tmp_path.iterdir()) == []


def test_what_the_disk_changed_before_it_was_read_back_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, fsync = tmp_path / "backup", os.fsync

    def rot(descriptor: int) -> None:
        (unfinished,) = tmp_path.iterdir()
        with unfinished.open("r+b") as file:
            file.seek(500)
            file.write(b"rot")
        fsync(descriptor)

    with archive.writing(path, [KEY.recipient]) as writer:
        writer.add("dg.db", io.BytesIO(NOISE), len(NOISE))
        monkeypatch.setattr(os, "fsync", rot)
        with pytest.raises(OSError, match="what was read back was"):
            writer.finish(good)
    assert list(tmp_path.iterdir()) == []


SWEPT = """
import pathlib, sys
from dg.core.backup import archive
archive.sweep(pathlib.Path(sys.argv[1]))
"""

KILLED = """
import io, os, signal, sys
from pathlib import Path
from dg.core.backup import archive
from dg.core.backup.encryption import Identity
with archive.writing(Path(sys.argv[1]), [Identity.make().recipient]) as writer:
    writer.add("dg.db", io.BytesIO(bytes(1 << 20)), 1 << 20)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_in_the_middle_leaves_nothing_that_looks_whole_and_the_next_one_cleans_up(
    tmp_path: Path,
) -> None:
    path = tmp_path / "backup"
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert [left.name.startswith(".dg-unfinished-") for left in tmp_path.iterdir()] == [True]
    with archive.writing(path, [KEY.recipient]) as writer:
        writer.finish(good)
    assert list(tmp_path.iterdir()) == [path]


def test_what_another_one_writes_just_now_is_not_cleaned_up(tmp_path: Path) -> None:
    other = tmp_path / ".dg-unfinished-1-other"
    with other.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        archive.sweep(tmp_path)
        assert other.exists()
    archive.sweep(tmp_path)
    assert not other.exists()


def test_a_pipe_or_a_link_by_the_name_of_an_unfinished_one_holds_nobody(tmp_path: Path) -> None:
    folder, other = tmp_path / "backups", tmp_path / "other"
    folder.mkdir()
    other.write_bytes(b"another's")
    os.mkfifo(folder / ".dg-unfinished-pipe")
    (folder / ".dg-unfinished-link").symlink_to(other)
    subprocess.run([sys.executable, "-c", SWEPT, str(folder)], check=True, timeout=30)
    assert sorted(left.name for left in folder.iterdir()) == [".dg-unfinished-link", ".dg-unfinished-pipe"]


def test_a_backup_cut_off_anywhere_is_refused(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "backup"
    for point in range(POINTS):
        path.write_bytes(whole[: len(whole) * point // POINTS])
        with pytest.raises(Invalid, match="this backup cannot be used: it ") as refused:
            read(path)
        assert refused.value.reason == "bad_backup"


def test_something_behind_a_backup_is_refused(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "backup"
    path.write_bytes(whole + b"\0")
    with pytest.raises(Invalid, match="was cut off or changed"):
        read(path)


def test_one_changed_bit_anywhere_is_refused_with_a_reason(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "backup"
    places = [*range(101), *range(101, len(whole), len(whole) // POINTS), *range(len(whole) - 30, len(whole))]
    assert len(places) > 2 * POINTS
    for place in places:
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        with pytest.raises(Problem) as refused:
            read(path)
        assert refused.value.reason in {"bad_backup", "wrong_key"}


HEADER = 12 + 1 + 88
SEALED = CHUNK + 16


def chunks(backup: bytes) -> list[bytes]:
    body = backup[HEADER:]
    return [body[at : at + SEALED] for at in range(0, len(body), SEALED)]


@pytest.mark.parametrize(
    "rearranged",
    [
        lambda parts: [parts[1], parts[0], *parts[2:]],
        lambda parts: [parts[0], parts[0], *parts[1:]],
        lambda parts: [parts[0], parts[0], *parts[2:]],
        lambda parts: parts[1:],
        lambda parts: [parts[0], *parts[2:]],
        lambda parts: parts[:-1],
        lambda parts: [*parts, parts[-1]],
        lambda parts: [*parts[:-1], parts[0], parts[-1]],
        lambda parts: parts[::-1],
        lambda parts: [],
    ],
    ids=["swapped", "doubled", "replaced", "first", "middle", "last", "again", "more", "reversed", "none"],
)
def test_chunks_in_another_order_or_number_are_refused(
    tmp_path: Path, whole: bytes, rearranged: Callable[[list[bytes]], list[bytes]]
) -> None:
    assert len(chunks(whole)) > 3
    path = tmp_path / "backup"
    path.write_bytes(whole[:HEADER] + b"".join(rearranged(chunks(whole))))
    with pytest.raises(Invalid, match="was cut off or changed after it was written"):
        read(path)


def test_chunks_of_another_backup_are_refused(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "backup"
    with archive.writing(path, [KEY.recipient]) as writer:
        writer.add("logs.db", io.BytesIO(NOISE), len(NOISE))
        writer.finish(good)
    other = chunks(path.read_bytes())
    path.write_bytes(whole[:HEADER] + b"".join([other[0], *chunks(whole)[1:]]))
    with pytest.raises(Invalid, match="was cut off or changed"):
        read(path)


def test_another_key_opens_nothing_and_the_right_one_is_named(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "backup"
    path.write_bytes(whole)
    other = Identity.make()
    with pytest.raises(Refused, match=f"for the key {KEY.recipient.name}, and the key at hand is") as refused:
        read(path, [other])
    assert refused.value.reason == "wrong_key"
    with pytest.raises(Refused, match="there is no key at hand: name the file"):
        read(path, [])
    assert read(path, [other, KEY])


def test_every_recipient_opens_it(tmp_path: Path) -> None:
    path, keys = tmp_path / "backup", [Identity.make() for _ in range(3)]
    with archive.writing(path, [key.recipient for key in keys]) as writer:
        writer.add("dg.db", io.BytesIO(b"row"), 3)
        writer.finish(good)
    for key in keys:
        assert read(path, [key]) == {"dg.db": b"row"}


def test_nothing_of_what_was_put_in_can_be_read_in_the_file(tmp_path: Path) -> None:
    path, canary = tmp_path / "backup", b"canary-7d1f0c"
    with archive.writing(path, [KEY.recipient]) as writer:
        writer.add("dg.db", io.BytesIO(canary * 1000), len(canary) * 1000)
        writer.finish(good)
    assert canary not in path.read_bytes()
    assert b"dg.db" not in path.read_bytes()


# --- made on purpose: sealed by whoever made it --------------------------------------------------

Change = Callable[[tarfile.TarInfo], object]


def forge(path: Path, name: str, change: Change = lambda _: None, content: bytes = b"") -> Path:
    """A sealed backup with one member as an attacker likes it."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    change(info)
    with archive.writing(path, [KEY.recipient]) as writer:
        writer._tar.addfile(info, io.BytesIO(content))
        writer.finish(good)
    return path


@pytest.mark.parametrize(
    "name",
    [
        "../dg.db",
        "/etc/passwd",
        "runs/../../dg.db",
        "keys/../dg.db",
        "git/../../x.bundle",
        "git/-x.bundle",
        "runs/0190a3f0-0000-7000-8000-000000000000/../x",
        "runs/0190a3f0-0000-7000-8000-000000000000/work/x",
        "keys/.pem",
        "keys/..",
        "keys/a/b",
        "local.token",
        "dg.db\n",
        "./dg.db",
        "dg.db/",
    ],
)
def test_a_name_that_no_backup_holds_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Invalid, match="no file of a backup"):
        read(forge(tmp_path / "backup", name))


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.LNKTYPE,
        tarfile.SYMTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.FIFOTYPE,
        tarfile.DIRTYPE,
        tarfile.CONTTYPE,
        tarfile.GNUTYPE_SPARSE,
        tarfile.XHDTYPE,
        tarfile.GNUTYPE_LONGNAME,
    ],
)
def test_anything_but_a_file_is_refused(tmp_path: Path, kind: bytes) -> None:
    def change(info: tarfile.TarInfo) -> None:
        info.type, info.linkname = kind, "/etc/passwd"

    with pytest.raises(Invalid, match="no file of a backup"):
        read(forge(tmp_path / "backup", "dg.db", change))


def test_a_name_that_comes_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "backup"
    with archive.writing(path, [KEY.recipient]) as writer:
        for content in (b"good", b"evil"):
            writer.add("dg.db", io.BytesIO(content), 4)
        writer.finish(good)
    with pytest.raises(Invalid, match=r"dg\.db twice"):
        read(path)


@pytest.mark.parametrize("size", [1 << 20, 1 << 40, -512])
def test_a_file_that_announces_more_than_there_is_is_refused(tmp_path: Path, size: int) -> None:
    header = tarfile.TarInfo("dg.db")
    header.size = size
    path = tmp_path / "backup"
    with archive.writing(path, [KEY.recipient]) as writer:
        writer._tar.fileobj.write(header.tobuf(tarfile.GNU_FORMAT))
        writer.finish(good)
    with pytest.raises(Invalid, match="this backup cannot be used"):
        read(path)


def test_no_more_is_unpacked_than_the_backup_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "backup"
    with archive.writing(path, [KEY.recipient]) as writer:
        writer.add("dg.db", io.BytesIO(bytes(1 << 22)), 1 << 22)
        say_less(writer, monkeypatch)
        writer.finish(good)
    with pytest.raises(Invalid, match="larger than the whole backup"):
        read(path)


def say_less(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer._packed, "tell", lambda: 1 << 20)
