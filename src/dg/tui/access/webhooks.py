"""Webhooks on the access screen: how they are drawn, made, changed, tried, paused and removed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dg.tui.access.drawing import Now
from dg.tui.access.revoking import spelled
from dg.tui.access.words import SERVICE, WHERE, options, words
from dg.tui.actions import Act, Field, Look, Shown, Values, line
from dg.tui.drawing import ago, moment
from dg.tui.fields import environment_of, option
from dg.tui.frame.sheet import facts
from dg.tui.ink import Piece, Pieces
from dg.tui.signs import sign
from dg.tui.widgets.table import Column

if TYPE_CHECKING:
    from dg.client.app import Client
    from dg.core.webhooks.models import IssuedWebhook, Webhook, WebhookDelivery


def columns() -> tuple[Column[Webhook], ...]:
    return (
        Column("state", "state", lambda row: [_state(row)], 10),
        Column("url", "to", lambda row: [(row.url, "fg bold")], 16, lambda row: row.url, flex=True),
        Column("events", "events", lambda row: [(" ".join(row.events), "muted")], 12, flex=True),
        Column("where", "where", lambda row: [(_where(row), "muted")], 16, needs=90),
        Column("for", "for", lambda row: [(row.description or "", "muted")], 10, flex=True, needs=110),
    )


def _state(row: Webhook) -> Piece:
    if not row.enabled:
        return f"{sign('fail')} paused", "muted"
    return (f"{sign('warn')} failing", "warn") if row.failures else (f"{sign('ok')} on", "ok")


def _where(row: Webhook) -> str:
    return "/".join(filter(None, (row.service, row.environment))) or "everywhere"


def webhook_facts(row: Webhook, _: int) -> list[tuple[str, str]]:
    """All that is known of a webhook."""
    return [
        ("to", row.url),
        ("state", f"{_state(row)[0]} {row.disabled_reason or ''}".strip()),
        ("events", " ".join(row.events)),
        ("filter", row.filter or ""),
        ("where", _where(row)),
        ("for", row.description or ""),
        ("owner", row.owner),
        ("failures", f"{row.failures} in a row: {row.last_error or ''}" if row.failures else ""),
        ("changed", moment(row.updated_at)),
        ("id", row.id),
    ]


def deliveries(found: tuple[WebhookDelivery, ...], now: Now) -> list[Pieces]:
    """What was sent there lately, and what waits."""
    inks = {"sent": ("ok", "ok"), "failed": ("fail", "err"), "waiting": ("busy", "progress")}
    return [
        [
            (f"{sign(inks[each.state][0])} {ago(each.created_at, now()):>4}  ", inks[each.state][1]),
            (each.event, "fg"),
            (f"  {each.error or each.http_status or each.state}", "muted"),
        ]
        for each in found
    ] or [[("nothing was sent there yet", "muted")]]


# What is done with them


def create() -> Act:
    """Events sent to a receiver from then on; the secret that signs them is shown once."""

    def wish(values: Values) -> dict[str, Any]:
        place = environment_of(values["environment"])
        given = {
            "url": values["url"],
            "events": words(values["events"]) or None,
            "filter": values["filter"] or None,
            "environment": place,
            "service": values["service"] or None,
            "description": values["description"] or None,
        }
        return {name: value for name, value in given.items() if value is not None}

    async def look(_: Client, values: Values) -> Look:
        found = wish(values)
        rows: list[Pieces] = [
            [
                (" ".join(found.get("events", ("*",))), "fg bold"),
                ("  are sent to  ", "muted"),
                (found["url"], "fg"),
            ],
            [("you get what you may read, no more; its secret is shown here, once", "muted")],
        ]
        return Look(rows)

    async def send(dg: Client, values: Values, key: str) -> Any:
        from dg.core.webhooks.models import CreateWebhook

        return await dg.webhooks.create(CreateWebhook(**wish(values)), key=key)

    return Act(
        title="make a webhook",
        right="webhook:create",
        environment="",
        service="",
        look=look,
        send=send,
        command=lambda values: line(
            *("webhook", "create", values["url"] or "URL"),
            *options(values, "events", "--event"),
            *option(values, "filter"),
            *option(values, "environment", "--env"),
            *option(values, "service"),
            *option(values, "description"),
        ),
        done="the webhook is made",
        fields=(
            Field("url", "https://hooks.example.org/dg", required=True),
            Field("events", "deployment.finished lane.*; empty for all"),
            Field("filter", "env=production status!=success"),
            WHERE,
            SERVICE,
            Field("description", "what it is for"),
        ),
        later=True,
        show=issued,
    )


def issued(found: IssuedWebhook) -> Shown:
    return Shown("webhook", facts(webhook_facts(found.webhook, 0)), found.secret)


def update(found: Webhook) -> Act:
    """Another address, other events; it is one's own from then on."""
    known = {
        "url": found.url,
        "events": " ".join(found.events),
        "filter": found.filter or "",
        "description": found.description or "",
    }

    def changed(values: Values) -> dict[str, str]:
        return {name: values[name] for name, before in known.items() if values[name] != before}

    async def look(_: Client, values: Values) -> Look:
        rows: list[Pieces] = [
            [
                ("~ ", "warn bold"),
                (f"{name}  ", "fg bold"),
                (known[name], "muted"),
                ("  →  ", "dim"),
                (new, "fg"),
            ]
            for name, new in changed(values).items()
        ]
        return Look(rows or [[("nothing changes", "muted")]], ready=bool(rows))

    async def send(dg: Client, values: Values, _: str) -> Any:
        from dg.core.webhooks.models import UpdateWebhook

        wish: dict[str, Any] = dict(changed(values))
        if "events" in wish:
            wish["events"] = words(wish["events"])
        return await dg.webhooks.update(found.id, UpdateWebhook(**wish))

    def command(values: Values) -> str:
        flags = {"url": "--to", "filter": "--filter", "description": "--description"}
        wish = changed(values)
        given = [word for name, flag in flags.items() if name in wish for word in (flag, wish[name])]
        events = options(wish, "events", "--event") if "events" in wish else ()
        return line("webhook", "update", found.id, *given, *events)

    return Act(
        title=f"change the webhook to {host(found)}",
        right="webhook:update",
        environment=found.environment.value if found.environment else "",
        service=found.service or "",
        look=look,
        send=send,
        command=command,
        done="the webhook is changed",
        fields=(
            Field("url", "where to", known["url"], required=True),
            Field("events", "deployment.finished lane.*", known["events"], required=True),
            Field("filter", "empty for none", known["filter"]),
            Field("description", "what it is for", known["description"]),
        ),
        first="url",
        later=True,
    )


