"""Slack's markup as HTML: formatting, links, mentions, dates, code, quotes."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from zoneinfo import ZoneInfo

from dg.slacksim.look.emoji import NAME, picture
from dg.slacksim.look.markup import Html, join, tag


@dataclass(frozen=True)
class Names:
    """What ids are called, and for whom."""

    users: Mapping[str, str] = field(default_factory=dict)
    channels: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    reader: str = ""
    """Id of who looks: mentions of them stand out."""

    zone: str = "Etc/UTC"

    def local(self, seconds: float) -> datetime:
        """A moment where the reader is."""
        return datetime.fromtimestamp(seconds, UTC).astimezone(ZoneInfo(self.zone))


_FIRST_PRIVATE = 0xE000
_MOST_DRAWN = 6_000
_PRIVATE = re.compile("[\ue000-\uf8ff]")
_TOKEN = re.compile(r"```(?P<block>.+?)```|`(?P<code>[^`\n]+)`|<(?P<angle>[^<>\n]+)>", re.DOTALL)
_ADDRESS = re.compile(r"(https?://|mailto:)\S+\Z")
_QUOTE = re.compile(r"(?:^(?:&gt;|>)[^\n]*(?:\n|\Z))+", re.MULTILINE)
_QUOTED = re.compile(r"^(?:&gt;|>) ?", re.MULTILINE)
_FORMATS = (
    (re.compile(r"(?<![\w*])\*(?=\S)([^*\n]+?)(?<=\S)\*(?![\w*])"), "b"),
    (re.compile(r"(?<![\w_])_(?=\S)([^_\n]+?)(?<=\S)_(?![\w_])"), "i"),
    (re.compile(r"(?<![\w~])~(?=\S)([^~\n]+?)(?<=\S)~(?![\w~])"), "s"),
)


def rendered(text: str, names: Names) -> Html:
    """Text of the type `mrkdwn`."""
    return _Drawing(names).draw(text)


class _Drawing:
    """One text: what is drawn of it stands aside, a private character in its place, so that no two cross."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._drawn: list[str] = []

    def draw(self, text: str) -> Html:
        text = NAME.sub(self._emoji, _TOKEN.sub(self._token, _PRIVATE.sub("�", text)))
        parts, end = [], 0
        for quote in _QUOTE.finditer(text):
            parts.append(self._formatted(text[end : quote.start()]))
            inner = _QUOTED.sub("", quote[0].removesuffix("\n"))
            parts.append(f"<blockquote>{self._formatted(inner)}</blockquote>")
            end = quote.end()
        parts.append(self._formatted(text[end:]))
        return Html(self._whole("".join(parts)))

    def _token(self, match: re.Match[str]) -> str:
        return self._aside(_token(match, self._names), match[0])

    def _emoji(self, match: re.Match[str]) -> str:
        found = picture(match[1])
        return self._aside(found, match[0]) if found else match[0]

    def _formatted(self, text: str) -> str:
        return _lines(self._marked(html.escape(unescaped(text), quote=False)))

    def _marked(self, text: str) -> str:
        for pattern, name in _FORMATS:
            text = pattern.sub(partial(self._format, name), text)
        return text

    def _format(self, name: str, match: re.Match[str]) -> str:
        return self._aside(f"<{name}>{self._marked(match[1])}</{name}>", match[0])

    def _aside(self, html_: str, otherwise: str) -> str:
        if len(self._drawn) >= _MOST_DRAWN:
            return otherwise
        self._drawn.append(html_)
        return chr(_FIRST_PRIVATE + len(self._drawn) - 1)

    def _whole(self, text: str) -> str:
        return _PRIVATE.sub(lambda match: self._whole(self._drawn[ord(match[0]) - _FIRST_PRIVATE]), text)


def plain(text: str, *, emoji: bool = True) -> Html:
    """Text of the type `plain_text`."""
    if not emoji:
        return _lines(html.escape(text))
    parts, end = [], 0
    for named in NAME.finditer(text):
        if found := picture(named[1]):
            parts += [_lines(html.escape(text[end : named.start()])), found]
            end = named.end()
    return join(*parts, _lines(html.escape(text[end:])))


def _lines(escaped: str) -> Html:
    return Html(escaped.replace("\n", "<br>"))


def unescaped(text: str) -> str:
    """Slack's three entities as what they stand for."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _token(match: re.Match[str], names: Names) -> Html:
    if match["block"] is not None:
        return tag("pre", unescaped(match["block"]).strip("\n"))
    if match["code"] is not None:
        return tag("code", unescaped(match["code"]))
    return _angle(match["angle"], names)


def _angle(inside: str, names: Names) -> Html:
    target, _, label = inside.partition("|")
    if target.startswith("@"):
        return mention(target[1:], label, names)
    if target.startswith("#"):
        return tag("span", "#", names.channels.get(target[1:], label or target[1:]), class_="mention")
    if target.startswith("!subteam^"):
        return group(target.removeprefix("!subteam^"), label, names)
    if target.startswith("!date^"):
        return _date(target, label, names)
    if target.startswith("!"):
        return tag("span", "@", label.lstrip("@") or target[1:], class_="mention me")
    return link(unescaped(target), label, names)


def link(address: str, label: str, names: Names) -> Html:
    """A link, where the address is one; nothing else can be pressed."""
    shown = rendered(label, names) if label else join(address.removeprefix("mailto:"))
    if not _ADDRESS.match(address):
        return tag("span", "<", address, f"|{label}" if label else "", ">")
    return tag("a", shown, href=address, target="_blank", rel="noopener noreferrer nofollow")


def mention(user: str, label: str, names: Names) -> Html:
    class_ = "mention me" if user == names.reader else "mention"
    return tag("span", "@", names.users.get(user, label or user), class_=class_)


def group(id_: str, label: str, names: Names) -> Html:
    return tag("span", "@", names.groups.get(id_, label.lstrip("@") or id_), class_="mention")


def _date(target: str, fallback: str, names: Names) -> Html:
    _, seconds, form, *address = [*target.split("^"), "", ""][:4]
    if not (seconds.isascii() and seconds.isdigit()) or len(seconds) > 11 or not form:
        return join(fallback)
    shown = date(int(seconds), form, names)
    return link(address[0], shown, names) if address[0] else tag("time", shown)


def date(seconds: int, form: str, names: Names) -> str:
    """A moment in the form of Slack's date tokens."""
    local = names.local(seconds)
    day = f"{local:%B} {local.day}, {local.year}"
    words = {
        "{date_num}": f"{local:%Y-%m-%d}",
        "{date_short}": f"{local:%b} {local.day}, {local.year}",
        "{date_long}": f"{local:%A}, {day}",
        "{date}": day,
        "{date_pretty}": day,
        "{date_short_pretty}": f"{local:%b} {local.day}, {local.year}",
        "{date_long_pretty}": f"{local:%A}, {day}",
        "{time_secs}": f"{local:%H:%M:%S}",
        "{time}": f"{local:%H:%M}",
        "{ago}": f"at {local:%H:%M}",
    }
    for token, word in words.items():
        form = form.replace(token, word)
    return form
