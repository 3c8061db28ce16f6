"""Whether a notice comes from its source: signatures over the very bytes that arrived.

GitHub: X-Hub-Signature-256. GitLab: webhook-signature (HMAC over id, time and body), or the older
X-Gitlab-Token. Anybody else: DG-Signature, as dg signs what it sends itself. Compared in constant time.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dg.core import signing

_MOST_SIGNATURES = 8
_SECONDS = re.compile(r"[0-9]{1,12}")
_ID = re.compile(r"[!-~]{1,200}")
_STANDARD = re.compile(r"v[0-9a-z]{1,4},[A-Za-z0-9+/]{1,200}={0,2}")


@dataclass(frozen=True)
class Notice:
    """What arrived: header names in lower case, and `at`, the moment in seconds since the epoch."""

    headers: Mapping[str, str]
    body: bytes
    at: float
    tolerance: float
    """Seconds by which a signed time may differ from `at`."""

    def header(self, name: str) -> str:
        return self.headers.get(name, "")


@dataclass(frozen=True)
class Proof:
    """That a notice is from `source`, and by what a repetition of it is known.

    `delivery` is the sender's own id, empty without one. `digest` is the SHA-256 of the body where the sender
    vouches for neither id nor time: there the same body is the same notice.
    """

    source: str
    delivery: str
    digest: str | None = None


def proof(kind: str, source: str, secrets: Sequence[str], notice: Notice) -> Proof | None:
    """The proof that `notice` was made with one of `secrets`; None when it was not."""
    return _KINDS[kind](source, secrets, notice)


def _github(source: str, secrets: Sequence[str], notice: Notice) -> Proof | None:
    given = notice.header("x-hub-signature-256")
    made = (f"sha256={_hmac(secret.encode(), notice.body).hex()}" for secret in secrets)
    if not _any_same(made, [given]):
        return None
    return Proof(source, _id(notice.header("x-github-delivery")), _sha256(notice.body))


def _gitlab(source: str, secrets: Sequence[str], notice: Notice) -> Proof | None:
    if "webhook-signature" in notice.headers:
        return _signed_gitlab(source, secrets, notice)
    if not _any_same(secrets, [notice.header("x-gitlab-token")]):
        return None
    delivery = _id(notice.header("idempotency-key"))
    return Proof(source, delivery, None if delivery else _sha256(notice.body))


def _signed_gitlab(source: str, secrets: Sequence[str], notice: Notice) -> Proof | None:
    name, moment = notice.header("webhook-id"), notice.header("webhook-timestamp")
    signed = f"{name}.{moment}.".encode("utf-8", "surrogatepass") + notice.body
    given = _standard_signatures(notice.header("webhook-signature"))
    keys = (key for secret in secrets for key in _standard_keys(secret))
    made = (base64.b64encode(_hmac(key, signed)).decode() for key in keys)
    if not _any_same(made, given) or not _timely(moment, notice) or not _id(name):
        return None
    return Proof(source, name)


def _generic(source: str, secrets: Sequence[str], notice: Notice) -> Proof | None:
    claimed = signing.read(notice.header(signing.SIGNATURE.lower()))
    if claimed is None:
        return None
    moment, given = claimed
    made = (signing.proof(secret, moment, notice.body) for secret in secrets)
    if not _any_same(made, given) or not _timely(moment, notice):
        return None
    # The id stands outside the signature, the time inside: the same signed bytes are the same notice.
    return Proof(source, _id(notice.header("dg-delivery")), _sha256(signing.signed(moment, notice.body)))


_KINDS: Mapping[str, Callable[[str, Sequence[str], Notice], Proof | None]] = {
    "github": _github,
    "gitlab": _gitlab,
    "generic": _generic,
}


def _standard_signatures(header: str) -> list[str]:
    """The signatures of version 1; none where anything else stands there."""
    found = header.split(" ")
    if len(found) > _MOST_SIGNATURES or not all(map(_STANDARD.fullmatch, found)):
        return []
    return [text.removeprefix("v1,") for text in found if text.startswith("v1,")]


def _standard_keys(secret: str) -> Iterator[bytes]:
    """What a signing secret may mean: base64 behind `whsec_` (Standard Webhooks), or its own bytes."""
    yield secret.encode()
    try:
        yield base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        return


def _any_same(made: Sequence[str] | Iterator[str], given: Sequence[str]) -> bool:
    """Whether one of `made` is one of `given`; looks at all of them."""
    shown = [text.encode("utf-8", "surrogatepass") for text in given]
    found = [hmac.compare_digest(own.encode(), text) for own in made for text in shown]
    return any(found)


def _timely(moment: str, notice: Notice) -> bool:
    return _SECONDS.fullmatch(moment) is not None and abs(int(moment) - notice.at) <= notice.tolerance


def _id(text: str) -> str:
    return text if _ID.fullmatch(text) else ""


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
