"""The page at `/`: its frame, its two assets and its regions as they change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources

from aiohttp import web

from dg.slacksim.control import guarded, refusal
from dg.slacksim.errors import Impossible
from dg.slacksim.look.markup import join, tag
from dg.slacksim.look.page import regions, sight
from dg.slacksim.workspace import Workspace

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
ASSETS = {"style.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}


class Page:
    """Serves the page to browsers of this machine."""

    def __init__(self, slack: Workspace, sockets: Callable[[], int], mistakes: Sequence[str]) -> None:
        self._slack = slack
        self._sockets = sockets
        self._mistakes = mistakes

    def mount(self, router: web.UrlDispatcher) -> None:
        router.add_get("/", guarded(self._frame))
        router.add_get("/page/{name}", guarded(self._asset))
        router.add_get("/sim/regions", guarded(self._regions))

    async def _frame(self, _request: web.Request) -> web.Response:
        return web.Response(text=frame(), content_type="text/html", headers=HEADERS)

    async def _asset(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in ASSETS:
            return refusal(404, "there is no such file")
        return web.Response(text=asset(name), content_type=ASSETS[name], headers=HEADERS)

    async def _regions(self, request: web.Request) -> web.Response:
        """The page's parts for `as`, `channel` (or `home`) and `thread`."""
        query = request.query
        try:
            seen = sight(self._slack, query.get("as", ""), query.get("channel", ""), query.get("thread", ""))
        except Impossible as error:
            return refusal(404, str(error))
        found = regions(self._slack, seen, self._sockets(), self._mistakes)
        where = {"as": seen.user.name, "channel": seen.place.id if seen.place else "home"}
        return web.json_response(
            {"revision": self._slack.revision, "where": where, "regions": found}, headers=HEADERS
        )


@cache
def asset(name: str) -> str:
    return (resources.files("dg.slacksim.look") / "assets" / name).read_text("utf-8")


@cache
def frame() -> str:
    """The page before anything is in it."""
    head = join(
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", "slack-sim"),
        tag("link", rel="icon", href="/page/icon.svg"),
        tag("link", rel="stylesheet", href="/page/style.css"),
        tag("script", src="/page/page.js", defer=True),
    )
    composer = tag(
        "form",
        tag(
            "textarea",
            id="words",
            rows=1,
            placeholder="Message, or /dg …",
            aria_label="Message",
            maxlength=4000,
        ),
        tag("button", "Send", type="submit", class_="button primary"),
        id="composer",
    )
    body = join(
        tag("nav", id="sidebar", aria_label="Channels"),
        tag(
            "main",
            tag("header", id="head"),
            tag("div", id="messages", aria_live="polite"),
            tag("div", id="notice", role="status", hidden=True),
            composer,
            id="main",
        ),
        tag("aside", tag("div", id="thread"), tag("form", _reply(), id="reply"), id="side", hidden=True),
        tag("div", id="modal", hidden=True),
        tag("dialog", id="confirm"),
        tag("button", "◐", type="button", id="theme", data_act="theme", title="Light or dark"),
    )
    return "<!doctype html>" + tag("html", tag("head", head), tag("body", body), lang="en")


def _reply() -> list[str | None]:
    return [
        tag("textarea", id="answer", rows=1, placeholder="Reply …", aria_label="Reply", maxlength=4000),
        tag("button", "Send", type="submit", class_="button primary"),
    ]
