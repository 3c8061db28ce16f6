"""Who is asking: an account in Slack as the person who said here that it is theirs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from dg.bot.client import Identity, SlackApi, SlackProblem
from dg.bot.messages import answers
from dg.bot.messages.blocks import Rendered
from dg.core.access.accounts import Account
from dg.core.access.models import Principal
from dg.core.app import Core
from dg.core.errors import Problem
from dg.core.remember import Remembered
from dg.settings.slack import Slack

log = logging.getLogger(__name__)

_KNOWN = 300.0
_LOOK = 1.0
_GROUPS = 300.0
_LEAST = 5.0
"""Seconds between two readings of the groups, however often they change."""


class Doorkeeper:
    """Lets in who is known. Rights are looked up anew for each request."""

    def __init__(self, core: Core, api: SlackApi, identity: Identity, settings: Slack) -> None:
        self._core = core
        self._api = api
        self._team = identity.team
        self._viewers = frozenset(domain.lower() for domain in settings.viewers)
        self._user_groups = settings.user_groups
        self._guests: Remembered[str] = Remembered(1000)
        self._members: dict[str, tuple[str, ...]] = {}
        self._noted: set[str] = set()
        self._regrouped = False

    def is_foreign(self, account: Account) -> bool:
        """Whether an account is of another workspace than the bot's."""
        return account.team != self._team

    async def let_in(self, account: Account, request_id: str = "") -> Principal | Rendered:
        """Who asks, or what to tell them instead."""
        if self.is_foreign(account):
            return answers.stranger()
        if account.user in self._members and account.user not in self._noted:
            # Somebody who was linked since the groups were read last.
            await self._core.accounts.note_groups(self._team, self._members)
            self._noted.add(account.user)
        found = await self._core.accounts.principal(account, request_id)
        if found is not None:
            return found
        if await self._core.accounts.is_linked(account):
            return answers.signed_out()
        name = await self._guest(account.user) if self._viewers else None
        return self._core.accounts.guest(account, name) if name else answers.unlinked()

    async def _guest(self, user: str) -> str | None:
        """The name of somebody whose confirmed address is of a domain that may look."""
        now = self._core.clock.monotonic()
        at = int(now // _KNOWN)
        if (known := self._guests.known((user, at))) is None:
            try:
                known = self._looked_at((await self._api.call("users.info", user=user)).get("user", {}))
            except SlackProblem as problem:
                log.warning("who %s is cannot be asked: %s", user, problem.code)
                return None
            self._guests.get((user, at), lambda: known)
        return known or None

    def _looked_at(self, user: Mapping[str, Any]) -> str:
        barred = ("deleted", "is_bot", "is_restricted", "is_ultra_restricted", "is_stranger")
        profile = user.get("profile") or {}
        domain = str(profile.get("email") or "").rpartition("@")[2].lower()
        own = user.get("team_id", self._team) == self._team and user.get("is_email_confirmed") is True
        if any(user.get(flag) for flag in barred) or not own or domain not in self._viewers:
            return ""
        return str(profile.get("real_name") or user.get("real_name") or user.get("name") or "somebody")

    async def keep_groups(self) -> None:
        """Learn who is in which user group, where the settings say so: when one changes, and now and then."""
        while self._user_groups:
            self._regrouped = False
            try:
                found = await self._api.call("usergroups.list", include_users=True)
                members: dict[str, list[str]] = {}
                for group in found.get("usergroups", ()):
                    for user in group.get("users", ()):
                        members.setdefault(str(user), []).append(str(group["id"]))
                self._members = {user: tuple(groups) for user, groups in members.items()}
                self._noted.clear()
                await self._core.accounts.note_groups(self._team, self._members)
            except (SlackProblem, Problem) as problem:
                log.warning("the user groups of Slack cannot be read: %s", problem)
            read = self._core.clock.monotonic()
            while self._core.clock.monotonic() < read + (_LEAST if self._regrouped else _GROUPS):
                await self._core.clock.sleep(_LOOK)

    def regroup(self) -> None:
        """A user group has changed: read them soon."""
        self._regrouped = True


def account_of(body: Mapping[str, Any]) -> Account:
    """Whose request it is, as Slack vouches for it: by the workspace they are of, not where they spoke."""
    user = body.get("user")
    if isinstance(user, Mapping):
        team = user.get("team_id") or (body.get("team") or {}).get("id")
        return Account(str(team or ""), str(user.get("id") or ""))
    event = body.get("event")
    if isinstance(event, Mapping):
        team = event.get("user_team") or body.get("team_id")
        return Account(str(team or ""), str(event.get("user") or ""))
    return Account(str(body.get("team_id") or ""), str(body.get("user_id") or ""))


def name_of(body: Mapping[str, Any]) -> str:
    """What they are called there; it proves nothing."""
    user = body.get("user")
    found = (user.get("name") or user.get("username")) if isinstance(user, Mapping) else body.get("user_name")
    return str(found or "")


class Seen:
    """What came lately, so that what comes twice is answered once."""

    def __init__(self, size: int = 2000) -> None:
        self._size = size
        self._seen: dict[str, None] = {}

    def is_new(self, key: str) -> bool:
        """Whether nothing came with this key lately; effects are held to once by the core besides."""
        if not key or key not in self._seen:
            self._seen[key] = None
            if len(self._seen) > self._size:
                del self._seen[next(iter(self._seen))]
            return True
        return False
