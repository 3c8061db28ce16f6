"""The form of a backup: a sealed tar of known names, which is read without trusting a byte of it.

    seal      an empty gzip member; its comment holds the lengths of what follows and the SHA-256 of both
    content   a gzip member with the tar: the files, then `manifest.json`

`tar xzf` reads it. The seal covers every byte, the unused bits of the compressed stream too: what was cut off
or changed by accident is found before anything is unpacked. It is no signature; what somebody made on purpose
meets the same checks as anything from outside: a name that is not expected, a link, a device, a file that is
there twice or larger than announced.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from dg.core.errors import Invalid
from dg.core.types import NAME_PATTERN

MANIFEST = "manifest.json"
LARGEST_MANIFEST = 64 << 20
"""Bytes of the manifest at most; a run with its log takes about 2 kB of it."""

_PIECE = 1 << 20
_LEVEL = 1
"""Of the compression: a backup that takes long is made seldom."""
_SEAL = re.compile(rb"dg backup 1: ([0-9]{20}) bytes packed, ([0-9]{20}) unpacked, sha256 ([0-9a-f]{64})")
_EMPTY_MEMBER = (b"\x1f\x8b\x08\x10" + b"\0" * 5 + b"\xff", b"\0\x03\0" + b"\0" * 8)
"""What stands before and behind the comment of a gzip member without content (RFC 1952)."""

_RUN_FILE = r"(ticket|cancel|end)\.json|events\.jsonl|runner\.err|log/[0-9]{12}-[0-9]{3}"
_NAME = re.compile(
    r"dg\.db|logs\.db|server\.toml|secrets\.toml|keys/[A-Za-z0-9][A-Za-z0-9._-]{0,60}"
    rf"|git/{NAME_PATTERN.strip('^$')}\.bundle|runs/[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}/({_RUN_FILE})"
)


def is_known(name: str) -> bool:
    """Whether a file of this name belongs in a backup."""
    return _NAME.fullmatch(name) is not None


def _seal(packed: int, unpacked: int, sha256: str) -> bytes:
    head, tail = _EMPTY_MEMBER
    return head + _lengths(packed, unpacked) + f", sha256 {sha256}".encode() + tail


def _lengths(packed: int, unpacked: int) -> bytes:
    return f"dg backup 1: {packed:020} bytes packed, {unpacked:020} unpacked".encode()


_SEAL_BYTES = len(_seal(0, 0, "0" * 64))


def _sealing(file: BinaryIO, unpacked: int) -> bytes:
    """The seal that fits what follows in `file`; its hash covers the lengths too."""
    begin = file.tell()
    packed = file.seek(0, os.SEEK_END) - begin
    file.seek(begin)
    sha256 = hashlib.sha256(_lengths(packed, unpacked))
    while piece := file.read(_PIECE):
        sha256.update(piece)
    return _seal(packed, unpacked, sha256.hexdigest())


class Writer:
    """Takes files one after another; made by `writing`."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar

    def add(self, name: str, file: BinaryIO, size: int) -> str:
        """Put the next `size` bytes of `file` in as `name`; returns their SHA-256. Raises OSError."""
        info = tarfile.TarInfo(name)
        info.size, info.mode = size, 0o600
        hashing = _Hashing(file)
        self._tar.addfile(info, hashing)
        return hashing.sha256


class _Hashing:
    """A file that is hashed while it is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        self._hash.update(data)
        return data

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


@contextmanager
def writing(target: Path) -> Iterator[Writer]:
    """Write a backup; it takes the name `target`, sealed and on the disk, when the block ends well."""
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            file.write(_seal(0, 0, "0" * 64))
            with (
                gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as packed,
                tarfile.open(mode="w|", fileobj=packed, format=tarfile.GNU_FORMAT, bufsize=_PIECE) as tar,
            ):
                yield Writer(tar)
                tar.close()
                unpacked = packed.tell()
            _write_seal(file, unpacked)
        fresh.replace(target)
        sync_folder(target.parent)
    finally:
        with suppress(FileNotFoundError):
            fresh.unlink()


def _write_seal(file: BinaryIO, unpacked: int) -> None:
    file.seek(_SEAL_BYTES)
    seal = _sealing(file, unpacked)
    file.seek(0)
    file.write(seal)
    file.flush()
    os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_seal(file: BinaryIO) -> int:
    """Hold every byte of the backup against its seal; returns the bytes of the tar inside. Raises Invalid."""
    seal = file.read(_SEAL_BYTES)
    found = _SEAL.search(seal)
    if found is None or seal != _seal(int(found[1]), int(found[2]), found[3].decode()):
        raise bad("it does not begin as a backup of dg does")
    length = os.fstat(file.fileno()).st_size - _SEAL_BYTES
    if length != int(found[1]):
        raise bad(f"it has {length} bytes behind its seal, where {int(found[1])} were written")
    if seal != _sealing(file, int(found[2])):
        raise bad("it was changed after it was written: its SHA-256 is another")
    return int(found[2])


class Member:
    """One file of a backup; its content can be read once, before the next one."""

    def __init__(self, name: str, size: int, content: BinaryIO) -> None:
        self.name = name
        self.size = size
        self.sha256 = hashlib.sha256()
        self._content = content
        self._left = size

    def pieces(self) -> Iterator[bytes]:
        """The content, hashed on its way. Raises Invalid when the archive ends before it."""
        while self._left:
            piece = self._content.read(min(self._left, _PIECE))
            if not piece:
                raise bad(f"it ends within {self.name}")
            self._left -= len(piece)
            self.sha256.update(piece)
            yield piece


def members(file: BinaryIO, unpacked: int) -> Iterator[Member]:
    """The files of the backup in their order, the manifest last; not more than `unpacked` bytes are unpacked.

    The tar's headers are read here one by one: `tarfile` would read what a header announces, however long,
    and knows links, devices and sparse files, of which a backup has none. Raises Invalid.
    """
    file.seek(_SEAL_BYTES)
    seen: set[str] = set()
    try:
        with gzip.GzipFile(fileobj=file) as content:
            while (block := content.read(tarfile.BLOCKSIZE)) != bytes(tarfile.BLOCKSIZE):
                info = tarfile.TarInfo.frombuf(block, "ascii", "strict")
                if info.type != tarfile.REGTYPE or not (info.name == MANIFEST or is_known(info.name)):
                    raise bad("it holds something that is no file of a backup")
                if info.name in seen:
                    raise bad(f"it holds {info.name} twice")
                seen.add(info.name)
                padded = -(-info.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
                if info.size < 0 or content.tell() + padded > unpacked:
                    raise bad(f"{info.name} is larger than the whole backup")
                member = Member(info.name, info.size, content)  # type: ignore[arg-type]
                yield member
                for _ in member.pieces():
                    pass
                content.read(padded - info.size)
    except (gzip.BadGzipFile, zlib.error, EOFError, tarfile.HeaderError, UnicodeDecodeError) as error:
        raise bad(f"it cannot be unpacked: {error}") from None


def bad(why: str) -> Invalid:
    """What to raise for a file that cannot be restored."""
    return Invalid(f"this backup cannot be used: {why}; take another one", reason="bad_backup")
