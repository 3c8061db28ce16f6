"""Every operation of every contract by every role: what follows from the table of actions is what happens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import httpx
import pytest
from tests.api.checked import CheckedTransport
from tests.api.conftest import URL, Api
from tests.api.occasions import OPERATIONS, Declared, Occasions

from dg.core.access.models import ACTIONS, GIVEN, Action, Grant, Origin, Principal, Role

READS = GIVEN[Role.VIEWER] | {action for action in Action if action.endswith(":read")}
OPEN, KNOWN, SIGNED = "open", "known", "signed"


class MadeUp:
    """Lets in whoever says which actions they have: `may.lane:lock.lane:read`."""

    def recognises(self, credential: str) -> bool:
        return credential.startswith("may.")

    async def principal(self, credential: str, origin: Origin) -> Principal:
        actions = frozenset(map(Action, filter(None, credential.split(".")[1:])))
        return Principal(
            id=f"id-of-{hash(actions)}",
            name="made up",
            grants=(Grant(role="made-up", actions=actions),),
            origin=origin,
        )


@asynccontextmanager
async def holding(api: Api, actions: Iterable[Action] | None) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody with exactly these actions everywhere; None has no credential."""
    headers = {} if actions is None else {"authorization": f"Bearer may.{'.'.join(sorted(actions))}"}
    async with httpx.AsyncClient(
        transport=CheckedTransport(api.app), base_url=URL, headers=headers, timeout=30
    ) as client:
        yield client


@pytest.fixture
async def occasions(api: Api) -> Occasions:
    api.core.access.accept(MadeUp())
    found = Occasions(api)
    await found.begin()
    return found


def refused(operation: Declared, answer: httpx.Response) -> bool:
    """Whether the caller is told that they may not, or that there is no such thing."""
    assert answer.status_code != 400, f"{operation.id}: {answer.text}"
    return answer.status_code in (401, 403) or (answer.status_code == 404 and operation.reads)


def test_every_operation_declares_its_action() -> None:
    """`x-action` in the contract: an action, `known` for any caller who is known, `open` for all, or `signed`
    for whoever signs the body with a secret that both sides have.
    """
    words = {*Action, OPEN, KNOWN, SIGNED}
    wrong = [each.id for each in OPERATIONS.values() if each.action not in words]
    assert wrong == []
    for each in OPERATIONS.values():
        assert (each.tree.get("security") == []) == (each.action in (OPEN, SIGNED)), each.id


async def test_nobody_gets_through_without_a_credential(api: Api, occasions: Occasions) -> None:
    async with holding(api, None) as stranger:
        answered = {
            each.id: (await occasions.send(stranger, each)).status_code for each in OPERATIONS.values()
        }
    assert {name for name, status in answered.items() if status != 401} == {
        each.id for each in OPERATIONS.values() if each.action == OPEN
    }


async def test_whoever_lacks_the_declared_action_is_refused_whatever_else_they_may(
    api: Api, occasions: Occasions
) -> None:
    let_through = []
    for each in OPERATIONS.values():
        if each.action in (OPEN, KNOWN):
            continue
        others = set(Action) - {each.action}
        async with holding(api, others) as caller:
            if not refused(each, await occasions.send(caller, each)):
                let_through.append(each.id)
    assert let_through == []


async def test_the_declared_action_and_reading_is_all_that_it_takes(api: Api, occasions: Occasions) -> None:
    turned_away = []
    for each in OPERATIONS.values():
        if each.action == SIGNED:
            continue
        enough = () if each.action in (OPEN, KNOWN) else {*READS, Action(str(each.action))}
        async with holding(api, enough) as caller:
            answer = await occasions.send(caller, each)
            if refused(each, answer):
                turned_away.append((each.id, answer.text))
    assert turned_away == []


@pytest.mark.parametrize("role", list(Role))
async def test_a_role_gets_through_where_the_table_says_so(
    api: Api, occasions: Occasions, role: Role
) -> None:
    wrong = []
    async with api.caller(role) as caller:
        for each in OPERATIONS.values():
            may = each.action in (OPEN, KNOWN)
            if each.action not in (OPEN, KNOWN, SIGNED):
                may = role in ACTIONS[Action(str(each.action))]
            if refused(each, await occasions.send(caller, each)) is may:
                wrong.append(each.id)
    assert wrong == []
