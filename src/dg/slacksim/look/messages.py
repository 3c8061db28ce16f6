"""Messages as HTML, with who said them and what hangs on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dg.slacksim.look.blocks import blocks
from dg.slacksim.look.emoji import picture
from dg.slacksim.look.markup import Html, join, tag
from dg.slacksim.look.mrkdwn import Names, rendered
from dg.slacksim.messages import Message

COLOURS = 8
"""Of faces, in the style sheet."""


@dataclass(frozen=True)
class Author:
    name: str
    app: bool = False


def message(said: Message, author: Author, names: Names, replies: Iterable[Message] = ()) -> Html:
    """One message; `replies` are those that hang on it, to be counted."""
    if said.deleted:
        return tag(
            "article",
            tag("em", "This message was deleted."),
            _thread(said, replies, names),
            class_="message gone",
        )
    only = tag("div", "Only visible to you", class_="only") if said.only_for else None
    class_ = "message only-for" if said.only_for else "message"
    return tag(
        "article",
        face(author),
        tag(
            "div",
            only,
            _head(said, author, names),
            _content(said, names),
            _below(said, replies, names),
            class_="said",
        ),
        class_=class_,
        data_surface="message",
        data_channel=said.channel,
        data_ts=said.ts,
    )


def face(author: Author) -> Html:
    """A square with a letter, always of the same colour for one name."""
    colour = sum(author.name.encode()) % COLOURS
    return tag("span", author.name[:1].upper() or "?", class_=f"face colour{colour}", aria_hidden="true")


def _head(said: Message, author: Author, names: Names) -> Html:
    local = names.local(float(said.ts))
    return tag(
        "header",
        tag("b", author.name),
        tag("span", "APP", class_="app") if author.app else None,
        tag("time", f"{local:%H:%M}", title=f"{local:%A, %d %B %Y, %H:%M:%S}"),
    )


def _content(said: Message, names: Names) -> Html:
    edited = tag("small", " (edited)", class_="edited", title=f"{said.edits} edits") if said.edited else None
    body = (
        join(blocks(said.blocks, names, said.values), edited)
        if said.blocks
        else tag("div", rendered(said.text, names), edited, class_="text")
        if said.text
        else edited
    )
    attached = (_attachment(each, names) for each in [*said.attachments, *said.unfurls.values()])
    return join(body, attached)


def _attachment(attachment: Mapping[str, Any], names: Names) -> Html:
    title, text = attachment.get("title"), attachment.get("text")
    inner = join(
        tag("b", rendered(str(title), names)) if title else None,
        tag("div", rendered(str(text), names), class_="text") if text else None,
        blocks(attachment.get("blocks", []), names),
    )
    return tag("div", inner, class_="attachment")


def _below(said: Message, replies: Iterable[Message], names: Names) -> Html:
    reactions = (
        tag("span", picture(name) or f":{name}:", " ", str(len(people)), class_="reaction", title=name)
        for name, people in said.reactions.items()
    )
    shown = tag("div", reactions, class_="reactions") if said.reactions else None
    return join(shown, _thread(said, replies, names))


def _thread(said: Message, replies: Iterable[Message], names: Names) -> Html:
    found = list(replies)
    if said.only_for:
        return Html("")
    if not found:
        return tag(
            "button",
            "Reply in thread",
            type="button",
            class_="thread quiet",
            data_act="thread",
            data_ts=said.ts,
        )
    last = names.local(float(found[-1].ts))
    words = "1 reply" if len(found) == 1 else f"{len(found)} replies"
    label = join(tag("b", words), tag("small", f" Last reply at {last:%H:%M}"))
    return tag("button", label, type="button", class_="thread", data_act="thread", data_ts=said.ts)
