"""The form in which dg signs what it sends and wants signed what it gets: webhooks out, notices in.

`docs/webhooks.md` shows receivers how to check it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence

SIGNATURE = "DG-Signature"
_FORM = re.compile(r"t=[0-9]{1,12}(,v1=[0-9a-f]{64}){1,8}")


def new_secret() -> str:
    """A secret that scanners can find: 32 random bytes behind a prefix."""
    return f"whsec_{secrets.token_urlsafe(32)}"


def signed(moment: str, body: bytes) -> bytes:
    """What a proof is over: seconds since the epoch, as they stand in the header, and the body."""
    return f"{moment}.".encode() + body


def proof(key: str, moment: str, body: bytes) -> str:
    """HMAC-SHA256 over `signed`, as hex."""
    return hmac.new(key.encode(), signed(moment, body), hashlib.sha256).hexdigest()


def signature(keys: Sequence[str], moment: int, body: bytes) -> str:
    """The header `t=SECONDS,v1=HEX`, with a `v1` for each of `keys`."""
    return ",".join([f"t={moment}", *(f"v1={proof(key, str(moment), body)}" for key in keys)])


def read(header: str) -> tuple[str, list[str]] | None:
    """The moment and the proofs that `header` claims; None where it has another form."""
    if not _FORM.fullmatch(header):
        return None
    moment, *proofs = header.removeprefix("t=").split(",v1=")
    return moment, proofs
