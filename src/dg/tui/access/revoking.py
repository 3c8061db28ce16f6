"""What the access screen takes back: sessions, keys, tokens, bindings, roles and accounts in Slack."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

from dg.tui.access.drawing import (
    binding_facts,
    key_facts,
    link_facts,
    role_facts,
    session_facts,
    token_facts,
)
from dg.tui.actions import Act, Look, Values, line
from dg.tui.frame.sheet import facts
from dg.tui.ink import Pieces

if TYPE_CHECKING:
    from dg.client.app import Client
    from dg.core.access.accounts import SlackLink
    from dg.core.access.models import ApiKey, Binding, DefinedRole, Token
    from dg.core.access.sessions import Session

EASY = 40
"""The longest name that is typed; of what is longer, the end of its id is."""


def spelled(name: str, id: str) -> str:  # noqa: A002
    """What has to be typed for this one: its name where any keyboard has it, else the end of its id."""
    easy = name.isascii() and name.isprintable() and 0 < len(name.strip()) == len(name) <= EASY
    return name if easy else id[-8:]


def end_session(found: Session, now: int, *, own: bool, used: bool) -> Act:
    """One's `own` session takes no right, that of somebody else does; `used`: it is the one in use."""
    warning: list[Pieces] = [[("▲ it is the one that you use: this dashboard is signed out", "warn bold")]]
    return take_back(
        f"end the session of {found.name}",
        "" if own else "session:revoke",
        [*facts(session_facts(found, now)), *(warning if used else [])],
        lambda dg, _: dg.sessions.revoke(found.id),
        line("session", "revoke", found.id),
        typed="" if own else spelled(found.name, found.id),
    )


def end_sessions(found: Session, all_of_them: Iterable[Session], now: int, *, own: bool) -> Act:
    """Every session of a person, wherever they are signed in."""
    ended = [each for each in all_of_them if each.person == found.person and not each.is_over(now)]
    rows: list[Pieces] = [
        [(each.host or "an unknown host", "fg bold"), (f"  {each.address}", "muted")] for each in ended
    ]

    async def send(dg: Client, _: str) -> Any:
        return [await dg.sessions.revoke(each.id) for each in ended]

    return take_back(
        f"end all sessions of {found.name}",
        "" if own else "session:revoke",
        rows,
        send,
        line("session", "revoke", "--person", found.name),
        typed=spelled(found.name, found.id),
    )


def revoke_key(found: ApiKey, now: int) -> Act:
    """An API key with all its secrets."""
    return take_back(
        f"revoke the key {found.name}",
        "key:revoke",
        facts(key_facts(found, now)),
        lambda dg, key: dg.keys.revoke(found.id, key=key),
        line("key", "revoke", found.id),
        typed=spelled(found.name, found.id),
    )


def revoke_token(found: Token, now: int) -> Act:
    """A token."""
    return take_back(
        f"revoke the token {found.name}",
        "token:revoke",
        facts(token_facts(found, now)),
        lambda dg, key: dg.tokens.revoke(found.id, key=key),
        line("token", "revoke", found.id),
        typed=spelled(found.name, found.id),
    )


def end_binding(found: Binding, now: int) -> Act:
    """A role that was given."""
    return take_back(
        f"take {found.role} back from {found.subject}",
        "binding:revoke",
        facts(binding_facts(found, now)),
        lambda dg, key: dg.bindings.revoke(found.id, key=key),
        line("binding", "remove", found.id),
        typed=spelled(found.role, found.id),
    )


def delete_role(found: DefinedRole, now: int) -> Act:
    """A role of this server's own, which nobody may hold by then."""
    return take_back(
        f"delete the role {found.name}",
        "role:delete",
        facts(role_facts(found, now)),
        lambda dg, key: dg.roles.delete(found.name, key=key),
        line("role", "delete", found.name),
        typed=spelled(found.name, found.name),
    )


def unlink(found: SlackLink, now: int, *, own: bool) -> Act:
    """An account in Slack that is to be nobody's; one's `own` takes no right."""
    return take_back(
        f"unlink {found.name} in Slack",
        "" if own else "slack:unlink",
        facts(link_facts(found, now)),
        lambda dg, _: dg.slack.unlink(found.id),
        line("slack", "unlink", found.id),
        typed="" if own else spelled(found.name, found.id),
    )


def take_back(
    title: str,
    right: str,
    rows: list[Pieces],
    send: Callable[[Client, str], Awaitable[Any]],
    command: str,
    *,
    typed: str = "",
) -> Act:
    """Something that opens nothing from then on."""

    async def look(_: Client, __: Values) -> Look:
        return Look([*rows, [("it opens nothing from now on", "warn")]], typed)

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
