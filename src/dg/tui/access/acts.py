"""What the access screen takes back: sessions, API keys, tokens and bindings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from dg.tui.access.drawing import binding_facts, key_facts, session_facts, token_facts
from dg.tui.actions import Act, Look, Values, line
from dg.tui.ink import Pieces
from dg.tui.sheet import facts

if TYPE_CHECKING:
    from dg.client.app import Client
    from dg.core.access.models import ApiKey, Binding, Token
    from dg.core.access.sessions import Session


def end_session(found: Session, now: int, *, own: bool, used: bool) -> Act:
    """One's `own` session takes no right, that of somebody else does; `used`: it is the one in use."""
    warning: list[Pieces] = [[("▲ it is the one that you use: this dashboard is signed out", "warn bold")]]
    return _revoke(
        f"end the session of {found.name}",
        "" if own else "session:revoke",
        [*facts(session_facts(found, now)), *(warning if used else [])],
        lambda dg, _: dg.sessions.revoke(found.id),
        line("session", "revoke", found.id),
    )


def revoke_key(found: ApiKey, now: int) -> Act:
    """An API key with all its secrets."""
    return _revoke(
        f"revoke the key {found.name}",
        "key:revoke",
        facts(key_facts(found, now)),
        lambda dg, key: dg.keys.revoke(found.id, key=key),
        line("key", "revoke", found.id),
    )


def revoke_token(found: Token, now: int) -> Act:
    """A token."""
    return _revoke(
        f"revoke the token {found.name}",
        "token:revoke",
        facts(token_facts(found, now)),
        lambda dg, key: dg.tokens.revoke(found.id, key=key),
        line("token", "revoke", found.id),
    )


def take_back(found: Binding, now: int) -> Act:
    """A role that was given."""
    return _revoke(
        f"take {found.role} back from {found.subject}",
        "binding:revoke",
        facts(binding_facts(found, now)),
        lambda dg, key: dg.bindings.revoke(found.id, key=key),
        line("binding", "remove", found.id),
    )


def _revoke(
    title: str,
    right: str,
    rows: list[Pieces],
    send: Callable[[Client, str], Awaitable[Any]],
    command: str,
) -> Act:
    async def look(_: Client, __: Values) -> Look:
        return Look([*rows, [("it opens nothing from now on", "warn")]])

    async def sent(dg: Client, _: Values, key: str) -> Any:
        return await send(dg, key)

    return Act(
        title=title,
        right=right,
        environment="",
        service="",
        look=look,
        send=sent,
        command=lambda _: command,
        done=f"done: {title}",
    )
