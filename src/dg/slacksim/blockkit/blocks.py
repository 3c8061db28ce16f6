"""The blocks of Block Kit, and what a list of them must be to be accepted."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dg.slacksim.blockkit.checks import (
    Check,
    Choice,
    Report,
    Shape,
    any_text,
    array,
    at_least_one,
    boolean,
    exactly_one,
    image_url,
    integer,
    one_of,
    plain_text,
    shape,
    string,
    url,
)
from dg.slacksim.blockkit.elements import (
    ID,
    IN_ACTIONS,
    IN_CONTEXT,
    IN_INPUT,
    IN_SECTION,
    SLACK_FILE,
    SLACK_ID,
)

MOST_BLOCKS = {"message": 50, "modal": 100, "home": 100}
MOST_MARKDOWN = 12_000
"""Characters of all markdown blocks of one message together."""

MOST_DEPTH = 32
"""Containers within containers of one payload: nothing in Block Kit is nearly as deep."""

_BLOCK: Mapping[str, Check] = {"block_id": ID}
_STYLE = Shape(dict.fromkeys(("bold", "italic", "strike", "code", "underline"), boolean))


def _inline(kind: str, fields: Mapping[str, Check], *required: str) -> Shape:
    return shape(kind, {**fields, "style": _STYLE}, required)


_INLINE = Choice(
    {
        "text": _inline("text", {"text": string(3000)}, "text"),
        "link": _inline("link", {"url": url, "text": string(3000), "unsafe": boolean}, "url"),
        "user": _inline("user", {"user_id": SLACK_ID}, "user_id"),
        "usergroup": _inline("usergroup", {"usergroup_id": SLACK_ID}, "usergroup_id"),
        "channel": _inline("channel", {"channel_id": SLACK_ID}, "channel_id"),
        "emoji": _inline("emoji", {"name": string(100), "unicode": string(64)}, "name"),
        "broadcast": _inline("broadcast", {"range": one_of("here", "channel", "everyone")}, "range"),
        "date": _inline(
            "date",
            {
                "timestamp": integer(0, 10**11),
                "format": string(200),
                "url": url,
                "fallback": string(200),
            },
            "timestamp",
            "format",
        ),
    }
)
_INLINES = array(_INLINE, 1000, 0)
_BORDER: Mapping[str, Check] = {"border": integer(0, 1)}
_RICH_SECTION = shape("rich_text_section", {"elements": _INLINES}, ("elements",))
_RICH = Choice(
    {
        "rich_text_section": _RICH_SECTION,
        "rich_text_preformatted": shape(
            "rich_text_preformatted",
            {"elements": _INLINES, "language": string(64), **_BORDER},
            ("elements",),
        ),
        "rich_text_quote": shape("rich_text_quote", {"elements": _INLINES, **_BORDER}, ("elements",)),
        "rich_text_list": shape(
            "rich_text_list",
            {
                "elements": array(_RICH_SECTION, 1000),
                "style": one_of("bullet", "ordered"),
                "indent": integer(0, 8),
                "offset": integer(0, 10**6),
                **_BORDER,
            },
            ("elements", "style"),
        ),
    }
)
RICH_TEXT = shape("rich_text", {**_BLOCK, "elements": array(_RICH, 1000)}, ("elements",))
_CELL = Choice({"raw_text": shape("raw_text", {"text": string(3000, 0)}, ("text",)), "rich_text": RICH_TEXT})
_COLUMN = Shape({"align": one_of("left", "center", "right"), "is_wrapped": boolean})

IN_MESSAGE: Mapping[str, Check] = {
    "actions": shape("actions", {**_BLOCK, "elements": array(IN_ACTIONS, 25)}, ("elements",)),
    "context": shape("context", {**_BLOCK, "elements": array(IN_CONTEXT, 10)}, ("elements",)),
    "divider": shape("divider", _BLOCK),
    "header": shape("header", {**_BLOCK, "text": plain_text(150)}, ("text",)),
    "image": shape(
        "image",
        {
            **_BLOCK,
            "image_url": image_url,
            "slack_file": SLACK_FILE,
            "alt_text": string(2000),
            "title": plain_text(2000),
        },
        ("alt_text",),
        exactly_one("image_url", "slack_file"),
    ),
    "input": shape(
        "input",
        {
            **_BLOCK,
            "label": plain_text(2000),
            "element": IN_INPUT,
            "hint": plain_text(2000),
            "optional": boolean,
            "dispatch_action": boolean,
        },
        ("label", "element"),
    ),
    "markdown": shape("markdown", {**_BLOCK, "text": string(MOST_MARKDOWN)}, ("text",)),
    "rich_text": RICH_TEXT,
    "section": shape(
        "section",
        {
            **_BLOCK,
            "text": any_text(3000),
            "fields": array(any_text(2000), 10),
            "accessory": IN_SECTION,
            "expand": boolean,
        },
        (),
        at_least_one("text", "fields"),
    ),
    "table": shape(
        "table",
        {**_BLOCK, "rows": array(array(_CELL, 20), 100), "column_settings": array(_COLUMN, 20)},
        ("rows",),
    ),
}
SURFACES: Mapping[str, Choice] = {
    "message": Choice(IN_MESSAGE),
    "modal": Choice({name: each for name, each in IN_MESSAGE.items() if name not in ("markdown", "table")}),
    "home": Choice({name: each for name, each in IN_MESSAGE.items() if name != "markdown"}),
}


def check_blocks(blocks: Any, surface: str = "message", pointer: str = "/blocks") -> list[str]:
    """What is wrong with the blocks of a message, a modal or a home; empty when Slack would take them."""
    report = Report()
    if too_deep(blocks):
        report.add("is nested too deeply", pointer)
        return report.problems
    array(SURFACES[surface], MOST_BLOCKS[surface], 0)(blocks, pointer, report)
    if isinstance(blocks, list):
        known = [(f"{pointer}/{index}", each) for index, each in enumerate(blocks) if isinstance(each, dict)]
        _ids_are_unique(known, report)
        _once_in_a_message(known, pointer, report)
    return report.problems


def _ids_are_unique(blocks: list[tuple[str, dict[str, Any]]], report: Report) -> None:
    seen: set[str] = set()
    for place, block in blocks:
        if isinstance(name := block.get("block_id"), str):
            if name in seen:
                report.add(f"block_id already exists: {name[:100]}", f"{place}/block_id")
            seen.add(name)
        actions: set[str] = set()
        for path, element in elements_of(block):
            if not isinstance(action := element.get("action_id"), str):
                continue
            if action in actions:
                report.add(f"action_id already exists: {action[:100]}", f"{place}{path}/action_id")
            actions.add(action)


def _once_in_a_message(blocks: list[tuple[str, dict[str, Any]]], pointer: str, report: Report) -> None:
    texts = [each.get("text") for _, each in blocks if each.get("type") == "markdown"]
    if sum(len(text) for text in texts if isinstance(text, str)) > MOST_MARKDOWN:
        report.add(f"markdown text must be less than {MOST_MARKDOWN + 1} characters in total", pointer)
    if sum(each.get("type") == "table" for _, each in blocks) > 1:
        report.add("only_one_table_allowed", pointer)


def elements_of(block: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The elements of one block that a person can act on, each with its pointer in the block."""
    found = block.get("elements") if block.get("type") == "actions" else None
    for index, each in enumerate(found if isinstance(found, list) else []):
        if isinstance(each, dict):
            yield f"/elements/{index}", each
    for name in ("accessory", "element"):
        each = block.get(name)
        if isinstance(each, dict) and each.get("type") != "image":
            yield f"/{name}", each


def with_ids(blocks: list[dict[str, Any]], new: Callable[[], str]) -> list[dict[str, Any]]:
    """A copy in which every block and element has an id, as Slack gives one to those without."""
    blocks = copy.deepcopy(blocks)
    for block in blocks:
        if "block_id" not in block:
            block["block_id"] = new()
        for _, element in elements_of(block):
            if "action_id" not in element:
                element["action_id"] = new()
    return blocks


def text_length(value: Any) -> int:
    """Characters of all texts in these blocks, which Slack limits as a whole."""
    total = 0
    open_: list[Any] = [value]
    while open_:
        match open_.pop():
            case dict() as found:
                total += len(found["text"]) if isinstance(found.get("text"), str) else 0
                open_.extend(each for each in found.values() if isinstance(each, dict | list))
            case list() as found:
                open_.extend(found)
            case _:
                pass
    return total


def too_deep(value: Any) -> bool:
    """Whether containers stand within one another more than any payload needs."""
    level: list[Any] = [value]
    for _ in range(MOST_DEPTH):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return False
    return True
