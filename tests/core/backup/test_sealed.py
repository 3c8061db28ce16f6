"""Backups of an older dg, which were not encrypted: they are read, and no byte may be another."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
from pathlib import Path

import pytest

from dg.core.backup import archive, sealed
from dg.core.errors import Invalid

NOISE = random.Random(1).randbytes(5000)  # noqa: S311 - the same each time is what is wanted


def write_plain(path: Path, files: dict[str, bytes]) -> Path:
    """A backup as an older dg wrote it."""
    unpacked = io.BytesIO()
    with tarfile.open(mode="w", fileobj=unpacked, format=tarfile.GNU_FORMAT) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    packed = io.BytesIO(gzip.compress(unpacked.getvalue(), 1))
    path.write_bytes(sealed.sealing(packed, len(unpacked.getvalue())) + packed.getvalue())
    return path


def read(path: Path) -> dict[str, bytes]:
    with path.open("rb") as file:
        return {each.name: b"".join(each.pieces()) for each in archive.members(archive.examine(file, ()))}


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    return write_plain(tmp_path / "backup.tar.gz", {"dg.db": b"row " * 500, "logs.db": NOISE})


def test_it_is_read_without_any_key(plain: Path) -> None:
    assert read(plain) == {"dg.db": b"row " * 500, "logs.db": NOISE}


def test_cut_off_or_longer_it_is_refused(plain: Path) -> None:
    whole = plain.read_bytes()
    for content in (*(whole[: len(whole) * point // 100] for point in range(100)), whole + b"\0"):
        plain.write_bytes(content)
        with pytest.raises(Invalid, match="this backup cannot be used: it "):
            read(plain)


def test_one_changed_bit_anywhere_is_found(plain: Path) -> None:
    whole = plain.read_bytes()
    for place in [*range(200), *range(200, len(whole), len(whole) // 100)]:
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        plain.write_bytes(changed)
        with pytest.raises(Invalid, match="this backup cannot be used: it "):
            read(plain)
