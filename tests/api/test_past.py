"""How environments were, over HTTP: who may ask, for which moments, and what the client makes of it."""

from __future__ import annotations

from urllib.parse import quote

import httpx
import pytest
from tests.api.conftest import Api
from tests.api.test_deployments import reason

from dg.client.app import Client
from dg.client.past import as_of
from dg.client.wire import rfc3339
from dg.core.access.models import SYSTEM
from dg.core.deployments.models import LaneState
from dg.core.errors import Forbidden
from dg.core.types import Environment

PAST = "/v1/environments/staging/past"


def now(api: Api) -> str:
    return quote(rfc3339(api.core.clock.micros()))


async def test_strangers_and_those_of_another_environment_see_nothing(api: Api) -> None:
    async with api.caller() as stranger, api.caller("operator", environment="production") as elsewhere:
        assert reason(await stranger.get(f"{PAST}?as_of={now(api)}"))[0] == 401
        assert reason(await elsewhere.get(f"{PAST}?as_of={now(api)}")) == (403, "forbidden")


async def test_a_viewer_sees_lanes_of_services_within_reach(api: Api) -> None:
    await api.core.pipelines.register(SYSTEM, api.pipeline("web"))
    async with api.caller("viewer") as viewer:
        found = (await viewer.get(f"{PAST}?as_of={now(api)}")).json()
    (lane,) = found["lanes"]
    assert (found["name"], found["version"], lane["service"]) == ("staging", 0, "web")
    assert (lane["state"], lane["known"], "current" in lane) == ("open", True, False)
    assert lane["sentence"] == "web/staging was open; nothing ran there."


@pytest.mark.parametrize(
    ("asked", "status", "why"),
    [
        ("", 400, "invalid"),
        ("?as_of=yesterday", 400, "invalid"),
        ("?as_of=2026-13-01T00:00:00Z", 400, "invalid"),
        ("?as_of=2100-01-01T00:00:00Z", 400, "future"),
        ("?as_of=2001-01-01T00:00:00Z", 409, "unrecorded"),
        ("?as_of=0001-01-01T00:00:00Z", 409, "unrecorded"),
        ("?as_of=9999-12-31T23:59:59Z", 400, "future"),
        ("?as_of=9999-12-31T23:59:59-14:00", 400, "invalid"),
        ("?as_of=0001-01-01T00:00:00%2B14:00", 400, "invalid"),
    ],
)
async def test_a_moment_of_which_nothing_can_be_known_is_refused(
    api: Api, asked: str, status: int, why: str
) -> None:
    async with api.caller("viewer") as viewer:
        assert reason(await viewer.get(PAST + asked)) == (status, why)


async def test_the_client_asks_to_the_microsecond_and_leaves_out_what_is_not_seen(api: Api) -> None:
    await api.core.pipelines.register(SYSTEM, api.pipeline("web"))
    transport = httpx.ASGITransport(app=api.app, client=("203.0.113.9", 40000))
    token = await api.token("viewer", environment="staging")
    then = api.core.clock.micros()
    async with Client("http://127.0.0.1", token, transport=transport) as client:
        (found,) = await as_of(client, then)
        assert (found.name, found.at) == (Environment.STAGING, then)
        with pytest.raises(Forbidden):
            await as_of(client, then, (Environment.PRODUCTION,))
    assert [lane.state for lane in found.lanes] == [LaneState.OPEN]
