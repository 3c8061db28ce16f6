"""The keys that a foreign issuer signs with: pinned, or fetched from where it publishes them (RFC 7517).

What is known is never waited for: keys that are no longer fresh are fetched beside the request that noticed,
and go on being used for a day while their place does not answer, or answers what is no set of keys.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from dg.core import base64url
from dg.core.access.jws import ALGORITHM, json_object
from dg.core.clock import Clock
from dg.core.errors import Problem, Refused, Unavailable
from dg.core.http import Outbound, Request
from dg.core.tasks import Tasks
from dg.core.text import plain

log = logging.getLogger(__name__)

FRESH = 3600.0
"""Seconds for which fetched keys are not asked for again."""
STALE = 86400.0
"""Seconds after a good fetch until which its keys are used."""
PAUSE = 30.0
"""Seconds from one fetch to the next, whatever is asked for."""
PAUSE_WITHOUT = 5.0
"""The same while no keys are known at all, and so nobody is let in."""
PATIENCE = 3.0
"""Seconds that one fetch may take from its beginning to its last byte."""
MOST_BYTES = 128 << 10
MOST_KEYS = 32

_BITS = range(2048, 8192 + 1)
_MOST_EXPONENT = 1 << 32
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class Keys(Protocol):
    """The public keys of one issuer."""

    @property
    def generation(self) -> int:
        """Another number whenever the keys are others: what was verified with them is void then."""
        ...

    @property
    def state(self) -> str:
        """`ok`, or what is wrong with them in a few words."""
        ...

    def refresh(self) -> asyncio.Task[None] | None:
        """Begin to fetch them, where they are fetched and the last time is long enough ago."""
        ...

    async def find(self, kid: str) -> RSAPublicKey | None:
        """The key of that id, None when there is none. Raises Unavailable when no keys are known at all."""
        ...


class PinnedKey:
    """The one key of an issuer, in a PEM file; whatever id a token names, it must be this one."""

    generation = 0
    state = "ok"

    def __init__(self, file: Path) -> None:
        """Raises Refused for a file without an RSA public key of 2048 bits or more."""
        try:
            key = load_pem_public_key(file.read_bytes())
        except (OSError, ValueError) as error:
            raise Refused(
                f"access.clerk.pem_file: {file} is no public key in PEM form: {error}",
                reason="key_unreadable",
            ) from None
        if not isinstance(key, RSAPublicKey) or key.key_size not in _BITS:
            raise Refused(
                f"access.clerk.pem_file: {file} is no RSA key of 2048 bits or more", reason="key_unreadable"
            )
        self._key = key

    def refresh(self) -> None:
        """There is nothing to fetch."""

    async def find(self, kid: str) -> RSAPublicKey | None:
        return self._key


class PublishedKeys:
    """The keys at a URL. One fetch at a time, and one in `PAUSE` seconds, however many ask for whatever."""

    def __init__(
        self, url: str, outbound: Outbound, clock: Clock, tasks: Tasks, *, patience: float = PATIENCE
    ) -> None:
        self.generation = 0
        self._url = url
        self._outbound = outbound
        self._clock = clock
        self._tasks = tasks
        self._patience = patience
        self._keys: Mapping[str, RSAPublicKey] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._trouble: str | None = None

    @property
    def state(self) -> str:
        if self._fetched_at is None:
            return "never fetched" if self._trouble else "ok"
        if self._trouble is None:
            return "ok"
        return "too old" if self._age() >= STALE else "not renewed"

    async def find(self, kid: str) -> RSAPublicKey | None:
        if (key := self._known().get(kid)) is not None:
            if self._age() >= FRESH:
                self.refresh()
            return key
        if fetching := self.refresh():
            # Whoever waits may leave without ending the fetch for all.
            await asyncio.wait([fetching])
        known = self._known()
        if not known:
            raise Unavailable(
                "the keys of those who vouch for people cannot be had now; try again in a while"
            )
        return known.get(kid)

    def refresh(self) -> asyncio.Task[None] | None:
        """The fetch that runs, or a new one when the last one is long enough ago."""
        now = self._clock.monotonic()
        pause = PAUSE if self._known() else PAUSE_WITHOUT
        if self._fetching is None and (self._tried_at is None or now - self._tried_at >= pause):
            self._tried_at = now
            self._fetching = self._tasks.spawn("fetch public keys", self._fetch())
        return self._fetching

    def _known(self) -> Mapping[str, RSAPublicKey]:
        return self._keys if self._age() < STALE else {}

    def _age(self) -> float:
        return float("inf") if self._fetched_at is None else self._clock.monotonic() - self._fetched_at

    async def _fetch(self) -> None:
        try:
            keys = usable_keys(await self._read())
        except (Problem, ValueError) as error:
            self._fail(str(error))
        else:
            self._take(keys)
        finally:
            self._fetching = None

    def _take(self, keys: Mapping[str, RSAPublicKey]) -> None:
        self._trouble = None
        self._fetched_at = self._clock.monotonic()
        if _numbers(keys) != _numbers(self._keys):
            self.generation += 1
        self._keys = keys

    def _fail(self, why: str) -> None:
        self._trouble = why
        log.warning("the keys at %s cannot be had: %s", self._url, plain(why, limit=200))

    async def _read(self) -> bytes:
        wanted = Request(
            "GET", self._url, {"Accept": "application/json"}, timeout=self._patience, cap=MOST_BYTES
        )
        answer = await self._outbound.send(wanted)
        if answer.status != HTTPStatus.OK or answer.truncated:
            raise ValueError(
                f"the answer is {answer.status} of {len(answer.content)} bytes, not a set of keys"
            )
        return answer.content


def usable_keys(raw: bytes) -> dict[str, RSAPublicKey]:
    """The RSA keys for signatures of a JSON Web Key Set by their ids; other keys are left out.

    Raises ValueError for what is no such set, and for one that shows that its keeper is not
    to be trusted now: with a private key, two keys of one id, an uncommonly large number, or none of use.
    """
    listed = json_object(raw).get("keys")
    if not isinstance(listed, list) or len(listed) > MOST_KEYS:
        raise ValueError(f"there is no list of at most {MOST_KEYS} keys")
    found: dict[str, RSAPublicKey] = {}
    for entry in listed:
        if not isinstance(entry, dict):
            raise ValueError("a key is no object")  # noqa: TRY004 - a wrong text, not a wrong call
        if _PRIVATE & entry.keys():
            raise ValueError("a private key is among them")
        kid = entry.get("kid")
        if not _is_for_signatures(entry) or not isinstance(kid, str):
            continue
        if kid in found:
            raise ValueError("two keys have one id")
        if key := _rsa_key(entry):
            found[kid] = key
    if not found:
        raise ValueError("there is no RSA key for signatures among them")
    return found


def _is_for_signatures(entry: Mapping[str, Any]) -> bool:
    operations = entry.get("key_ops", ["verify"])
    return (
        entry.get("kty") == "RSA"
        and entry.get("use", "sig") == "sig"
        and entry.get("alg", ALGORITHM) == ALGORITHM
        and isinstance(operations, list)
        and "verify" in operations
    )


def _rsa_key(entry: Mapping[str, Any]) -> RSAPublicKey | None:
    """The key of an entry; None for one that is too weak, or too strong to be checked quickly."""
    modulus, exponent = _number(entry.get("n")), _number(entry.get("e"))
    if modulus.bit_length() not in _BITS or exponent > _MOST_EXPONENT:
        return None
    return RSAPublicNumbers(exponent, modulus).public_key()


def _number(text: object) -> int:
    if not isinstance(text, str):
        raise ValueError("a number is missing")  # noqa: TRY004 - a wrong text, not a wrong call
    return int.from_bytes(base64url.decode(text), "big")


def _numbers(keys: Mapping[str, RSAPublicKey]) -> dict[str, RSAPublicNumbers]:
    return {kid: key.public_numbers() for kid, key in keys.items()}
