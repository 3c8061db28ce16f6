"""What administrators change in a workspace, and what happens to the app in it."""

from __future__ import annotations

from collections.abc import Sequence

from dg.slacksim.people import People
from dg.slacksim.workspace import Standing, Workspace


class Admin:
    """Changes the workspace; the app hears of what it subscribed to. Raises Impossible for unknown names."""

    def __init__(self, slack: Workspace, people: People) -> None:
        self._slack = slack
        self._people = people

    async def archive(self, channel: str) -> None:
        place = self._slack.conversation(channel)
        place.archived = True
        self._slack.changed()
        await self._people.happen({"type": "channel_archive", "channel": place.id, "user": place.id})

    async def unarchive(self, channel: str) -> None:
        place = self._slack.conversation(channel)
        place.archived = False
        self._slack.changed()
        await self._people.happen({"type": "channel_unarchive", "channel": place.id, "user": place.id})

    async def rename(self, channel: str, name: str) -> None:
        place = self._slack.conversation(channel)
        place.name = name
        self._slack.changed()
        renamed = {"id": place.id, "name": name, "created": place.created}
        await self._people.happen({"type": "channel_rename", "channel": renamed})

    async def invite(self, channel: str, name: str = "") -> None:
        """Make somebody, or the app, a member."""
        place = self._slack.conversation(channel)
        user = self._slack.person(name or self._slack.app.user_id)
        place.members.add(user.id)
        self._slack.changed()
        joined = {"user": user.id, "channel": place.id, "team": self._slack.world.team.id}
        await self._people.happen({"type": "member_joined_channel", **joined})

    async def remove(self, channel: str, name: str = "") -> None:
        """Take somebody, or the app, out of a channel."""
        place = self._slack.conversation(channel)
        user = self._slack.person(name or self._slack.app.user_id)
        place.members.discard(user.id)
        self._slack.changed()
        await self._people.happen({"type": "member_left_channel", "user": user.id, "channel": place.id})

    async def deactivate(self, name: str) -> None:
        """End somebody's account."""
        user = self._slack.person(name)
        user.deleted = True
        user.updated = self._slack.now()
        self._slack.changed()
        shown = user.as_json(email="users:read.email" in self._slack.scopes)
        await self._people.happen({"type": "user_change", "user": shown})

    async def revoke(self, standing: Standing = "token_revoked") -> None:
        """Let the bot's token, or its account, be good no more."""
        tokens = {"oauth": [], "bot": [self._slack.app.user_id]}
        await self._people.happen({"type": "tokens_revoked", "tokens": tokens})
        self._slack.standing = standing
        self._slack.changed()

    async def uninstall(self) -> None:
        await self._people.happen({"type": "app_uninstalled"})
        self._slack.standing = "account_inactive"
        self._slack.changed()

    def reinstall(self, token: str | None = None) -> None:
        """Let the app in again; with another bot token the old one is good no more."""
        if token:
            self._slack.app = self._slack.app.model_copy(update={"bot_token": token})
        self._slack.standing = "active"
        self._slack.changed()

    async def regroup(self, handle: str, names: Sequence[str]) -> None:
        """Give a user group other members."""
        group = self._slack.group(handle)
        before, group.members = group.members, [self._slack.person(name).id for name in names]
        self._slack.changed()
        team = self._slack.world.team.id
        await self._people.happen(
            {
                "type": "subteam_members_changed",
                "subteam_id": group.id,
                "team_id": team,
                "added_users": [each for each in group.members if each not in before],
                "removed_users": [each for each in before if each not in group.members],
            }
        )
        shown = {**group.as_json(), "users": group.members}
        await self._people.happen({"type": "subteam_updated", "subteam": shown})
