"""What the access screen gives: keys and tokens, whose secret is shown once, roles, and logins let in."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from dg.client.words import time_ago
from dg.core.clock import SECOND
from dg.tui.access.drawing import key_facts, token_facts
from dg.tui.access.words import environment_of, moment_of, option, options, span, words
from dg.tui.actions import Act, Field, Look, Shown, Values, line
from dg.tui.ink import Pieces
from dg.tui.sheet import facts

if TYPE_CHECKING:
    from dg.client.app import Client
    from dg.core.access.models import ApiKey, DefinedRole, IssuedKey, IssuedToken, Scope

WHERE = Field("environment", "only there; empty for all of them")
SERVICE = Field("service", "only this one; empty for all of them")
ONCE: Pieces = [("its secret is shown here, once", "muted")]


def make_key(now: int) -> Act:
    """An API key of a service account, with what it may, from where, and until when."""

    async def look(_: Client, values: Values) -> Look:
        rows: list[Pieces] = [
            [(f"{values['name']} may ", "muted"), (str(each), "fg bold")] for each in scopes(values)
        ]
        span(values["lasting"])
        return Look([*rows, _lasting(values), ONCE], ready=bool(rows))

    async def send(dg: Client, values: Values, key: str) -> Any:
        return await dg.keys.create(
            name=values["name"],
            scopes=scopes(values),
            addresses=words(values["from"]),
            ttl=span(values["lasting"]),
            key=key,
        )

    def command(values: Values) -> str:
        may = [part for word in words(values["may"]) for part in ("--can" if ":" in word else "--role", word)]
        return line(
            *("key", "create", "--name", values["name"] or "NAME", *(may or ("--role", "ROLE"))),
            *options(values, "environments", "--env"),
            *options(values, "services", "--service"),
            *options(values, "from", "--from"),
            *option(values, "lasting", "--ttl"),
        )

    return Act(
        title="make an API key",
        right="key:create",
        environment="",
        service="",
        look=look,
        send=send,
        command=command,
        done="the key is made",
        fields=(
            Field("name", "whose it is", required=True),
            Field("may", "roles and actions: operator lane:lock", required=True),
            Field("environments", "only there; empty for all of them"),
            Field("services", "only these; empty for all of them"),
            Field("from", "only from these networks: 192.0.2.0/24"),
            Field("lasting", "12h, 30d; empty for as long as the server lets it"),
        ),
        later=True,
        show=lambda issued: issued_key(issued, now),
    )


def scopes(values: Values) -> tuple[Scope, ...]:
    """Each role and action that was typed, in each environment, for each service. Raises Invalid."""
    from dg.core.access.models import Scope

    environments = [environment_of(word) for word in words(values["environments"])] or [None]
    places = list(itertools.product(environments, words(values["services"]) or (None,)))
    return tuple(
        Scope(
            role=None if ":" in word else word,
            action=word if ":" in word else None,
            environment=environment,
            service=service,
        )
        for word in words(values["may"])
        for environment, service in places
    )


def _lasting(values: Values) -> Pieces:
    return [("for ", "muted"), (values["lasting"] or "as long as the server lets it", "fg")]


def issued_key(issued: IssuedKey, now: int) -> Shown:
    return Shown(f"key {issued.key.name}", facts(key_facts(issued.key, now)), issued.secret)


def rotate_key(found: ApiKey, now: int) -> Act:
    """A new secret for a key that stays what it is; the old one goes on for a while."""

    async def look(_: Client, values: Values) -> Look:
        span(values["lasting"])
        overlap = values["overlap"] or "as long as the server lets it"
        rows: list[Pieces] = [[("the old secret goes on for ", "muted"), (overlap, "fg")]]
        return Look([*facts(key_facts(found, now)), *rows, ONCE])

    async def send(dg: Client, values: Values, key: str) -> Any:
        return await dg.keys.rotate(
            found.id, overlap=span(values["overlap"]), ttl=span(values["lasting"]), key=key
        )

    return Act(
        title=f"give the key {found.name} a new secret",
        right="key:rotate",
        environment="",
        service="",
        look=look,
        send=send,
        command=lambda values: line(
            *("key", "rotate", found.id),
            *option(values, "overlap"),
            *option(values, "lasting", "--ttl"),
        ),
        done=f"{found.name} has a new secret",
        fields=(
            Field("overlap", "how long the old one goes on: 1h, 7d"),
            Field("lasting", "how long the key lasts: 30d"),
        ),
        later=True,
        show=lambda issued: issued_key(issued, now),
    )


def make_token(now: int) -> Act:
    """A token for a person or a service."""

    def kind(values: Values) -> Literal["person", "service"]:
        return "person" if values["of"] else "service"

    async def look(_: Client, values: Values) -> Look:
        environment_of(values["environment"])
        span(values["lasting"])
        place = "/".join(filter(None, (values["service"], values["environment"])))
        held = f"{values['role']} on {place}" if place else values["role"]
        who = f"{values['of']}, with all that is theirs" if values["of"] else "a service"
        rows: list[Pieces] = [[("stands for ", "muted"), (who, "fg")], [("may ", "muted"), (held, "fg bold")]]
        return Look([*rows, _lasting(values), ONCE])

    async def send(dg: Client, values: Values, key: str) -> Any:
        return await dg.tokens.create(
            name=values["name"],
            role=values["role"],
            kind=kind(values),
            environment=environment_of(values["environment"]),
            service=values["service"] or None,
            ttl=span(values["lasting"]),
            person=values["of"] or None,
            key=key,
        )

    def show(issued: IssuedToken) -> Shown:
        return Shown(f"token {issued.token.name}", facts(token_facts(issued.token, now)), issued.secret)

    return Act(
        title="make a token",
        right="token:create",
        environment="",
        service="",
        look=look,
        send=send,
        command=lambda values: line(
            *("token", "create", "--name", values["name"] or "NAME", "--role", values["role"] or "ROLE"),
            *option(values, "environment", "--env"),
            *option(values, "service"),
            *option(values, "lasting", "--ttl"),
            *option(values, "of"),
        ),
        done="the token is made",
        fields=(
            Field("name", "what it is for", required=True),
            Field("role", "viewer, operator, approver, admin, or one of your own", required=True),
            Field("of", "the person whose it is; empty for a service"),
            WHERE,
            SERVICE,
            Field("lasting", "12h, 30d; empty for as long as the server lets it"),
        ),
        later=True,
        show=show,
    )


# Roles


def give_role(now: int) -> Act:
    """A role for somebody, or for all with a group, until it ends or is taken back."""

    async def look(_: Client, values: Values) -> Look:
        environment_of(values["environment"])
        moment_of(values["until"], now)
        place = "/".join(filter(None, (values["service"], values["environment"]))) or "everywhere"
        until = values["until"] or "until it is taken back"
        rows: list[Pieces] = [
            [(values["subject"], "fg bold"), (" is ", "muted"), (values["role"], "fg bold")],
            [("where ", "muted"), (place, "fg")],
            [("how long ", "muted"), (until, "fg")],
        ]
        return Look(rows)

    async def send(dg: Client, values: Values, key: str) -> Any:
        from dg.core.access.models import CreateBinding

        wish = CreateBinding(
            subject=values["subject"],
            role=values["role"],
            environment=values["environment"] or None,
            service=values["service"] or None,
            expires_at=moment_of(values["until"], now),
        )
        return await dg.bindings.create(wish, key=key)

    return Act(
        title="give a role",
        right="binding:create",
        environment="",
        service="",
        look=look,
        send=send,
        command=lambda values: line(
            *("binding", "add", values["subject"] or "SUBJECT", values["role"] or "ROLE"),
            *option(values, "environment", "--env"),
            *option(values, "service"),
            *option(values, "until"),
        ),
        done="the role is given",
        fields=(
            Field("subject", "an id, clerk:USER, clerk-role:ROLE, slack-group:GROUP", required=True),
            Field("role", "viewer, operator, approver, admin, or one of your own", required=True),
            WHERE,
            SERVICE,
            Field("until", "2h, 2026-12-24T18:00Z; empty for until it is taken back"),
        ),
        later=True,
    )


def make_role() -> Act:
    """A role of one's own: actions under one name."""

    async def look(_: Client, values: Values) -> Look:
        rows: list[Pieces] = [[(values["name"], "fg bold"), (" may", "muted")]]
        return Look([*rows, *[[("+ ", "ok"), (each, "fg")] for each in words(values["actions"])]])

    async def send(dg: Client, values: Values, key: str) -> Any:
        from dg.core.access.models import CreateRole

        wish = CreateRole(
            name=values["name"], actions=words(values["actions"]), description=values["description"]
        )
        return await dg.roles.create(wish, key=key)

    return Act(
        title="make a role",
        right="role:create",
        environment="",
        service="",
        look=look,
        send=send,
        command=lambda values: line(
            *("role", "create", values["name"] or "NAME", *(words(values["actions"]) or ("ACTION",))),
            *option(values, "description"),
        ),
        done="the role is made",
        fields=(
            Field("name", "what it is called", required=True),
            Field("actions", "deployment:read lane:lock …", required=True),
            Field("description", "one line for who chooses among roles"),
        ),
        later=True,
    )


