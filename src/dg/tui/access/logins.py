"""Who is let in on the access screen: logins by their code, and accounts in Slack that are one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dg.client.words import time_ago
from dg.core.clock import SECOND
from dg.tui.access.words import SERVICE, WHERE, options, words
from dg.tui.actions import Act, Field, Look, Values, line
from dg.tui.fields import environment_of, option
from dg.tui.ink import Pieces

if TYPE_CHECKING:
    from dg.client.app import Client


def let_in(now: int, *, signed_in: bool) -> Act:
    """Whoever shows a code: as oneself, which a session of one's own may, or as somebody else with roles."""

    async def look(dg: Client, values: Values) -> Look:
        found = await dg.sessions.login(values["code"])
        environment_of(values["environment"])
        held = values["roles"] or "all that you may in this session"
        rows: list[Pieces] = [
            [
                (found.name or "somebody", "fg bold"),
                (" on ", "muted"),
                (found.host or "an unknown host", "fg"),
            ],
            [
                ("from ", "muted"),
                (found.address or "an unknown address", "fg"),
                (f"  {time_ago((now - found.asked_at) / SECOND)}", "muted"),
            ],
            [("as ", "muted"), (values["person"] or "yourself", "fg bold"), (f"  {held}", "muted")],
            [("▲ what a program says of itself proves nothing: compare the code", "warn")],
        ]
        return Look(rows)

    async def send(dg: Client, values: Values, key: str) -> Any:
        from dg.core.access.sessions import WantedGrant

        grants = [
            WantedGrant(
                role=role, environment=values["environment"] or None, service=values["service"] or None
            )
            for role in words(values["roles"])
        ]
        return await dg.sessions.approve(
            values["code"], person=values["person"] or None, grants=grants, key=key
        )

    return Act(
        title="let somebody in",
        right="" if signed_in else "session:approve",
        environment="",
        service="",
        look=look,
        send=send,
        command=lambda values: line(
            *("session", "approve", values["code"] or "CODE"),
            *option(values, "person", "--for"),
            *options(values, "roles", "--role"),
            *option(values, "environment", "--env"),
            *option(values, "service"),
        ),
        done="let in",
        fields=(
            Field("code", "what their program shows: BCDF-GHJK", required=True),
            Field("person", "who it is; empty for yourself"),
            Field("roles", "what they may be, with spaces between"),
            WHERE,
            SERVICE,
        ),
        later=True,
    )


def turn_away(now: int, *, signed_in: bool) -> Act:
    """Whoever shows a code that nobody knows of."""

    async def look(dg: Client, values: Values) -> Look:
        found = await dg.sessions.login(values["code"])
        ago = time_ago((now - found.asked_at) / SECOND)
        who: Pieces = [
            (found.name or "somebody", "fg bold"),
            (f" on {found.host or 'an unknown host'}", "fg"),
        ]
        return Look([who, [(f"from {found.address or 'an unknown address'}  {ago}", "muted")]])

    async def send(dg: Client, values: Values, key: str) -> Any:
        return await dg.sessions.deny(values["code"], key=key)

    return Act(
        title="turn somebody away",
        right="" if signed_in else "session:approve",
        environment="",
        service="",
        look=look,
        send=send,
        command=lambda values: line("session", "deny", values["code"] or "CODE"),
        done="turned away",
        fields=(Field("code", "what their program shows: BCDF-GHJK", required=True),),
        later=True,
    )


def link_account() -> Act:
    """An account in Slack that acts as oneself from then on."""

    async def look(dg: Client, values: Values) -> Look:
        found = await dg.slack.code(values["code"])
        rows: list[Pieces] = [
            [("the account ", "muted"), (found.name, "fg bold"), (f" in {found.team}", "muted")],
            [("▲ whatever it asks for is asked by you: is it yours?", "warn")],
        ]
        return Look(rows)

    async def send(dg: Client, values: Values, key: str) -> Any:
        return await dg.slack.link(values["code"], key=key)

    return Act(
        title="link an account in Slack",
        right="slack:link",
        environment="",
        service="",
        look=look,
        send=send,
        command=lambda values: line("slack", "link", values["code"] or "CODE"),
        done="linked",
        fields=(Field("code", "what `/dg link` shows in Slack", required=True),),
        later=True,
    )
