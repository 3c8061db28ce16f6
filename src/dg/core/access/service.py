"""Who is asking and what they may do: tokens, principals' names, and the check that every service makes."""

from __future__ import annotations

import hashlib
import logging
import math
import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from dg.core.access import store
from dg.core.access.denials import Denial, Denials
from dg.core.access.issuer import MAX_LENGTH, Claims, LocalIssuer, refusal
from dg.core.access.models import (
    ACTIONS,
    OWNER,
    SYSTEM,
    Action,
    Grant,
    IssuedToken,
    Principal,
    Role,
    Token,
)
from dg.core.bus import Bus
from dg.core.clock import Clock, Ids
from dg.core.database import Database, Tx
from dg.core.errors import Forbidden, Invalid, NotFound, Problem, Unauthenticated
from dg.core.events import TokenCreated, TokenRevoked
from dg.core.home import Home
from dg.core.idempotency import Once
from dg.core.idempotency import once as do_once
from dg.core.ledger import Entry
from dg.core.tasks import Tasks
from dg.core.text import plain
from dg.core.types import NAME_PATTERN, Environment
from dg.settings.tree import Access as AccessSettings

log = logging.getLogger(__name__)

_CACHED = 4096
_SECOND = 1_000_000


class Verifier(Protocol):
    """One way to prove who one is; another issuer or kind of key is another of these."""

    def verify(self, credential: str) -> Claims:
        """What the credential says. Raises Unauthenticated when it is not one of this verifier's."""
        ...


@dataclass(frozen=True, slots=True)
class _Verified:
    claims: Claims
    until: float


