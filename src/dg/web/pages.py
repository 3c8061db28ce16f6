"""The pages around the terminal, as HTML. Every text is made harmless and escaped."""

from __future__ import annotations

from html import escape

from dg.core.access.sessions import Device
from dg.core.text import plain

FONT_SIZES = (8, 32)
USUAL_FONT_SIZE = 15


def terminal(socket_url: str, font_size: int) -> str:
    """The page that is the dashboard: textual-serve's script makes a terminal of its last part."""
    return _page(
        '<main class="cover opening"><p>The dashboard opens …</p></main>'
        '<main class="cover ended"><p>The dashboard has ended.</p>'
        f'<a class="button" href="/">Open it again</a>{_post("/logout", "Sign out")}</main>'
        f'<div id="terminal" class="textual-terminal" data-session-websocket-url="{escape(socket_url)}" '
        f'data-font-size="{font_size}"></div>',
        head='<link rel="stylesheet" href="/static/xterm.css"><script src="/static/textual.js"></script>'
        '<script src="/static/page.js" defer></script>',
    )


def sign_in(server: str) -> str:
    """Where somebody says who they are."""
    return _said(
        "Sign in",
        f"The dashboard of {server}. It shows and does what you may: an administrator lets you in, or you "
        "do it yourself where you are signed in already.",
        '<form method="post" action="/login"><label>Your name <input name="name" maxlength="60" required '
        'autofocus autocomplete="username"></label><button>Sign in</button></form>',
    )


def waiting(device: Device) -> str:
    """The code that somebody has to approve; the page looks by itself whether they did."""
    return _said(
        "Waiting to be let in",
        "Somebody who is signed in runs this, and compares the code:",
        f"<p class=code>{_safe(device.user_code)}</p><p><code>{_safe(device.hint)}</code></p>"
        f"<p class=muted>For at most {device.expires_in // 60} minutes.</p>" + _post("/logout", "Never mind"),
        head=f'<meta http-equiv="refresh" content="{max(1, min(device.interval, 30))}">',
    )


def message(title: str, sentence: str) -> str:
    """Why there is no dashboard now, with the way back."""
    return _said(title, sentence, '<a class="button" href="/">Try again</a>')


def font_size(asked: str | None) -> int:
    """The size in pixels that a page's address asks for, within reason."""
    if not asked or not asked.isascii() or not asked.isdigit() or len(asked) > 3:
        return USUAL_FONT_SIZE
    return min(max(int(asked), FONT_SIZES[0]), FONT_SIZES[1])


def _said(title: str, sentence: str, rest: str, head: str = "") -> str:
    return _page(
        f'<main class="cover said"><h1>{_safe(title)}</h1><p>{_safe(sentence)}</p>{rest}</main>', head=head
    )


def _page(body: str, head: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>dg</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="/static/icon.svg">{head}'
        f'<link rel="stylesheet" href="/static/page.css"></head><body>{body}</body></html>'
    )


def _post(where: str, label: str) -> str:
    return f'<form method="post" action="{where}"><button>{label}</button></form>'


def _safe(text: str) -> str:
    return escape(plain(text))
