"""When the daily digest is wanted: at its time of its zone, once, and never for a day twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from dg.core.clock import SECOND, to_datetime
from dg.core.outbox import store as outbox
from dg.core.slack.digest import Digests
from dg.core.slack.quiet import QuietHours
from dg.core.slack.routing import KIND, Routes
from dg.core.testing import Ground, ManualClock, open_ground
from dg.settings.slack import Slack, SlackDigest, SlackQuiet

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = SlackQuiet(begins="20:00", ends="10:00", timezone="Europe/Berlin", weekends=True)
SETTINGS = Slack.model_validate(
    {
        "mode": "socket",
        "bot_token_env": "A",
        "app_token_env": "B",
        "digest": {"at": "09:00", "timezone": "Europe/Berlin"},
        "routes": {
            "staging": {"channel": "C1", "environments": ["staging"], "post": "digest"},
            "production": {"channel": "C2", "environments": ["production"], "digest": True},
            "rest": {"channel": "C3"},
        },
    }
)


@dataclass
class Desk:
    """What wants digests, at a moment that the test says."""

    ground: Ground
    quiet: SlackQuiet

    async def look(self, local: str) -> dict[str, Any]:
        """Look at that moment of Berlin; by channel, what is told since and until when."""
        moment = int(datetime.fromisoformat(local).replace(tzinfo=BERLIN).timestamp()) * SECOND
        ground, clock = self.ground, ManualClock(moment)
        routes, quiet = Routes(SETTINGS), QuietHours(self.quiet)
        await Digests(ground.db, clock, ground.ids, routes, SETTINGS.digest, quiet, lambda: None).look()
        return {channel: await self.span(channel) for channel in ("C1", "C2", "C3")}

    async def span(self, channel: str) -> str | None:
        found = await self.ground.db.read(lambda tx: outbox.find(tx, KIND, f"{channel}:digest"))
        if found is None:
            return None
        return " to ".join(_local(found.payload[name]) for name in ("since", "until"))

    async def posted(self, channel: str) -> None:
        """Slack has taken it."""

        def work(tx: Any) -> None:
            found = outbox.find(tx, KIND, f"{channel}:digest")
            assert found is not None
            outbox.remember(tx, found.id, {"ts": "1.0", "episode": found.payload["episode"]})

        await self.ground.db.write(work)


def _local(micros: int) -> str:
    return f"{to_datetime(micros).astimezone(BERLIN):%m-%d %H:%M}"


@pytest.fixture
async def desk(tmp_path: Path, either_url: str | None) -> AsyncIterator[Desk]:
    async with open_ground(tmp_path / "home", url=either_url) as ground:
        yield Desk(ground, SlackQuiet())


async def test_each_channel_that_has_one_is_told_of_the_day_before(desk: Desk) -> None:
    assert set((await desk.look("2026-11-26 08:59:30")).values()) == {None}
    told = "11-25 09:00 to 11-26 09:00"
    assert await desk.look("2026-11-26 09:00:10") == {"C1": told, "C2": told, "C3": None}
    assert await desk.look("2026-11-26 09:00:30") == {"C1": told, "C2": told, "C3": None}


async def test_a_day_begins_where_the_one_before_ended(desk: Desk) -> None:
    await desk.look("2026-11-26 09:00")
    await desk.posted("C1")
    found = await desk.look("2026-11-27 09:00")
    assert found["C1"] == "11-26 09:00 to 11-27 09:00"
    assert found["C2"] == "11-25 09:00 to 11-27 09:00"


async def test_a_server_that_was_down_makes_up_for_it_for_a_while_and_then_in_the_next(desk: Desk) -> None:
    await desk.look("2026-11-25 09:00")
    await desk.posted("C1")
    assert (await desk.look("2026-11-26 15:01"))["C1"] == "11-24 09:00 to 11-25 09:00"
    assert (await desk.look("2026-11-27 14:59"))["C1"] == "11-25 09:00 to 11-27 09:00"


async def test_no_more_than_a_week_is_told_of(desk: Desk) -> None:
    await desk.look("2026-11-01 09:00")
    assert (await desk.look("2026-11-26 09:00"))["C1"] == "11-19 09:00 to 11-26 09:00"


async def test_in_quiet_hours_it_waits_for_their_end(desk: Desk) -> None:
    desk = replace(desk, quiet=NIGHT)
    assert (await desk.look("2026-11-27 09:30"))["C1"] is None
    assert (await desk.look("2026-11-27 10:00"))["C1"] == "11-26 09:00 to 11-27 09:00"
    await desk.posted("C1")
    assert (await desk.look("2026-11-28 10:00"))["C1"] == "11-26 09:00 to 11-27 09:00"
    assert (await desk.look("2026-11-30 10:00"))["C1"] == "11-27 09:00 to 11-30 09:00"


async def test_summer_time_makes_no_difference(desk: Desk) -> None:
    assert (await desk.look("2026-03-29 09:00"))["C1"] == "03-28 08:00 to 03-29 09:00"


@pytest.mark.parametrize("wrong", [{"at": "9:00"}, {"at": "24:00"}, {"timezone": "Mars/Base"}])
def test_times_that_are_none_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        SlackDigest.model_validate(wrong)
