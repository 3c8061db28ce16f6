"""What the app answers beside the Web API: with an acknowledgement, or at a response URL."""

from __future__ import annotations

from typing import Any

from dg.slacksim.blockkit.checks import Report
from dg.slacksim.blockkit.elements import OPTION_GROUPS, OPTIONS, offered
from dg.slacksim.errors import SlackError, wrong
from dg.slacksim.messages import Conversation, Json, Message
from dg.slacksim.methods import chat, content
from dg.slacksim.methods.arguments import Arguments
from dg.slacksim.methods.views import good_view
from dg.slacksim.passes import Hook
from dg.slacksim.surfaces import View
from dg.slacksim.users import User
from dg.slacksim.workspace import Workspace

KNOWN = {
    "attachments",
    "blocks",
    "delete_original",
    "link_names",
    "metadata",
    "mrkdwn",
    "parse",
    "replace_original",
    "reply_broadcast",
    "response_type",
    "text",
    "thread_ts",
    "unfurl_links",
    "unfurl_media",
}


def to_command(slack: Workspace, channel: Conversation, user: User, body: Any) -> Message | None:
    """Show what came with a command's acknowledgement. Raises SlackError when Slack cannot show it."""
    if body in (None, "", {}):
        return None
    said = {"text": body} if isinstance(body, str) else body
    return _show(slack, channel, user, _understood(said))


def to_hook(slack: Workspace, hook: Hook, body: Any) -> None:
    """Do what was sent to a response URL. Raises SlackError."""
    said = _understood(body)
    channel = slack.conversations[hook.channel]
    original = channel.find(hook.message) if hook.message else None
    arguments = Arguments(said)
    if arguments.flag("delete_original"):
        if original is None:
            raise SlackError("message_not_found")
        chat.take_away(slack, channel, original)
    elif arguments.flag("replace_original") and original is not None:
        given = content.checked(arguments)
        content.something(given)
        chat.edit(slack, original, {"blocks": [], "attachments": [], "text": "", **given})
        slack.keep(original)
    else:
        _show(slack, channel, slack.users[hook.user], said)


def _understood(body: Any) -> Json:
    if not isinstance(body, dict):
        raise SlackError("invalid_payload")
    if surplus := body.keys() - KNOWN:
        raise wrong("invalid_arguments", [f"invalid additional property: {str(min(surplus))[:100]}"])
    if body.get("response_type") not in (None, "ephemeral", "in_channel"):
        raise SlackError("invalid_payload")
    return body


def _show(slack: Workspace, channel: Conversation, user: User, said: Json) -> Message:
    arguments = Arguments(said)
    given = content.checked(arguments)
    content.something(given)
    message = chat.new_message(slack, channel, given)
    message.thread_ts = arguments.optional("thread_ts") or None
    if said.get("response_type") != "in_channel":
        message.only_for = user.id
    return slack.keep(message)


def to_submission(slack: Workspace, view: View, body: Any) -> None:
    """Do with a modal what the app answered to its submission. Raises SlackError when it cannot be done."""
    said = body if isinstance(body, dict) else {}
    match said.get("response_action"):
        case None if body in (None, "", {}):
            slack.views.close(view)
        case "clear":
            slack.views.clear(view.user)
        case "update":
            slack.views.update(view, good_view(said.get("view")))
        case "push":
            slack.views.push(view.user, good_view(said.get("view")))
        case "errors":
            view.errors = _errors(view, said.get("errors"))
        case _:
            raise SlackError("invalid_payload")
    slack.changed()


def _errors(view: View, errors: Any) -> dict[str, str]:
    inputs = {each["block_id"] for each in view.content["blocks"] if each["type"] == "input"}
    if not isinstance(errors, dict) or not errors:
        raise SlackError("invalid_payload")
    for block, text in errors.items():
        if block not in inputs:
            raise SlackError("block_not_found", block_id=str(block)[:100])
        if not isinstance(text, str) or not text:
            raise SlackError("invalid_payload")
    return errors


def to_suggestion(body: Any) -> list[Json]:
    """The options that the app suggested for an external select. Raises SlackError."""
    if not isinstance(body, dict) or not ("options" in body) ^ ("option_groups" in body):
        raise SlackError("invalid_payload")
    report = Report()
    if body.get("options") != [] and body.get("option_groups") != []:
        name = "options" if "options" in body else "option_groups"
        (OPTIONS if name == "options" else OPTION_GROUPS)(body[name], f"/{name}", report)
    if report.problems:
        raise wrong("invalid_payload", report.problems)
    return offered(body)
