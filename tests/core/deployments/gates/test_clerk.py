"""Approvals by those for whom Clerk vouches: when they count, and that nobody decides in another's name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.clerk import ORGANIZATION, Instance, publishing
from tests.core.deployments.gates.yard import HOUR, Yard, closed, open_yard

from dg.core.access.models import Principal
from dg.core.deployments.models import CreateDeployment
from dg.core.errors import Forbidden
from dg.core.testing import ManualClock
from dg.core.types import Environment

ONE = "approvals = { count = 1 }"
EVE = {"iss": "https://dashboard.clerk.com", "sub": "user_2eve"}
GRANTS = [{"to": "role:approver", "role": "approver"}, {"to": "role:admin", "role": "admin"}]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def instance(clock: ManualClock) -> Iterator[Instance]:
    with publishing() as server:
        instance = Instance(server.url, lambda: clock.micros() / 1_000_000)
        server.publish(instance.jwks())
        yield instance


@pytest.fixture
async def yard(instance: Instance, clock: ManualClock, tmp_path: Path) -> AsyncIterator[Yard]:
    access = {"clerk": instance.settings(grants=GRANTS, rights_last="2h")}
    async with open_yard(tmp_path, clock, access=access, outbound={"allow": ["127.0.0.1"]}) as yard:
        await yard.demand(ONE)
        yield yard


async def user(
    yard: Yard, instance: Instance, name: str, role: str = "approver", **claims: object
) -> Principal:
    """Somebody who comes with a token of this moment."""
    organization = {"id": ORGANIZATION, "rol": role}
    token = instance.token(sub=f"user_{name}", o=organization, **claims)
    return await yard.world.core.access.authenticate(token)


async def test_an_approval_counts_and_bears_the_name(yard: Yard, instance: Instance) -> None:
    made = await yard.ask()
    approved = await yard.approve(made, await user(yard, instance, "ben"))
    assert closed(approved) == []
    assert approved.approvals is not None
    assert [approval.by for approval in approved.approvals] == ["clerk:user_ben"]
    (entry,) = await yard.entries("deployment.approved")
    assert (entry.actor, entry.auth) == ("clerk:user_ben", "clerk")


async def test_an_approval_counts_no_more_when_the_role_is_gone(yard: Yard, instance: Instance) -> None:
    made = await yard.ask()
    await yard.approve(made, await user(yard, instance, "ben"))
    await user(yard, instance, "ben", "member")
    assert closed(await yard.look(made)) == ["approvals"]
    await user(yard, instance, "ben")
    assert closed(await yard.look(made)) == []


async def test_an_approval_ends_with_the_rights_of_who_is_not_seen_any_more(
    yard: Yard, instance: Instance
) -> None:
    made = await yard.ask()
    await yard.approve(made, await user(yard, instance, "ben"))
    yard.clock.jump(2 * HOUR - 60)
    assert closed(await yard.look(made)) == []
    yard.clock.jump(120)
    assert closed(await yard.look(made)) == ["approvals"]
    await user(yard, instance, "ben")
    assert closed(await yard.look(made)) == []


async def test_nobody_approves_production_in_anothers_name(yard: Yard, instance: Instance) -> None:
    made = await yard.ask()
    disguised = await user(yard, instance, "ben", act=EVE)
    with pytest.raises(Forbidden) as error:
        await yard.approve(made, disguised)
    assert error.value.reason == "impersonated"
    with pytest.raises(Forbidden, match="in person"):
        await yard.override(made, await user(yard, instance, "ada", "admin", act=EVE), "approvals")
    assert closed(await yard.look(made)) == ["approvals"]


async def test_what_somebody_asked_for_in_anothers_name_they_do_not_approve(
    yard: Yard, instance: Instance
) -> None:
    disguised = await user(yard, instance, "ada", "admin", act=EVE)
    request = CreateDeployment(environment=Environment.PRODUCTION, ref="v1")
    made = await yard.world.core.deployments.create(disguised, request)
    (entry,) = await yard.entries("deployment.created")
    assert (entry.actor, entry.payload["impersonated_by"]) == ("clerk:user_ada", "clerk:user_2eve")
    with pytest.raises(Forbidden) as error:
        await yard.approve(made, await user(yard, instance, "2eve"))
    assert error.value.reason == "own_deployment"
    assert closed(await yard.approve(made, await user(yard, instance, "ben"))) == []
