"""Encrypts a backup for public keys and opens it with a private one, in pieces that stay in their order.

    header   magic, number of recipients; for each its id, an ephemeral key, and the file's key sealed for it
    chunks   64 KiB each, the last one shorter, every one with a tag of 16 bytes

X25519 and HKDF-SHA256 seal the file's key; AES-256-GCM seals the chunks as in STREAM (Hoang, Reyhanitabar,
Rogaway, Vizár 2015): the nonce is the chunk's number and whether it is the last, and the header is bound into
each. What was changed, moved, left out or added does not open.
"""

from __future__ import annotations

import hashlib
import io
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from dg.core import base64url
from dg.core.errors import Invalid, Refused

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

MAGIC = b"dg backup 2\n"
CHUNK = 64 << 10
TAG = 16
MOST_RECIPIENTS = 20

_PUBLIC, _PRIVATE = "dgbp_", "dgbs_"
_KEY_BYTES = 32
_ID_BYTES = 8
_SEALED_KEY = _KEY_BYTES + TAG
_STANZA = _ID_BYTES + _KEY_BYTES + _SEALED_KEY
_ONCE = bytes(12)
"""The nonce of a key that seals one text in its life."""


@dataclass(frozen=True)
class Recipient:
    """Whom a backup is encrypted for: a public key, which opens nothing."""

    raw: bytes

    @classmethod
    def parse(cls, text: str) -> Recipient:
        """One as it is written, `dgbp_…`. Raises Invalid for anything else."""
        return cls(_parsed(text, _PUBLIC, "a public key of backups"))

    @property
    def id(self) -> bytes:
        return hashlib.sha256(b"dg backup recipient" + self.raw).digest()[:_ID_BYTES]

    @property
    def name(self) -> str:
        """What tells it from others, for people."""
        return self.id.hex()[:8]

    def __str__(self) -> str:
        return _PUBLIC + base64url.encode(self.raw)


@dataclass(frozen=True)
class Identity:
    """The private key of a recipient: it opens what was encrypted for it."""

    raw: bytes = field(repr=False)

    @classmethod
    def make(cls) -> Identity:
        return cls(secrets.token_bytes(_KEY_BYTES))

    @classmethod
    def parse(cls, text: str) -> Identity:
        """One as it is written, `dgbs_…`. Raises Invalid, without repeating it, for anything else."""
        return cls(_parsed(text, _PRIVATE, "a private key of backups"))

    @property
    def recipient(self) -> Recipient:
        return Recipient(self._key.public_key().public_bytes_raw())

    @property
    def written(self) -> str:
        """The key itself, as its file has it."""
        return _PRIVATE + base64url.encode(self.raw)

    def agree(self, ephemeral: bytes) -> bytes:
        """The secret that it shares with the other half of an exchange. Raises ValueError for a bad one."""
        return self._key.exchange(X25519PublicKey.from_public_bytes(ephemeral))

    @property
    def _key(self) -> X25519PrivateKey:
        return X25519PrivateKey.from_private_bytes(self.raw)


def _parsed(text: str, prefix: str, what: str) -> bytes:
    try:
        raw = base64url.decode(text.removeprefix(prefix)) if text.startswith(prefix) else b""
    except ValueError:
        raw = b""
    if len(raw) != _KEY_BYTES:
        raise Invalid(f"this is not {what}: one begins with {prefix} and is made by `dg backup key`")
    return raw


class Encrypting(io.RawIOBase):
    """Encrypts what is written to it into `file`; `finish` ends it. `key` opens it for who made it."""

    def __init__(self, file: BinaryIO, recipients: Sequence[Recipient]) -> None:
        super().__init__()
        self.key = secrets.token_bytes(_KEY_BYTES)
        header = _header(self.key, recipients)
        self._file = file
        self._cipher = _Chunks(self.key, header)
        self._held = bytearray()
        self._number = 0
        self._abandoned = False
        file.write(header)

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        """Take some more; whole chunks go out, but for the one that may be the last."""
        self._held += data
        while len(self._held) > CHUNK:
            self._emit(bytes(self._held[:CHUNK]), last=False)
            del self._held[:CHUNK]
        return memoryview(data).nbytes

    def finish(self) -> None:
        self._emit(bytes(self._held), last=True)

    def abandon(self) -> None:
        """Forget what is held, and whatever still comes."""
        self._abandoned = True

    def _emit(self, chunk: bytes, *, last: bool) -> None:
        if self._abandoned:
            return
        self._file.write(self._cipher.seal(self._number, chunk, last=last))
        self._number += 1


