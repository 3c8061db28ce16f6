"""Logins: a program asks to be let in, a person who may approves, and the program becomes a session.

The shape is that of the OAuth device flow (RFC 8628), with a person of dg's own in place of a web page.
"""

from __future__ import annotations

import math
from collections import Counter

from dg.core.access import asked, store
from dg.core.access.attempts import Attempts, neighbours
from dg.core.access.codes import Codes, read_user_code, spoken
from dg.core.access.models import NOWHERE, Action, Grant, Origin, Principal
from dg.core.access.names import one_name
from dg.core.access.polls import Polls
from dg.core.access.rights import actions_of, check_unchanged
from dg.core.access.service.access import Access
from dg.core.access.service.people import Whose, whose
from dg.core.access.service.sessions import Sessions
from dg.core.access.sessions import (
    ApproveLogin,
    Device,
    Login,
    LoginApproval,
    LoginState,
    Session,
    SessionTokens,
)
from dg.core.access.store import KeptLogin
from dg.core.clock import SECOND, Clock, Ids
from dg.core.database import Database, Tx
from dg.core.errors import Forbidden, Invalid, NotFound, Problem, Refused, TooMany, Unauthenticated
from dg.core.events import LoginApproved, LoginDenied, SessionStarted
from dg.core.idempotency import Once, once
from dg.core.text import plain
from dg.settings.access import Sessions as SessionSettings

_WHILE = 600.0
_ASK = 20
"""Logins that may begin from one address in ten minutes."""
_GUESS = 10
"""Wrong codes in ten minutes: from one address, and by one principal."""
_WAITING = 1000
"""Logins that wait for a person at a time, from all addresses together."""
MOST_GRANTS = 20


