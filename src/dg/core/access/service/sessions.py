"""Sessions: shown to be good, refreshed, listed and revoked."""

from __future__ import annotations

from collections.abc import Sequence

from dg.core.access import lockout, store
from dg.core.access.codes import Codes, Refresh
from dg.core.access.issuer import Claims, LocalIssuer, refusal
from dg.core.access.models import NOWHERE, SYSTEM, Action, Origin, Principal
from dg.core.access.service.access import Access
from dg.core.access.sessions import RevokedWhy, Session, SessionTokens
from dg.core.access.verified import Verified
from dg.core.clock import SECOND, Clock, Ids
from dg.core.database import Database, Tx
from dg.core.errors import NotFound
from dg.core.events import SessionReuseDetected, SessionRevoked
from dg.core.ledger import Entry
from dg.core.text import plain
from dg.settings.access import Access as AccessSettings

_CACHED = 4096


class Sessions:
    """What people who signed in come with: short access tokens, and refresh tokens that are good once."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        ids: Ids,
        access: Access,
        issuer: LocalIssuer,
        codes: Codes,
        settings: AccessSettings,
    ) -> None:
        self._db = db
        self._clock = clock
        self._ids = ids
        self._access = access
        self._issuer = issuer
        self._codes = codes
        self._leeway = settings.leeway
        self._settings = settings.sessions
        self._verified: Verified[Claims] = Verified(clock, settings.verify_cache)
        self._known: dict[str, Session] = {}
        self._revoked: set[str] = set()

    # --- whose they are

    def recognises(self, credential: str) -> bool:
        return self._issuer.is_access_token(credential)

    async def principal(self, credential: str, origin: Origin) -> Principal:
        claims = self._verified.find(credential, self._issuer.verify)
        if claims.exp + self._leeway <= self._clock.micros() / SECOND:
            self._verified.forget(credential)
            raise refusal()
        session = await self._session(claims.sid) if claims.sid else None
        # A set of its own: a row that was read just before it was revoked must not bring it back.
        if session is None or session.id in self._revoked or session.revoked_at is not None:
            raise refusal()
        if session.person != claims.sub:
            raise refusal()
        return session.principal(origin)

    async def _session(self, session_id: str) -> Session | None:
        found = self._known.get(session_id)
        if found is None:
            found = await self._db.read(lambda tx: store.session(tx, session_id))
            if found is not None:
                self._known[session_id] = found
                if len(self._known) > _CACHED:
                    del self._known[next(iter(self._known))]
        return found

    def observe(self, entries: Sequence[Entry]) -> None:
        """Learn from the ledger which sessions are revoked, before whoever revoked them knows."""
        self._revoked.update(entry.object for entry in entries if entry.type == SessionRevoked.type)

    # --- the next tokens

    async def refresh(self, token: str, origin: Origin = NOWHERE) -> SessionTokens:
        """The tokens after these. Raises Unauthenticated for a session that is over, and for a used token.

        A token is good once. For a while (settings) the same one gets the same answer again, which may have
        been lost; after that whoever shows it has stolen it, or was stolen from: all of its family ends.
        """
        shown = self._codes.read(token)
        if shown is None:
            raise self._access.unproved(refusal(), origin)
        found = await self._db.write(lambda tx: self._rotate(tx, shown, token))
        if found is None:
            raise self._access.unproved(refusal(), origin)
        return self.tokens(*found)

    def _rotate(self, tx: Tx, shown: Refresh, token: str) -> tuple[Session, str] | None:
        kept, now = store.chain(tx, shown.session), self._clock.micros()
        if kept is None or kept.session.is_over(now):
            return None
        following = self._codes.after(shown)
        digest = self._codes.digest(following)
        if (shown.generation, self._codes.digest(token)) == (kept.generation, kept.digest):
            idle_at = min(now + int(self._settings.idle * SECOND), kept.session.expires_at)
            store.rotate(tx, kept, digest, now=now, idle_at=idle_at)
            times = {"refreshed_at": now, "idle_at": idle_at}
            return kept.session.model_copy(update=times), following
        if digest == kept.digest and self.is_retry(kept.session, now):
            return kept.session, following
        if shown.generation < kept.generation:
            self.end_family(tx, kept.session, now)
        return None

    def is_retry(self, session: Session, now: int) -> bool:
        """Whether the last answer was given so lately that it may have been lost.

        A clock that was set back does not make that longer.
        """
        return abs(now - session.refreshed_at) <= self._settings.grace * SECOND

    def tokens(self, session: Session, refresh_token: str) -> SessionTokens:
        """A fresh access token of `session`, beside the refresh token that comes with it."""
        now = self._clock.micros() // SECOND
        until = min(now + int(self._settings.access_ttl), session.expires_at // SECOND)
        access = self._issuer.sign(
            subject=session.person,
            token_id=self._ids.new(),
            issued_at=now,
            expires_at=until,
            session=session.id,
        )
        return SessionTokens(
            access_token=access, refresh_token=refresh_token, expires_in=until - now, session=session
        )

    def end_family(self, tx: Tx, session: Session, now: int) -> None:
        """Revoke a session of which somebody has a copy, and all that were approved in it."""
        tx.append(SessionReuseDetected(session=session.id, person=session.person), SYSTEM)
        ahead = [session]
        while ahead:
            each = ahead.pop()
            if store.revoke_session(tx, each.id, RevokedWhy.REUSED, now):
                fact = SessionRevoked(session=each.id, person=each.person, why=RevokedWhy.REUSED.value)
                tx.append(fact, SYSTEM)
                ahead += store.approved_in(tx, each.id)

    # --- which there are

    async def list(self, principal: Principal) -> tuple[Session, ...]:
        """The sessions that are kept, newest first: one's own, and those within the caller's reach."""
        everyone = principal.reaches(Action.SESSION_READ)
        found = await self._db.read(lambda tx: store.sessions(tx, None if everyone else principal.id))
        return tuple(session for session in found if _may(principal, Action.SESSION_READ, session))

    async def revoke(self, principal: Principal, id: str) -> Session:  # noqa: A002 - the public word
        """End a session at once; a second time changes nothing.

        Raises NotFound, for another's also Forbidden and Refused (`last_admin`); one's own always ends.
        """
        session = await self._db.read(lambda tx: store.session(tx, id))
        if session is None or session.person != principal.id:
            self._access.require_somewhere(principal, Action.SESSION_REVOKE)
        if session is None or not _may(principal, Action.SESSION_READ, session):
            raise NotFound(f"there is no session {plain(id, limit=64)} that you may see")
        if not _may(principal, Action.SESSION_REVOKE, session):
            for grant in session.grants:
                self._access.require(principal, Action.SESSION_REVOKE, grant.environment, grant.service)

        def work(tx: Tx) -> Session:
            now = self._clock.micros()
            taken = lockout.of_person(tx, session.person, now)
            if store.revoke_session(tx, id, RevokedWhy.REVOKED, now):
                if session.person != principal.id:
                    lockout.check(tx, principal, taken, now)
                fact = SessionRevoked(session=id, person=session.person, why=RevokedWhy.REVOKED.value)
                tx.append(fact, principal)
            return store.session(tx, id) or session

        return await self._db.write(work)

    async def prune(self, keep: float) -> None:
        """Forget sessions and logins that ended longer than `keep` seconds ago."""
        before = self._clock.micros() - int(keep * SECOND)
        await self._db.write(lambda tx: (store.prune_sessions(tx, before), store.prune_logins(tx, before)))


def _may(principal: Principal, action: Action, session: Session) -> bool:
    """Whether it is one's own, or everything that it may do is within the caller's reach."""
    return session.person == principal.id or all(
        principal.may(action, grant.environment, grant.service) for grant in session.grants
    )
