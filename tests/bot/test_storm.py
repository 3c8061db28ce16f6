"""Many deployments at once under Slack's own limits: every last state arrives, soon, and none is refused."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.bot.office import DEPLOYS, Office, open_office, words

from dg.bot.messages import blocks as b
from dg.bot.messages.blocks import Rendered
from dg.core.outbox import store
from dg.core.slack.announcing import CHANGE, FINAL_STATE, PROGRESS
from dg.core.slack.fuse import Fuse
from dg.core.slack.routing import KIND, destination
from dg.core.tasks import open_tasks
from dg.core.testing import ManualClock

DEPLOYMENTS, CHANGES = 10, 21
LASTS = 22.0


class States:
    """What each deployment is to look like now."""

    def __init__(self) -> None:
        self.now: dict[str, int] = {}

    async def draw(self, payload: Mapping[str, Any], *, new: bool) -> Rendered:
        name = payload["deployment"]
        text = f"{name} is at {self.now[name]}"
        return Rendered(text, (b.section(text),))


async def change(office: Office, states: States, name: str, state: int) -> None:
    """Let a deployment go on by one state."""
    states.now[name] = state
    urgency = FINAL_STATE if state == CHANGES else CHANGE if state == 1 else PROGRESS
    core = office.world.core
    fresh, now = office.world.parts.ids.new(), core.clock.micros()
    await office.world.db.write(
        lambda tx: store.put(
            tx,
            id=fresh,
            kind=KIND,
            key=name,
            destination=destination(DEPLOYS),
            payload={"what": "deployment", "deployment": name, "channel": DEPLOYS},
            now=now,
            priority=urgency,
        )
    )
    core.messenger.wake()


def arrived(office: Office, text: str) -> bool:
    """Whether a message says so."""
    return any(message.text == text for message in office.slack.messages())


async def run(office: Office, states: States, name: str, chance: Random, ended: dict[str, float]) -> None:
    """One deployment's life, which no other's keeps step with."""
    clock = office.world.core.clock
    await clock.sleep(chance.uniform(0, 2))
    for state in range(1, CHANGES):
        await change(office, states, name, state)
        await clock.sleep(chance.uniform(0.5, 1.5) * LASTS / CHANGES)
    ended[name] = time.monotonic()
    await change(office, states, name, CHANGES)


async def march(office: Office, states: States, ended: dict[str, float]) -> None:
    """All in step, so that all end in the same instant."""
    for state in range(1, CHANGES + 1):
        for at in range(DEPLOYMENTS):
            if state == CHANGES:
                ended[f"web-{at}"] = time.monotonic()
            await change(office, states, f"web-{at}", state)
        await office.world.core.clock.sleep(LASTS / CHANGES)


async def lateness(office: Office, states: States, ended: Mapping[str, float]) -> list[float]:
    """How late each last state arrived, in seconds."""
    late: dict[str, float] = {}

    def look() -> bool:
        for name, moment in ended.items():
            if name not in late and arrived(office, f"{name} is at {CHANGES}"):
                late[name] = time.monotonic() - moment
        return len(late) == DEPLOYMENTS

    await office.slack.until(look, within=120)
    return list(late.values())


@pytest.mark.long
@pytest.mark.parametrize(("in_step", "usual"), [(False, 0.5), (True, 1.0)], ids=["spread", "at-once"])
async def test_ten_deployments_at_once_end_right(tmp_path: Path, in_step: bool, usual: float) -> None:
    async with open_office(tmp_path) as office, open_tasks() as tasks:
        states, posting = States(), office.bot._posting
        assert posting is not None
        posting._drawing = states  # type: ignore[assignment]
        ended: dict[str, float] = {}
        chance = Random(1)  # noqa: S311 - not cryptography
        if in_step:
            tasks.spawn("march", march(office, states, ended))
        for name in () if in_step else (f"web-{at}" for at in range(DEPLOYMENTS)):
            tasks.spawn(name, run(office, states, name, chance, ended))
        late = await lateness(office, states, ended)
        assert len(office.slack.messages()) == DEPLOYMENTS
        limited = [each for each in office.slack.calls() if each.outcome == "ratelimited"]
        assert [each.method for each in limited if each.method.startswith("chat.")] == []
        assert statistics.median(late) < usual
        assert max(late) < 10
        assert len([each for each in office.slack.calls() if each.method.startswith("chat.")]) < 100


ALL = {"all": {"channel": DEPLOYS, "post": "always"}}


async def test_many_messages_in_a_minute_come_together_in_one(tmp_path: Path) -> None:
    async with open_office(tmp_path, routes=ALL, approvals=0, most_a_minute=2) as office:
        for version in ("v1", "v3", "v1", "v2"):
            await office.world.ended(await office.world.create(version, "development"))
        summary = await office.shown("v2 in development: rolled back")
        assert "Much at once" in words(summary)
        for number in (3, 4, 5):
            assert (await office.shown(f"(#{number})")).ts == summary.ts
        assert len(office.slack.messages()) == 3
        assert not [each for each in office.slack.calls() if each.outcome == "ratelimited"]


async def test_what_cannot_wait_stands_alone_in_a_storm(tmp_path: Path) -> None:
    async with open_office(tmp_path, routes=ALL, approvals=0, most_a_minute=1) as office:
        await office.world.deploy("v1")
        await office.world.deploy("v3", "staging")
        summary = await office.shown("Much at once")
        await office.world.ended(await office.world.create("v2"))
        failed = await office.shown(":leftwards_arrow_with_hook: *web* `v2` → *production*")
        assert failed.ts != summary.ts
        await office.slack.until(
            lambda: [m for m in office.slack.messages(thread_ts=failed.ts) if "last lines" in m.text]
        )


async def test_a_storm_ends_by_itself_when_it_is_calm() -> None:
    clock = ManualClock()
    fuse = Fuse(clock, 2)
    assert [fuse.blown("C1", name) for name in ("a", "b", "a")] == [None, None, None]
    began = clock.micros()
    assert [fuse.blown("C1", name) for name in ("c", "d")] == [began, began]
    assert fuse.blown("C2", "e") is None
    await clock.advance(100)
    assert fuse.blown("C1", "f") == began
    await clock.advance(121)
    assert fuse.blown("C1", "g") is None


async def test_messages_that_come_slowly_are_no_storm() -> None:
    clock = ManualClock()
    fuse = Fuse(clock, 2)
    for number in range(20):
        assert fuse.blown("C1", str(number)) is None
        await clock.advance(31)
