"""The status of a deployment that ended is worked out once: it stays true, and stays hidden where it was."""

from __future__ import annotations

import pytest
from tests.core.deployments.world import ADMIN, OPERATOR, World

from dg.core.access import store
from dg.core.deployments.models import RequestRollback, Status
from dg.core.errors import NotFound
from dg.core.testing import person


async def test_it_is_the_same_again(world: World) -> None:
    await world.register()
    ended = await world.deploy("v1")
    first = await world.core.deployments.status(ADMIN, ended.id)
    assert await world.core.deployments.status(OPERATOR, ended.id) is first


async def test_it_stays_hidden_from_whoever_may_not_see_it(world: World) -> None:
    await world.register()
    ended = await world.deploy("v1")
    await world.core.deployments.status(ADMIN, ended.id)
    for stranger in (person("admin", environment="staging"), person("admin", service="shop")):
        with pytest.raises(NotFound) as hidden:
            await world.core.deployments.status(stranger, ended.id)
        with pytest.raises(NotFound) as missing:
            await world.core.deployments.status(stranger, "nothing")
        assert hidden.value.message.replace(ended.id, "nothing") == missing.value.message


async def test_it_says_what_became_of_it_later(world: World) -> None:
    await world.register()
    await world.deploy("v1")
    ended = await world.deploy("v2")
    assert (await world.core.deployments.status(ADMIN, ended.id)).deployment.status is Status.SUCCESS
    back = await world.core.deployments.rollback(OPERATOR, ended.id, RequestRollback(reason="bad"))
    await world.ended(back)
    found = (await world.core.deployments.status(ADMIN, ended.id)).deployment
    assert (found.status, found.rolled_back_by) == (Status.ROLLED_BACK, back.id)


async def test_it_says_what_its_maker_is_called_now(world: World) -> None:
    await world.register()
    ended = await world.deploy("v1")
    await world.core.deployments.status(ADMIN, ended.id)
    await world.db.write(lambda tx: store.set_name(tx, OPERATOR.id, "Olga", "person"))
    found = (await world.core.deployments.status(ADMIN, ended.id)).deployment
    assert found.created_by_name == "Olga"
