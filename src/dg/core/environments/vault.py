"""Seals the secrets of environments: a data key for each, which the home's envelope seals.

Which environment, name and version a secret has is bound into it, so a text moved elsewhere does not open.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from dg.core import boxes
from dg.core.clock import Clock
from dg.core.database import Database, Tx
from dg.core.environments import store
from dg.core.environments.models import Box, SealingKey, SecretState
from dg.core.errors import Refused, Stale
from dg.core.keys import Envelope
from dg.core.text import plain
from dg.core.types import Environment
from dg.runner.handover import Sealed

_KEY_BYTES = 32
_FINGERPRINTS = "fingerprints"
_SEALING = "sealing"
_FINGERPRINT_DIGITS = 8


@dataclass(frozen=True)
class Wholeness:
    """How many sealed texts there are, how many of them an older key sealed, and which do not open."""

    sealed: int
    older: int
    broken: tuple[str, ...]


class Vault:
    """Works inside transactions; data keys are made when they are first needed."""

    def __init__(self, envelope: Envelope, clock: Clock) -> None:
        self._envelope = envelope
        self._clock = clock

    def put(self, tx: Tx, environment: Environment, name: str, text: str) -> int:
        """Keep `text` as the secret's next version, which is returned."""
        version = store.last_version(tx, environment, name) + 1
        self.put_as(tx, environment, name, version, text)
        return version

    def put_as(self, tx: Tx, environment: Environment, name: str, version: int, text: str) -> None:
        """Keep `text` as a version that the secret does not have yet."""
        sealed = Envelope([self._made_key(tx, environment.value)]).seal(
            text, _place(environment, name, version)
        )
        store.add_secret(tx, environment, name, version, sealed)

    def open(self, tx: Tx, environment: Environment, name: str, version: int) -> str:
        """A secret's value. Raises Refused when it or its key is gone, was changed or moved."""
        sealed = store.sealed(tx, environment, name, version)
        key = self._key(tx, environment.value)
        if sealed is None or key is None:
            raise Refused(
                f"the secret `{name}` of {environment} is not in the database any more: set it again",
                reason="sealed",
            )
        return Envelope([key]).open(sealed, _place(environment, name, version))

    def fingerprint(self, tx: Tx, text: str) -> str:
        """What tells equal secrets of a home from different ones, and nothing without its key."""
        return self.digest(tx, text)[:_FINGERPRINT_DIGITS]

    def digest(self, tx: Tx, text: str) -> str:
        """The same, so long that different texts never have the same: 64 hexadecimal digits."""
        return hmac.new(self._made_key(tx, _FINGERPRINTS), text.encode(), hashlib.sha256).hexdigest()

    def sealing_fingerprint(self, tx: Tx) -> str:
        """What people compare the key by that clients seal for."""
        return boxes.fingerprint(boxes.public_key(self._made_key(tx, _SEALING)))

    def sealing_key(self, tx: Tx, environment: Environment, name: str) -> SealingKey:
        """What a client seals the next version of a secret with."""
        public = boxes.public_key(self._made_key(tx, _SEALING))
        return SealingKey(
            key=boxes.fingerprint(public),
            suite=boxes.SUITE,
            public_key=base64.b64encode(public).decode(),
            version=store.last_version(tx, environment, name) + 1,
        )

    def open_box(self, tx: Tx, environment: Environment, name: str, box: Box) -> str:
        """What a client sealed. Raises Stale for another key or version than is given now, Invalid."""
        now = self.sealing_key(tx, environment, name)
        if (box.key, box.version) != (now.key, now.version):
            raise Stale(
                f"the secret was sealed as version {box.version} for the key {plain(box.key, limit=32)}, "
                f"and `{name}` of {environment} takes version {now.version} for {now.key}: seal it again",
                reason="stale",
            )
        context = boxes.secret_context(environment, name, box.version)
        return boxes.open_box(self._made_key(tx, _SEALING), box.box, context)

    def check(self, tx: Tx) -> Wholeness:
        """Open every secret, and keep nothing of it. None of them is under an older data key."""
        found = store.kept_secrets(tx)
        broken = [
            f"version {version} of the secret `{name}` of {environment}"
            for environment, name, version in found
            if not self._opens(tx, environment, name, version)
        ]
        return Wholeness(sealed=len(found), older=0, broken=tuple(broken))

    def _opens(self, tx: Tx, environment: Environment, name: str, version: int) -> bool:
        try:
            self.open(tx, environment, name, version)
        except Refused:
            return False
        return True

    def _key(self, tx: Tx, name: str) -> bytes | None:
        sealed = store.data_key(tx, name)
        return bytes.fromhex(self._envelope.open(sealed, key_place(name))) if sealed else None

    def _made_key(self, tx: Tx, name: str) -> bytes:
        if (key := self._key(tx, name)) is not None:
            return key
        key = secrets.token_bytes(_KEY_BYTES)
        store.add_data_key(tx, name, self._envelope.seal(key.hex(), key_place(name)), self._clock.micros())
        return key


class KeptSecrets:
    """The secrets of environments as the steps of deployments get them."""

    def __init__(self, db: Database, vault: Vault, clock: Clock) -> None:
        self._db = db
        self._vault = vault
        self._clock = clock

    async def get(self, service: str, environment: Environment, names: Iterable[str]) -> dict[str, str]:
        """The values of those of `names` that are set, for the steps of `service`, which is noted.

        Sealed ones open in the runner alone. Raises Refused as `Vault.open` does.
        """
        wanted = frozenset(names)

        def work(tx: Tx) -> dict[str, str]:
            states, found = store.newest(tx, environment)[0].secrets, {}
            for name in sorted(wanted & states.keys()):
                text = self._vault.open(tx, environment, name, states[name].version)
                found[name] = _handed(states[name], text)
                store.note_use(tx, environment, name, service, self._clock.micros())
            return found

        return await self._db.write(work) if wanted & await self.names(environment) else {}

    async def names(self, environment: Environment) -> frozenset[str]:
        """Every name that is set."""
        content, _ = await self._db.read(lambda tx: store.newest(tx, environment))
        return frozenset(content.secrets)


def _handed(state: SecretState, text: str) -> str:
    return Sealed(text) if state.grade == "runner_only" else text


def _place(environment: Environment, name: str, version: int) -> str:
    return f"environment/{environment}/secret/{name}/{version}"


def key_place(name: str) -> str:
    """What a data key is bound to."""
    return f"data key/{name}"