class Logins:
    """What waits to be let in, and who lets it in."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        ids: Ids,
        access: Access,
        sessions: Sessions,
        codes: Codes,
        settings: SessionSettings,
    ) -> None:
        self._db = db
        self._clock = clock
        self._ids = ids
        self._access = access
        self._sessions = sessions
        self._codes = codes
        self._settings = settings
        self._asked = Attempts(clock, _ASK, _WHILE)
        self._guessed = Attempts(clock, _GUESS, _WHILE)
        self._polls = Polls(clock, settings.poll)

    # --- the program's side

    async def ask(self, origin: Origin, *, name: str, host: str) -> Device:
        """Begin a login from `origin` by a program that calls itself `name` on `host`. Raises TooMany."""
        _check_rate(self._asked, neighbours(origin.address))
        self._asked.count(neighbours(origin.address))
        user, device = self._codes.new_user_code(), self._codes.new_device_code()
        now = self._clock.micros()
        login = Login(
            id=self._ids.new(),
            name=plain(name, limit=100),
            host=plain(host, limit=100),
            address=origin.address,
            state=LoginState.PENDING,
            asked_at=now,
            expires_at=now + int(self._settings.login_ttl * SECOND),
        )

        def work(tx: Tx) -> None:
            if store.pending_logins(tx, now) >= _WAITING:
                _make_room(tx, neighbours(origin.address), now)
            store.insert_login(tx, login, device=self._codes.digest(device), user=self._codes.digest(user))

        await self._db.write(work)
        return Device(
            device_code=device,
            user_code=spoken(user),
            hint=f"dg session approve {spoken(user)}",
            interval=math.ceil(self._polls.interval),
            expires_in=int(self._settings.login_ttl),
        )

    async def collect(self, device_code: str, origin: Origin = NOWHERE) -> SessionTokens:
        """The tokens for a login that was approved, once.

        Raises Refused (`authorization_pending`), TooMany (`slow_down`) for who asks too often, Forbidden
        (`access_denied`), and Unauthenticated (`expired_token`) for a code that is over, used or none at all.
        """
        digest = self._codes.digest(device_code)
        interval = self._polls.check(digest)
        kept = await self._db.read(lambda tx: store.login_of_device(tx, digest))
        if kept is None:
            raise self._access.unproved(_expired(), origin)
        if kept.login.state is LoginState.PENDING:
            raise self._still_waiting(kept.login, interval)
        outcome = await self._db.write(lambda tx: self._start(tx, digest, device_code))
        if isinstance(outcome, Problem):
            raise outcome
        self._polls.forget(digest)
        return self._sessions.tokens(*outcome)

    def _still_waiting(self, login: Login, interval: float) -> Problem:
        if login.expires_at <= self._clock.micros():
            return _expired()
        return Refused(
            "nobody has approved this login yet",
            reason="authorization_pending",
            retry_after=math.ceil(interval),
        )

    def _start(self, tx: Tx, digest: str, device_code: str) -> tuple[Session, str] | Problem:
        """The session of a login that was decided on, and its first refresh token.

        A code that was used already gets the same ones again for a while: the answer may have been lost.
        """
        kept, now = store.login_of_device(tx, digest), self._clock.micros()
        if kept is None:
            return _expired()
        if kept.session is not None:
            return self._again(tx, kept.session, device_code, now)
        if kept.approval is None or self._is_withdrawn(tx, kept.approval):
            return Forbidden("this login was denied", reason="access_denied")
        if kept.login.expires_at <= now:
            return _expired()
        session = self._session(tx, kept.login, kept.approval, now)
        first = self._codes.first(session.id, device_code)
        store.insert_session(tx, session, self._codes.digest(first))
        store.use_login(tx, kept.login.id, session.id)
        fact = SessionStarted(
            session=session.id,
            person=session.person,
            login=kept.login.id,
            expires_at=session.expires_at,
        )
        tx.append(fact, session.principal())
        return session, first

    def _again(self, tx: Tx, session_id: str, device_code: str, now: int) -> tuple[Session, str] | Problem:
        kept = store.chain(tx, session_id)
        if kept is None or kept.session.is_over(now):
            return _expired()
        if kept.generation == 0 and self._sessions.is_retry(kept.session, now):
            return kept.session, self._codes.first(session_id, device_code)
        self._sessions.end_family(tx, kept.session, now)
        return _expired()

    def _is_withdrawn(self, tx: Tx, approval: LoginApproval) -> bool:
        """Whether the session in which it was approved has been revoked since, or a role of it deleted."""
        if any(actions_of(tx, grant.role) is None for grant in approval.grants):
            return True
        if approval.approved_in is None:
            return False
        parent = store.session(tx, approval.approved_in)
        return parent is None or parent.revoked_at is not None

    def _session(self, tx: Tx, login: Login, approval: LoginApproval, now: int) -> Session:
        person = store.person(tx, approval.person)
        return Session(
            id=self._ids.new(),
            person=approval.person,
            name=person.name if person else approval.person,
            host=login.host,
            address=login.address,
            grants=approval.grants,
            approved_by=login.decided_by or "",
            approved_in=approval.approved_in,
            created_at=now,
            refreshed_at=now,
            idle_at=min(now + int(self._settings.idle * SECOND), approval.ends_at),
            expires_at=approval.ends_at,
        )

    # --- the person's side

    async def get(self, principal: Principal, user_code: str) -> Login:
        """Who asks by this code. Raises Forbidden, NotFound, and TooMany for who guesses."""
        return (await self._find(principal, user_code)).login

    async def approve(
        self, principal: Principal, user_code: str, request: ApproveLogin, key: Once | None = None
    ) -> Login:
        """Let a login in: as oneself without more words, or as the `person` of that name with these grants.

        As oneself it takes a session, and the new one has no more than that and lasts no longer. As somebody
        else it takes the right to, and all that is given: an unknown name is somebody new. Raises Forbidden,
        NotFound, Invalid, and Refused for one that was decided on (`already_decided`).
        """
        kept = await self._find(principal, user_code)
        own = await self._own(principal, request.person)
        given = await self._given(principal, own, request)
        other = None if own else await self._other(principal, request.person)

        def effect(tx: Tx) -> Login:
            now = self._clock.micros()
            self._check_open(tx, kept.login, now)
            if request.grants:
                check_unchanged(tx, given)
            longest = now + int(self._settings.longest * SECOND)
            approval = LoginApproval(
                person=other.settle(tx, principal, now).id if other else principal.id,
                grants=given,
                approved_in=principal.session,
                ends_at=min(longest, own.expires_at) if own else longest,
            )
            decided = _decided(kept.login, LoginState.APPROVED, principal, now, approval.person)
            store.decide(tx, decided, approval)
            fact = LoginApproved(
                login=decided.id,
                person=approval.person,
                grants=[grant.spoken for grant in given],
                approved_in=approval.approved_in,
            )
            tx.append(fact, principal)
            return decided

        return await self._db.write(lambda tx: once(tx, principal, key, Login, self._clock, effect))

    async def _own(self, principal: Principal, person: str | None) -> Session | None:
        """The session by which somebody lets a program of their own in; None when they let in another's."""
        if principal.session is None or (person and one_name(person) != one_name(principal.name)):
            return None
        session_id = principal.session
        return await self._db.read(lambda tx: store.session(tx, session_id))

    async def _given(
        self, principal: Principal, own: Session | None, request: ApproveLogin
    ) -> tuple[Grant, ...]:
        """What the new session is to have, as far as the caller may give it."""
        rights = await self._access.rights()
        if len(request.grants) > MOST_GRANTS:
            raise Invalid(f"grants: at most {MOST_GRANTS}, not {len(request.grants)}", field="grants")
        wanted = [asked.grant(rights, each.role, each.environment, each.service) for each in request.grants]
        if own is not None:
            # A session gives what it has itself, not what comes on top of it and may end before.
            bare = rights.complete(own.principal(principal.origin), self._clock.micros())
            held = tuple(grant for grant in bare.grants if grant.binding is None)
            giver = bare.model_copy(update={"grants": held, "impersonated_by": principal.impersonated_by})
            for grant in wanted:
                for action in sorted(grant.actions):
                    self._access.require(giver, action, grant.environment, grant.service)
            return tuple(dict.fromkeys(wanted)) or own.grants
        self._access.require_somewhere(principal, Action.SESSION_APPROVE)
        if not wanted:
            raise Invalid("grants: say what this login may do: at least one role", field="grants")
        ends_at = self._clock.micros() + int(self._settings.longest * SECOND)
        for grant in wanted:
            self._access.require_to_give(principal, Action.SESSION_APPROVE, grant, ends_at)
        return tuple(dict.fromkeys(wanted))

    async def _other(self, principal: Principal, person: str | None) -> Whose:
        if person is None:
            raise Invalid("person: say who it is, so that all of theirs is one person's", field="person")
        fresh = self._ids.new()
        return await whose(self._db, self._access, principal, Action.SESSION_APPROVE, person, fresh)

    async def deny(self, principal: Principal, user_code: str, *, key: Once | None = None) -> Login:
        """Turn a login away. Raises Forbidden, NotFound, and Refused for one that was decided on."""
        kept = await self._find(principal, user_code)

        def effect(tx: Tx) -> Login:
            now = self._clock.micros()
            self._check_open(tx, kept.login, now)
            decided = _decided(kept.login, LoginState.DENIED, principal, now, None)
            store.decide(tx, decided, None)
            tx.append(LoginDenied(login=decided.id), principal)
            return decided

        return await self._db.write(lambda tx: once(tx, principal, key, Login, self._clock, effect))

    async def _find(self, principal: Principal, user_code: str) -> KeptLogin:
        if principal.session is None:
            self._access.require_somewhere(principal, Action.SESSION_APPROVE)
        keys = [key for key in (principal.id, neighbours(principal.origin.address)) if key]
        for each in keys:
            _check_rate(self._guessed, each)
        letters = read_user_code(user_code)
        digest = self._codes.digest(letters) if letters else ""
        kept = await self._db.read(lambda tx: store.login_of_user(tx, digest))
        if kept is None or kept.login.expires_at <= self._clock.micros():
            for each in keys:
                self._guessed.count(each)
            raise NotFound(
                "no login waits with this code: codes are good for a few minutes; ask for it again"
            )
        return kept

    def _check_open(self, tx: Tx, login: Login, now: int) -> None:
        kept = store.login(tx, login.id)
        if kept is None or kept.login.expires_at <= now:
            raise NotFound("no login waits with this code any more: ask for a new one")
        if kept.login.state is not LoginState.PENDING:
            raise Refused("this login was decided on already", reason="already_decided")


