"""Accounts in Slack: whose they are here, and so who asks when one of them asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from dg.core.access import accounts, store
from dg.core.access.accounts import Account, SlackCode, SlackLink
from dg.core.access.attempts import Attempts
from dg.core.access.models import Action, Grant, Origin, Principal, Role
from dg.core.access.service.access import Access
from dg.core.access.standing import standing
from dg.core.clock import SECOND, Clock, Ids
from dg.core.database import Database, Tx
from dg.core.errors import Forbidden, NotFound, TooMany
from dg.core.events import SlackLinked, SlackUnlinked
from dg.core.idempotency import Once
from dg.core.idempotency import once as do_once
from dg.core.text import plain

_ASK = 10
_WHILE = 600.0
_NAMED = 5
"""People who are named when somebody else could do what was denied."""


class Accounts:
    """Who is who in Slack. Errors are those of `dg.core.errors`."""

    def __init__(self, db: Database, clock: Clock, ids: Ids, access: Access) -> None:
        self._db = db
        self._clock = clock
        self._ids = ids
        self._access = access
        self._asked = Attempts(clock, _ASK, _WHILE)

    # --- linking

    async def ask(self, account: Account, name: str) -> str:
        """A code for `account`, good once and for ten minutes. Raises TooMany.

        Whoever calls this knows that the request is the account's own: Slack has vouched for it.
        """
        key = ":".join(account)
        if seconds := self._asked.wait(key):
            raise TooMany(
                f"that was asked too often; try again in {seconds} s", reason="too_many", retry_after=seconds
            )
        self._asked.count(key)
        code, now = accounts.new_code(), self._clock.micros()
        kept = SlackCode(
            team=account.team,
            user=account.user,
            name=plain(name, limit=80),
            expires_at=now + int(accounts.CODE_LASTS * SECOND),
        )
        await self._db.write(lambda tx: store.insert_slack_code(tx, kept, accounts.digest(code), now))
        return code

    async def find(self, principal: Principal, code: str) -> SlackCode:
        """Whose code it is. Raises Forbidden, and NotFound for one that is over, used or none at all."""
        self._access.require_somewhere(principal, Action.SLACK_LINK)
        return await self._db.read(lambda tx: self._code(tx, accounts.digest(code)))

    async def link(self, principal: Principal, code: str, once: Once | None = None) -> SlackLink:
        """Say that the account which was given `code` is the caller's. Raises Forbidden, NotFound.

        Whose it was before it is no longer.
        """
        self._access.require_somewhere(principal, Action.SLACK_LINK)
        if principal.kind != "person" or principal.impersonated_by is not None:
            raise Forbidden(
                "only people in person have accounts in Slack: sign in as yourself with dg login",
                reason="people_only",
            )
        digest, fresh = accounts.digest(code), self._ids.new()

        def effect(tx: Tx) -> SlackLink:
            found = self._code(tx, digest)
            store.take_slack_code(tx, digest)
            link = SlackLink(
                id=fresh,
                team=found.team,
                user=found.user,
                name=found.name,
                person=principal.id,
                linked_at=self._clock.micros(),
            )
            if (before := store.slack_account_of(tx, link.account)) is not None:
                tx.append(SlackUnlinked(link=before.id, person=before.person), principal)
            store.put_slack_account(tx, link)
            tx.append(SlackLinked(link=link.id, person=link.person), principal)
            return link

        return await self._db.write(lambda tx: do_once(tx, principal, once, SlackLink, self._clock, effect))

    def _code(self, tx: Tx, digest: str) -> SlackCode:
        found = store.slack_code(tx, digest)
        if found is None or found.expires_at <= self._clock.micros():
            raise NotFound("no account in Slack has this code now: ask for another with `/dg link` there")
        return found

    async def list(self, principal: Principal) -> tuple[SlackLink, ...]:
        """The accounts of the caller, and those of others for who may see them; the oldest first."""
        everyone = principal.may(Action.SLACK_READ)
        found = await self._db.read(store.slack_accounts)
        return tuple(link for link in found if everyone or link.person == principal.id)

    async def unlink(self, principal: Principal, id: str) -> SlackLink:  # noqa: A002 - the public word
        """Make an account nobody's: what it asks for is refused from now on. Raises NotFound, Forbidden."""
        found = await self._db.read(lambda tx: store.slack_account(tx, id))
        own = found is not None and found.person == principal.id
        if not own:
            self._access.require_somewhere(principal, Action.SLACK_UNLINK)
        if found is None or not (own or principal.may(Action.SLACK_READ)):
            raise NotFound(f"there is no account in Slack {plain(id, limit=64)} that you may see")
        if not own:
            self._access.require(principal, Action.SLACK_UNLINK)
        await self._end(found.account, principal)
        return found

    async def end(self, account: Account, by: Principal) -> SlackLink | None:
        """Make an account nobody's: it asked for that itself, or is gone. None when it was nobody's."""
        return await self._end(account, by)

    async def _end(self, account: Account, by: Principal) -> SlackLink | None:
        def work(tx: Tx) -> SlackLink | None:
            if (found := store.slack_account_of(tx, account)) is not None:
                store.delete_slack_account(tx, account)
                tx.append(SlackUnlinked(link=found.id, person=found.person), by)
            return found

        return await self._db.write(work)

    # --- who is asking

    async def principal(self, account: Account, request_id: str = "") -> Principal | None:
        """Who asks when `account` asks, with the rights that they have now.

        None for an account that is nobody's, and when nothing lets its owner in any more: their sessions and
        tokens have ended, or were revoked.
        """
        now = self._clock.micros()

        def work(tx: Tx) -> Principal | None:
            link = store.slack_account_of(tx, account)
            return standing(tx, [link.person], now).get(link.person) if link else None

        found = await self._db.read(work)
        if found is None or found.kind != "person":
            return None
        return found.model_copy(update={"method": "slack", "origin": Origin(request_id=request_id)})

    async def is_linked(self, account: Account) -> bool:
        """Whether an account is somebody's."""
        return await self._db.read(lambda tx: store.slack_account_of(tx, account)) is not None

    def guest(self, account: Account, name: str) -> Principal:
        """An account that is nobody's and may look, where the settings say so."""
        return Principal(
            id=f"slack:{account.team}:{account.user}",
            name=plain(name, limit=80),
            method="slack",
            grants=(Grant(role=Role.VIEWER),),
        )

    async def note_groups(self, team: str, members: Mapping[str, tuple[str, ...]]) -> None:
        """Keep which user groups the linked accounts of a workspace are in, by the ids of both."""

        def work(tx: Tx) -> None:
            for link in store.slack_accounts(tx):
                found = accounts.groups(members.get(link.user, ()))
                if link.team == team and found != link.groups:
                    store.set_slack_groups(tx, link.account, found)

        await self._db.write(work)

    # --- who is meant

    async def of(self, team: str, people: Iterable[str]) -> dict[str, str]:
        """The accounts in a workspace by the ids of the principals whose they are."""
        wanted = set(people)
        found = await self._db.read(store.slack_accounts)
        return {link.person: link.user for link in found if link.team == team and link.person in wanted}

    async def able(
        self,
        team: str,
        action: Action,
        environment: str | None,
        service: str | None,
        also: Callable[[Principal], bool] = lambda _: True,
    ) -> tuple[str, ...]:
        """The accounts of up to five people in a workspace who may do `action` to that object.

        `also` says what else must be so of them.
        """
        now = self._clock.micros()

        def work(tx: Tx) -> tuple[str, ...]:
            links = [link for link in store.slack_accounts(tx) if link.team == team]
            people = standing(tx, {link.person for link in links}, now)
            return tuple(
                link.user
                for link in links
                if (person := people.get(link.person)) is not None
                and person.may(action, environment, service)
                and also(person)
            )

        return (await self._db.read(work))[:_NAMED]
