"""Modals and homes."""

from __future__ import annotations

from dg.slacksim.blockkit import check_view
from dg.slacksim.blockkit.views import too_large
from dg.slacksim.errors import SlackError, wrong
from dg.slacksim.messages import Json
from dg.slacksim.methods.arguments import Arguments
from dg.slacksim.surfaces import View
from dg.slacksim.workspace import Workspace


def good_view(view: object, surface: str = "modal") -> Json:
    """The content of a view. Raises SlackError."""
    problems = check_view(view, (surface,))
    if problems or not isinstance(view, dict):
        raise wrong("invalid_arguments", problems)
    if too_large(view):
        raise SlackError("view_too_large")
    return view


def _given(arguments: Arguments, surface: str = "modal") -> Json:
    view = arguments.structure("view", "invalid_arguments")
    if view is None:
        raise wrong("invalid_arguments", ["missing required field: view"])
    return good_view(view, surface)


def _answer(slack: Workspace, view: View) -> Json:
    slack.changed()
    return {"ok": True, "view": slack.views.as_json(view)}


def open_(slack: Workspace, arguments: Arguments) -> Json:
    content = _given(arguments)
    return _answer(slack, slack.views.open(slack.passes.exchange(arguments.text("trigger_id")), content))


def push(slack: Workspace, arguments: Arguments) -> Json:
    content = _given(arguments)
    return _answer(slack, slack.views.push(slack.passes.exchange(arguments.text("trigger_id")), content))


def update(slack: Workspace, arguments: Arguments) -> Json:
    if arguments.has("view_id"):
        view = slack.views.find(arguments.text("view_id"))
    else:
        view = slack.views.by_external_id(arguments.text("external_id"))
    if view is None:
        raise SlackError("not_found")
    content = _given(arguments, view.content["type"])
    return _answer(slack, slack.views.update(view, content, arguments.optional("hash") or None))


def publish(slack: Workspace, arguments: Arguments) -> Json:
    user = slack.users.get(arguments.text("user_id"))
    if user is None:
        raise SlackError("user_not_found")
    if not slack.app.home:
        raise SlackError("not_enabled")
    content = _given(arguments, "home")
    return _answer(slack, slack.views.publish(user.id, content, arguments.optional("hash") or None))