def _make_room(tx: Tx, asking: str, now: int) -> None:
    """Drop the oldest login of the address that has most of those that wait, for one that has fewer.

    Raises TooMany where none has more than `asking` would have then: nobody can fill the room for everybody.
    """
    waiting = [(login, neighbours(address)) for login, address in store.waiting_logins(tx, now)]
    held = Counter(address for _, address in waiting)
    heaviest, most = held.most_common(1)[0]
    if most <= held[asking] + 1:
        raise TooMany(
            f"{_WAITING} logins wait already; try again in a few minutes",
            reason="too_many_logins",
            retry_after=60,
        )
    store.drop_login(tx, next(login for login, address in waiting if address == heaviest))


def _check_rate(attempts: Attempts, key: str) -> None:
    if seconds := attempts.wait(key):
        raise TooMany(
            f"that was tried too often; try again in {seconds} s",
            reason="too_many_tries",
            retry_after=seconds,
        )


def _decided(login: Login, state: LoginState, by: Principal, now: int, person: str | None) -> Login:
    changes = {"state": state, "decided_by": by.id, "decided_at": now, "person": person}
    return login.model_copy(update=changes)


def _expired() -> Unauthenticated:
    return Unauthenticated(
        "this login is over, was used, or never began here: begin again with `dg login`",
        reason="expired_token",
    )
