"""Keys and tokens made on the access screen: their secret is shown there once."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Literal

from dg.tui.access.drawing import key_facts, token_facts
from dg.tui.access.words import SERVICE, WHERE, options, span, words
from dg.tui.actions import Act, Field, Look, Shown, Values, line
from dg.tui.fields import environment_of, option
from dg.tui.frame.sheet import facts
from dg.tui.ink import Pieces

if TYPE_CHECKING:
    from dg.client.app import Client
    from dg.core.access.models import ApiKey, IssuedKey, IssuedToken, Scope

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
