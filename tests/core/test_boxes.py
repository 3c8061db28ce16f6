"""Boxes for a server's key, held against the key schedule of RFC 9180 written out."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dg.core.boxes import fingerprint, open_box, public_key, seal, secret_context
from dg.core.errors import Invalid

SECRET = "correct horse, ünlocked"
CONTEXT = secret_context("staging", "session_key", 3)
KEM = b"KEM\x00\x20"
SUITE = b"HPKE\x00\x20\x00\x01\x00\x02"


@pytest.fixture
def private() -> bytes:
    return os.urandom(32)


def extract(suite: bytes, salt: bytes, label: bytes, secret: bytes) -> bytes:
    return hmac.new(salt or bytes(32), b"HPKE-v1" + suite + label + secret, hashlib.sha256).digest()


def expand(suite: bytes, key: bytes, label: bytes, info: bytes, length: int) -> bytes:
    """One block of HKDF-Expand is enough for every length here."""
    labelled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.new(key, labelled + b"\x01", hashlib.sha256).digest()[:length]


def opened_by_the_book(private: bytes, raw: bytes, info: bytes) -> bytes:
    """Sections 4.1, 5.1 and 5.2 of the RFC, for mode_base."""
    enc, ciphertext = raw[:32], raw[32:]
    key = X25519PrivateKey.from_private_bytes(private)
    shared = key.exchange(X25519PublicKey.from_public_bytes(enc))
    of_kem = extract(KEM, b"", b"eae_prk", shared)
    secret = expand(KEM, of_kem, b"shared_secret", enc + public_key(private), 32)
    hashes = extract(SUITE, b"", b"psk_id_hash", b"") + extract(SUITE, b"", b"info_hash", info)
    schedule = extract(SUITE, secret, b"secret", b"")
    aead = expand(SUITE, schedule, b"key", b"\x00" + hashes, 32)
    nonce = expand(SUITE, schedule, b"base_nonce", b"\x00" + hashes, 12)
    return AESGCM(aead).decrypt(nonce, ciphertext, b"")


def test_what_is_sealed_opens_as_the_rfc_has_it(private: bytes) -> None:
    box = seal(public_key(private), SECRET, CONTEXT)
    assert open_box(private, box, CONTEXT) == SECRET
    raw = base64.b64decode(box)
    assert opened_by_the_book(private, raw, CONTEXT.encode()) == SECRET.encode()
    assert SECRET.encode() not in raw


@pytest.mark.parametrize(
    "place", [("production", "session_key", 3), ("staging", "other_key", 3), ("staging", "session_key", 4)]
)
def test_a_box_opens_in_its_own_place_alone(private: bytes, place: tuple[str, str, int]) -> None:
    box = seal(public_key(private), SECRET, CONTEXT)
    with pytest.raises(Invalid, match="does not open here"):
        open_box(private, box, secret_context(*place))


def test_a_box_for_another_server_does_not_open(private: bytes) -> None:
    with pytest.raises(Invalid, match="does not open here"):
        open_box(private, seal(public_key(os.urandom(32)), SECRET, CONTEXT), CONTEXT)


def test_no_changed_bit_and_no_cut_opens(private: bytes) -> None:
    raw = base64.b64decode(seal(public_key(private), SECRET, CONTEXT))
    changed = [raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :] for at in range(len(raw))]
    for wrong in (*changed, *(raw[:length] for length in range(len(raw)))):
        with pytest.raises(Invalid):
            open_box(private, base64.b64encode(wrong).decode(), CONTEXT)


@pytest.mark.parametrize("public", [b"", bytes(32), bytes(31)])
def test_nothing_is_sealed_for_what_is_no_key(public: bytes) -> None:
    with pytest.raises(Invalid, match="sealing key"):
        seal(public, SECRET, CONTEXT)


def test_a_key_is_known_by_its_hash(private: bytes) -> None:
    public = public_key(private)
    assert fingerprint(public) == hashlib.sha256(public).hexdigest()[:32]
