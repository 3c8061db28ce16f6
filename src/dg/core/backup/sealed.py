"""Backups as older versions wrote them, in plain gzip behind a seal: they are still restored.

    seal      an empty gzip member; its comment holds the lengths of what follows and the SHA-256 of both
    content   a gzip member with the tar

The seal covers every byte, the unused bits of the compressed stream too. It is no signature.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import BinaryIO

_PIECE = 1 << 20
_SEAL = re.compile(rb"dg backup 1: ([0-9]{20}) bytes packed, ([0-9]{20}) unpacked, sha256 ([0-9a-f]{64})")
_EMPTY_MEMBER = (b"\x1f\x8b\x08\x10" + b"\0" * 5 + b"\xff", b"\0\x03\0" + b"\0" * 8)
"""What stands before and behind the comment of a gzip member without content (RFC 1952)."""


def seal(packed: int, unpacked: int, sha256: str) -> bytes:
    head, tail = _EMPTY_MEMBER
    return head + lengths(packed, unpacked) + f", sha256 {sha256}".encode() + tail


def lengths(packed: int, unpacked: int) -> bytes:
    return f"dg backup 1: {packed:020} bytes packed, {unpacked:020} unpacked".encode()


SEAL_BYTES = len(seal(0, 0, "0" * 64))


def sealing(file: BinaryIO, unpacked: int) -> bytes:
    """The seal that fits what follows in `file`; its hash covers the lengths too."""
    begin = file.tell()
    packed = file.seek(0, os.SEEK_END) - begin
    file.seek(begin)
    sha256 = hashlib.sha256(lengths(packed, unpacked))
    while piece := file.read(_PIECE):
        sha256.update(piece)
    return seal(packed, unpacked, sha256.hexdigest())


def check_seal(file: BinaryIO) -> int:
    """Hold every byte of the backup against its seal; the bytes of the tar inside. Raises ValueError."""
    file.seek(0)
    found_seal = file.read(SEAL_BYTES)
    found = _SEAL.search(found_seal)
    if found is None or found_seal != seal(int(found[1]), int(found[2]), found[3].decode()):
        raise ValueError("does not begin as a backup of dg does")
    length = os.fstat(file.fileno()).st_size - SEAL_BYTES
    if length != int(found[1]):
        raise ValueError(f"has {length} bytes behind its seal, where {int(found[1])} were written")
    if found_seal != sealing(file, int(found[2])):
        raise ValueError("was changed after it was written: its SHA-256 is another")
    return int(found[2])
