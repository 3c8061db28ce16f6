"""One story on all surfaces: production wants a second person, and what it asks about moves meanwhile."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from tests.scenarios import truth
from tests.scenarios.house import House, journalled

from dg.cli.errors import ExitCode
from dg.client.app import Client
from dg.client.wire import encode
from dg.core.access.models import Role
from dg.core.deployments import receipt
from dg.core.deployments.models import Approve, CreateDeployment, Deployment, Status
from dg.core.errors import Forbidden, Refused
from dg.core.types import Environment

PRODUCTION = Environment.PRODUCTION
DEMANDS = {
    "DG_ENVIRONMENTS__PRODUCTION__APPROVALS": '{ count = 2, from = ["role:approver", "role:admin"] }',
    "DG_ENVIRONMENTS__PRODUCTION__WINDOWS": "[{ allow = '0 0 29 2 *', for = '1m', tz = 'Europe/Berlin',"
    " override = 'role:admin', reason = 'the books are open' }]",
}


@pytest.fixture
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A server whose production takes nothing without two people, nor outside a window."""
    house = House(tmp_path_factory.mktemp("house"), DEMANDS)
    try:
        house.start()
        yield house
    finally:
        house.close()


class Person:
    """Somebody with a token of their own, over the API and in the shell."""

    def __init__(self, house: House, token: str) -> None:
        self._house = house
        self._token = token
        self.api = Client(house.url, token)

    async def dg(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return await asyncio.to_thread(self._house.dg, *arguments, token=self._token)

    async def json(self, *arguments: str) -> Any:
        done = await self.dg("--json", *arguments)
        assert done.returncode == ExitCode.OK, done.stderr
        return json.loads(done.stdout)


async def somebody(
    house: House, owner: Client, name: str, role: Role, kind: Literal["person", "service"] = "person"
) -> Person:
    issued = await owner.tokens.create(name=name, role=role, kind=kind)
    return Person(house, issued.secret)


async def test_two_people_agree_to_what_they_saw_and_an_admin_passes_the_window(house: House) -> None:
    old, new = house.repository.commit("old"), house.repository.commit("new")
    async with house.client() as owner:
        await owner.pipelines.register(house.pipeline(journalled("switch", "deploy")))
        ana = await somebody(house, owner, "ana", Role.OPERATOR)
        bo = await somebody(house, owner, "bo", Role.APPROVER)
        cy = await somebody(house, owner, "cy", Role.ADMIN)
        robot = await somebody(house, owner, "ci", Role.ADMIN, "service")
        async with ana.api, bo.api, cy.api, robot.api:
            first = await _ask(house, ana, old)
            second = await _ask(house, ana, new)
            await _nobody_else_may(ana, robot, first)
            await _every_surface_says_what_it_waits_for(ana, first)

            shown = (await bo.api.deployments.get(second.id)).content
            assert shown
            await bo.api.deployments.approve(second.id, Approve(content=shown))
            await _approved_at_once_from_two_surfaces(bo, cy, first)
            passed = await cy.dg("override", first.id, "--gate", "window", "--reason", "the outage is in it")
            assert passed.returncode == ExitCode.OK, passed.stderr
            assert (await truth.end_of(owner, first.id)).status is Status.SUCCESS

            await _the_yes_to_what_moved_is_void(bo, cy, second, shown, old)

            await _it_is_all_on_record(owner, ana, first)
            await truth.books_are_in_order(house, owner)


async def _ask(house: House, who: Person, commit: str) -> Deployment:
    return await house.deploy(who.api, CreateDeployment(environment=PRODUCTION, ref=commit))


async def _nobody_else_may(ana: Person, robot: Person, deployment: Deployment) -> None:
    with pytest.raises(Forbidden) as own:
        await ana.api.deployments.approve(deployment.id, Approve())
    assert own.value.reason == "own_deployment"
    with pytest.raises(Forbidden, match="only people decide"):
        await robot.api.deployments.approve(deployment.id, Approve())


async def _every_surface_says_what_it_waits_for(ana: Person, deployment: Deployment) -> None:
    waits = await ana.api.deployments.get(deployment.id)
    assert waits.gates
    assert [(gate.name, gate.open) for gate in waits.gates] == [("approvals", False), ("window", False)]
    assert waits.hold == waits.gates[0].sentence
    assert f"dg approve {deployment.id}" in waits.hold
    assert "the books are open" in waits.gates[1].sentence
    assert (await ana.json("show", deployment.id)) == encode(waits)
    lane = await ana.api.lanes.get("web", PRODUCTION)
    assert waits.hold in lane.sentence
    why = await ana.dg("why", "web", "production")
    assert waits.hold in why.stdout.decode()


async def _approved_at_once_from_two_surfaces(bo: Person, cy: Person, deployment: Deployment) -> None:
    """The same yes from a laptop and from a program is one; the second person's is another."""
    by_shell, by_api = await asyncio.gather(
        bo.dg("approve", deployment.id, "--note", "tried it"),
        bo.api.deployments.approve(deployment.id, Approve()),
    )
    assert by_shell.returncode == ExitCode.OK, by_shell.stderr
    assert by_api.status is Status.PENDING
    waits = await bo.api.deployments.get(deployment.id)
    assert waits.gates
    assert waits.gates[0].values == {"needed": 2, "given": 1}
    approved = await cy.json("approve", deployment.id)
    assert [gate["open"] for gate in approved["gates"]] == [True, False]
    assert "takes no deployments" in approved["hold"]


async def _the_yes_to_what_moved_is_void(
    bo: Person, cy: Person, deployment: Deployment, shown: str, runs: str
) -> None:
    waits = await bo.api.deployments.get(deployment.id)
    assert waits.approvals
    assert waits.approvals[0].void_reason
    assert f"{runs[:12]} runs there now" in waits.approvals[0].void_reason
    with pytest.raises(Refused) as moved:
        await cy.api.deployments.approve(deployment.id, Approve(content=shown))
    assert moved.value.reason == "stale_content"
    by_shell = await cy.dg("approve", deployment.id, "--content", shown)
    assert by_shell.returncode == ExitCode.REFUSED
    assert b" new (dg)" in by_shell.stderr
    again = await bo.json("approve", deployment.id)
    assert [one.get("void_reason") is None for one in again["approvals"]] == [False, True]


async def _it_is_all_on_record(owner: Client, ana: Person, deployment: Deployment) -> None:
    """The facts in their order, who decided what on which content in the receipt, and the receipt is good."""
    told = [event async for event in owner.events.all(matching=f"object={deployment.id}")]
    types = [event.type for event in told]
    assert types[:4] == ["deployment.created", *["deployment.approved"] * 2, "gate.overridden"]
    assert told[3].payload["alert"] is True
    signed = await ana.api.deployments.receipt(deployment.id)
    body: Any = receipt.verify(signed).body
    assert [gate["name"] for gate in body["gates"]] == ["approvals", "window"]
    assert [one["verdict"] for one in body["approvals"]] == ["approved", "approved", "overridden"]
    assert len({one["content"] for one in body["approvals"]}) == 1
