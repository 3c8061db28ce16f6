"""The regions of the page, for one person who looks at one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dg.core.text import counted
from dg.slacksim.errors import Impossible
from dg.slacksim.look.blocks import blocks
from dg.slacksim.look.markup import Html, join, tag
from dg.slacksim.look.messages import Author, face, message
from dg.slacksim.look.mrkdwn import Names
from dg.slacksim.messages import Conversation, Message
from dg.slacksim.surfaces import View
from dg.slacksim.users import User
from dg.slacksim.workspace import SLACKBOT, Workspace

MOST_MISTAKES = 3
MOST_SHOWN = 200
"""Messages of one place; older ones are not drawn."""


@dataclass(frozen=True)
class Sight:
    """Who looks, and at what: a conversation, perhaps a thread in it; or the app's home."""

    user: User
    place: Conversation | None
    thread: Message | None = None


def sight(slack: Workspace, person: str, channel: str, thread: str = "") -> Sight:
    """What somebody asks to see; the first of what there is, for what is not named. Raises Impossible."""
    people = [each for each in slack.users.values() if not each.bot]
    if not people:
        raise Impossible("nobody lives in this world: declare people")
    user = slack.person(person) if person else people[0]
    if channel == "home":
        return Sight(user, None)
    places = _places(slack, user)
    place = slack.conversation(channel) if channel else next(iter(places), None)
    if place is not None and user.id not in place.members:
        place = next(iter(places), None)
    return Sight(user, place, place.messages.get(thread) if place else None)


def regions(slack: Workspace, seen: Sight, sockets: int, mistakes: Sequence[str] = ()) -> dict[str, Html]:
    """The parts of the page by the ids of their elements."""
    names = names_for(slack, seen.user)
    modal = slack.views.top(seen.user.id)
    return {
        "sidebar": join(_sidebar(slack, seen), _mistakes(mistakes), _connection(slack, sockets)),
        "head": _head(slack, seen),
        "messages": _messages(slack, seen, seen.place, names)
        if seen.place
        else _home(slack, seen.user, names),
        "thread": _thread(slack, seen, names),
        "modal": _modal(slack, modal, names) if modal else Html(""),
    }


def names_for(slack: Workspace, user: User) -> Names:
    """What this person reads in the place of ids."""
    return Names(
        {each.id: each.name for each in slack.users.values()},
        {each.id: each.name for each in slack.conversations.values() if each.kind != "im"},
        {each.id: each.handle for each in slack.groups.values()},
        user.id,
        user.tz,
    )


def _places(slack: Workspace, user: User) -> list[Conversation]:
    """The channels of a person."""
    return [each for each in slack.conversations.values() if user.id in each.members and each.kind != "im"]


def author(slack: Workspace, said: Message) -> Author:
    if said.user == SLACKBOT:
        return Author("Slackbot", app=True)
    user = slack.users.get(said.user)
    return Author(user.real_name if user else said.user, said.bot_id is not None)


def _sidebar(slack: Workspace, seen: Sight) -> Html:
    people = (
        tag("option", _described(each), value=each.name, selected=each.id == seen.user.id)
        for each in slack.users.values()
        if not each.bot
    )
    direct = slack.direct(seen.user)
    here = seen.place.id if seen.place else "home"
    channels = (
        _entry(each.id, _sign(each), each.name, here, muted=each.archived)
        for each in _places(slack, seen.user)
    )
    app = slack.app.name
    return join(
        tag("h1", slack.world.team.name),
        tag("label", tag("span", "You are"), tag("select", people, id="as", data_act="as"), class_="as"),
        tag("h2", "Channels"),
        tag("ul", channels),
        tag("h2", "Apps"),
        tag("ul", _entry("home", "⌂", f"{app}: Home", here), _entry(direct.id, "●", app, here)),
        _shortcuts(slack),
    )


def _described(user: User) -> str:
    notes = {"guest": user.guest, "stranger": user.stranger, "deactivated": user.deleted}
    found = [name for name, so in notes.items() if so]
    return user.real_name + (f" ({', '.join(found)})" if found else "")


def _sign(place: Conversation) -> str:
    if place.kind == "private":
        return "◈"
    return "⇄" if place.shared else "#"


def _entry(id_: str, sign: str, name: str, here: str, *, muted: bool = False) -> Html:
    class_ = " ".join(word for word, so in (("here", id_ == here), ("muted", muted)) if so)
    inner = tag(
        "button", tag("span", sign, aria_hidden="true"), name, type="button", data_act="go", data_to=id_
    )
    return tag("li", inner, class_=class_ or None)


