"""HTML that is safe by construction: what is no `Html` is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable

VOID = {"input", "br", "hr", "meta", "link"}


class Html(str):
    """Markup; every other text is data."""

    __slots__ = ()


Child = str | None | Iterable["Child"]
Value = str | int | bool | None


def tag(name: str, /, *children: Child, **attributes: Value) -> Html:
    """An element. `class_` is `class`, `data_x` is `data-x`; True is an attribute without a value."""
    shown = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        return Html(f"<{name}{shown}>")
    return Html(f"<{name}{shown}>{join(*children)}</{name}>")


def join(*children: Child) -> Html:
    """Children one after another."""
    return Html("".join(_inner(each) for each in children))


def _inner(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    if isinstance(child, str):
        return html.escape(child)
    return join(*child)


def _attribute(key: str, value: Value) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    return f' {name}="{html.escape(str(value))}"'
