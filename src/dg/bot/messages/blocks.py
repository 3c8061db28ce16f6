"""Block Kit's blocks and elements as plain dictionaries, each clipped to Slack's limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dg.core.text import plain

Block = dict[str, Any]

MOST_BLOCKS = 50
_SECTION = 3000
_TEXT = 3000


@dataclass(frozen=True)
class Rendered:
    """One message. `text` is what notifications and old programs show, mark-up too."""

    text: str
    blocks: tuple[Block, ...]

    def body(self) -> dict[str, Any]:
        """As the methods of Slack take it."""
        return {"text": self.text[:_TEXT], "blocks": list(self.blocks[:MOST_BLOCKS])}


def clipped(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def marked(text: str, limit: int = _SECTION) -> Block:
    """Text in Slack's mark-up. Slack makes no links of what only looks like one."""
    return {"type": "mrkdwn", "text": clipped(text, limit) or "–", "verbatim": True}


def label(text: str, limit: int = 75) -> Block:
    """Text that is nothing but text."""
    return {"type": "plain_text", "text": plain(text, limit=limit) or " ", "emoji": True}


def section(text: str, accessory: Block | None = None) -> Block:
    block = {"type": "section", "text": marked(text)}
    return block | {"accessory": accessory} if accessory else block


def fields(texts: Sequence[str]) -> Block:
    return {"type": "section", "fields": [marked(text, 2000) for text in texts[:10]]}


def header(text: str) -> Block:
    return {"type": "header", "text": label(text, 150)}


def context(*texts: str) -> Block:
    return {"type": "context", "elements": [marked(text) for text in texts[:10]]}


def divider() -> Block:
    return {"type": "divider"}


def actions(*elements: Block) -> Block:
    return {"type": "actions", "elements": list(elements[:25])}


def button(
    text: str, action: str, value: str, style: str | None = None, confirm: Block | None = None
) -> Block:
    """A button; `value` is all that comes back with a click, and holds nothing but what is meant."""
    block: Block = {"type": "button", "text": label(text), "action_id": action, "value": value[:2000]}
    if style:
        block["style"] = style
    if confirm:
        block["confirm"] = confirm
    return block


def confirmation(title: str, text: str, yes: str, style: str = "primary") -> Block:
    return {
        "title": label(title, 100),
        "text": marked(text, 300),
        "confirm": label(yes, 30),
        "deny": label("Not now", 30),
        "style": style,
    }


def field(
    block_id: str,
    title: str,
    *,
    hint: str | None = None,
    least: int = 0,
    most: int = 500,
    value: str = "",
    optional: bool = False,
    multiline: bool = False,
) -> Block:
    """A line, or a few, to be typed into a modal. What was typed is at `block_id` / `typed`."""
    element: Block = {
        "type": "plain_text_input",
        "action_id": "typed",
        "max_length": most,
        "multiline": multiline,
    }
    if least:
        element["min_length"] = least
    if value:
        element["initial_value"] = value[:most]
    block: Block = {
        "type": "input",
        "block_id": block_id,
        "label": label(title, 2000),
        "element": element,
        "optional": optional,
    }
    return block | {"hint": label(hint, 2000)} if hint else block


def modal(
    callback: str, title: str, blocks: Sequence[Block], *, submit: str | None, metadata: str = ""
) -> Block:
    view: Block = {
        "type": "modal",
        "callback_id": callback,
        "title": label(title, 24),
        "close": label("Close", 24),
        "blocks": list(blocks),
        "private_metadata": metadata,
    }
    return view | {"submit": label(submit, 24)} if submit else view
