"""Roles on the access screen: made, changed, and given to somebody."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dg.tui.access.words import SERVICE, WHERE, moment_of, words
from dg.tui.actions import Act, Field, Look, Values, line
from dg.tui.fields import environment_of, option
from dg.tui.ink import Pieces

if TYPE_CHECKING:
    from dg.client.app import Client
    from dg.core.access.models import DefinedRole


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
