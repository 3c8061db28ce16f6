"""The summary of a shift: what is in it, what is not, and that nothing of the outside is more than text."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.client import samples
from tests.client.servers import PIPELINE, make_repository, serving

from dg.client.app import Client
from dg.client.auth import find
from dg.client.handover import Handover, Seen, gather, summarize
from dg.client.markdown import escaped, markdown
from dg.client.models import Event
from dg.client.wire import decode, encode
from dg.core.access.models import Role
from dg.core.clock import SECOND
from dg.core.deployments.models import CreateDeployment, Deployment, Freeze, Lane
from dg.core.drift.models import DriftList
from dg.core.environments.models import SecretUses
from dg.core.health.models import EnvironmentHealth
from dg.core.types import Environment

STAGING, PRODUCTION = Environment.STAGING, Environment.PRODUCTION
HOUR = 3600 * SECOND
NOW = 1_795_680_000_000_000  # 2026-11-26 08:00 UTC
SINCE = NOW - 8 * HOUR
HOSTILE = (
    "\x1b]52;c;aGk=\x07[click](http://evil) <script> *bold* _it_ `run` |x| ~~no~~ &amp; \u202edne\n# Title"
)


def lane(**changed: Any) -> Lane:
    told = {"service": "web", "environment": "production", "state": "open", "sentence": "it is open"}
    return decode(Lane, {**told, **changed})


def fact(type_: str, seq: int = 1, **payload: Any) -> Event:
    return decode(Event, samples.event(seq, type=type_, payload=payload))


def of(*found: Deployment) -> dict[str, Deployment]:
    return {each.id: each for each in found}


def deployment(number: int, **changed: Any) -> Deployment:
    identity = {"id": f"01936b2e-7c00-7000-8000-{number:012}", "number": number}
    return decode(Deployment, samples.deployment(**identity, **changed))


def test_a_quiet_shift_says_so_of_everything() -> None:
    text = markdown(summarize(Seen(by="ana"), SINCE, NOW))
    assert text.startswith("# Handover of 2026-11-26\n\n00:00 to 08:00 UTC (8h00), written by ana.\n")
    assert text.count("none") == 9


def test_what_is_bad_and_closed_now_comes_before_what_was() -> None:
    seen = Seen(
        by="ana",
        lanes=(
            lane(
                state="locked",
                sentence="web/production is locked: it failed",
                lock={
                    "reason": "it failed",
                    "automatic": True,
                    "by": "dg",
                    "since": "2026-11-26T07:00:00Z",
                    "until": "2026-11-26T11:00:00Z",
                },
            ),
            lane(service="api"),
        ),
        freezes=(
            decode(
                Freeze,
                {
                    "id": "f1",
                    "reason": "sale",
                    "by": "ben",
                    "since": "2026-11-26T01:00:00Z",
                    "until": "2026-11-27T01:00:00Z",
                },
            ),
        ),
        health={
            PRODUCTION: decode(
                EnvironmentHealth,
                {
                    "name": "production",
                    "status": "unhealthy",
                    "known": True,
                    "message": "web is unhealthy",
                    "services": [
                        {
                            "name": "web",
                            "status": "unhealthy",
                            "since": "2026-11-26T07:10:00Z",
                            "message": "503",
                            "suspect": {"deployment": samples.ID, "number": 7},
                        },
                        {"name": "api", "status": "healthy"},
                    ],
                },
            )
        },
    )
    text = markdown(summarize(seen, SINCE, NOW))
    assert "- ✗ **web** in PRODUCTION is unhealthy since 07:10 (since #7 began): 503\n" in text
    assert "- ▲ **web** in PRODUCTION is locked until 11:00: web/production is locked: it failed\n" in text
    assert "- ▲ of everything until 2026-11-27 01:00: sale (by ben)\n" in text
    assert "api" not in text
    assert text.index("Not well now (1)") < text.index("Closed lanes (1)") < text.index("Deployments")


def test_a_deployment_says_who_and_how_it_ended_and_what_waits_says_until_when() -> None:
    gate = {"name": "approvals", "open": False, "sentence": "0 of 1 approvals by an admin"}
    seen = Seen(
        by="ana",
        deployments=of(
            deployment(7, status="success", completed_at="2026-11-26T05:00:00Z", created_by_name="Ben"),
            deployment(
                8,
                status="rolled_back",
                reason="verify_failed",
                message="smoke failed",
                completed_at="2026-11-26T06:00:00Z",
            ),
            deployment(9, kind="rollback", status="success", completed_at="2026-11-26T06:01:00Z"),
            deployment(
                10,
                environment="production",
                gates=[gate],
                hold="0 of 1 approvals by an admin",
                expires_at="2026-11-26T12:00:00Z",
            ),
        ),
        facts=(fact("deployment.rolled_back", deployment=deployment(8).id, undone_by=9, back_to="1.4.2"),),
    )
    older = replace(seen, facts=(fact("deployment.rolled_back", deployment=deployment(8).id),))
    assert "1.4.2 by ana, rolled back: smoke failed" in markdown(summarize(older, SINCE, NOW))
    text = markdown(summarize(seen, SINCE, NOW))
    assert "- ◇ #10 **web** in PRODUCTION 1.4.2 by ana, until 12:00: 0 of 1 approvals by an admin\n" in text
    rows = [line for line in text.splitlines() if re.match(r"- . \d\d:\d\d #", line)]
    assert rows == [
        "- · 07:00 #10 **web** in PRODUCTION 1.4.2 by ana, pending: 0 of 1 approvals by an admin",
        "- ✓ 06:01 #9 **web** in staging back to 1.4.2 by ana, success",
        "- ↩ 06:00 #8 **web** in staging 1.4.2 by ana, rolled back by #9: smoke failed",
        "- ✓ 05:00 #7 **web** in staging 1.4.2 by Ben, success",
    ]


def test_changes_of_health_drift_backups_and_old_secrets_are_told() -> None:
    changed: dict[str, Any] = {"service": "web", "environment": "staging"}
    seen = Seen(
        by="ana",
        facts=(
            fact(
                "environment.health_changed",
                service_status="degraded",
                service_was="healthy",
                message="slow",
                **changed,
            ),
            fact("backup.failed", 2, backup="b1", reason="the disk is full", scheduled=True),
            fact("backup.test_failed", 3, backup="b2", environment="staging", reason="no key"),
        ),
        drift={
            PRODUCTION: decode(
                DriftList,
                {
                    "items": [
                        {
                            "service": "web",
                            "environment": "production",
                            "status": "drifted",
                            "sentence": "1.5.0 runs, not 1.4.2",
                        },
                        {"service": "api", "environment": "production", "status": "same", "sentence": "same"},
                    ]
                },
            ).items
        },
        secrets={
            STAGING: decode(
                SecretUses,
                {
                    "items": [
                        {
                            "name": name,
                            "version": 1,
                            "fingerprint": "f",
                            "grade": "at_rest",
                            "changed_at": "2026-01-01T00:00:00Z",
                            "changed_by": "ana",
                            "age": 100 * 86_400 + 5,
                            "old": old,
                        }
                        for name, old in (("smtp_password", True), ("fresh", False))
                    ]
                },
            ).items
        },
    )
    text = markdown(summarize(seen, SINCE, NOW))
    assert "- ▲ 07:00 **web** in staging healthy → degraded: slow\n" in text
    assert "- ✗ **web** in PRODUCTION drifted: 1.5.0 runs, not 1.4.2\n" in text
    assert "the backup of everything was not made: the disk is full\n" in text
    assert "the backup of staging did not come back when it was tried: no key\n" in text
    assert "- ▲ smtp_password of staging was set 100 days ago\n" in text
    assert "fresh" not in text


def test_text_of_the_outside_is_nothing_but_text() -> None:
    seen = Seen(by=HOSTILE, deployments=of(deployment(7, status="failed", message="x", version="1")))
    hostile = replace(seen, deployments=of(found_with(seen.deployments, HOSTILE)))
    text = markdown(summarize(hostile, SINCE, NOW))
    assert "\x1b" not in text
    assert "\u202e" not in text
    for active in ("[click](", "<script>", " *bold*", " _it_", " `run`", "|x|", "~~", "\n# Title"):
        assert active not in text, active
    assert r"\[click\](http://evil) \<script\> \*bold\* \_it\_ \`run\` \|x\|" in text


def found_with(found: dict[str, Deployment], message: str) -> Deployment:
    """What a hook or a careless copy may have brought past the boundary."""
    return next(iter(found.values())).model_copy(update={"message": message})


def test_names_with_underscores_stay_readable() -> None:
    assert escaped("api_key_mail 1.4.2 (9f1c2ab) #7") == "api_key_mail 1.4.2 (9f1c2ab) #7"


def test_it_is_read_back_from_its_json() -> None:
    whole = summarize(Seen(by="ana", deployments=of(deployment(7, status="success"))), SINCE, NOW)
    assert decode(Handover, encode(whole)) == whole


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("shift")
    repository = make_repository(folder / "web")
    with serving(folder / "home"):
        asyncio.run(_live(folder / "home", PIPELINE.format(repository=repository)))
        yield folder / "home"


async def _live(home: Path, pipeline: str) -> None:
    async with opened(home) as dg:
        await dg.pipelines.register(pipeline)
        for ref, environment in (("good", PRODUCTION), ("bad", STAGING)):
            made = await dg.deployments.create(
                CreateDeployment(environment=environment, service="web", ref=ref)
            )
            _ = [each async for each in dg.deployments.watch(made.id, every=0.05)]
        await dg.lanes.lock("web", PRODUCTION, reason="sale", lasting="2h")
        await dg.lanes.freeze(reason="nobody is there", lasting="3h", environment=STAGING)


def opened(home: Path) -> Client:
    found = find({}, home)
    return Client(found.url, found.token)


async def test_a_shift_of_a_real_server_is_told_whole(home: Path) -> None:
    async with opened(home) as dg:
        now = dg.clock.micros()
        found = await gather(dg, now - HOUR, now)
    assert [(each.number, each.status.value) for each in found.deployments] == [(2, "failed"), (1, "success")]
    assert [(each.environment.value, each.state) for each in found.closed] == [
        ("staging", "frozen"),
        ("production", "locked"),
    ]
    assert all(each.until and each.until > now for each in found.closed)
    assert [each.reason for each in found.freezes] == ["nobody is there"]
    assert found.unread == {}
    assert "#2 **web** in staging" in markdown(found)


async def test_what_the_writer_may_not_read_is_named_and_the_rest_stands(home: Path) -> None:
    async with opened(home) as owner:
        made = await owner.tokens.create(
            name="watcher", role=Role.VIEWER, environment=STAGING, service="web", ttl=600
        )
        async with Client(owner.url, made.secret) as dg:
            now = dg.clock.micros()
            found = await gather(dg, now - HOUR, now)
    assert [each.number for each in found.deployments] == [2]
    assert "health of production" in found.unread
    assert "health of production could not be read: " in markdown(found)
