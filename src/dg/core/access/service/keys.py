"""API keys of service accounts: made and shown once, proved, rotated with an overlap, revoked at once."""

from __future__ import annotations

import ipaddress
import logging
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from dg.core.access import asked, keyform, store
from dg.core.access import scopes as scopes_of
from dg.core.access.issuer import refusal
from dg.core.access.models import (
    Action,
    ApiKey,
    IssuedKey,
    KeySecret,
    Origin,
    Principal,
    Scope,
)
from dg.core.access.pepper import Pepper
from dg.core.access.rights import check_unchanged
from dg.core.access.service.access import Access
from dg.core.access.store import keys as kept_keys
from dg.core.access.store.keys import Secret
from dg.core.clock import SECOND, Clock, Ids
from dg.core.database import Database, Tx
from dg.core.errors import Invalid, NotFound, Refused
from dg.core.events import KeyCreated, KeyMisused, KeyRevoked, KeyRotated
from dg.core.idempotency import Once
from dg.core.idempotency import once as do_once
from dg.core.ledger import Entry
from dg.core.text import plain
from dg.settings.access import Access as AccessSettings

log = logging.getLogger(__name__)

LONGEST_OVERLAP = 7 * 86400
"""Seconds for which a secret may open something beside the one that came after it."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A secret that was asked for, with its key as it is."""

    secret: Secret
    revoked: bool
    networks: tuple[scopes_of.Network, ...]
    principal: Principal


