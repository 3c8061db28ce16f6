"""Blocks as HTML: a pure function of the blocks, the names in them and what was entered."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dg.slacksim.look.elements import Json, element, image, text
from dg.slacksim.look.markup import Html, join, tag
from dg.slacksim.look.mrkdwn import Names, date, group, link, mention, plain, rendered

Values = Mapping[str, Mapping[str, Json]]
NOTHING: Values = {}
_HEADING = re.compile(r"^#{1,6} +(.+)$", re.MULTILINE)
_STRONG = re.compile(r"\*\*(\S(?:[^*\n]*\S)?)\*\*")
_LINK = re.compile(r"\[([^\[\]\n]+)\]\((https?://[^\s()<>|]+)\)")


def blocks(
    found: Iterable[Json], names: Names, values: Values = NOTHING, errors: Mapping[str, str] | None = None
) -> Html:
    """A list of blocks. `values` is what was entered, `errors` what the app said of inputs, by block."""
    return join(_block(each, names, values.get(each.get("block_id", ""), {}), errors or {}) for each in found)


def _block(block: Json, names: Names, state: Mapping[str, Json], errors: Mapping[str, str]) -> Html:
    kind = block["type"]
    if kind == "input":
        inner = _input(block, names, state, errors)
    elif kind in DRAWN:
        inner = DRAWN[kind](block, names, state)
    else:
        inner = tag("span", kind, class_="unknown")
    return tag("div", inner, class_=f"block {kind}", data_block=block.get("block_id"))


def _section(block: Json, names: Names, state: Mapping[str, Json]) -> Html:
    fields = block.get("fields")
    body = tag(
        "div",
        tag("div", text(block["text"], names), class_="text") if block.get("text") else None,
        tag("div", (tag("div", text(each, names)) for each in fields), class_="fields") if fields else None,
        class_="body",
    )
    accessory = block.get("accessory")
    if not accessory:
        return body
    drawn = element(accessory, names, state.get(accessory.get("action_id", "")))
    return join(body, tag("div", drawn, class_="accessory"))


def _actions(block: Json, names: Names, state: Mapping[str, Json]) -> Html:
    return join(element(each, names, state.get(each.get("action_id", ""))) for each in block["elements"])


def _context(block: Json, names: Names, _state: Mapping[str, Json]) -> Html:
    return join(
        tag("span", image(each, names) if each["type"] == "image" else text(each, names))
        for each in block["elements"]
    )


def _header(block: Json, names: Names, _state: Mapping[str, Json]) -> Html:
    return tag("h3", text(block["text"], names))


def _divider(_block: Json, _names: Names, _state: Mapping[str, Json]) -> Html:
    return tag("hr")


def _image(block: Json, names: Names, _state: Mapping[str, Json]) -> Html:
    return join(
        tag("div", text(block.get("title"), names)) if block.get("title") else None, image(block, names)
    )


def _input(block: Json, names: Names, state: Mapping[str, Json], errors: Mapping[str, str]) -> Html:
    error = errors.get(block.get("block_id", ""))
    optional = tag("small", " (optional)") if block.get("optional") else None
    asked = block["element"]
    return join(
        tag("label", text(block["label"], names), optional),
        element(asked, names, state.get(asked.get("action_id", ""))),
        tag("div", text(block["hint"], names), class_="hint") if block.get("hint") else None,
        tag("div", error, class_="error", role="alert") if error else None,
    )


def _markdown(block: Json, names: Names, _state: Mapping[str, Json]) -> Html:
    """The common part of Markdown, by way of Slack's own markup."""
    source = _STRONG.sub(r"*\1*", _HEADING.sub(r"*\1*", block["text"]))
    return rendered(_LINK.sub(r"<\2|\1>", source), names)


def _table(block: Json, names: Names, _state: Mapping[str, Json]) -> Html:
    first, *rest = block["rows"]
    settings = [each or {} for each in block.get("column_settings", [])]

    def row(cells: list[Json], name: str) -> Html:
        return tag("tr", (cell(each, name, index) for index, each in enumerate(cells)))

    def cell(value: Json, name: str, index: int) -> Html:
        align = settings[index].get("align", "left") if index < len(settings) else "left"
        inner = plain(value["text"]) if value["type"] == "raw_text" else rich_text(value, names, {})
        return tag(name, inner, class_=align)

    return tag("table", tag("thead", row(first, "th")), tag("tbody", (row(each, "td") for each in rest)))


def rich_text(block: Json, names: Names, _state: Mapping[str, Json]) -> Html:
    return join(_rich(each, names) for each in block["elements"])


def _rich(part: Json, names: Names) -> Html:
    inside = part["elements"]
    match part["type"]:
        case "rich_text_list":
            name = "ol" if part["style"] == "ordered" else "ul"
            items = (tag("li", _inline(each["elements"], names)) for each in inside)
            return tag(name, items, class_=f"indent{part.get('indent', 0)}")
        case "rich_text_preformatted":
            return tag("pre", _inline(inside, names))
        case "rich_text_quote":
            return tag("blockquote", _inline(inside, names))
        case _:
            return tag("div", _inline(inside, names))


def _inline(parts: Iterable[Json], names: Names) -> Html:
    return join(_styled(_part(each, names), each.get("style") or {}) for each in parts)


def _styled(inner: Html, style: Mapping[str, Any]) -> Html:
    for name, wrapper in (
        ("code", "code"),
        ("bold", "b"),
        ("italic", "i"),
        ("strike", "s"),
        ("underline", "u"),
    ):
        if style.get(name):
            inner = tag(wrapper, inner)
    return inner


def _part(part: Json, names: Names) -> Html:
    match part["type"]:
        case "link":
            return link(part["url"], part.get("text", ""), names)
        case "user":
            return mention(part["user_id"], "", names)
        case "usergroup":
            return group(part["usergroup_id"], "", names)
        case "channel":
            known = names.channels.get(part["channel_id"], part["channel_id"])
            return tag("span", "#", known, class_="mention")
        case "broadcast":
            return tag("span", "@", part["range"], class_="mention me")
        case "emoji":
            return plain(f":{part['name']}:")
        case "date":
            return tag("time", date(part["timestamp"], part["format"], names))
        case _:
            return plain(part["text"], emoji=False)


DRAWN: Mapping[str, Callable[[Json, Names, Mapping[str, Json]], Html]] = {
    "actions": _actions,
    "context": _context,
    "divider": _divider,
    "header": _header,
    "image": _image,
    "markdown": _markdown,
    "rich_text": rich_text,
    "section": _section,
    "table": _table,
}
