"""Tokens: given out, shown to be good, listed and revoked; and those of the machine's owner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from dg.core.access import asked, lockout, store
from dg.core.access.issuer import Claims, LocalIssuer, refusal
from dg.core.access.models import (
    OWNER,
    Action,
    Grant,
    IssuedToken,
    Origin,
    Principal,
    Role,
    Token,
)
from dg.core.access.names import checked_name
from dg.core.access.rights import check_unchanged
from dg.core.access.service.access import Access
from dg.core.access.service.people import Whose, whose
from dg.core.access.sessions import Person
from dg.core.access.verified import Verified
from dg.core.clock import SECOND, Clock, Ids
from dg.core.database import Database, Tx
from dg.core.errors import Invalid, NotFound
from dg.core.events import TokenCreated, TokenRevoked
from dg.core.idempotency import Once
from dg.core.idempotency import once as do_once
from dg.core.ledger import Entry
from dg.core.text import plain
from dg.core.types import Environment
from dg.settings.access import Access as AccessSettings

_EVERYTHING = (Grant(role=Role.ADMIN),)


class Tokens:
    """The tokens that this home signs itself: bearer JWT whose rows can be listed and revoked."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        ids: Ids,
        access: Access,
        issuer: LocalIssuer,
        settings: AccessSettings,
    ) -> None:
        self._db = db
        self._clock = clock
        self._ids = ids
        self._access = access
        self._issuer = issuer
        self._settings = settings
        self._verified: Verified[Claims] = Verified(clock, settings.verify_cache)
        self._known: dict[str, Token] = {}
        self._revoked: set[str] = set()
        self._owner_tokens: dict[str, int] = {}
        self._owner_name = OWNER
        self._used: dict[str, int] = {}

    # --- whose they are

    def recognises(self, credential: str) -> bool:
        return self._issuer.recognises(credential)

    async def principal(self, credential: str, origin: Origin) -> Principal:
        claims = self._verified.find(credential, self._issuer.verify)
        if claims.exp + self._settings.leeway <= self._clock.micros() / SECOND:
            self._verified.forget(credential)
            raise refusal()
        if claims.sub == OWNER:
            return self._owner(claims, origin)
        token = self._known.get(claims.jti)
        if token is None:
            token = await self._db.read(lambda tx: store.find(tx, claims.jti))
            if token is None:
                raise refusal()
            self._known[token.id] = token
        # A set of its own: a row that was read just before it was revoked must not bring it back.
        if token.id in self._revoked or token.revoked_at is not None or token.id != claims.sub:
            raise refusal()
        self._used[token.id] = self._clock.micros()
        return token.principal(origin)

    def _owner(self, claims: Claims, origin: Origin) -> Principal:
        if self._owner_tokens.get(claims.jti, 0) <= self._clock.micros():
            raise refusal()
        return Principal(id=OWNER, name=self._owner_name, method="local", grants=_EVERYTHING, origin=origin)

    def observe(self, entries: Sequence[Entry]) -> None:
        """Learn from the ledger which tokens are revoked, before whoever revoked them knows."""
        self._revoked.update(entry.object for entry in entries if entry.type == TokenRevoked.type)

    async def flush(self) -> None:
        """Record when tokens were used: once a minute, and at the end."""
        used, self._used = self._used, {}
        if used:
            await self._db.write(lambda tx: store.used(tx, used))

    # --- given out and taken back

    async def create(
        self,
        principal: Principal,
        *,
        name: str,
        role: str,
        kind: Literal["person", "service"] = "service",
        environment: Environment | str | None = None,
        service: str | None = None,
        ttl: float | None = None,
        person: str | None = None,
        once: Once | None = None,
    ) -> IssuedToken:
        """Issue a token that lasts `ttl` seconds. Raises Invalid, and Forbidden for more than one's own.

        One of a `person`, by their name, counts as the same one as their sessions and other tokens.
        """
        grant = asked.grant(await self._access.rights(), role, environment, service)
        now = self._clock.micros()
        ends = (now // SECOND + self._lifetime(ttl)) * SECOND
        self._access.require_to_give(principal, Action.TOKEN_CREATE, grant, ends)
        token = Token(
            id=self._ids.new(),
            name=checked_name(name, "name"),
            kind=_kind(kind),
            grant=grant,
            created_at=now,
            created_by=principal.id,
            expires_at=ends,
        )
        whose = await self._whose(principal, token, person)

        def effect(tx: Tx) -> Token:
            check_unchanged(tx, [grant])
            return _insert(tx, principal, token, whose.settle(tx, principal, now) if whose else None)

        kept = await self._db.write(lambda tx: do_once(tx, principal, once, Token, self._clock, effect))
        return IssuedToken(token=kept, secret=self._sign(kept))

    async def _whose(self, principal: Principal, token: Token, person: str | None) -> Whose | None:
        if person is None:
            return None
        if token.kind != "person":
            raise Invalid("person: a service's token is nobody's; make its kind person", field="person")
        fresh = self._ids.new()
        return await whose(self._db, self._access, principal, Action.TOKEN_CREATE, person, fresh)

    def _lifetime(self, ttl: float | None) -> int:
        given = self._settings.token_ttl if ttl is None else ttl
        return asked.lifetime(given, self._settings.token_ttl_max, "a token", "access.token_ttl_max")

    def _sign(self, token: Token) -> str:
        # The same row gives the same secret, so a repeated request gets it again though it is kept nowhere.
        return self._issuer.sign(
            subject=token.id,
            token_id=token.id,
            issued_at=token.created_at // SECOND,
            expires_at=token.expires_at // SECOND,
        )

    async def list(self, principal: Principal) -> tuple[Token, ...]:
        """The tokens within the caller's reach, oldest first."""
        self._access.require_somewhere(principal, Action.TOKEN_READ)
        found = await self._db.read(store.tokens)
        return tuple(token for token in found if _may_read(principal, token))

    async def revoke(self, principal: Principal, id: str) -> Token:  # noqa: A002 - the public word
        """End a token at once; a second time changes nothing. Raises NotFound, Refused (`last_admin`)."""
        self._access.require_somewhere(principal, Action.TOKEN_REVOKE)
        missing = NotFound(f"there is no token {plain(id, limit=64)} that you may see")
        token = await self._db.read(lambda tx: store.find(tx, id))
        if token is None:
            raise missing
        where = (token.grant.environment, token.grant.service)
        self._access.require_visible(principal, Action.TOKEN_READ, *where, missing)
        self._access.require(principal, Action.TOKEN_REVOKE, *where)

        def work(tx: Tx) -> Token:
            now = self._clock.micros()
            taken = lockout.of_token(tx, token, now)
            if store.revoke(tx, token.id, now):
                lockout.check(tx, principal, taken, now)
                tx.append(TokenRevoked(token=token.id), principal)
            return store.find(tx, token.id) or token

        return await self._db.write(work)

    def owner_token_due(self) -> bool:
        """Whether the newest token of the machine's owner has less than half of its time left, or begins in
        what is the future again, since the clock was set back."""
        left = max(self._owner_tokens.values(), default=0) - self._clock.micros()
        whole = self._settings.owner_ttl * SECOND
        return not whole / 2 < left <= whole + self._settings.leeway * SECOND

    async def owner_token(self, owner: str) -> str:
        """A fresh administrator's token for the machine's owner, whose name is `owner`.

        Made at each start and when it is due; the ones before it end soon (settings).
        """
        now = self._clock.micros()
        token_id = self._ids.new()
        until = (now // SECOND + int(self._settings.owner_ttl)) * SECOND
        overlap = now + int(self._settings.owner_overlap * SECOND)

        def work(tx: Tx) -> dict[str, int]:
            kept = {key: min(end, overlap) for key, end in store.owner_tokens(tx).items() if end > now}
            kept[token_id] = until
            store.set_owner_tokens(tx, kept)
            store.set_name(tx, OWNER, owner, "person")
            return kept

        self._owner_tokens = await self._db.write(work)
        self._owner_name = owner
        return self._issuer.sign(
            subject=OWNER, token_id=token_id, issued_at=now // SECOND, expires_at=until // SECOND
        )


def _insert(tx: Tx, principal: Principal, token: Token, person: Person | None) -> Token:
    if person is not None:
        token = token.model_copy(update={"person": person.id, "person_name": person.name})
    store.insert(tx, token)
    store.set_name(tx, token.id, token.name, token.kind)
    fact = TokenCreated(
        token=token.id,
        role=token.grant.role,
        expires_at=token.expires_at,
        environment=token.grant.environment,
        service=token.grant.service,
        person=token.person,
    )
    tx.append(fact, principal)
    return token


def _may_read(principal: Principal, token: Token) -> bool:
    return principal.may(Action.TOKEN_READ, token.grant.environment, token.grant.service)


def _kind(kind: Literal["person", "service"]) -> Literal["person", "service"]:
    if kind not in ("person", "service"):
        raise Invalid(f"kind: {plain(str(kind), limit=64)!r} is neither person nor service", field="kind")
    return kind
