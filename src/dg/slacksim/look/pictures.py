"""Whole documents of what a bot shows, for pictures in reviews: no server, no script, nothing to load."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any, Literal

from dg.slacksim.look.blocks import blocks
from dg.slacksim.look.markup import Html, join, tag
from dg.slacksim.look.messages import Author, message
from dg.slacksim.look.mrkdwn import Names
from dg.slacksim.messages import Message

Theme = Literal["light", "dark"]
NOON = "1790000000.000000"


def of_messages(
    contents: Iterable[Mapping[str, Any]],
    *,
    names: Names | None = None,
    author: str = "dg",
    theme: Theme = "light",
) -> str:
    """A document of messages, each with `text`, `blocks` and `attachments` as in `chat.postMessage`."""
    known = names or Names()
    shown = (
        message(
            Message(
                str(each.get("ts", NOON)),
                "C0",
                "U0",
                each.get("text", ""),
                list(each.get("blocks", [])),
                list(each.get("attachments", [])),
                only_for=each.get("only_for"),
            ),
            Author(author, app=True),
            known,
        )
        for each in contents
    )
    return _document(tag("main", shown, id="messages"), theme)


def of_view(view: Mapping[str, Any], *, names: Names | None = None, theme: Theme = "light") -> str:
    """A document of a modal or a home, as it is given to `views.open` or `views.publish`."""
    inner = blocks(view["blocks"], names or Names())
    if view["type"] == "home":
        return _document(tag("section", inner, class_="home"), theme)
    submit = view.get("submit")
    close = view["close"]["text"] if view.get("close") else "Cancel"
    footer = tag(
        "footer",
        tag("button", close, type="button", class_="button"),
        tag("button", submit["text"], type="button", class_="button primary") if submit else None,
    )
    header = tag("header", tag("h2", view["title"]["text"]))
    return _document(tag("form", header, tag("div", inner, class_="content"), footer, class_="modal"), theme)


def _document(body: Html, theme: Theme) -> str:
    head = join(tag("meta", charset="utf-8"), tag("title", "Slack"), tag("style", Html(style())))
    return "<!doctype html>" + tag(
        "html", tag("head", head), tag("body", body, class_="picture"), lang="en", data_theme=theme
    )


@cache
def style() -> str:
    """The style sheet."""
    return (resources.files("dg.slacksim.look") / "assets" / "style.css").read_text("utf-8")