class Encrypted:
    """An encrypted file that is read with its own `key`; `open` checks each byte that it gives.

    Raises Invalid for one that is no such file, when it is made; ValueError for what does not open.
    """

    def __init__(self, file: BinaryIO, key: bytes) -> None:
        self._file = file
        self._begin = len(read_header(file).raw)
        self._cipher = _Chunks(key, read_header(file).raw)
        size = os.fstat(file.fileno()).st_size - self._begin
        self._chunks = max(1, -(-size // (CHUNK + TAG)))
        self.size = size - self._chunks * TAG

    def open(self) -> BinaryIO:
        """What is in it, from its beginning; one reader at a time."""
        return io.BufferedReader(_Decrypting(self), CHUNK)

    def chunk(self, number: int) -> bytes:
        """The content of a chunk; empty behind the last one."""
        if number >= self._chunks:
            return b""
        self._file.seek(self._begin + number * (CHUNK + TAG))
        sealed = self._file.read(CHUNK + TAG)
        try:
            return self._cipher.open(number, sealed, last=number == self._chunks - 1)
        except InvalidTag:
            raise ValueError("was cut off or changed after it was written") from None


class _Decrypting(io.RawIOBase):
    def __init__(self, source: Encrypted) -> None:
        super().__init__()
        self._source = source
        self._number = 0
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        if not self._rest:
            self._rest = memoryview(self._source.chunk(self._number))
            self._number += 1
        room = memoryview(buffer).cast("B")
        size = min(len(room), len(self._rest))
        room[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


class _Chunks:
    def __init__(self, key: bytes, header: bytes) -> None:
        self._cipher = AESGCM(key)
        self._header = hashlib.sha256(header).digest()

    def seal(self, number: int, chunk: bytes, *, last: bool) -> bytes:
        return self._cipher.encrypt(_nonce(number, last=last), chunk, self._header)

    def open(self, number: int, sealed: bytes, *, last: bool) -> bytes:
        return self._cipher.decrypt(_nonce(number, last=last), sealed, self._header)


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


@dataclass(frozen=True)
class Header:
    """What an encrypted file begins with: for whom it is, by id, and what opens its key."""

    raw: bytes
    stanzas: tuple[tuple[bytes, bytes, bytes], ...]
    """The recipient's id, the ephemeral key, the file's key."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(id_.hex()[:8] for id_, _, _ in self.stanzas)


def read_header(file: BinaryIO) -> Header:
    """The header of an encrypted file, which it is read from the beginning of. Raises ValueError."""
    file.seek(0)
    begin = file.read(len(MAGIC) + 1)
    count = begin[-1] if len(begin) > len(MAGIC) else 0
    body = file.read(count * _STANZA)
    if not begin.startswith(MAGIC) or not 1 <= count <= MOST_RECIPIENTS or len(body) < count * _STANZA:
        raise ValueError("does not begin as a backup of dg does")
    pieces = (body[at : at + _STANZA] for at in range(0, len(body), _STANZA))
    middle = _ID_BYTES + _KEY_BYTES
    stanzas = tuple((each[:_ID_BYTES], each[_ID_BYTES:middle], each[middle:]) for each in pieces)
    return Header(begin + body, stanzas)


def key_of(header: Header, identities: Sequence[Identity]) -> bytes:
    """The key of an encrypted file. Raises Refused when none of `identities` is for it, ValueError."""
    for id_, ephemeral, sealed in header.stanzas:
        for identity in identities:
            if identity.recipient.id == id_:
                return _opened(identity, ephemeral, sealed)
    wanted = " or ".join(header.names)
    found = ", ".join(identity.recipient.name for identity in identities)
    raise Refused(
        f"this backup is encrypted for the key {wanted}, and "
        + (f"the key at hand is {found}" if found else "there is no key at hand")
        + ": name the file that holds the right one with --key-file",
        reason="wrong_key",
    )


def _opened(identity: Identity, ephemeral: bytes, sealed: bytes) -> bytes:
    try:
        wrapping = _wrapping(identity.agree(ephemeral), ephemeral, identity.recipient)
        return AESGCM(wrapping).decrypt(_ONCE, sealed, None)
    except (InvalidTag, ValueError):
        raise ValueError("was changed after it was written: its key does not open") from None


def _header(key: bytes, recipients: Sequence[Recipient]) -> bytes:
    if not 1 <= len(recipients) <= MOST_RECIPIENTS:
        raise Invalid(f"backup.recipients: give 1 to {MOST_RECIPIENTS} keys", field="backup.recipients")
    return MAGIC + bytes([len(recipients)]) + b"".join(_stanza(key, each) for each in recipients)


def _stanza(key: bytes, recipient: Recipient) -> bytes:
    ephemeral = Identity.make()
    public = ephemeral.recipient.raw
    try:
        shared = ephemeral.agree(recipient.raw)
    except ValueError:
        raise Invalid(
            f"backup.recipients: {recipient} is no key that anything can be encrypted for",
            field="backup.recipients",
        ) from None
    return recipient.id + public + AESGCM(_wrapping(shared, public, recipient)).encrypt(_ONCE, key, None)


def _wrapping(shared: bytes, ephemeral: bytes, recipient: Recipient) -> bytes:
    derived = HKDF(SHA256(), _KEY_BYTES, salt=ephemeral + recipient.raw, info=b"dg backup 2 file key")
    return derived.derive(shared)