def edit_role(found: DefinedRole) -> Act:
    """A role's actions and its description; whoever holds it may do other things at once."""

    def parted(values: Values) -> tuple[tuple[str, ...], tuple[str, ...]]:
        wanted = words(values["actions"])
        more = tuple(each for each in wanted if each not in found.actions)
        return more, tuple(each for each in found.actions if each not in wanted)

    def description(values: Values) -> str | None:
        return values["description"] if values["description"] != found.description else None

    async def look(_: Client, values: Values) -> Look:
        more, less = parted(values)
        rows: list[Pieces] = [[("+ ", "ok bold"), (each, "fg")] for each in more]
        rows += [[("- ", "err bold"), (each, "fg")] for each in less]
        if description(values) is not None:
            rows.append([("~ ", "warn bold"), (values["description"] or "no description", "fg")])
        return Look(rows or [[("nothing changes", "muted")]], ready=bool(rows))

    async def send(dg: Client, values: Values, key: str) -> Any:
        more, less = parted(values)
        return await dg.roles.update(
            found.name, description=description(values), add=more, remove=less, key=key
        )

    def command(values: Values) -> str:
        more, less = parted(values)
        said = description(values)
        return line(
            *("role", "edit", found.name),
            *_each("--add", more),
            *_each("--remove", less),
            *(() if said is None else ("--description", said)),
        )

    return Act(
        title=f"change the role {found.name}",
        right="role:update",
        environment="",
        service="",
        look=look,
        send=send,
        command=command,
        done=f"{found.name} is changed",
        fields=(
            Field("actions", "all that it may", " ".join(found.actions), required=True),
            Field("description", "one line for who chooses among roles", found.description),
        ),
        first="actions",
        later=True,
    )


def _each(flag: str, found: Iterable[str]) -> list[str]:
    return [part for each in found for part in (flag, each)]


# Logins and accounts


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
