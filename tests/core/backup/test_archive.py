"""The form of a backup: what is cut off, changed or made on purpose is refused before anything is written."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dg.core.backup import archive
from dg.core.errors import Invalid

POINTS = 100


def read(path: Path) -> dict[str, bytes]:
    """Every file of a backup."""
    with path.open("rb") as file:
        unpacked = archive.check_seal(file)
        return {each.name: b"".join(each.pieces()) for each in archive.members(file, unpacked)}


NOISE = random.Random(1).randbytes(5000)  # noqa: S311 - the same each time is what is wanted
"""Bytes that do not compress."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A sound backup of two files; one compresses well, the other not at all."""
    path = tmp_path_factory.mktemp("whole") / "backup.tar.gz"
    with archive.writing(path) as writer:
        for name, content in (("dg.db", b"row " * 5000), ("logs.db", NOISE)):
            writer.add(name, io.BytesIO(content), len(content))
    return path.read_bytes()


def test_what_was_written_is_read_again(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "backup"
    path.write_bytes(whole)
    assert read(path) == {"dg.db": b"row " * 5000, "logs.db": NOISE}


def test_a_backup_is_a_tar_to_other_programs(whole: bytes) -> None:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(whole))) as tar:
        assert tar.getnames() == ["dg.db", "logs.db"]
        assert {info.mode for info in tar} == {0o600}


def test_a_backup_is_for_its_owner_alone_and_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "backup"
    with pytest.raises(OSError, match="unexpected end of data"), archive.writing(path) as writer:
        writer.add("dg.db", io.BytesIO(b"half"), 8)
    assert list(tmp_path.iterdir()) == []
    with archive.writing(path):
        pass
    assert path.stat().st_mode & 0o777 == 0o600


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
    with pytest.raises(Invalid, match="bytes behind its seal, where"):
        read(path)


def test_one_changed_bit_anywhere_is_found(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "backup"
    places = [*range(200), *range(len(whole) - 50, len(whole)), *range(200, len(whole) - 50, 101)]
    for place in places:
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        with pytest.raises(Invalid, match="this backup cannot be used: it "):
            read(path)


# --- made on purpose: sealed by whoever made it --------------------------------------------------

Change = Callable[[tarfile.TarInfo], object]


def forge(path: Path, name: str, change: Change = lambda _: None, content: bytes = b"") -> Path:
    """A sealed backup with one member as an attacker likes it."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    change(info)
    with archive.writing(path) as writer:
        writer._tar.addfile(info, io.BytesIO(content))
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
    with archive.writing(path) as writer:
        for content in (b"good", b"evil"):
            writer.add("dg.db", io.BytesIO(content), 4)
    with pytest.raises(Invalid, match=r"dg\.db twice"):
        read(path)


@pytest.mark.parametrize("size", [1 << 20, 1 << 40, -512])
def test_a_file_that_announces_more_than_there_is_is_refused(tmp_path: Path, size: int) -> None:
    header = tarfile.TarInfo("dg.db")
    header.size = size
    path = tmp_path / "backup"
    with archive.writing(path) as writer:
        writer._tar.fileobj.write(header.tobuf(tarfile.GNU_FORMAT))
    with pytest.raises(Invalid, match="this backup cannot be used"):
        read(path)


def test_no_more_is_unpacked_than_the_seal_says(tmp_path: Path) -> None:
    path = tmp_path / "backup"
    with archive.writing(path) as writer:
        writer.add("dg.db", io.BytesIO(bytes(1 << 22)), 1 << 22)
    with path.open("rb") as file:
        archive.check_seal(file)
        with pytest.raises(Invalid, match="larger than the whole backup"):
            list(archive.members(file, 1 << 20))
