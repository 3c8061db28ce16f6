"""The app as Slack is told of it: what it may, what it hears of, and where it is reached."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from dg.bot.requests import PATH
from dg.core.errors import Invalid
from dg.settings import Settings
from dg.settings.slack import Slack

EVENTS = (
    "app_home_opened",
    "app_uninstalled",
    "channel_unarchive",
    "group_unarchive",
    "link_shared",
    "member_joined_channel",
    "tokens_revoked",
    "user_change",
)
_GROUP_EVENTS = ("subteam_created", "subteam_members_changed", "subteam_updated")


def events(settings: Slack) -> tuple[str, ...]:
    """What the bot hears of, and nothing else."""
    return (*EVENTS, *(_GROUP_EVENTS if settings.user_groups else ()))


def scopes(settings: Slack) -> tuple[str, ...]:
    """What the bot's token must be allowed, and nothing else."""
    needed = ["channels:history", "channels:read", "chat:write", "commands", "groups:history", "groups:read"]
    needed += ["links:read", "links:write", "metadata.message:read", "users:read"]
    if settings.viewers:
        needed.append("users:read.email")
    if settings.user_groups:
        needed.append("usergroups:read")
    return tuple(needed)


def manifest(settings: Settings, command: str = "/dg") -> dict[str, Any]:
    """The manifest for this server. Raises Invalid where Slack is to come to an address that nobody knows."""
    slack = settings.slack
    http = slack.mode == "http"
    if http and not (settings.server.public_url or "").startswith("https://"):
        raise Invalid(
            'server.public_url: Slack comes to an https:// address in mode = "http"; set it, '
            'or take mode = "socket", for which nothing needs to be public',
            reason="settings",
        )
    where = {"request_url": f"{str(settings.server.public_url).rstrip('/')}{PATH}"} if http else {}
    domain = urlsplit(settings.server.public_url or "").hostname
    slash = {
        "command": command,
        "description": "Deploy, approve, roll back",
        "usage_hint": "deploy api v1.4.2 to production",
        "should_escape": True,
    }
    return {
        "_metadata": {"major_version": 1, "minor_version": 1},
        "display_information": {
            "name": "dg",
            "description": "Deploys, guards and rolls back",
            "background_color": "#1d2b3a",
        },
        "features": {
            "app_home": {
                "home_tab_enabled": True,
                "messages_tab_enabled": False,
                "messages_tab_read_only_enabled": True,
            },
            "bot_user": {"display_name": "dg", "always_online": True},
            **({"unfurl_domains": [domain]} if domain else {}),
            "slash_commands": [slash | ({"url": where["request_url"]} if http else {})],
        },
        "oauth_config": {"scopes": {"bot": list(scopes(slack))}},
        "settings": {
            "event_subscriptions": {**where, "bot_events": list(events(slack))},
            "interactivity": {"is_enabled": True, **where},
            "org_deploy_enabled": False,
            "socket_mode_enabled": not http,
            "token_rotation_enabled": False,
        },
    }
