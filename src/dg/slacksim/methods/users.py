"""People and user groups."""

from __future__ import annotations

from dg.slacksim.errors import SlackError
from dg.slacksim.messages import Json
from dg.slacksim.methods.arguments import Arguments
from dg.slacksim.users import User
from dg.slacksim.workspace import Workspace


def _shown(slack: Workspace, user: User) -> Json:
    return user.as_json(email="users:read.email" in slack.scopes)


def info(slack: Workspace, arguments: Arguments) -> Json:
    user = slack.users.get(arguments.text("user"))
    if user is None:
        raise SlackError("user_not_found")
    return {"ok": True, "user": _shown(slack, user)}


def list_(slack: Workspace, arguments: Arguments) -> Json:
    home = [_shown(slack, each) for each in slack.users.values() if not each.stranger]
    page, rest = arguments.page(home)
    return {"ok": True, "members": page, "cache_ts": slack.now(), **rest}


def lookup_by_email(slack: Workspace, arguments: Arguments) -> Json:
    wanted = arguments.text("email").lower()
    for user in slack.users.values():
        if user.email.lower() == wanted and not user.deleted and not user.stranger:
            return {"ok": True, "user": _shown(slack, user)}
    raise SlackError("users_not_found")


def list_groups(slack: Workspace, arguments: Arguments) -> Json:
    people = arguments.flag("include_users")
    disabled = arguments.flag("include_disabled")
    found = [
        {**each.as_json(), **({"users": each.members} if people else {})}
        for each in slack.groups.values()
        if disabled or not each.disabled
    ]
    return {"ok": True, "usergroups": found}


def list_group_users(slack: Workspace, arguments: Arguments) -> Json:
    group = slack.groups.get(arguments.text("usergroup"))
    if group is None:
        raise SlackError("no_such_subteam")
    return {"ok": True, "users": group.members}