class Keys:
    """The keys of this home. A key proves a service account, which stays the same when its secret changes."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        ids: Ids,
        access: Access,
        pepper: Pepper,
        settings: AccessSettings,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._db = db
        self._clock = clock
        self._ids = ids
        self._access = access
        self._pepper = pepper
        self._settings = settings
        self._entropy = entropy
        self._known: dict[str, _Known] = {}
        self._changes = 0
        self._used: dict[str, int] = {}
        self._elsewhere: Counter[str] = Counter()

    # --- whose they are

    def recognises(self, credential: str) -> bool:
        return credential.startswith(keyform.PREFIX)

    async def principal(self, credential: str, origin: Origin) -> Principal:
        begins = keyform.public_part(credential)
        known = self._known.get(begins)
        if known is None:
            # One that is mistyped is not looked for.
            if not keyform.is_sound(credential):
                raise refusal()
            known = await self._find(begins)
        now = self._clock.micros()
        digest, pepper = (known.secret.digest, known.secret.pepper) if known else ("", "")
        proved = self._pepper.matches(credential, digest, pepper)
        if known is None or not proved or known.revoked or known.secret.until <= now:
            raise refusal()
        if known.networks and not scopes_of.is_inside(origin.address, known.networks):
            self._elsewhere[known.principal.id] += 1
            raise refusal()
        self._used[known.principal.id] = now
        return known.principal.model_copy(update={"origin": origin})

    async def _find(self, begins: str) -> _Known | None:
        before = self._changes
        read = await self._db.glance(lambda tx: _read(tx, begins))
        # What was read while something changed may be from before that.
        if read is not None and before == self._changes:
            self._known[begins] = read
        return read

    def observe(self, entries: Sequence[Entry]) -> None:
        """Learn from the ledger which keys changed, before whoever changed them knows."""
        changed = {entry.object for entry in entries if entry.type in (KeyRotated.type, KeyRevoked.type)}
        if changed:
            self._changes += 1
            self._known = {
                begins: known for begins, known in self._known.items() if known.principal.id not in changed
            }

    async def flush(self) -> None:
        """Record when keys were used, and which from elsewhere: once a minute, and at the end."""
        used, self._used = self._used, {}
        elsewhere, self._elsewhere = self._elsewhere, Counter()

        def work(tx: Tx) -> None:
            kept_keys.used(tx, used)
            for key_id, count in elsewhere.items():
                if key := kept_keys.find(tx, key_id):
                    where = scopes_of.where(key)
                    fact = KeyMisused(
                        key=key.id, count=count, environment=where["environment"], service=where["service"]
                    )
                    tx.append(fact, key.principal())

        if used or elsewhere:
            await self._db.write(work)

    async def warn_of_lost(self) -> None:
        """Log how many keys that should be good were kept under a pepper that is not here."""
        now = self._clock.micros()
        counts = await self._db.read(lambda tx: kept_keys.peppers(tx, now))
        for pepper, count in sorted(counts.items()):
            if not self._pepper.knows(pepper):
                log.warning(
                    "%d API keys open nothing, because the pepper %s is missing in keys/pepper: "
                    "put its line back, or rotate them (dg key list, dg key rotate)",
                    count,
                    pepper,
                )

    # --- made and taken back

    async def create(
        self,
        principal: Principal,
        *,
        name: str,
        scopes: Iterable[Scope],
        addresses: Iterable[str] = (),
        ttl: float | None = None,
        once: Once | None = None,
    ) -> IssuedKey:
        """A key for a service account that lasts `ttl` seconds; its secret is in this answer alone.

        Raises:
            Invalid: a field cannot be so.
            Forbidden: it would be allowed more than its maker.
            Refused: `once` made a key before, whose secret was shown then.
        """
        rights = await self._access.rights()
        wanted = scopes_of.scopes(rights, scopes)
        now = self._clock.micros()
        until = now + self._lifetime(ttl, self._settings.key_ttl) * SECOND
        given = [scopes_of.meaning(rights, scope) for scope in wanted]
        for grant in given:
            self._access.require_to_give(principal, Action.KEY_CREATE, grant, until)
        credential = keyform.make(scopes_of.only_environment(wanted), self._entropy)
        secret = self._secret(self._ids.new(), credential, now, until)
        key = ApiKey(
            id=secret.key,
            name=scopes_of.name_of(name),
            scopes=wanted,
            addresses=scopes_of.networks(addresses),
            created_at=now,
            created_by=principal.id,
            expires_at=until,
            secrets=(KeySecret(begins=secret.begins, created_at=now, until=until),),
        )

        def effect(tx: Tx) -> ApiKey:
            check_unchanged(tx, (grant for grant, scope in zip(given, wanted, strict=True) if scope.role))
            kept_keys.insert(tx, key)
            kept_keys.insert_secret(tx, secret)
            store.set_name(tx, key.id, key.name, "service")
            fact = KeyCreated(
                key=key.id,
                begins=secret.begins,
                scopes=[str(scope) for scope in key.scopes],
                addresses=list(key.addresses),
                expires_at=until,
                **scopes_of.where(key),
            )
            tx.append(fact, principal)
            return key

        made = await self._db.write(lambda tx: do_once(tx, principal, once, ApiKey, self._clock, effect))
        return _shown(made, secret, credential)

    async def rotate(
        self,
        principal: Principal,
        id: str,  # noqa: A002 - the public word
        *,
        overlap: float | None = None,
        ttl: float | None = None,
        once: Once | None = None,
    ) -> IssuedKey:
        """A new secret for a key; those before it open nothing after `overlap` seconds.

        It lasts `ttl` seconds, else as long as the one before did. Raises as `create` does, NotFound, and
        Refused for a key that was revoked.
        """
        found = await self._visible(principal, id, Action.KEY_ROTATE)
        now = self._clock.micros()
        last = found.secrets[-1]
        usual = min((last.until - last.created_at) / SECOND, self._settings.key_ttl_max)
        until = now + self._lifetime(ttl, usual) * SECOND
        rights = await self._access.rights()
        # Whoever has the secret comes as the key, with what is bound to it too.
        for grant in rights.complete(found.principal(), now).grants:
            self._access.require_to_give(
                principal, Action.KEY_ROTATE, grant, _earlier(until, grant.expires_at)
            )
        ends = now + self._overlap(overlap) * SECOND
        credential = keyform.make(scopes_of.only_environment(found.scopes), self._entropy)
        secret = self._secret(found.id, credential, now, until)

        def effect(tx: Tx) -> ApiKey:
            if (current := kept_keys.find(tx, found.id)) is None or current.revoked_at is not None:
                raise Refused(
                    f"the key {found.name} was revoked; create another with `dg key create`", reason="revoked"
                )
            kept_keys.end_secrets(tx, found.id, ends)
            kept_keys.insert_secret(tx, replace(secret, number=len(current.secrets) + 1))
            kept_keys.renew(tx, found.id, until)
            fact = KeyRotated(
                key=found.id, begins=secret.begins, expires_at=until, old_until=ends, **scopes_of.where(found)
            )
            tx.append(fact, principal)
            return kept_keys.find(tx, found.id) or current

        made = await self._db.write(lambda tx: do_once(tx, principal, once, ApiKey, self._clock, effect))
        return _shown(made, secret, credential)

    async def revoke(self, principal: Principal, id: str) -> ApiKey:  # noqa: A002 - the public word
        """End a key with all its secrets at once; a second time changes nothing. Raises NotFound."""
        found = await self._visible(principal, id, Action.KEY_REVOKE)
        for scope in found.scopes:
            self._access.require(principal, Action.KEY_REVOKE, scope.environment, scope.service)

        def work(tx: Tx) -> ApiKey:
            if kept_keys.revoke(tx, found.id, self._clock.micros()):
                tx.append(KeyRevoked(key=found.id, **scopes_of.where(found)), principal)
            return kept_keys.find(tx, found.id) or found

        return await self._db.write(work)

    async def list(self, principal: Principal) -> tuple[ApiKey, ...]:
        """The keys all of whose scopes are within the caller's reach, oldest first."""
        self._access.require_somewhere(principal, Action.KEY_READ)
        found = await self._db.read(kept_keys.every)
        return tuple(key for key in found if _may_read(principal, key))

    async def _visible(self, principal: Principal, key_id: str, action: Action) -> ApiKey:
        self._access.require_somewhere(principal, action)
        missing = NotFound(f"there is no API key {plain(key_id, limit=64)} that you may see")
        found = await self._db.read(lambda tx: kept_keys.find(tx, key_id))
        if found is None:
            raise missing
        for scope in found.scopes:
            self._access.require_visible(
                principal, Action.KEY_READ, scope.environment, scope.service, missing
            )
        return found

    def _secret(self, key_id: str, credential: str, now: int, until: int) -> Secret:
        return Secret(
            begins=keyform.public_part(credential),
            key=key_id,
            number=1,
            digest=self._pepper.digest(credential),
            pepper=self._pepper.newest,
            created_at=now,
            until=until,
        )

    def _lifetime(self, ttl: float | None, usual: float) -> int:
        given = usual if ttl is None else ttl
        return asked.lifetime(given, self._settings.key_ttl_max, "a key", "access.key_ttl_max")

    def _overlap(self, overlap: float | None) -> int:
        seconds = self._settings.key_overlap if overlap is None else overlap
        if not (math.isfinite(seconds) and 0 <= seconds <= LONGEST_OVERLAP):
            raise Invalid(
                f"overlap: the old secret may go on for 0 s to {LONGEST_OVERLAP} s, not {seconds:g} s",
                field="overlap",
            )
        return int(seconds)


def _read(tx: Tx, begins: str) -> _Known | None:
    secret = kept_keys.find_secret(tx, begins)
    key = kept_keys.find(tx, secret.key) if secret else None
    if secret is None or key is None:
        return None
    networks = tuple(map(ipaddress.ip_network, key.addresses))
    return _Known(secret, key.revoked_at is not None, networks, key.principal())


def _earlier(moment: int, end: int | None) -> int:
    return moment if end is None else min(moment, end)


def _shown(key: ApiKey, secret: Secret, credential: str) -> IssuedKey:
    if secret.begins not in {each.begins for each in key.secrets}:
        raise Refused(
            f"this request was done before: the key {key.name} has the id {key.id}, and its secret was shown "
            "then; if it got lost, rotate the key",
            reason="shown_once",
            id=key.id,
        )
    return IssuedKey(key=key, secret=credential)


def _may_read(principal: Principal, key: ApiKey) -> bool:
    return all(principal.may(Action.KEY_READ, scope.environment, scope.service) for scope in key.scopes)
