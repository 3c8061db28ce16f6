"""The audit log: who, how they proved it, from where, what, on what, allowed or denied, and why."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from tests.api.checked import CheckedTransport
from tests.api.conftest import URL, Api

from dg.core import ledger, origins, schema
from dg.core.access.models import SYSTEM, CreateBinding
from dg.core.audit.service import OriginsWitness
from dg.core.database import Statement, Tx
from dg.core.testing import eventually

AUDIT = "/v1/security/audit"
ADDRESS = "203.0.113.9"
"""Where the callers of these tests come from."""


async def listed(api: Api, matching: str | None = None, **query: Any) -> list[dict[str, Any]]:
    async with api.caller("admin") as admin:
        answer = await admin.get(AUDIT, params={**({"filter": matching} if matching else {}), **query})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def lock(client: httpx.AsyncClient, **headers: str) -> httpx.Response:
    return await client.post(
        "/v1/lanes/shop/staging/lock", json={"reason": "look", "for": "1h"}, headers=headers
    )


@pytest.mark.parametrize("role", [None, "viewer", "operator", "approver"])
async def test_others_than_administrators_do_not_read_it(api: Api, role: str | None) -> None:
    async with api.caller(role) as caller:
        assert (await caller.get(AUDIT)).status_code == (403 if role else 401)


async def test_what_was_done_says_who_from_where_on_what_and_by_which_right(api: Api) -> None:
    await api.core.pipelines.register(SYSTEM, api.pipeline())
    async with api.caller("viewer", name="ana") as ana:
        me = (await ana.get("/v1/whoami")).json()["id"]
        wish = CreateBinding(subject=me, role="operator", environment="staging")
        binding = await api.core.bindings.create(SYSTEM, wish)
        assert (await lock(ana, **{"x-request-id": "my-request"})).status_code == 200
    (entry,) = await listed(api, "type=lane.locked")
    entry.pop("at")
    seq = entry.pop("seq")
    assert entry == {
        "type": "lane.locked",
        "decision": "allowed",
        "why": f"by viewer; operator on staging by the binding {binding.id}",
        "actor": me,
        "actor_name": "ana",
        "method": "token",
        "address": ADDRESS,
        "request_id": "my-request",
        "object": "shop/staging",
        "environment": "staging",
        "service": "shop",
    }
    assert [found["seq"] for found in await listed(api, "request=my-request address=203.0.113.9")] == [seq]


async def test_what_was_denied_says_what_was_missing_and_counts_from_the_first_try(api: Api) -> None:
    await api.core.pipelines.register(SYSTEM, api.pipeline())
    async with api.caller("viewer", name="vera") as vera:
        for number in range(5):
            assert (await lock(vera, **{"x-request-id": f"try-{number}"})).status_code == 403

        async def recorded() -> bool:
            return bool(await listed(api, "decision=denied"))

        await eventually(recorded)
    await api.core.access.flush()
    later, first = await listed(api, "decision=denied")
    assert (first["count"], later["count"]) == (1, 4)
    for entry in (first, later):
        assert entry["why"] == "lane:lock is not allowed by viewer"
        assert (entry["actor_name"], entry["action"], entry["address"]) == ("vera", "lane:lock", ADDRESS)
        assert entry["request_id"] == "try-0"


async def test_a_bad_credential_is_recorded_with_the_address_of_the_first(api: Api) -> None:
    transport = CheckedTransport(api.app)
    async with httpx.AsyncClient(transport=transport, base_url=URL) as stranger:
        for number in range(3):
            headers = {"authorization": "Bearer junk", "x-request-id": f"junk-{number}"}
            assert (await stranger.get("/v1/whoami", headers=headers)).status_code == 401

    async def recorded() -> bool:
        return bool(await listed(api, "type=authentication.failed"))

    await eventually(recorded)
    entry = (await listed(api, "type=authentication.failed"))[-1]
    assert (entry["decision"], entry["why"]) == ("denied", "the credential proved nothing")
    assert (entry["address"], entry["request_id"], entry["count"]) == (ADDRESS, "junk-0", 1)


async def test_the_newest_come_first_page_by_page(api: Api) -> None:
    await api.core.pipelines.register(SYSTEM, api.pipeline())
    everything = [entry["seq"] for entry in await listed(api)]
    assert everything == sorted(everything, reverse=True)
    async with api.caller("admin") as admin:
        first = (await admin.get(AUDIT, params={"limit": 2})).json()
        rest = (await admin.get(AUDIT, params={"limit": 200, "cursor": first["next_cursor"]})).json()
        found = [entry["seq"] for entry in first["items"] + rest["items"]]
        assert found == sorted(set(found), reverse=True)
        assert found[-1] == 1
        assert (await admin.get(AUDIT, params={"cursor": "x"})).status_code == 400
        assert (await admin.get(AUDIT, params={"filter": "colour=red"})).status_code == 400


async def test_an_administrator_of_one_service_reads_of_that_one(api: Api) -> None:
    for service in ("shop", "secret"):
        await api.core.pipelines.register(SYSTEM, api.pipeline(service))
    async with api.caller("admin", service="shop") as narrow:
        found = (await narrow.get(AUDIT)).json()["items"]
    assert {entry["service"] for entry in found} == {"shop"}


async def test_an_address_is_not_in_the_record_and_its_erasure_breaks_nothing(api: Api) -> None:
    await api.core.pipelines.register(SYSTEM, api.pipeline())
    async with api.caller("operator") as operator:
        await lock(operator)
        events = (await operator.get("/v1/events", params={"filter": "type=lane.locked"})).json()["items"]
    assert len(events[0]["payload"]["origin"]) == 64
    assert ADDRESS not in str(events)
    assert (await api.core.feed.verify(SYSTEM)).ok
    db = api.core.feed._db
    assert await db.write(lambda tx: origins.prune(tx, 1 << 62)) > 0
    assert (await api.core.feed.verify(SYSTEM)).ok
    (entry,) = await listed(api, "type=lane.locked")
    assert "address" not in entry


FORGE = Statement(
    schema.origins.update().where(schema.origins.c.address == ADDRESS).values(address="192.0.2.1")
)
CUT = Statement(schema.ledger.delete().where(schema.ledger.c.seq > sa.bindparam("last")))
SET_HEAD = Statement(
    schema.ledger_head.update().values(seq=sa.bindparam("last"), hash=sa.bindparam("its_hash"))
)


async def test_an_address_that_was_changed_afterwards_is_found(api: Api) -> None:
    async with api.caller("admin") as admin:
        await admin.post("/v1/security/access/roles", json={"name": "made", "actions": []})
    db = api.core.feed._db
    assert await db.write(lambda tx: tx.run(FORGE)) > 0
    verdict = await api.core.feed.verify(SYSTEM)
    assert not verdict.ok
    assert f"where entry {verdict.bad_seq} came from was changed" in verdict.message
    assert not (await db.read(lambda tx: ledger.check(tx, (OriginsWitness(),)))).ok


async def test_what_is_kept_of_entries_that_are_gone_stands_in_nobody_s_way(api: Api) -> None:
    async with api.caller("admin") as admin:
        await admin.post("/v1/security/access/roles", json={"name": "one", "actions": []})
        db = api.core.feed._db

        def cut(tx: Tx) -> None:
            kept = ledger.at(tx, ledger.head(tx).seq - 1)
            assert kept is not None
            tx.run(CUT, last=kept.seq)
            tx.run(SET_HEAD, last=kept.seq, its_hash=kept.hash)

        await db.write(cut)
        answer = await admin.post("/v1/security/access/roles", json={"name": "two", "actions": []})
        assert answer.status_code == 201
    assert (await api.core.feed.verify(SYSTEM)).ok
    assert [entry["object"] for entry in await listed(api, "type=role.created")] == ["two"]
