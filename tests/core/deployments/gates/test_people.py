"""One person is one approver, whichever of their sessions and tokens they come with."""

from __future__ import annotations

import pytest
from tests.core.deployments.gates.yard import Yard, closed
from tests.core.deployments.world import ADMIN

from dg.core.access.models import NOWHERE, Principal
from dg.core.access.sessions import ApproveLogin, WantedGrant
from dg.core.deployments.models import CreateDeployment
from dg.core.errors import Forbidden
from dg.core.types import Environment

TWO = "approvals = { count = 2 }"
BOTH = (WantedGrant(role="operator"), WantedGrant(role="approver"))


async def signed_in(yard: Yard, name: str) -> Principal:
    """Somebody with a new session."""
    core = yard.world.core
    device = await core.logins.ask(NOWHERE, name=name, host="laptop")
    wish = ApproveLogin(person=name, grants=BOTH)
    await core.logins.approve(ADMIN, device.user_code, wish)
    tokens = await core.logins.collect(device.device_code)
    return await core.access.authenticate(tokens.access_token)


async def test_a_session_and_a_token_of_one_person_are_not_two_approvals(yard: Yard) -> None:
    await yard.demand(TWO)
    made = await yard.ask()
    session = await signed_in(yard, "ben")
    token = await yard.person("bens laptop", person="ben")
    other = await signed_in(yard, "ben")
    assert session.id == token.id == other.id
    for each in (session, token, other):
        made = await yard.approve(made, each)
        assert "one approval more (ben approved)" in str(made.hold)
    assert closed(await yard.approve(made, await signed_in(yard, "cleo"))) == []


async def test_nobody_approves_from_one_session_what_they_asked_for_in_another(yard: Yard) -> None:
    await yard.demand("approvals = { count = 1 }")
    core = yard.world.core
    maker = await signed_in(yard, "ana")
    wish = CreateDeployment(environment=Environment.PRODUCTION, service="web", ref="v1")
    made = await core.deployments.create(maker, wish)
    token = await yard.person("anas laptop", person="ANA")
    for each in (maker, await signed_in(yard, "ana"), token):
        with pytest.raises(Forbidden) as refused:
            await yard.approve(made, each)
        assert refused.value.reason == "own_deployment"


async def test_an_approval_ends_with_the_last_session_that_gives_the_right_to_it(yard: Yard) -> None:
    await yard.demand("approvals = { count = 1 }")
    made = await yard.ask()
    ben = await signed_in(yard, "ben")
    again = await signed_in(yard, "ben")
    assert closed(await yard.approve(made, ben)) == []
    core = yard.world.core
    await core.sessions.revoke(ADMIN, str(ben.session))
    assert closed(await yard.look(made)) == []
    await core.sessions.revoke(ADMIN, str(again.session))
    assert "(ben may not approve any more)" in str((await yard.look(made)).hold)


async def test_a_session_that_idles_leaves_its_approval_standing(yard: Yard) -> None:
    await yard.demand("approvals = { count = 1, expires = '10d' }")
    made = await yard.ask()
    ben = await signed_in(yard, "ben")
    await yard.approve(made, ben)
    yard.clock.jump(4 * 86400)
    assert closed(await yard.look(made)) == []
