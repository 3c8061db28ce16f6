"""The outbox: every message arrives, the newest state alone, and nobody is pestered."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.core.outbox.post import FIRST, Post, Scripted, open_post

from dg.core.errors import Refused
from dg.core.outbox import Failed, Later, Message, Policy, Sent, store
from dg.core.outbox.service import AT_ONCE, hold, release
from dg.core.testing import ManualClock, eventually, settle

DOWN = Failed("there cannot be reached")


@pytest.fixture
async def post(tmp_path: Path, database_url: str | None) -> AsyncIterator[Post]:
    async with open_post(tmp_path, database_url) as found:
        yield found


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[Post]:
    """On SQLite alone: for what the database has no part in."""
    async with open_post(tmp_path) as found:
        yield found


async def test_a_message_is_sent_once_and_then_settled(post: Post) -> None:
    await post.put("a", text="hello")
    await post.until("sent")
    (message,) = post.sender.sent
    assert (message.key, message.payload, message.revision) == ("a", {"text": "hello"}, 1)
    await post.idle()
    assert post.sender.keys == ["a"]
    (delivery,) = await post.listed()
    assert (delivery.attempts, delivery.answer, delivery.error) == (1, 200, None)
    assert delivery.settled_at == post.clock.micros()


async def test_messages_to_one_place_go_in_order_and_one_at_a_time(post: Post) -> None:
    post.sender.gate.clear()
    for key in "abc":
        await post.put(key)
    await eventually(lambda: post.sender.keys == ["a"])
    post.sender.gate.set()
    await post.until("sent", "sent", "sent")
    assert post.sender.keys == ["a", "b", "c"]
    assert post.sender.most == 1


async def test_a_few_places_are_sent_to_at_once(local: Post) -> None:
    local.sender.gate.clear()
    for at in range(AT_ONCE + 3):
        await local.put(f"m{at}", destination=f"place {at}")
    await eventually(lambda: len(local.sender.sent) == AT_ONCE)
    local.sender.gate.set()
    await eventually(lambda: len(local.sender.sent) == AT_ONCE + 3)
    assert local.sender.most == AT_ONCE


async def test_only_the_newest_state_is_sent(post: Post) -> None:
    post.sender.outcomes = [DOWN]
    await post.put("lane", state="pending")
    await post.until_sent(1)
    for state in ("building", "deploying", "success"):
        await post.put("lane", state=state)
    await post.pass_time(FIRST)
    await post.until("sent")
    assert [message.payload["state"] for message in post.sender.sent] == ["pending", "success"]


async def test_what_changes_while_it_is_sent_is_sent_again(post: Post) -> None:
    post.sender.gate.clear()
    await post.put("lane", state="building")
    await eventually(lambda: len(post.sender.sent) == 1)
    await post.put("lane", state="success")
    post.sender.gate.set()
    await post.until("sent")
    assert [(m.payload["state"], m.revision) for m in post.sender.sent] == [("building", 1), ("success", 2)]
    assert post.sender.sent[0].id == post.sender.sent[1].id


async def test_what_is_settled_is_sent_again_when_it_changes(post: Post) -> None:
    await post.put("lane", state="building")
    await post.until("sent")
    await post.put("lane", state="success")
    await post.until_sent(2)
    assert post.sender.sent[1].payload == {"state": "success"}


async def test_what_one_sending_learnt_is_there_at_the_next(post: Post) -> None:
    post.sender.outcomes = [Failed("half done", memory={"name": 7}), Sent(201), Sent(200, {"name": 8})]
    await post.put("lane", state="building")
    await post.until_sent(1)
    await post.pass_time(FIRST)
    await post.until("sent")
    await post.put("lane", state="success")
    await post.until_sent(3)
    assert [message.memory for message in post.sender.sent] == [{}, {"name": 7}, {"name": 7}]


async def test_pauses_double_up_to_a_limit(local: Post) -> None:
    local.sender.policy = Policy(attempts=9, first=FIRST, longest=40.0)
    local.sender.outcomes = [DOWN] * 5
    await local.put("a")
    for tries, pause in enumerate((10, 20, 40, 40, 40), start=1):
        await local.until_sent(tries)
        await local.pass_time(pause - 1)
        await local.idle()
        assert len(local.sender.sent) == tries
        await local.pass_time(1)
    await local.until("sent")
    assert len({message.id for message in local.sender.sent}) == 1
    assert local.sender.failures == [1, 2, 3, 4, 5]


async def test_a_place_that_is_down_is_tried_with_one_message_at_a_time(post: Post) -> None:
    post.sender.outcomes = [DOWN, DOWN]
    for key in "abc":
        await post.put(key)
    await post.until_sent(1)
    await post.pass_time(FIRST)
    await post.until_sent(2)
    await post.pass_time(2 * FIRST)
    await post.until("sent", "sent", "sent")
    assert post.sender.keys == ["a", "b", "c", "a", "b"]


async def test_another_place_does_not_wait_for_one_that_is_down(post: Post) -> None:
    post.sender.bad = lambda message: DOWN if message.destination == "down" else None
    await post.put("a", destination="down")
    await post.put("b")
    await post.until("sent")
    assert await post.states("down") == ["waiting"]


async def test_a_message_at_fault_does_not_hold_the_others(post: Post) -> None:
    poison = Failed("it is not understood", 422, at_fault="message")
    post.sender.bad = lambda message: poison if message.key == "poison" else None
    await post.put("poison")
    await post.put("a")
    await post.until("waiting", "sent")
    assert post.sender.failures == []


async def test_a_message_is_given_up_after_its_attempts(post: Post) -> None:
    post.sender.bad = lambda _: DOWN
    await post.put("a")
    for tries in range(1, 6):
        await post.until_sent(tries)
        await post.pass_time(100)
    await post.until("failed")
    await post.pass_time(1000)
    await post.idle()
    assert len(post.sender.sent) == 5
    (delivery,) = await post.listed()
    assert (delivery.attempts, delivery.error, delivery.next_at) == (5, DOWN.error, None)


async def test_what_can_never_be_sent_is_given_up_at_once(post: Post) -> None:
    post.sender.outcomes = [Failed("there is no such thing", 404, final=True, at_fault="message")]
    await post.put("a")
    await post.until("failed")
    assert (await post.listed())[0].answer == 404


async def test_what_was_given_up_is_tried_again_when_it_changes(post: Post) -> None:
    post.sender.outcomes = [Failed("no", final=True, at_fault="message")]
    await post.put("lane", state="building")
    await post.until("failed")
    await post.put("lane", state="success")
    await post.until("sent")
    assert post.sender.sent[1].attempts == 0


async def test_a_place_is_left_alone_for_as_long_as_it_asks(post: Post) -> None:
    post.sender.outcomes = [Failed("slow down", 429, retry_after=500.0)]
    await post.put("a")
    await post.until_sent(1)
    await post.put("b")
    await post.pass_time(499)
    await post.idle()
    assert post.sender.keys == ["a"]
    await post.pass_time(1)
    await post.until("sent", "sent")


async def test_nobody_can_ask_to_be_left_alone_for_ever(local: Post) -> None:
    local.sender.outcomes = [Failed("slow down", 429, retry_after=1e12)]
    await local.put("a")
    await local.until_sent(1)
    await local.pass_time(2 * 3600)
    await local.until("sent")


async def test_a_place_that_is_held_waits_until_it_is_released(post: Post) -> None:
    await post.ground.db.write(lambda tx: hold(tx, "there"))
    await post.put("a")
    await post.idle()
    assert (post.sender.sent, await post.states()) == ([], ["waiting"])
    await post.ground.db.write(lambda tx: release(tx, "there"))
    post.outbox.wake()
    await post.until("sent")


async def test_success_ends_a_row_of_failures(local: Post) -> None:
    local.sender.outcomes = [DOWN, Sent(200), DOWN]
    await local.put("a")
    await local.until_sent(1)
    await local.pass_time(FIRST)
    await local.until("sent")
    await local.put("b")
    await local.until_sent(3)
    assert local.sender.failures == [1, 1]


async def test_what_a_sender_raises_is_a_failure(local: Post, caplog: pytest.LogCaptureFixture) -> None:
    local.sender.outcomes = [Refused("there leads inside"), RuntimeError("secret-of-a-bug")]
    with caplog.at_level(logging.CRITICAL):
        await local.put("a")
        await local.until_sent(1)
        assert (await local.listed())[0].error == "there leads inside"
        await local.pass_time(FIRST)
        await local.until_sent(2)
    error = (await local.listed())[0].error or ""
    assert "its log has the cause" in error
    assert "secret-of-a-bug" not in error


async def test_a_message_of_an_unknown_kind_is_kept(local: Post) -> None:
    now = local.clock.micros()
    await local.ground.db.write(
        lambda tx: store.put(tx, id="x", kind="telegram", key="k", destination="there", payload={}, now=now)
    )
    local.outbox.wake()
    await local.until("waiting")
    assert await local.ground.db.read(lambda tx: store.row_of(tx, "x")) is not None


async def test_a_message_whose_server_died_while_it_was_sent_is_sent_again(
    tmp_path: Path, database_url: str | None
) -> None:
    clock, first, second = ManualClock(), Scripted(), Scripted()
    first.gate.clear()
    async with open_post(tmp_path, database_url, clock=clock, sender=first) as post:
        await post.put("a", text="hello")
        await eventually(lambda: len(first.sent) == 1)
    async with open_post(tmp_path, database_url, clock=clock, sender=second) as post:
        await post.until("sent")
    assert [message.id for message in first.sent] == [message.id for message in second.sent]


async def test_a_clock_that_is_set_back_holds_nothing_up(local: Post) -> None:
    local.sender.outcomes = [DOWN]
    await local.put("a")
    await local.until_sent(1)
    local.clock.jump(-86400)
    local.outbox.wake()
    await local.until("sent")


async def test_old_messages_are_forgotten_but_none_that_waits(post: Post) -> None:
    await post.put("a")
    await post.until("sent")
    await post.ground.db.write(lambda tx: hold(tx, "there"))
    await post.put("b")
    await post.pass_time(10)
    assert await post.ground.db.write(lambda tx: store.prune(tx, post.clock.micros())) == 1
    assert await post.states() == ["waiting"]


async def test_the_figures_say_what_waits_and_where_it_hurts(post: Post) -> None:
    post.sender.bad = lambda _: DOWN
    await post.put("a")
    await post.until_sent(1)
    await post.pass_time(5)
    await eventually(lambda: post.outbox.figures.get("troubled"))
    figures = post.outbox.figures
    assert (figures["waiting"], figures["failed"], figures["oldest_age"]) == (1, 0, 5.0)
    (trouble,) = figures["troubled"]
    assert (trouble["destination"], trouble["failures"], trouble["held"]) == ("there", 1, False)


async def test_the_message_of_a_place_that_was_removed_meanwhile_comes_to_nothing(local: Post) -> None:
    local.sender.gate.clear()
    await local.put("a")
    await eventually(lambda: len(local.sender.sent) == 1)
    await local.ground.db.write(lambda tx: store.drop(tx, "there"))
    local.sender.gate.set()
    await local.until_sent(1)
    await settle()
    assert await local.listed() == []


def test_a_message_shows_nothing_of_how_it_is_kept() -> None:
    message = Message("id", "note", "key", "there", {"a": 1}, 1, 0, 0)
    assert message.memory == {}


async def test_the_most_urgent_goes_first(post: Post) -> None:
    post.sender.gate.clear()
    await post.put("first")
    await eventually(lambda: post.sender.keys == ["first"])
    await post.put("detail", priority=6)
    await post.put("usual")
    await post.put("urgent", priority=1)
    post.sender.gate.set()
    await post.until("sent", "sent", "sent", "sent")
    assert post.sender.keys == ["first", "urgent", "usual", "detail"]


async def test_what_is_put_off_is_no_failure_and_holds_up_nobody(post: Post) -> None:
    post.sender.bad = lambda message: (
        Later(30.0) if message.key == "b" and len(post.sender.sent) < 3 else None
    )
    await post.put("b")
    await post.put("c")
    await post.until("waiting", "sent")
    assert post.sender.failures == []
    await post.pass_time(31.0)
    await post.until("sent", "sent")
    (delivery, _) = await post.listed()
    assert delivery.attempts == 1


async def test_a_more_urgent_state_does_not_wait_for_the_one_before(post: Post) -> None:
    post.sender.bad = lambda message: Later(1000.0) if message.payload["n"] == 1 else None
    await post.put("a", n=1)
    await eventually(lambda: len(post.sender.sent) == 1)
    await post.put("a", n=2, priority=1)
    await post.until("sent")
    assert [message.payload["n"] for message in post.sender.sent] == [1, 2]


async def test_a_message_is_spaced_from_its_own_last_sending(post: Post) -> None:
    await post.put("a", n=1)
    await post.until("sent")
    await post.put("a", n=2, spacing=10.0)
    await post.idle()
    assert len(post.sender.sent) == 1
    await post.pass_time(10.0)
    await post.until("sent")
    assert [message.payload["n"] for message in post.sender.sent] == [1, 2]


async def test_what_was_begun_is_remembered_by_who_comes_after(post: Post) -> None:
    post.sender.outcomes = [Later(5.0)]
    await post.put("a")
    await eventually(lambda: len(post.sender.sent) == 1)
    first = post.sender.sent[0]
    await post.ground.db.write(lambda tx: store.remember(tx, first.id, {"began": 7}))
    await post.pass_time(6.0)
    await post.until("sent")
    assert post.sender.sent[1].memory == {"began": 7}
    found = await post.ground.db.read(lambda tx: store.find(tx, "note", "a"))
    assert found is not None
    assert found.memory == {"began": 7}
