"""Many deployments at once under Slack's own limits: every last state arrives, soon, and none is refused."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.bot.office import DEPLOYS, Office, open_office

from dg.bot.messages import blocks as b
from dg.bot.messages.blocks import Rendered
from dg.core.outbox import store
from dg.core.slack.announcing import CHANGE, FINAL_STATE, PROGRESS
from dg.core.slack.routing import KIND, destination

DEPLOYMENTS, CHANGES = 10, 21
SECONDS = 22.0


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


@pytest.mark.long
async def test_ten_deployments_at_once_end_right(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        states, posting = States(), office.bot._posting
        assert posting is not None
        posting._drawing = states  # type: ignore[assignment]
        ended: dict[str, float] = {}
        for state in range(1, CHANGES + 1):
            for at in range(DEPLOYMENTS):
                await change(office, states, f"web-{at}", state)
                if state == CHANGES:
                    ended[f"web-{at}"] = time.monotonic()
            await office.world.core.clock.sleep(SECONDS / CHANGES)
        late = []
        for name, moment in ended.items():
            await office.slack.until(partial(arrived, office, f"{name} is at {CHANGES}"), within=60)
            late.append(time.monotonic() - moment)
        assert len(office.slack.messages()) == DEPLOYMENTS
        limited = [each for each in office.slack.calls() if each.outcome == "ratelimited"]
        assert [each.method for each in limited if each.method.startswith("chat.")] == []
        assert statistics.median(late) < 5
        assert len([each for each in office.slack.calls() if each.method.startswith("chat.")]) < 100
