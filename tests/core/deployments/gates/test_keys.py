"""A deployment waits until its environment is configured with every key of another one."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.deployments.gates.yard import Yard
from tests.core.deployments.world import ADMIN

from dg.core.deployments.gates.judge import KEYS
from dg.core.deployments.models import Deployment, Gate
from dg.core.environments.models import UpdateEnvironment
from dg.core.types import Environment

PRODUCTION, STAGING = Environment.PRODUCTION, Environment.STAGING
CANARY = "canary-7f3e91-do-not-show"


async def configure(yard: Yard, name: Environment, secrets: tuple[str, ...] = (), **config: Any) -> None:
    environments = yard.world.core.environments
    request = UpdateEnvironment(domain=f"{name}.example.com", config=config)
    await environments.update(ADMIN, name, request)
    for secret in secrets:
        await environments.set_secret(ADMIN, name, secret, CANARY)


async def gate(yard: Yard, made: Deployment) -> Gate:
    (found,) = [each for each in (await yard.look(made)).gates or () if each.name == KEYS]
    return found


async def test_what_staging_has_and_production_lacks_is_named_until_it_is_set(yard: Yard) -> None:
    await yard.demand('keys_of = ["staging"]')
    await configure(
        yard, STAGING, ("session_key",), workers=4, debug=True, database_url=f"pg://x:{CANARY}@d/a"
    )
    await configure(yard, PRODUCTION, ("only_here",), debug=False)
    made = await yard.ask()
    assert await yard.start() is None
    closed = await gate(yard, made)
    assert closed.sentence == (
        "It waits until production has every key of staging: staging has config.database_url, "
        "config.workers, secrets.session_key. Compare them, and set what is missing: "
        "dg env diff staging production"
    )
    assert (closed.open, closed.values) == (False, {"missing": 3})
    await configure(yard, PRODUCTION, ("session_key",), debug=False, workers=1, database_url="pg://y:z@d/b")
    started = await yard.start()
    assert started is not None
    assert (await gate(yard, made)).sentence == "production has every key that staging has."


async def test_a_key_that_goes_closes_the_gate_again(yard: Yard) -> None:
    await yard.demand('keys_of = ["staging"]')
    await configure(yard, STAGING, (), workers=4)
    await configure(yard, PRODUCTION, (), workers=4)
    made = await yard.ask()
    await configure(yard, PRODUCTION)
    assert not (await gate(yard, made)).open
    await yard.world.core.environments.restore(ADMIN, PRODUCTION, 1)
    assert (await gate(yard, made)).open


async def test_of_many_keys_the_first_are_named(yard: Yard) -> None:
    await yard.demand('keys_of = ["staging", "development"]')
    await configure(yard, STAGING, (), **{f"key{number}": number for number in range(7)})
    sentence = (await gate(yard, await yard.ask())).sentence
    assert "config.key3, config.key4 and 2 more. Compare" in sentence
    assert "development" not in sentence


@pytest.mark.parametrize(
    ("demand", "said"),
    [
        ('keys_of = ["production"]', "must be another environment than production"),
        ('keys_of = ["staging", "staging"]', "names an environment twice"),
        ('keys_of = ["qa"]', "keys_of"),
    ],
)
async def test_what_cannot_be_compared_is_refused(yard: Yard, demand: str, said: str) -> None:
    with pytest.raises(Exception, match=said):
        await yard.demand(demand)
