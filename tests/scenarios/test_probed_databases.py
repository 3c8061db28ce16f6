"""A real PostgreSQL and a real Redis are probed, broken and healed."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
from tests.postgresql import Cluster
from tests.redis import Redis

from dg.core.access.models import SYSTEM
from dg.core.app import Core, open_core
from dg.core.environments.models import UpdateEnvironment
from dg.core.health.models import Status
from dg.core.testing import eventually
from dg.core.types import Environment
from dg.settings import Settings

pytestmark = pytest.mark.long
HEALTHY, DEGRADED, UNHEALTHY, UNKNOWN = Status
STAGING = Environment.STAGING
CANARY = "canary-7f3e91-do-not-show"
PATIENCE = 60.0


def free_port() -> int:
    """A port below those that the kernel gives to whoever connects."""
    for port in range(21000, 32000):
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if tried.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise AssertionError("no port is free")


async def test_databases_are_probed_broken_and_healed(tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {"home": tmp_path / "home", "outbound": {"allow": ["127.0.0.1"]}, "retention": {"interval": "1d"}}
    )
    with (
        Cluster.running(port=free_port()) as cluster,
        Redis.running(tmp_path, free_port(), CANARY) as redis,
    ):
        async with open_core(settings) as core:
            await configure(core, cluster.url("postgres"), redis.url)
            await stand(core, db=HEALTHY, cache=HEALTHY)
            await asyncio.to_thread(cluster.crash)
            await asyncio.to_thread(redis.stop)
            await stand(core, db=UNHEALTHY, cache=UNHEALTHY)
            await asyncio.to_thread(cluster.start)
            await asyncio.to_thread(redis.start)
            await stand(core, db=HEALTHY, cache=HEALTHY)
            await core.environments.set_secret(
                SYSTEM, STAGING, "redis_url", redis.url.replace("7f3e", "7f3f")
            )
            await stand(core, db=HEALTHY, cache=UNHEALTHY)
            said = (await core.health.health(SYSTEM, STAGING)).model_dump_json()
            events = await core.feed.read(SYSTEM, filter="type=environment.health_changed")
    assert "WRONGPASS" in said
    assert CANARY[:12] not in said + "".join(str(event.payload) for event in events)
    told = [(event.service, event.payload["service_status"]) for event in events]
    assert [status for service, status in told if service == "db"] == ["healthy", "unhealthy", "healthy"]


async def configure(core: Core, database: str, redis: str) -> None:
    common = {"interval": 1, "fail_after": 2, "recover_after": 1}
    wish = UpdateEnvironment(
        domain="staging.example.com",
        config={"database_url": database, "redis_url": redis},
        probes={
            "db": {"kind": "postgresql", "service": "db", **common},
            "cache": {"kind": "redis", "service": "cache", **common},
        },
    )
    await core.environments.update(SYSTEM, STAGING, wish)


async def stand(core: Core, **wanted: Status) -> None:
    """Wait until the services are so."""

    async def so() -> bool:
        found = await core.health.health(SYSTEM, STAGING)
        return {each.name: each.status for each in found.services} == wanted

    await eventually(so, PATIENCE)
