"""Webhooks against a real receiver: who gets what, signed how, and when it stops."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.core.receivers import Receiver, answering, hanging
from tests.core.webhooks.yard import Yard, genuine, open_yard, told

from dg.core.access.models import SYSTEM, Principal
from dg.core.errors import Forbidden, Invalid, NotFound, Refused
from dg.core.idempotency import Once
from dg.core.testing import ManualClock, eventually, settle
from dg.core.webhooks.models import CreateWebhook, UpdateWebhook
from dg.core.webhooks.service import Webhooks

FREEZE = ("freeze.set",)
PAUSE = 3600.0
Call = Callable[[Webhooks, Principal, str], Awaitable[Any]]

CALLS: dict[str, Call] = {
    "create": lambda w, p, i: w.create(p, CreateWebhook(url="https://a.example/")),
    "list": lambda w, p, i: w.list(p),
    "get": lambda w, p, i: w.get(p, i),
    "update": lambda w, p, i: w.update(p, i, UpdateWebhook(enabled=False)),
    "delete": lambda w, p, i: w.delete(p, i),
    "test": lambda w, p, i: w.test(p, i),
    "rotate": lambda w, p, i: w.rotate(p, i),
    "deliveries": lambda w, p, i: w.deliveries(p, i),
}


async def advance(yard: Yard, seconds: float) -> None:
    """Let time pass, and the outbox look again."""
    await yard.clock.advance(seconds)
    yard.core.webhooks._wake()


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("role", ["viewer", "approver"])
async def test_who_only_looks_or_approves_has_nothing_to_do_with_webhooks(
    yard: Yard, name: str, role: str
) -> None:
    admin, _ = await yard.who("admin")
    someone, _ = await yard.who(role)
    hook = (await yard.hook(admin)).webhook
    with pytest.raises((Forbidden, NotFound)):
        await CALLS[name](yard.core.webhooks, someone, hook.id)
    assert (await yard.core.webhooks.get(admin, hook.id)).enabled


@pytest.mark.parametrize("name", [name for name in CALLS if name not in {"create", "list"}])
async def test_a_webhook_out_of_reach_is_like_one_that_is_not_there(yard: Yard, name: str) -> None:
    admin, _ = await yard.who("admin")
    narrow, _ = await yard.who("operator", environment="staging")
    hook = (await yard.hook(admin, environment="production")).webhook
    with pytest.raises(NotFound) as hidden:
        await CALLS[name](yard.core.webhooks, narrow, hook.id)
    with pytest.raises(NotFound) as missing:
        await CALLS[name](yard.core.webhooks, narrow, "0" * 36)
    assert hidden.value.message.replace(hook.id, "") == missing.value.message.replace("0" * 36, "")
    assert await yard.core.webhooks.list(narrow) == ()


async def test_a_narrow_operator_makes_narrow_webhooks_only(yard: Yard) -> None:
    narrow, _ = await yard.who("operator", environment="staging")
    with pytest.raises(Forbidden):
        await yard.hook(narrow)
    with pytest.raises(Forbidden):
        await yard.hook(narrow, environment="production")
    hook = (await yard.hook(narrow, environment="staging")).webhook
    assert [each.id for each in await yard.core.webhooks.list(narrow)] == [hook.id]


async def test_an_event_arrives_signed_and_whole(yard: Yard) -> None:
    admin, _ = await yard.who("admin")
    issued = await yard.hook(admin, events=FREEZE)
    await yard.happen("production", reason="sale ☃")
    (received,) = await yard.got(1)
    assert (received.method, received.path) == ("POST", "/hook")
    assert genuine(received, issued.secret)
    assert not genuine(received, "whsec_another")
    (entry,) = await yard.core.feed.read(SYSTEM, filter="type=freeze.set")
    body = told(received)
    assert body["webhook"] == issued.webhook.id
    assert body["type"] == "freeze.set"
    assert body["event"] | {"at": entry.at} == {
        name: getattr(entry, name) for name in entry.__slots__ if getattr(entry, name) is not None
    }
    assert body["event"]["at"].endswith("Z")
    assert received.headers["content-type"] == "application/json"
    assert received.headers["dg-delivery"] == body["id"]
    assert received.headers["dg-event"] == "freeze.set"
    assert received.headers["dg-event-seq"] == str(entry.seq)
    (delivery,) = await yard.settled(admin, issued.webhook.id, "sent")
    assert (delivery.id, delivery.seq, delivery.http_status) == (body["id"], entry.seq, 200)


async def test_only_what_was_subscribed_to_is_sent(yard: Yard) -> None:
    admin, _ = await yard.who("admin")
    await yard.hook(admin, "/production", events=FREEZE, environment="production")
    await yard.hook(admin, "/shop", events=("freeze.*",), service="shop")
    await yard.hook(admin, "/filtered", events=FREEZE, filter="env=staging text~fair")
    await yard.hook(admin, "/tokens", events=("token.*",))
    await yard.happen("production", "web")
    await yard.happen("staging", "shop")
    await yard.happen("staging", "web", reason="other")
    await yard.who("viewer")
    received = await yard.got(4)
    await settle()
    assert sorted((each.path, told(each)["type"]) for each in received) == [
        ("/filtered", "freeze.set"),
        ("/production", "freeze.set"),
        ("/shop", "freeze.set"),
        ("/tokens", "token.created"),
    ]


async def test_a_webhook_gets_what_its_owner_may_read_and_no_more(yard: Yard) -> None:
    operator, _ = await yard.who("operator", environment="staging")
    await yard.hook(operator, environment="staging")
    await yard.happen("production")
    await yard.who("viewer")
    await yard.happen("staging")
    (received,) = await yard.got(1)
    assert told(received)["event"]["environment"] == "staging"


async def test_what_happened_before_a_webhook_is_not_sent(yard: Yard) -> None:
    admin, _ = await yard.who("admin")
    await yard.happen(reason="before")
    await yard.hook(admin, events=FREEZE)
    await yard.happen(reason="after")
    (received,) = await yard.got(1)
    assert told(received)["event"]["payload"]["reason"] == "after"


async def test_an_owner_whose_token_is_revoked_gets_nothing_more(yard: Yard) -> None:
    admin, _ = await yard.who("admin")
    operator, token = await yard.who("operator")
    hook = (await yard.hook(operator, events=FREEZE)).webhook
    await yard.core.tokens.revoke(admin, token.token.id)
    await yard.happen()

    async def disabled() -> bool:
        return not (await yard.core.webhooks.get(admin, hook.id)).enabled

    await eventually(disabled)
    assert yard.receiver.received == []
    reason = (await yard.core.webhooks.get(admin, hook.id)).disabled_reason or ""
    assert "whoever enables it takes it over" in reason
    enabled = await yard.core.webhooks.update(admin, hook.id, UpdateWebhook(enabled=True))
    assert enabled.owner == admin.id
    await yard.happen()
    await yard.got(1)


async def test_what_its_owner_may_not_read_any_more_when_it_is_delivered_is_not_sent(yard: Yard) -> None:
    admin, _ = await yard.who("admin")
    operator, token = await yard.who("operator")
    yard.receiver.behaviour = answering(500)
    hook = (await yard.hook(operator, events=FREEZE)).webhook
    await yard.happen()
    await yard.settled(admin, hook.id, "waiting")
    await yard.got(1)
    await yard.core.tokens.revoke(admin, token.token.id)
    await advance(yard, PAUSE)
    (delivery,) = await yard.settled(admin, hook.id, "failed")
    assert "may not read this event" in (delivery.error or "")
    assert len(yard.receiver.received) == 1


async def test_a_delivery_is_repeated_with_the_same_id_until_it_arrives(yard: Yard) -> None:
    admin, _ = await yard.who("admin")
    yard.receiver.behaviour = answering(503)
    issued = await yard.hook(admin, events=FREEZE)
    await yard.happen()
    await yard.got(1)
    await yard.settled(admin, issued.webhook.id, "waiting")
    yard.receiver.behaviour = answering(204)
    await advance(yard, PAUSE)
    first, second = await yard.got(2)
    assert told(first) == told(second)
    assert first.headers["dg-delivery"] == second.headers["dg-delivery"]
    assert first.headers["dg-signature"] != second.headers["dg-signature"]
    assert genuine(second, issued.secret)
    (delivery,) = await yard.settled(admin, issued.webhook.id, "sent")
    assert delivery.attempts == 2
    assert (await yard.core.webhooks.get(admin, issued.webhook.id)).failures == 0


@pytest.mark.parametrize(
    ("status", "headers", "said"),
    [
        (500, {}, "the receiver answered 500"),
        (404, {}, "the receiver answered 404"),
        (302, {"location": "http://127.0.0.1/"}, "redirects are not followed"),
    ],
)
async def test_an_answer_that_is_no_success_is_kept_without_its_body(
    yard: Yard, status: int, headers: dict[str, str], said: str
) -> None:
    admin, _ = await yard.who("admin")
    yard.receiver.behaviour = answering(status, b"inside-information", **headers)
    hook = (await yard.hook(admin, events=FREEZE)).webhook
    await yard.happen()
    await yard.got(1)

    async def noted() -> bool:
        return any(each.error for each in await yard.deliveries(admin, hook.id))

    await eventually(noted)
    (delivery,) = await yard.deliveries(admin, hook.id)
    assert (delivery.state, delivery.http_status) == ("waiting", status)
    assert said in (delivery.error or "")
    assert "inside-information" not in delivery.model_dump_json()
    shown = await yard.core.webhooks.get(admin, hook.id)
    assert (shown.failures, shown.last_error) == (1, delivery.error)


async def test_a_receiver_that_keeps_failing_is_disabled_until_somebody_enables_it(yard: Yard) -> None:
    admin, _ = await yard.who("admin")
    yard.receiver.behaviour = answering(500)
    hook = (await yard.hook(admin, events=FREEZE)).webhook
    await yard.happen(reason="first")
    for tries in (1, 2, 3):
        await yard.got(tries)
        await advance(yard, PAUSE)

    async def disabled() -> bool:
        return not (await yard.core.webhooks.get(admin, hook.id)).enabled

    await eventually(disabled)
    shown = await yard.core.webhooks.get(admin, hook.id)
    assert shown.disabled_reason == "3 failures in a row, the last: the receiver answered 500"
    await yard.happen(reason="missed")
    await advance(yard, PAUSE)
    assert len(yard.receiver.received) == 3
    yard.receiver.behaviour = answering(200)
    enabled = await yard.core.webhooks.update(admin, hook.id, UpdateWebhook(enabled=True))
    assert (enabled.enabled, enabled.disabled_reason, enabled.failures) == (True, None, 0)
    await yard.happen(reason="after")
    received = await yard.got(5)
    reasons = [told(each)["event"]["payload"]["reason"] for each in received[3:]]
    assert sorted(reasons) == ["after", "first"]
    assert await yard.types() == ["webhook.created", "webhook.disabled", "webhook.enabled"]


async def test_a_receiver_that_is_gone_is_disabled_at_once(yard: Yard) -> None:
    admin, _ = await yard.who("admin")
    yard.receiver.behaviour = answering(410)
    hook = (await yard.hook(admin, events=FREEZE)).webhook
    await yard.happen()

    async def disabled() -> bool:
        return not (await yard.core.webhooks.get(admin, hook.id)).enabled

    await eventually(disabled)


async def test_a_person_disables_and_enables(yard: Yard) -> None:
    admin, _ = await yard.who("admin")
    hook = (await yard.hook(admin, events=FREEZE)).webhook
    off = await yard.core.webhooks.update(admin, hook.id, UpdateWebhook(enabled=False))
    assert (off.enabled, off.disabled_reason) == (False, "a person disabled it")
    again = await yard.core.webhooks.update(admin, hook.id, UpdateWebhook(enabled=False))
    assert again == off
    await yard.happen(reason="missed")
    await yard.core.webhooks.update(admin, hook.id, UpdateWebhook(enabled=True))
    await yard.happen(reason="after")
    (received,) = await yard.got(1)
    assert told(received)["event"]["payload"]["reason"] == "after"
    assert await yard.types() == ["webhook.created", "webhook.updated", "webhook.enabled"]


async def test_whoever_changes_it_owns_it_and_narrows_it_to_what_they_may_read(yard: Yard) -> None:
    admin, _ = await yard.who("admin")
    operator, _ = await yard.who("operator")
    hook = (await yard.hook(admin, description="old", filter="env=staging")).webhook
    asked = UpdateWebhook(events=FREEZE, description="", filter="")
    changed = await yard.core.webhooks.update(operator, hook.id, asked)
    assert changed.owner == operator.id
    assert (changed.events, changed.description, changed.filter) == (FREEZE, None, None)
    (entry,) = await yard.core.feed.read(SYSTEM, filter="type=webhook.updated")
    assert entry.payload["changed"] == ["description", "events", "filter"]


async def test_a_test_says_how_the_receiver_answered(yard: Yard) -> None:
    admin, _ = await yard.who("admin")
    issued = await yard.hook(admin, events=FREEZE)
    sent = await yard.core.webhooks.test(admin, issued.webhook.id)
    assert (sent.state, sent.http_status, sent.event, sent.seq) == ("sent", 200, "webhook.test", None)
    (received,) = yard.receiver.received
    assert genuine(received, issued.secret)
    assert told(received) == {"id": sent.id, "webhook": issued.webhook.id, "type": "webhook.test"}
    await yard.core.webhooks.update(admin, issued.webhook.id, UpdateWebhook(enabled=False))
    yard.receiver.behaviour = hanging
    failed = await yard.core.webhooks.test(admin, issued.webhook.id)
    assert (failed.state, failed.http_status) == ("failed", None)
    assert "did not answer within 2 s" in (failed.error or "")
    assert [each.state for each in await yard.deliveries(admin, issued.webhook.id)] == ["sent", "failed"]


async def test_two_secrets_sign_while_one_takes_over(yard: Yard) -> None:
    admin, _ = await yard.who("admin")
    old = await yard.hook(admin, events=FREEZE)
    new = await yard.core.webhooks.rotate(admin, old.webhook.id)
    assert new.secret != old.secret
    await yard.core.webhooks.test(admin, old.webhook.id)
    await yard.clock.advance(86400)
    await yard.core.webhooks.test(admin, old.webhook.id)
    first, second = yard.receiver.received
    assert genuine(first, old.secret)
    assert genuine(first, new.secret)
    assert not genuine(second, old.secret)
    assert genuine(second, new.secret)


async def test_a_repeated_request_makes_one_webhook_and_shows_its_secret_again(yard: Yard) -> None:
    admin, _ = await yard.who("admin")
    asked, key = CreateWebhook(url=yard.receiver.url), Once("k", "f")
    first = await yard.core.webhooks.create(admin, asked, key)
    assert await yard.core.webhooks.create(admin, asked, key) == first
    assert len(await yard.core.webhooks.list(admin)) == 1
    rotated = await yard.core.webhooks.rotate(admin, first.webhook.id, Once("r", "f"))
    assert await yard.core.webhooks.rotate(admin, first.webhook.id, Once("r", "f")) == rotated


async def test_a_repeated_request_does_not_show_a_secret_that_came_later(yard: Yard) -> None:
    admin, _ = await yard.who("admin")
    asked, key = CreateWebhook(url=yard.receiver.url), Once("k", "f")
    first = await yard.core.webhooks.create(admin, asked, key)
    await yard.core.webhooks.rotate(admin, first.webhook.id, Once("r", "f"))
    await yard.core.webhooks.rotate(admin, first.webhook.id)
    for again in (
        yard.core.webhooks.create(admin, asked, key),
        yard.core.webhooks.rotate(admin, first.webhook.id, Once("r", "f")),
    ):
        with pytest.raises(Refused) as over:
            await again
        assert (over.value.reason, over.value.details["id"]) == ("shown_once", first.webhook.id)
    await yard.core.webhooks.delete(admin, first.webhook.id)
    with pytest.raises(Refused):
        await yard.core.webhooks.create(admin, asked, key)


async def test_what_is_deleted_is_forgotten(yard: Yard) -> None:
    admin, _ = await yard.who("admin")
    yard.receiver.behaviour = answering(500)
    hook = (await yard.hook(admin, events=FREEZE)).webhook
    await yard.happen()
    await yard.got(1)
    assert (await yard.core.webhooks.delete(admin, hook.id)).id == hook.id
    with pytest.raises(NotFound):
        await yard.core.webhooks.delete(admin, hook.id)
    await advance(yard, PAUSE)
    await yard.happen()
    await settle()
    assert len(yard.receiver.received) == 1
    assert await yard.types() == ["webhook.created", "webhook.deleted"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://a.example/", "begins with https"),
        ("http://user:word@a.example/", "may not hold a user name"),
        ("http://10.0.0.1/hook", "a private address"),
        ("http://169.254.169.254/latest", "metadata"),
        ("http://a.example:22/", "port"),
    ],
)
async def test_an_address_that_may_not_be_sent_to_is_refused(yard: Yard, url: str, said: str) -> None:
    admin, _ = await yard.who("admin")
    with pytest.raises(Invalid, match=said) as caught:
        await yard.core.webhooks.create(admin, CreateWebhook(url=url))
    assert caught.value.status == 400
    assert caught.value.details["errors"][0]["field"] == "url"  # type: ignore[index]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"events": ("deployment.finish",)}, r"there is deployment\.finished"),
        ({"events": ("nothing.*",)}, "there is no event"),
        ({"events": ()}, "at least one"),
        ({"filter": "colour=red"}, "there is no field colour"),
        ({"description": "two\nlines"}, "one line"),
    ],
)
async def test_what_could_never_match_is_refused(yard: Yard, more: dict[str, Any], said: str) -> None:
    admin, _ = await yard.who("admin")
    with pytest.raises(Invalid, match=said):
        await yard.hook(admin, **more)


async def test_a_name_that_leads_inside_later_is_not_reached(yard: Yard) -> None:
    admin, _ = await yard.who("admin")
    asked = CreateWebhook(url=f"http://0x7f.2:{yard.receiver.port}/", events=FREEZE)
    hook = (await yard.core.webhooks.create(admin, asked)).webhook
    failed = await yard.core.webhooks.test(admin, hook.id)
    assert "outbound" in (failed.error or "")
    assert yard.receiver.connections == 0


async def test_the_diagnostics_say_what_waits(yard: Yard) -> None:
    admin, _ = await yard.who("admin")
    yard.receiver.behaviour = answering(500)
    hook = (await yard.hook(admin, events=FREEZE)).webhook
    await yard.happen()

    async def troubled() -> bool:
        return bool((await yard.core.system.diagnostics(admin))["outbox"].get("troubled"))

    await eventually(troubled)
    figures = (await yard.core.system.diagnostics(admin))["outbox"]
    assert (figures["waiting"], figures["behind"]) == (1, 0)
    assert figures["troubled"][0]["destination"] == f"webhook:{hook.id}"


async def test_secrets_are_sealed_in_the_database(tmp_path: Path, receiver: Receiver) -> None:
    async with open_yard(tmp_path / "home", receiver) as yard:
        admin, _ = await yard.who("admin")
        first = await yard.core.webhooks.create(admin, CreateWebhook(url=receiver.url), Once("k", "f"))
        second = await yard.core.webhooks.rotate(admin, first.webhook.id, Once("r", "f"))
    with closing(sqlite3.connect(tmp_path / "home" / "dg.db")) as database:
        dump = "\n".join(database.iterdump())
    assert first.webhook.id in dump
    assert first.secret not in dump
    assert second.secret not in dump


async def test_there_are_not_endless_webhooks_nor_deliveries(tmp_path: Path, receiver: Receiver) -> None:
    async with open_yard(tmp_path / "home", receiver, most=1, backlog=2) as yard:
        admin, _ = await yard.who("admin")
        hook = (await yard.hook(admin, events=FREEZE)).webhook
        with pytest.raises(Refused, match=r"webhooks\.most"):
            await yard.hook(admin)
        receiver.behaviour = answering(500)
        for _ in range(4):
            await yard.happen()

        async def disabled() -> bool:
            return "webhooks.backlog" in (
                (await yard.core.webhooks.get(admin, hook.id)).disabled_reason or ""
            )

        await eventually(disabled)


async def test_what_a_server_left_behind_the_next_one_delivers(
    tmp_path: Path, receiver: Receiver, either_url: str | None
) -> None:
    clock = ManualClock()
    receiver.behaviour = hanging
    async with open_yard(tmp_path / "home", receiver, either_url, clock) as yard:
        admin, _ = await yard.who("admin")
        hook = (await yard.hook(admin, events=FREEZE)).webhook
        for _ in range(3):
            await yard.happen()
        await yard.got(1)
        await yard.settled(admin, hook.id, "waiting", "waiting", "waiting")
    receiver.behaviour = answering(200)
    async with open_yard(tmp_path / "home", receiver, either_url, clock) as yard:
        await yard.settled(admin, hook.id, "sent", "sent", "sent")
    ids = [told(each)["id"] for each in receiver.received]
    assert len(ids) == 4
    assert len(set(ids)) == 3
