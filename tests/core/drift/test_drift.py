"""Drift in an open core: who may, what is kept, what is told, and when checks are made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.core.environments.test_environments import Estate, open_estate

from dg.core import ledger
from dg.core.access.models import SYSTEM, CreateRole
from dg.core.database import Tx
from dg.core.drift import store
from dg.core.drift.models import AcceptDrift, Deployed, DriftStatus, Lane, Reading
from dg.core.drift.service import Drift
from dg.core.drift.watch import Watch
from dg.core.environments.models import RunningCheck, UpdateEnvironment
from dg.core.environments.service import runs_of
from dg.core.errors import Forbidden, Invalid, NotFound, Refused
from dg.core.idempotency import Once
from dg.core.testing import ManualClock
from dg.core.types import Environment
from dg.settings.tree import Drift as DriftSettings

STAGING, PRODUCTION = Environment.STAGING, Environment.PRODUCTION
COMMIT = "5f0a2cd86dbd4f8d8d26ba2a66ff51e8a4f1f1a2"
DEPLOYED = Deployed(deployment="d-1", number=31, version="v2.14.0", commit_sha=COMMIT)
DAY = 86_400 * 1_000_000


@dataclass
class Site:
    """Services that say what they run, and what dg deployed there; the rest is real."""

    estate: Estate
    clock: ManualClock
    lanes: dict[tuple[str, Environment], Lane] = field(default_factory=dict)
    says: dict[str, Reading] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    during: Any = None
    drift: Drift = field(init=False)
    watch: Watch = field(init=False)

    def __post_init__(self) -> None:
        core = self.estate.core
        self.drift = Drift(self.estate.db, self.clock, core.access, runs_of, self.lane, DriftSettings())
        self.watch = Watch(self.estate.db, self.clock, runs_of, self.lane, self, 2)

    def lane(self, _: Tx, service: str, name: Environment) -> Lane:
        return self.lanes.get((service, name), Lane(deployed=DEPLOYED))

    async def read(self, check: RunningCheck) -> Reading:
        assert check.url is not None
        self.asked.append(check.url)
        if self.during is not None:
            await self.during()
        return self.says[check.url]

    def runs(self, version: str, url: str = "https://web.example/") -> None:
        self.says[url] = Reading(found=version)

    async def checked(self, *checks: str, name: Environment = STAGING, **changes: Any) -> None:
        """Services are checked at an address of their own."""
        runs = {each: {"url": f"https://{each}.example/", **changes} for each in checks}
        request = {"domain": "d.example.com", "config": {}, "runs": runs}
        await self.estate.environments.update(SYSTEM, name, UpdateEnvironment.model_validate(request))

    async def look(self, times: int = 1) -> None:
        for _ in range(times):
            await self.watch.look()
            await self.clock.advance(60)

    async def drifted(self) -> None:
        self.runs("v2.13.0")
        await self.checked("web")
        await self.look(2)

    async def told(self) -> list[str]:
        entries = await self.estate.db.read(lambda tx: ledger.after(tx, 0, 1000))
        return [each.type for each in entries if each.type.startswith("drift.")]

    async def status(self, service: str = "web") -> DriftStatus:
        found = {each.service: each for each in await self.drift.list(SYSTEM, STAGING)}
        return found[service].status

    def until(self, micros: int = DAY, reason: str = "hotfix") -> AcceptDrift:
        return AcceptDrift(reason=reason, until=self.clock.micros() + micros)


@pytest.fixture
async def site(tmp_path: Path, either_url: str | None) -> AsyncIterator[Site]:
    async with open_estate(tmp_path / "home", either_url, passive=True) as estate:
        yield Site(estate, ManualClock())


@pytest.mark.parametrize("role", ["viewer", "operator"])
async def test_only_approvers_and_admins_accept_a_difference(site: Site, role: str) -> None:
    await site.drifted()
    who = await site.estate.who(role)
    with pytest.raises(Forbidden):
        await site.drift.accept(who, STAGING, "web", site.until())
    with pytest.raises(Forbidden):
        await site.drift.withdraw(who, STAGING, "web", "done")
    assert await site.status() is DriftStatus.DRIFTED


async def test_who_is_narrowed_sees_and_accepts_nothing_elsewhere(site: Site) -> None:
    await site.drifted()
    site.runs("v2.14.0", "https://api.example/")
    await site.checked("web", "api")
    of_api = await site.estate.who("admin", service="api")
    assert [each.service for each in await site.drift.list(of_api, STAGING)] == ["api"]
    in_production = await site.estate.who("admin", environment="production")
    assert await site.drift.list(in_production, STAGING) == ()
    for who in (of_api, in_production):
        with pytest.raises(Forbidden):
            await site.drift.accept(who, STAGING, "web", site.until())
    nobody = CreateRole(name="nobody", actions=("lane:read",))
    with pytest.raises(Forbidden):
        await site.drift.list(
            await site.estate.who((await site.estate.core.roles.create(SYSTEM, nobody)).name), STAGING
        )


async def test_drift_is_found_told_once_and_resolved(site: Site) -> None:
    await site.drifted()
    await site.look(3)
    (found,) = await site.drift.list(SYSTEM, STAGING)
    assert (found.status, found.found, found.deployed) == (DriftStatus.DRIFTED, "v2.13.0", DEPLOYED)
    assert await site.told() == ["drift.found"]
    site.runs("v2.14.0")
    await site.look()
    assert await site.status() is DriftStatus.SAME
    assert await site.told() == ["drift.found", "drift.resolved"]


async def test_what_is_known_outlives_the_server(site: Site) -> None:
    site.runs("v2.13.0")
    await site.checked("web")
    await site.look()
    site.watch = Watch(site.estate.db, site.clock, runs_of, site.lane, site, 2)
    await site.look(2)
    assert await site.told() == ["drift.found"]


async def test_each_check_is_made_at_its_own_interval(site: Site) -> None:
    for service in ("web", "api"):
        site.runs("v2.14.0", f"https://{service}.example/")
    runs = {
        "web": {"url": "https://web.example/", "interval": 10},
        "api": {"url": "https://api.example/", "interval": 40},
    }
    request = {"domain": "d.example.com", "config": {}, "runs": runs}
    await site.estate.environments.update(SYSTEM, STAGING, UpdateEnvironment.model_validate(request))
    for _ in range(8):
        await site.watch.look()
        await site.clock.advance(5)
    assert (site.asked.count("https://web.example/"), site.asked.count("https://api.example/")) == (4, 1)


async def test_no_more_checks_are_made_at_once_than_allowed(site: Site) -> None:
    services = ["a", "b", "c", "d"]
    for service in services:
        site.runs("v2.14.0", f"https://{service}.example/")
    await site.checked(*services)
    together, here, most = asyncio.Barrier(2), 0, 0

    async def during() -> None:
        nonlocal here, most
        here += 1
        most = max(most, here)
        await together.wait()
        here -= 1

    site.during = during
    async with asyncio.timeout(60):
        await site.look()
    assert (len(site.asked), most) == (4, 2)


@pytest.mark.parametrize("ended", [False, True])
async def test_a_deployment_that_begins_or_ends_during_a_check_makes_no_drift(
    site: Site, ended: bool
) -> None:
    site.runs("v2.13.0")
    await site.checked("web")
    await site.look()

    async def during() -> None:
        after = DEPLOYED.model_copy(update={"deployment": "d-2", "version": "v3"})
        site.lanes["web", STAGING] = Lane(deployed=after) if ended else Lane(deployed=DEPLOYED, busy=True)

    site.during = during
    await site.look()
    assert await site.told() == []


async def test_a_check_that_was_changed_while_it_ran_says_nothing(site: Site) -> None:
    site.runs("v2.13.0")
    await site.checked("web")
    await site.look()

    async def during() -> None:
        await site.checked("web", pattern="v(.+)")

    site.during = during
    await site.look()
    assert await site.told() == []


async def test_what_nothing_checks_any_more_is_forgotten_and_resolved(site: Site) -> None:
    await site.drifted()
    await site.checked()
    await site.look()
    assert await site.drift.list(SYSTEM, STAGING) == ()
    assert await site.estate.db.read(lambda tx: store.of(tx, STAGING)) == {}
    assert await site.told() == ["drift.found", "drift.resolved"]


async def test_a_known_difference_is_accepted_for_a_while_with_a_reason(site: Site) -> None:
    await site.drifted()
    approver = await site.estate.who("approver")
    seen = await site.drift.accept(approver, STAGING, "web", site.until(reason="hotfix of payments"))
    assert seen.status is DriftStatus.ACCEPTED
    assert "the approver accepted that until" in seen.sentence
    assert seen.acceptance is not None
    assert (seen.acceptance.by, seen.acceptance.by_name) == (approver.id, "the approver")
    await site.look(3)
    assert await site.told() == ["drift.found", "drift.accepted"]
    await site.clock.advance(86_400)
    assert await site.status() is DriftStatus.DRIFTED
    await site.look(3)
    assert await site.told() == ["drift.found", "drift.accepted", "drift.found"]


async def test_an_acceptance_is_taken_back(site: Site) -> None:
    await site.drifted()
    await site.drift.accept(SYSTEM, STAGING, "web", site.until())
    assert (await site.drift.withdraw(SYSTEM, STAGING, "web", "done")).status is DriftStatus.DRIFTED
    assert (await site.drift.withdraw(SYSTEM, STAGING, "web", "done")).status is DriftStatus.DRIFTED
    assert await site.told() == ["drift.found", "drift.accepted", "drift.withdrawn"]


async def test_a_repeated_request_accepts_once(site: Site) -> None:
    await site.drifted()
    wish = Once("once", "fingerprint")
    first = await site.drift.accept(SYSTEM, STAGING, "web", site.until(), wish)
    assert await site.drift.accept(SYSTEM, STAGING, "web", site.until(), wish) == first
    assert await site.told() == ["drift.found", "drift.accepted"]


async def test_only_a_difference_that_there_is_can_be_accepted(site: Site) -> None:
    with pytest.raises(NotFound, match="nothing checks"):
        await site.drift.accept(SYSTEM, STAGING, "web", site.until())
    with pytest.raises(NotFound, match="nothing checks"):
        await site.drift.withdraw(SYSTEM, STAGING, "web", "done")
    site.runs("v2.14.0")
    await site.checked("web")
    for look in (0, 1):
        await site.look(look)
        with pytest.raises(Refused, match="no difference to accept") as refused:
            await site.drift.accept(SYSTEM, STAGING, "web", site.until())
        assert refused.value.reason == "no_drift"


@pytest.mark.parametrize("micros", [0, -DAY, 91 * DAY])
async def test_an_acceptance_has_an_end_within_reach(site: Site, micros: int) -> None:
    await site.drifted()
    with pytest.raises(Invalid, match="until"):
        await site.drift.accept(SYSTEM, STAGING, "web", site.until(micros))
