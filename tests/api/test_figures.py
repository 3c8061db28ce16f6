"""The four figures over HTTP; every answer is also held against the contract."""

from __future__ import annotations

import httpx
import pytest
from tests.api.conftest import Api
from tests.api.test_deployments import PATH, made, reached, registered

FIGURES = f"{PATH}/figures"


async def test_the_figures_stand_beside_the_deployments(api: Api) -> None:
    await registered(api)
    async with api.caller("operator") as operator:
        deployment = await made(operator)
        await reached(operator, deployment, "success")
        query = {"environment": "development", "service": "shop", "days": "7"}
        found = (await operator.get(FIGURES, params=query)).json()
        assert found["frequency"] == {"deployments": 1, "per_day": 1 / 7, "per_week": 1.0}
        assert found["lead_time"] == {"commits": 0, "deployments": 0, "unknown": []}
        assert found["change_failure"] == {"deployments": 1, "failures": 0, "rate": 0.0}
        assert found["recovery"] == {"incidents": 0, "open": 0}
        rows = (await operator.get(FIGURES, params={**query, "rows": "true"})).json()
        assert rows["frequency"]["rows"] == [deployment["id"]]
        assert rows["change_failure"]["rows"] == [{"deployment": deployment["id"], "failed": False}]


async def test_they_are_those_of_production_unless_it_is_said_otherwise(api: Api) -> None:
    await registered(api)
    async with api.caller("viewer") as viewer:
        found = (await viewer.get(FIGURES)).json()
        assert (found["environment"], found["frequency"]["deployments"]) == ("production", 0)
        assert "service" not in found


@pytest.mark.parametrize(
    ("query", "status"),
    [({"days": "0"}, 400), ({"days": "367"}, 400), ({"rows": "maybe"}, 400), ({"service": "moon"}, 404)],
)
async def test_what_cannot_be_counted_is_refused(api: Api, query: dict[str, str], status: int) -> None:
    await registered(api)
    async with api.caller("viewer") as viewer:
        assert (await viewer.get(FIGURES, params=query)).status_code == status


async def test_nobody_reads_them_without_a_token(api: Api) -> None:
    async with api.caller() as nobody:
        answer: httpx.Response = await nobody.get(FIGURES)
        assert answer.status_code == 401
