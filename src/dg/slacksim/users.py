"""The accounts of a workspace while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class User:
    """Somebody, or the app itself."""

    id: str
    name: str
    real_name: str
    team: str
    email: str = ""
    stranger: bool = False
    guest: bool = False
    admin: bool = False
    bot: bool = False
    deleted: bool = False
    tz: str = "Etc/UTC"
    updated: int = 0

    def as_json(self, *, email: bool) -> dict[str, Any]:
        """What the Web API says of it; the address only to who may read addresses."""
        address = {"email": self.email} if email and self.email and not self.stranger else {}
        profile = {"real_name": self.real_name, "display_name": self.name, "team": self.team, **address}
        return {
            "id": self.id,
            "team_id": self.team,
            "name": self.name,
            "real_name": self.real_name,
            "deleted": self.deleted,
            "tz": self.tz,
            "tz_offset": 0,
            "profile": profile,
            "is_admin": self.admin,
            "is_owner": False,
            "is_primary_owner": False,
            "is_restricted": self.guest,
            "is_ultra_restricted": False,
            "is_stranger": self.stranger,
            "is_bot": self.bot,
            "is_app_user": False,
            "is_email_confirmed": bool(self.email),
            "updated": self.updated,
        }


@dataclass
class UserGroup:
    id: str
    handle: str
    name: str
    members: list[str]
    team: str
    disabled: bool = False

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "team_id": self.team,
            "is_usergroup": True,
            "name": self.name,
            "handle": self.handle,
            "description": "",
            "is_external": False,
            "date_delete": 1 if self.disabled else 0,
            "user_count": len(self.members),
        }