def host(found: Webhook) -> str:
    """Whom it sends to, in a word."""
    try:
        return urlsplit(found.url).hostname or found.id
    except ValueError:
        return found.id


def pause(found: Webhook) -> Act:
    """Nothing is sent there, until it is enabled again."""
    verb, said = (
        ("disable", "nothing is sent there") if found.enabled else ("enable", "events are sent there again")
    )
    more = "" if found.enabled else "; what happened meanwhile is not made up for"

    async def send(dg: Client, _: str) -> Any:
        from dg.core.webhooks.models import UpdateWebhook

        return await dg.webhooks.update(found.id, UpdateWebhook(enabled=not found.enabled))

    return _on(found, verb, "webhook:update", f"{said}{more}", send)


def rotate(found: Webhook) -> Act:
    """A new secret; the one before it signs too for a day."""

    async def send(dg: Client, key: str) -> Any:
        return await dg.webhooks.rotate(found.id, key=key)

    said = "a new secret, shown here, once; the one before it signs too for a day"
    return _on(found, "rotate", "webhook:update", said, send, show=issued)


def delete(found: Webhook) -> Act:
    """Nothing is sent there any more, and it is forgotten."""

    async def send(dg: Client, _: str) -> Any:
        return await dg.webhooks.delete(found.id)

    typed = spelled(host(found), found.id)
    return _on(found, "delete", "webhook:delete", "nothing is sent there any more", send, typed=typed)


def test(found: Webhook) -> Act:
    """A test sent there, once."""

    async def send(dg: Client, _: str) -> Any:
        return await dg.webhooks.test(found.id)

    return _on(found, "test", "webhook:test", "a test is sent there", send, show=_tested)


def _tested(found: WebhookDelivery) -> Shown:
    arrived: Pieces = [(f"{sign('ok')} it arrived: the receiver answered {found.http_status}", "ok")]
    lost: Pieces = [(f"{sign('fail')} it did not arrive: {found.error}", "err")]
    return Shown("test", [arrived if found.state == "sent" else lost])


def _on(
    found: Webhook,
    verb: str,
    right: str,
    said: str,
    send: Callable[[Client, str], Any],
    *,
    typed: str = "",
    show: Callable[[Any], Shown] | None = None,
) -> Act:
    """What is done to a webhook as it is."""

    async def look(_: Client, __: Values) -> Look:
        return Look([*facts(webhook_facts(found, 0)), [(said, "warn")]], typed)

    async def sent(dg: Client, _: Values, key: str) -> Any:
        return await send(dg, key)

    return Act(
        title=f"{verb} the webhook to {host(found)}",
        right=right,
        environment=found.environment.value if found.environment else "",
        service=found.service or "",
        look=look,
        send=sent,
        command=lambda _: line("webhook", verb, found.id),
        done=f"{verb}: webhook to {host(found)}",
        show=show,
    )
