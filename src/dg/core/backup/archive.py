"""The form of a backup: an encrypted tar of known names, which is read without trusting a byte of it.

    content   a gzip member with the tar: the files, then `manifest.json`
    length    8 bytes: how long the tar is

Both are encrypted (`encryption.py`), so that what was cut off or changed is found before anything is
unpacked. What somebody encrypted on purpose meets the same checks as anything from outside: a name that is
not expected, a link, a device, a file that is there twice or larger than announced.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import os
import re
import stat
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from dg.core.backup import encryption, sealed
from dg.core.backup.encryption import Encrypted, Encrypting, Identity, Recipient
from dg.core.errors import Invalid
from dg.core.types import NAME_PATTERN

MANIFEST = "manifest.json"
LARGEST_MANIFEST = 64 << 20
"""Bytes of the manifest at most; a run with its log takes about 2 kB of it."""
ENVIRONMENT = "environment.json"
"""The file that the backup of one environment holds."""

_PIECE = 1 << 20
_LEVEL = 1
"""Of the compression: a backup that takes long is made seldom."""
_LENGTH = 8
_UNFINISHED = ".dg-unfinished-"

_RUN_FILE = r"(ticket|cancel|end)\.json|events\.jsonl|runner\.err|log/[0-9]{12}-[0-9]{3}"
_NAME = re.compile(
    r"dg\.db|logs\.db|environment\.json|server\.toml|secrets\.toml|keys/[A-Za-z0-9][A-Za-z0-9._-]{0,60}"
    rf"|git/{NAME_PATTERN.strip('^$')}\.bundle|runs/[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}/({_RUN_FILE})"
)


def is_known(name: str) -> bool:
    """Whether a file of this name belongs in a backup."""
    return _NAME.fullmatch(name) is not None


class Writer:
    """Takes files one after another; made by `writing`. `finish` makes a backup of them."""

    def __init__(self, file: BinaryIO, fresh: Path, target: Path, recipients: Sequence[Recipient]) -> None:
        self._file = file
        self._fresh = fresh
        self._target = target
        self._encrypting = Encrypting(file, recipients)
        self._packed = gzip.GzipFile("", "wb", _LEVEL, self._encrypting, mtime=0)
        self._tar = tarfile.TarFile.open(
            mode="w|", fileobj=self._packed, format=tarfile.GNU_FORMAT, bufsize=_PIECE
        )

    def add(self, name: str, file: BinaryIO, size: int) -> str:
        """Put the next `size` bytes of `file` in as `name`; returns their SHA-256. Raises OSError."""
        info = tarfile.TarInfo(name)
        info.size, info.mode = size, 0o600
        hashing = _Hashing(file)
        self._tar.addfile(info, hashing)
        return hashing.sha256

    def finish(self, verify: Callable[[Archive], object]) -> None:
        """Let it appear under its name once it is on the disk and `verify` finds it good."""
        self._tar.close()
        unpacked = self._packed.tell()
        self._packed.close()
        self._encrypting.write(unpacked.to_bytes(_LENGTH, "big"))
        self._encrypting.finish()
        self._file.flush()
        os.fsync(self._file.fileno())
        # What is verified comes from the disk, as far as the system lets.
        os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        try:
            verify(_decrypted(Encrypted(self._file, self._encrypting.key)))
        except ValueError as error:
            raise OSError(f"what was read back {error}") from None
        self._fresh.replace(self._target)
        sync_folder(self._target.parent)

    def close(self) -> None:
        """Let go of what was not finished: nothing more is written."""
        self._encrypting.abandon()
        self._tar.close()
        self._packed.close()


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
def writing(target: Path, recipients: Sequence[Recipient]) -> Iterator[Writer]:
    """Write a backup; it takes the name `target` when it is finished, or leaves nothing. Raises OSError."""
    sweep(target.parent)
    fresh = target.with_name(f"{_UNFINISHED}{os.getpid()}-{target.stem}.part")
    descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            writer = Writer(file, fresh, target, recipients)
            try:
                yield writer
            finally:
                writer.close()
    finally:
        with suppress(FileNotFoundError):
            fresh.unlink()


def sweep(folder: Path) -> None:
    """Remove what backups left there that were killed while they were written."""
    for path in folder.glob(f"{_UNFINISHED}*"):
        # A pipe of that name would hold whoever opens it, and a link leads to what is another's.
        with suppress(OSError), open(path, "rb", opener=_opened_as_it_is) as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


def _opened_as_it_is(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)


def sync_folder(path: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class Archive:
    """A backup whose every byte is as it was written. Made by `examine`."""

    open: Callable[[], BinaryIO]
    """The packed tar, from its beginning."""
    unpacked: int
    """Bytes of the tar."""
    keys: tuple[str, ...] = ()
    """The names of the keys that it is encrypted for; none for one of an older dg."""


def examine(file: BinaryIO, identities: Sequence[Identity]) -> Archive:
    """Check every byte of a backup. Raises Invalid, Refused where none of `identities` opens it."""
    file.seek(0)
    try:
        if file.read(2) == b"\x1f\x8b":
            return _plain(file)
        header = encryption.read_header(file)
        return _decrypted(Encrypted(file, encryption.key_of(header, identities)), header.names)
    except ValueError as error:
        raise bad(f"it {error}") from None


def _plain(file: BinaryIO) -> Archive:
    unpacked = sealed.check_seal(file)

    def begin() -> BinaryIO:
        file.seek(sealed.SEAL_BYTES)
        return file

    return Archive(begin, unpacked)


def _decrypted(encrypted: Encrypted, keys: tuple[str, ...] = ()) -> Archive:
    """Raises ValueError where a byte is another."""
    content, size, tail = encrypted.open(), 0, b""
    while piece := content.read(_PIECE):
        size += len(piece)
        tail = (tail + piece)[-_LENGTH:]
    if size < _LENGTH or size != encrypted.size:
        raise ValueError("was cut off")
    return Archive(encrypted.open, int.from_bytes(tail, "big"), keys)


class Member:
    """One file of a backup; its content can be read once, before the next one."""

    def __init__(self, name: str, size: int, content: gzip.GzipFile) -> None:
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

    def skip(self) -> None:
        """Read what is left of it, for its hash."""
        for _ in self.pieces():
            pass


def members(archive: Archive) -> Iterator[Member]:
    """The files of the backup in their order, the manifest last; no more is unpacked than it says.

    The tar's headers are read here one by one: `tarfile` would read what a header announces, however long,
    and knows links, devices and sparse files, of which a backup has none. Raises Invalid.
    """
    seen: set[str] = set()
    try:
        with gzip.GzipFile(fileobj=archive.open()) as content:
            while (block := content.read(tarfile.BLOCKSIZE)) != bytes(tarfile.BLOCKSIZE):
                info = tarfile.TarInfo.frombuf(block, "ascii", "strict")
                if info.type != tarfile.REGTYPE or not (info.name == MANIFEST or is_known(info.name)):
                    raise bad("it holds something that is no file of a backup")
                if info.name in seen:
                    raise bad(f"it holds {info.name} twice")
                seen.add(info.name)
                padded = -(-info.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
                if info.size < 0 or content.tell() + padded > archive.unpacked:
                    raise bad(f"{info.name} is larger than the whole backup")
                member = Member(info.name, info.size, content)
                yield member
                member.skip()
                content.read(padded - info.size)
    except (gzip.BadGzipFile, zlib.error, EOFError, tarfile.HeaderError, ValueError) as error:
        raise bad(f"it cannot be unpacked: {error}") from None


def bad(why: str) -> Invalid:
    """What to raise for a file that cannot be restored."""
    return Invalid(f"this backup cannot be used: {why}; take another one", reason="bad_backup")
