"""What is drawn: Slack's markup and blocks as HTML, in which nothing that came from outside is markup."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.slacksim.apps import BUTTONS, MODAL
from tests.slacksim.conftest import section
from tests.slacksim.test_blockkit import CONFIRM, GOOD

from dg.slacksim.look.blocks import blocks
from dg.slacksim.look.elements import element
from dg.slacksim.look.emoji import NAMES as NAMED
from dg.slacksim.look.glyphs import GLYPHS
from dg.slacksim.look.markup import VOID, Html, join, tag
from dg.slacksim.look.mrkdwn import Names, plain, rendered
from dg.slacksim.look.pictures import of_messages, of_view

NAMES = Names({"UANA": "ana"}, {"CDEPLOYS": "deploys"}, {"SREL": "release-managers"}, "UANA", "Europe/Berlin")

SVG = {"svg", "g", "path", "circle", "rect", "ellipse"}


class Tags(HTMLParser):
    """The elements and attributes of a document; every element is closed where it must be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.links: set[str] = set()
        self.words = ""
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links |= {value or "" for name, value in attrs if name == "href"}
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("*bold* _italic_ ~gone~ `code`", "<b>bold</b> <i>italic</i> <s>gone</s> <code>code</code>"),
        ("*`api`* by *<@UANA>*", '<b><code>api</code></b> by <b><span class="mention me">@ana</span></b>'),
        ("_*both*_ *a _b* c_ *x ~y~*", "<i><b>both</b></i> <b>a _b</b> c_ <b>x <s>y</s></b>"),
        ("2*3*4 and a_b_c", "2*3*4 and a_b_c"),
        ("one\ntwo", "one<br>two"),
        ("&gt; said\nmore", "<blockquote>said</blockquote>more"),
        ("```\nx < *y*\n```", "<pre>x &lt; *y*</pre>"),
        ("<#CDEPLOYS> <!subteam^SREL>", None),
        ("<!here>", '<span class="mention me">@here</span>'),
        (
            "<https://x.example/?a=1&amp;b=2|see *it*>",
            (
                '<a href="https://x.example/?a=1&amp;b=2" target="_blank" rel="noopener noreferrer nofollow">'
                "see <b>it</b></a>"
            ),
        ),
        ("<!date^1790000000^{date_num} {time}|then>", "<time>2026-09-21 16:13</time>"),
        ("<!date^x^{time}|then>", "then"),
        (":tada: :not_known:", '<span title=":tada:" class="emoji">🎉</span> :not_known:'),
        ("&lt;script&gt;", "&lt;script&gt;"),
        ("<script>alert(1)</script>", None),
        ("<javascript:alert(1)|press>", None),
    ],
)
def test_markup_is_drawn(text: str, html: str | None) -> None:
    drawn = rendered(text, NAMES)
    if html is not None:
        assert drawn == html
    assert not Tags(drawn).names & {"script", "img"}
    assert all(each.startswith("https://") for each in Tags(drawn).links)


@given(st.text(alphabet="<>&|`*_~@#!^:\n \ue000x1UC", max_size=80))
def test_no_text_becomes_markup(text: str) -> None:
    allowed = {"a", "b", "i", "s", "br", "code", "pre", "span", "time", "blockquote", *SVG}
    assert Tags(f"<p>{rendered(text, NAMES)}</p>").names <= allowed | {"p"}
    assert Tags(f"<p>{plain(text)}</p>").names <= {"p", "br", "span", *SVG}


@pytest.mark.parametrize("found", GOOD, ids=range(len(GOOD)))
def test_every_block_is_drawn(found: Any) -> None:
    drawn = blocks(found, NAMES)
    assert "unknown" not in drawn
    assert not Tags(drawn).names & {"script", "img", "style"}
    assert "style" not in Tags(drawn).attributes


def test_hostile_texts_stay_texts() -> None:
    hostile = '"><script>alert(1)</script><b onclick=x>'
    text = {"type": "plain_text", "text": hostile}
    button = {
        "type": "button",
        "action_id": hostile,
        "value": hostile,
        "text": text,
        "confirm": {**CONFIRM, "title": text},
    }
    found = [
        section(hostile),
        {"type": "header", "text": text},
        {"type": "actions", "block_id": hostile, "elements": [button]},
        {"type": "image", "image_url": "https://x.example/" + hostile, "alt_text": hostile},
    ]
    page = Tags(of_messages([{"blocks": found, "text": hostile}, {"text": hostile}]))
    assert "script" not in page.names
    assert "onclick" not in page.attributes
    assert page.words.count("<script>") >= 3


def test_an_element_shows_what_was_entered() -> None:
    select = BUTTONS[1]["elements"][1]
    assert '<option value="7200" selected>' not in element(select, NAMES)
    chosen = {"type": "static_select", "selected_option": select["options"][1]}
    assert '<option value="7200" selected>' in element(select, NAMES, chosen)
    field = {"type": "plain_text_input", "action_id": "t", "initial_value": "at first"}
    assert 'value="at first"' in element(field, NAMES)
    assert 'value="then"' in element(field, NAMES, {"type": "plain_text_input", "value": "then"})


def test_an_error_stands_under_its_input() -> None:
    drawn = blocks(MODAL["blocks"], NAMES, {}, {"reason": "say <more>"})
    assert '<div class="error" role="alert">say &lt;more&gt;</div>' in drawn


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_picture_needs_nothing_from_elsewhere(theme: Any) -> None:
    pictures = [
        of_messages([{"text": "x", "blocks": BUTTONS}, {"text": "*y*"}], names=NAMES, theme=theme),
        of_view(MODAL, names=NAMES, theme=theme),
        of_view({"type": "home", "blocks": BUTTONS}, theme=theme),
    ]
    for picture in pictures:
        page = Tags(picture.removeprefix("<!doctype html>"))
        assert not page.names & {"script", "img", "link"}
        assert f'data-theme="{theme}"' in picture
        assert "url(" not in picture


@pytest.mark.parametrize("name", sorted(GLYPHS))
def test_every_glyph_is_a_picture(name: str) -> None:
    drawn = plain(f"is :{name}: it")
    assert drawn.startswith("is <svg")
    assert Tags(drawn).names <= SVG
    assert name in NAMED


def test_an_option_has_characters_only() -> None:
    select = {
        "type": "static_select",
        "options": [{"text": {"type": "plain_text", "text": ":x: no"}, "value": "v"}],
    }
    assert '<option value="v">❌ no</option>' in element(select, NAMES)


def test_only_html_is_not_escaped() -> None:
    inner = join("<i>", Html("<b>"), None, ["&", [Html("</b>")]])
    assert inner == "&lt;i&gt;<b>&amp;</b>"
    assert tag("p", "x", class_="a", data_to='"', hidden=True, title=None) == (
        '<p class="a" data-to="&quot;" hidden>x</p>'
    )
