"""The app itself: who it is, and where its sockets are."""

from __future__ import annotations

from dg.slacksim.errors import SlackError
from dg.slacksim.messages import Json
from dg.slacksim.methods.arguments import Arguments
from dg.slacksim.workspace import Workspace


def who_am_i(slack: Workspace, _arguments: Arguments) -> Json:
    team = slack.world.team
    return {
        "ok": True,
        "url": f"https://{team.domain}.slack.example/",
        "team": team.name,
        "user": slack.app.name,
        "team_id": team.id,
        "user_id": slack.app.user_id,
        "bot_id": slack.app.bot_id,
        "is_enterprise_install": False,
    }


def open_connection(slack: Workspace, _arguments: Arguments) -> Json:
    if slack.app.transport != "socket":
        raise SlackError("socket_mode_not_enabled")
    address = slack.base_url.replace("http", "ws", 1)
    return {"ok": True, "url": f"{address}/link/?ticket={slack.passes.ticket()}&app_id={slack.app.id}"}


def bot_info(slack: Workspace, arguments: Arguments) -> Json:
    app = slack.app
    if arguments.text("bot") != app.bot_id:
        raise SlackError("bot_not_found")
    bot = {"id": app.bot_id, "deleted": False, "name": app.name, "user_id": app.user_id, "app_id": app.id}
    return {"ok": True, "bot": {**bot, "updated": 0, "icons": {}}}
