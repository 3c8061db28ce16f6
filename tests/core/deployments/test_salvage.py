"""What a restored home holds unfinished ends, closes its lane where something ran, and starts nothing."""

from __future__ import annotations

from tests.core.deployments.desk import ANA, Desk

from dg.core.clock import Ids
from dg.core.deployments import lifecycle, store
from dg.core.deployments.models import Kind, Reason, Status
from dg.core.deployments.salvage import Salvaged, salvage


async def salvaged(desk: Desk) -> Salvaged:
    return await desk.write(lambda tx: salvage(tx, desk.clock.micros(), Ids(desk.clock)))


async def test_what_ran_is_interrupted_and_its_lane_closed_until_somebody_looked(desk: Desk) -> None:
    await desk.succeed("v1")
    running = await desk.begin("v2", touched=False)
    assert [ended.id for ended in (await salvaged(desk)).interrupted] == [running.id]
    ended = await desk.read(running)
    assert (ended.status, ended.reason, ended.touched) == (Status.FAILED, Reason.INTERRUPTED, True)
    assert "how it ended is not known here" in (ended.message or "")
    lane = await desk.facts()
    assert (lane.holder, lane.current, lane.known) == (None, None, False)
    lock = await desk.lock()
    assert lock is not None
    assert lock.reason == "v2 was interrupted midway; look before you deploy"
    assert await desk.start() is None


async def test_what_waited_must_be_asked_for_again(desk: Desk) -> None:
    waiting = await desk.ask("v1")
    assert [ended.id for ended in (await salvaged(desk)).unstarted] == [waiting.id]
    ended = await desk.read(waiting)
    assert (ended.status, ended.reason, ended.touched) == (Status.FAILED, Reason.INTERRUPTED, False)
    assert (ended.message or "").endswith("ask for it again")
    assert await desk.lock() is None
    assert await desk.start() is None


async def test_a_rollback_that_a_cancellation_had_asked_for_does_not_start(desk: Desk) -> None:
    await desk.succeed("v1")
    running = await desk.begin("v2")
    now = desk.clock.micros()
    await desk.write(lambda tx: lifecycle.request_cancel(tx, running, now, ANA, then_rollback=True))
    found = await salvaged(desk)
    assert [ended.id for ended in found.interrupted] == [running.id]
    assert [(ended.kind, ended.status) for ended in found.unstarted] == [(Kind.ROLLBACK, Status.FAILED)]
    assert await desk.write(store.unfinished) == []
    assert (await desk.facts()).holder is None
    assert await desk.lock() is not None
    assert await desk.start() is None


async def test_an_interrupted_rollback_closes_its_lane(desk: Desk) -> None:
    await desk.succeed("v1")
    await desk.fail("v2")
    await desk.rollback()
    await salvaged(desk)
    lock = await desk.lock()
    assert lock is not None
    assert "the rollback to v1 failed" in lock.reason
    assert await desk.start() is None


async def test_a_lock_by_hand_stays(desk: Desk) -> None:
    await desk.begin("v1")
    await desk.set_lock(automatic=False, reason="we move house")
    await salvaged(desk)
    lock = await desk.lock()
    assert lock is not None
    assert lock.reason == "we move house"


async def test_what_had_ended_stays_as_it_is(desk: Desk) -> None:
    good = await desk.succeed("v1")
    found = await salvaged(desk)
    assert found == Salvaged((), ())
    assert await desk.read(good) == good
    assert (await desk.facts()).current == good