def _shortcuts(slack: Workspace) -> Html:
    if not slack.app.shortcuts:
        return Html("")
    items = (
        tag(
            "li", tag("button", each.name, type="button", data_act="shortcut", data_callback=each.callback_id)
        )
        for each in slack.app.shortcuts
    )
    return join(tag("h2", "Shortcuts"), tag("ul", items))


def _mistakes(found: Sequence[str]) -> Html:
    """What the app answered that Slack could make nothing of."""
    if not found:
        return Html("")
    newest = (tag("li", each) for each in list(found)[-MOST_MISTAKES:])
    summary = tag("summary", counted(len(found), "wrong answer"))
    return tag("details", summary, tag("ol", newest), class_="mistakes", open=True)


def _connection(slack: Workspace, sockets: int) -> Html:
    if slack.app.transport == "http":
        words, well = "signed HTTP", True
    else:
        words, well = counted(sockets, "socket"), sockets > 0
    if slack.standing != "active":
        words, well = slack.standing.replace("_", " "), False
    light = tag("span", class_="light on" if well else "light off", aria_hidden="true")
    return tag("footer", light, words, class_="connection", role="status")


def _head(slack: Workspace, seen: Sight) -> Html:
    if seen.place is None:
        return join(tag("h2", slack.app.name), tag("span", "Home", class_="topic"))
    place = seen.place
    name = slack.app.name if place.kind == "im" else place.name
    notes = [f"{len(place.members)} members"] if place.kind != "im" else []
    notes += ["archived"] if place.archived else []
    notes += ["shared with another team"] if place.shared else []
    return join(
        tag("h2", f"{_sign(place)} {name}" if place.kind != "im" else name),
        tag("span", place.topic, class_="topic"),
        tag("span", " · ".join(notes), class_="notes"),
    )


def _messages(slack: Workspace, seen: Sight, place: Conversation, names: Names) -> Html:
    own = [each for each in place.ephemerals.values() if each.only_for == seen.user.id and not each.thread_ts]
    found = sorted([*(each for each in place.messages.values() if each.top_level), *own], key=_when)
    if not found:
        return tag("p", "Nothing was said here yet.", class_="empty")
    replies: dict[str, list[Message]] = {}
    for each in place.messages.values():
        if each.thread_ts and each.thread_ts != each.ts:
            replies.setdefault(each.thread_ts, []).append(each)
    return join(
        message(each, author(slack, each), names, replies.get(each.ts, [])) for each in found[-MOST_SHOWN:]
    )


def _when(said: Message) -> str:
    return said.ts


def _thread(slack: Workspace, seen: Sight, names: Names) -> Html:
    if seen.place is None or seen.thread is None:
        return Html("")
    parent = seen.thread
    own = [
        each
        for each in seen.place.ephemerals.values()
        if each.only_for == seen.user.id and each.thread_ts == parent.ts
    ]
    replies = sorted([*seen.place.replies(parent.ts), *own], key=_when)[-MOST_SHOWN:]
    return join(
        tag(
            "header",
            tag("h2", "Thread"),
            tag("button", "✕", type="button", data_act="thread", data_ts="", aria_label="Close the thread"),
        ),
        message(parent, author(slack, parent), names),
        tag("div", f"{len(replies)} {'reply' if len(replies) == 1 else 'replies'}", class_="count")
        if replies
        else None,
        (message(each, author(slack, each), names) for each in replies),
    )


def _home(slack: Workspace, user: User, names: Names) -> Html:
    home = slack.views.home(user.id)
    if home is None:
        return tag("p", f"{slack.app.name} has published no home for you yet.", class_="empty")
    inner = blocks(home.content["blocks"], names, home.values)
    return tag("section", _trouble(home), inner, class_="home", data_surface="home")


def _modal(slack: Workspace, view: View, names: Names) -> Html:
    """The modal on top; `data-shown` changes when the app shows something else in it."""
    content = view.content
    submit = content.get("submit")
    close = content["close"]["text"] if content.get("close") else "Cancel" if submit else "Close"
    errors = "|".join(f"{block}={text}" for block, text in view.errors.items())
    return tag(
        "form",
        tag(
            "header",
            face(Author(slack.app.name, app=True)),
            tag("h2", content["title"]["text"]),
            tag("button", "✕", type="button", data_act="close", aria_label="Close"),
        ),
        tag(
            "div",
            _trouble(view),
            blocks(content["blocks"], names, view.values, view.errors),
            class_="content",
        ),
        tag(
            "footer",
            tag("button", close, type="button", class_="button", data_act="close"),
            tag("button", submit["text"], type="submit", class_="button primary") if submit else None,
        ),
        class_="modal",
        data_surface="modal",
        data_shown=f"{view.id} {view.hash} {errors}",
        novalidate=True,
    )


def _trouble(view: View) -> Html:
    return tag("div", view.errors[""], class_="error", role="alert") if view.errors.get("") else Html("")