class Access:
    """Authentication, the one check of permission, and the tokens. Made by `open_access`."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        ids: Ids,
        tasks: Tasks,
        issuer: LocalIssuer,
        settings: AccessSettings,
    ) -> None:
        self._db = db
        self._clock = clock
        self._ids = ids
        self._tasks = tasks
        self._issuer = issuer
        self._verifiers: Sequence[Verifier] = (issuer,)
        self._settings = settings
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()
        self._known: dict[str, Token] = {}
        self._revoked: set[str] = set()
        self._owner_tokens: dict[str, int] = {}
        self._owner = Principal(id=OWNER, name=OWNER, method="local", grants=(Grant(role=Role.ADMIN),))
        self._used: dict[str, int] = {}
        self._denials = Denials()

    # --- who is asking

    async def authenticate(self, credential: str) -> Principal:
        """The principal whose bearer token this is. Raises Unauthenticated, whatever is wrong with it."""
        try:
            claims = self._claims(credential)
            if claims.sub == OWNER:
                return self._owner_of(claims)
            return await self._principal_of(claims)
        except Unauthenticated:
            self._denied(Denial())
            raise

    def _claims(self, credential: str) -> Claims:
        if len(credential) > MAX_LENGTH:
            raise refusal()
        key = hashlib.sha256(credential.encode("utf-8", "surrogatepass")).digest()
        found = self._verified.get(key)
        if found is None or found.until <= self._clock.monotonic():
            found = _Verified(self._verify(credential), self._clock.monotonic() + self._settings.verify_cache)
            self._verified[key] = found
            if len(self._verified) > _CACHED:
                self._verified.popitem(last=False)
        self._verified.move_to_end(key)
        if found.claims.exp + self._settings.leeway <= self._clock.micros() / _SECOND:
            del self._verified[key]
            raise refusal()
        return found.claims

    def _verify(self, credential: str) -> Claims:
        for verifier in self._verifiers:
            try:
                return verifier.verify(credential)
            except Unauthenticated:
                continue
        raise refusal()

    def _owner_of(self, claims: Claims) -> Principal:
        if self._owner_tokens.get(claims.jti, 0) <= self._clock.micros():
            raise refusal()
        return self._owner

    async def _principal_of(self, claims: Claims) -> Principal:
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
        return Principal(id=token.id, name=token.name, kind=token.kind, grants=(token.grant,))

    def observe(self, entries: Sequence[Entry]) -> None:
        """Learn from the ledger which tokens are revoked, before whoever revoked them knows."""
        self._revoked.update(entry.object for entry in entries if entry.type == TokenRevoked.type)

    # --- what they may do

    def require(
        self, principal: Principal, action: Action, environment: str | None = None, service: str | None = None
    ) -> None:
        """Raise Forbidden unless `principal` may do `action` to that object; None is all of a kind."""
        if objection := self.objection(principal, action, environment, service):
            self._denied(Denial(principal, action, environment, service))
            raise objection

    def objection(
        self, principal: Principal, action: Action, environment: str | None, service: str | None
    ) -> Forbidden | None:
        """What `require` would raise, for those who only look ahead: it is no denied try."""
        if principal.may(action, environment, service):
            return None
        return _forbidden(principal, action, environment, service)

    def require_somewhere(self, principal: Principal, action: Action) -> None:
        """Raise Forbidden unless there is any object to which `principal` may do `action`: for lists."""
        if not principal.reaches(action):
            self._denied(Denial(principal, action))
            raise _forbidden(principal, action, None, None)

    def visible(
        self,
        principal: Principal,
        action: Action,
        environment: str | None,
        service: str | None,
        missing: NotFound,
    ) -> None:
        """Raise `missing`, as for an object that is not there, unless `principal` may read this one."""
        if not principal.may(action, environment, service):
            self._denied(Denial(principal, action, environment, service))
            raise missing

    def _denied(self, denial: Denial) -> None:
        if first := self._denials.count(denial, self._clock.monotonic()):
            self._tasks.spawn("record a denied try", self._record([(first, 1)]))

    async def _record(self, denials: Sequence[tuple[Denial, int]]) -> None:
        def work(tx: Tx) -> None:
            for denial, count in denials:
                denial.append(tx, count)

        try:
            await self._db.write(work)
        except Problem as problem:
            log.warning("denied tries are not in the ledger yet: %s", problem.message)
            for denial, count in denials:
                self._denials.put_back(denial, count)

    async def flush(self) -> None:
        """Record the repeats of denied tries and when tokens were used: once a minute, and at the end."""
        used, self._used = self._used, {}
        if used:
            await self._db.write(lambda tx: store.used(tx, used))
        if denials := self._denials.take(self._clock.monotonic()):
            await self._record(denials)

    # --- tokens

    async def create_token(
        self,
        principal: Principal,
        *,
        name: str,
        role: Role | str,
        kind: Literal["person", "service"] = "service",
        environment: Environment | str | None = None,
        service: str | None = None,
        ttl: float | None = None,
        once: Once | None = None,
    ) -> IssuedToken:
        """Issue a token that lasts `ttl` seconds. Raises Invalid, and Forbidden for more than one's own."""
        grant = _grant(role, environment, service)
        self._require_to_give(principal, grant)
        now = self._clock.micros()
        token = Token(
            id=self._ids.new(),
            name=_name(name),
            kind=_kind(kind),
            grant=grant,
            created_at=now,
            created_by=principal.id,
            expires_at=(now // _SECOND + self._seconds(ttl)) * _SECOND,
        )
        kept = await self._db.write(lambda tx: _once(tx, principal, once, token, self._clock))
        return IssuedToken(token=kept, secret=self._sign(kept))

    def _require_to_give(self, principal: Principal, grant: Grant) -> None:
        self.require(principal, Action.TOKEN_CREATE, grant.environment, grant.service)
        for action, roles in ACTIONS.items():
            if grant.role in roles:
                self.require(principal, action, grant.environment, grant.service)

    def _seconds(self, ttl: float | None) -> int:
        seconds = self._settings.token_ttl if ttl is None else ttl
        longest = self._settings.token_ttl_max
        if not (math.isfinite(seconds) and 1 <= seconds <= longest):
            raise Invalid(
                f"ttl: a token lasts from 1 s to {longest:.0f} s (access.token_ttl_max), not {seconds:g} s",
                field="ttl",
            )
        return int(seconds)

    def _sign(self, token: Token) -> str:
        # The same row gives the same secret, so a repeated request gets it again though it is kept nowhere.
        return self._issuer.sign(
            subject=token.id,
            token_id=token.id,
            issued_at=token.created_at // _SECOND,
            expires_at=token.expires_at // _SECOND,
        )

    async def tokens(self, principal: Principal) -> tuple[Token, ...]:
        """The tokens within the caller's reach, oldest first."""
        self.require_somewhere(principal, Action.TOKEN_READ)
        found = await self._db.read(store.tokens)
        return tuple(token for token in found if _may_read(principal, token))

    async def revoke_token(self, principal: Principal, id: str) -> Token:  # noqa: A002 - the public word
        """End a token at once; a second time changes nothing. Raises NotFound."""
        missing = NotFound(f"there is no token {plain(id, limit=64)} that you may see")
        token = await self._db.read(lambda tx: store.find(tx, id))
        if token is None:
            self.require_somewhere(principal, Action.TOKEN_REVOKE)
            raise missing
        self.visible(principal, Action.TOKEN_READ, token.grant.environment, token.grant.service, missing)
        self.require(principal, Action.TOKEN_REVOKE, token.grant.environment, token.grant.service)

        def work(tx: Tx) -> Token:
            if store.revoke(tx, token.id, self._clock.micros()):
                tx.append(TokenRevoked(token=token.id), principal)
            return store.find(tx, token.id) or token

        return await self._db.write(work)

    def owner_token_due(self) -> bool:
        """Whether the newest token of the machine's owner has less than half of its time left, or begins in
        what is the future again, since the clock was set back."""
        left = max(self._owner_tokens.values(), default=0) - self._clock.micros()
        whole = self._settings.owner_ttl * _SECOND
        return not whole / 2 < left <= whole + self._settings.leeway * _SECOND

    async def owner_token(self, owner: str) -> str:
        """A fresh administrator's token for the machine's owner, whose name is `owner`.

        Made at each start and when it is due; the ones before it end soon (settings).
        """
        now = self._clock.micros()
        token_id = self._ids.new()
        until = (now // _SECOND + int(self._settings.owner_ttl)) * _SECOND
        overlap = now + int(self._settings.owner_overlap * _SECOND)

        def work(tx: Tx) -> dict[str, int]:
            kept = {key: min(end, overlap) for key, end in store.owner_tokens(tx).items() if end > now}
            kept[token_id] = until
            store.set_owner_tokens(tx, kept)
            store.set_name(tx, OWNER, owner, "person")
            return kept

        self._owner_tokens = await self._db.write(work)
        self._owner = self._owner.model_copy(update={"name": owner})
        return self._issuer.sign(
            subject=OWNER, token_id=token_id, issued_at=now // _SECOND, expires_at=until // _SECOND
        )

    # --- names

    async def names(self, ids: Iterable[str]) -> dict[str, str]:
        """What people read for principals, by id; an id that is not known stands for itself."""
        wanted = set(ids)

        def work(tx: Tx) -> dict[str, str]:
            return {key: store.name(tx, key) or key for key in wanted}

        return await self._db.glance(work)


async def open_access(
    db: Database,
    *,
    bus: Bus,
    clock: Clock,
    ids: Ids,
    tasks: Tasks,
    home: Home,
    settings: AccessSettings,
) -> Access:
    """Access to this home; makes the signing key at the first start. Raises Refused for an exposed key."""
    fresh = ids.new()

    def settle(tx: Tx) -> str:
        store.set_name(tx, SYSTEM.id, SYSTEM.name, SYSTEM.kind)
        return store.home_id(tx, fresh)

    home_id = await db.write(settle)
    issuer = LocalIssuer(
        home.keys,
        settings.issuer or f"dg:{home_id}",
        clock=clock,
        leeway=settings.leeway,
        longest=max(settings.token_ttl_max, settings.owner_ttl),
    )
    access = Access(db, clock, ids, tasks, issuer, settings)
    bus.subscribe(access.observe)
    return access


def _once(tx: Tx, principal: Principal, wish: Once | None, token: Token, clock: Clock) -> Token:
    def effect(tx: Tx) -> Token:
        store.insert(tx, token)
        store.set_name(tx, token.id, token.name, token.kind)
        tx.append(
            TokenCreated(
                token=token.id,
                role=token.grant.role,
                expires_at=token.expires_at,
                environment=token.grant.environment,
                service=token.grant.service,
            ),
            principal,
        )
        return token

    return do_once(tx, principal, wish, Token, clock, effect)


def _may_read(principal: Principal, token: Token) -> bool:
    return principal.may(Action.TOKEN_READ, token.grant.environment, token.grant.service)


def _forbidden(
    principal: Principal, action: Action, environment: str | None, service: str | None
) -> Forbidden:
    roles = sorted(ACTIONS.get(action, frozenset()))
    scope = "/".join(filter(None, (service, environment)))
    where = f" on {scope}" if scope else " everywhere" if _is_narrow(principal) else ""
    named = " or ".join(filter(None, (", ".join(roles[:-1]), *roles[-1:])))
    held = ", ".join(sorted({_held(grant) for grant in principal.grants})) or "no role"
    return Forbidden(
        f"{action}{where} needs the role {named}; {principal.name} has {held}. "
        "Ask an administrator for a token that has it",
        action=str(action),
        roles=[str(role) for role in roles],
    )


def _is_narrow(principal: Principal) -> bool:
    """Whether it holds a role in some places only, which then is why it may not."""
    return any(grant.service or grant.environment for grant in principal.grants)


def _held(grant: Grant) -> str:
    scope = "/".join(filter(None, (grant.service, grant.environment)))
    return f"{grant.role} on {scope}" if scope else str(grant.role)


def _grant(role: Role | str, environment: Environment | str | None, service: str | None) -> Grant:
    if role not in set(Role):
        raise Invalid(f"role: {plain(str(role), limit=64)!r} is not one of {', '.join(Role)}", field="role")
    if environment is not None and environment not in set(Environment):
        raise Invalid(
            f"environment: {plain(str(environment), limit=64)!r} is not one of {', '.join(Environment)}",
            field="environment",
        )
    if service is not None and not re.fullmatch(NAME_PATTERN, service):
        raise Invalid(
            f"service: {plain(service, limit=64)!r} is not a service's name: "
            "lower case letters, digits and dashes",
            field="service",
        )
    scope = Environment(environment) if environment else None
    return Grant(role=Role(role), environment=scope, service=service)


def _name(name: str) -> str:
    if not 0 < len(name.strip()) <= 100 or plain(name) != name:
        raise Invalid(
            "name: 1 to 100 visible characters, so that people know whose token it is", field="name"
        )
    return name.strip()


def _kind(kind: Literal["person", "service"]) -> Literal["person", "service"]:
    if kind not in ("person", "service"):
        raise Invalid(f"kind: {plain(str(kind), limit=64)!r} is neither person nor service", field="kind")
    return kind
