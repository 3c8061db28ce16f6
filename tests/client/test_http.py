"""How the client asks: retries, keys, errors, and what it never does."""

from __future__ import annotations

import json

import httpx
import pytest
from tests.client import samples
from tests.client.conftest import Connect, InstantClock

from dg.client.errors import Unintelligible, Unreachable
from dg.core.deployments.models import CreateDeployment, RequestRetry, RequestRollback
from dg.core.errors import (
    Forbidden,
    Invalid,
    Mismatch,
    NotFound,
    Problem,
    Refused,
    TooMany,
    Unauthenticated,
    Unavailable,
)
from dg.core.types import Environment

REQUEST = CreateDeployment(environment=Environment.STAGING, service="web", ref="main")


class Script:
    """Answers in turn; an exception is raised as if the network did it."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def ok(body: object, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json=body)


def no(status: int, code: str = "VALIDATION_ERROR", **details: object) -> httpx.Response:
    return httpx.Response(status, json=samples.envelope(code, "no, because", **details))


async def test_the_token_goes_along_and_the_path_is_v1(connect: Connect) -> None:
    script = Script(ok(samples.deployment()))
    await connect(script).deployments.get(samples.ID)
    [request] = script.requests
    assert request.headers["Authorization"] == "Bearer tok.en"
    assert request.url.path == f"/v1/deployments/{samples.ID}"


async def test_a_hostile_id_stays_in_its_place_of_the_path(connect: Connect) -> None:
    script = Script(ok(samples.deployment()))
    await connect(script).deployments.get("../tokens?x=1#/")
    assert script.requests[0].url.raw_path == b"/v1/deployments/..%2Ftokens%3Fx%3D1%23%2F"


async def test_reading_is_tried_again_when_the_network_fails(connect: Connect, clock: InstantClock) -> None:
    script = Script(httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), ok(samples.deployment()))
    assert (await connect(script).deployments.get(samples.ID)).number == 7
    assert len(script.requests) == 3
    assert 0.05 <= clock.slept[0] <= 0.1
    assert 0.1 <= clock.slept[1] <= 0.2


async def test_a_write_is_repeated_with_the_same_idempotency_key(connect: Connect) -> None:
    script = Script(httpx.ReadError("cut"), no(503, "INTERNAL_ERROR"), ok(samples.deployment(), 201))
    await connect(script).deployments.create(REQUEST)
    keys = {request.headers["Idempotency-Key"] for request in script.requests}
    assert (len(script.requests), len(keys)) == (3, 1)
    assert {json.loads(request.content)["ref"] for request in script.requests} == {"main"}


async def test_two_writes_have_two_keys_and_a_given_key_is_kept(connect: Connect) -> None:
    script = Script(ok(samples.deployment(), 201))
    client = connect(script)
    await client.deployments.create(REQUEST)
    await client.deployments.create(REQUEST)
    await client.deployments.create(REQUEST, key="mine")
    first, second, third = (request.headers["Idempotency-Key"] for request in script.requests)
    assert first != second
    assert third == "mine"


async def test_a_write_still_in_flight_is_waited_for(connect: Connect) -> None:
    script = Script(no(409, reason="in_flight"), ok(samples.deployment(), 201))
    assert (await connect(script).deployments.create(REQUEST)).number == 7


async def test_the_servers_own_pause_is_kept(connect: Connect, clock: InstantClock) -> None:
    busy = httpx.Response(
        429, json=samples.envelope("VALIDATION_ERROR", "slow down"), headers={"Retry-After": "2"}
    )
    await connect(Script(busy, ok(samples.deployment()))).deployments.get(samples.ID)
    [slept] = clock.slept
    assert 2.0 <= slept <= 2.2


async def test_a_limit_is_waited_for_as_often_as_the_deadline_lets(
    connect: Connect, clock: InstantClock
) -> None:
    script = Script(*[no(429, retry_after=4)] * 6, ok(samples.deployment()))
    await connect(script).deployments.get(samples.ID)
    assert len(clock.slept) == 6
    with pytest.raises(TooMany):
        await connect(Script(no(429, retry_after=4))).deployments.get(samples.ID)
    assert sum(clock.slept[6:]) <= 30


async def test_a_long_pause_is_the_callers_to_take(connect: Connect, clock: InstantClock) -> None:
    with pytest.raises(TooMany) as caught:
        await connect(Script(no(429, retry_after=60))).deployments.get(samples.ID)
    assert caught.value.details["retry_after"] == 60
    assert clock.slept == []
    assert clock.slept == []


async def test_trying_again_ends(connect: Connect) -> None:
    script = Script(httpx.ConnectError("refused"))
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:8470 cannot be reached: refused") as caught:
        await connect(script).deployments.get(samples.ID)
    assert len(script.requests) == 4
    assert caught.value.details["url"] == "http://127.0.0.1:8470"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Invalid),
        (401, Unauthenticated),
        (403, Forbidden),
        (404, NotFound),
        (405, NotFound),
        (409, Refused),
        (413, Invalid),
        (415, Invalid),
        (422, Mismatch),
        (500, Problem),
        (503, Unavailable),
    ],
)
async def test_an_error_is_the_cores_own_again(connect: Connect, status: int, kind: type[Problem]) -> None:
    answer = no(
        status, reason="lane_closed", sentence="frozen by ana", errors=[{"field": "ref", "message": "bad"}]
    )
    with pytest.raises(Problem) as caught:
        await connect(Script(answer)).deployments.get(samples.ID)
    assert type(caught.value) is kind
    assert (caught.value.message, caught.value.reason) == ("no, because", "lane_closed")
    assert caught.value.details["errors"] == [{"field": "ref", "message": "bad"}]


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422, 500])
async def test_what_will_not_change_is_not_tried_again(connect: Connect, status: int) -> None:
    script = Script(no(status))
    with pytest.raises(Problem):
        await connect(script).deployments.get(samples.ID)
    assert len(script.requests) == 1


@pytest.mark.parametrize(
    "body",
    [b"<h1>Bad gateway</h1>", b"", b"[]", b'{"error": "text"}', b"[" * 100_000, b'{"error": {"message": 3}}'],
)
async def test_an_error_of_something_between_is_told_apart(connect: Connect, body: bytes) -> None:
    with pytest.raises(Unavailable, match="answered 502"):
        await connect(Script(httpx.Response(502, content=body))).deployments.get(samples.ID)


@pytest.mark.parametrize(
    "details",
    [{"self": 1, "message": 2, "reason": 3}, {"reason": None}, {"errors": "x"}, ["a"], None, {"\x1b[0m": 1}],
)
async def test_hostile_details_do_no_harm(connect: Connect, details: object) -> None:
    answer = httpx.Response(400, json={"error": {"code": "X", "message": "\x1b[31mred", "details": details}})
    with pytest.raises(Invalid) as caught:
        await connect(Script(answer)).deployments.get(samples.ID)
    assert caught.value.message == "␛[31mred"


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b"{}", b"\xff", b"[" * 100_000])
async def test_an_answer_that_is_none_is_unintelligible(connect: Connect, body: bytes) -> None:
    with pytest.raises(Unintelligible):
        await connect(Script(httpx.Response(200, content=body))).deployments.get(samples.ID)


async def test_a_redirect_is_not_followed_with_the_token(connect: Connect) -> None:
    script = Script(httpx.Response(302, headers={"Location": "https://elsewhere.example.org"}))
    with pytest.raises(Unintelligible):
        await connect(script).deployments.get(samples.ID)
    assert len(script.requests) == 1


async def test_proxies_of_the_environment_are_not_used(
    monkeypatch: pytest.MonkeyPatch, connect: Connect
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    client = connect(Script(ok(samples.deployment())))
    assert (await client.deployments.get(samples.ID)).number == 7
    assert not client._http._http._mounts


async def test_every_operation_asks_for_its_own_route(connect: Connect) -> None:
    script = Script(ok(samples.deployment()))
    client = connect(script)
    await client.deployments.cancel(samples.ID, then_rollback=True, reason="bad")
    await client.deployments.rollback(samples.ID, RequestRollback(override="outage"))
    await client.deployments.retry(samples.ID, RequestRetry(from_step="rollout"))
    await client.deployments.abandon(samples.ID, "it hangs")
    await client.lanes.rollback("web", Environment.PRODUCTION, RequestRollback())
    assert [
        (request.method, request.url.path[4:], json.loads(request.content)) for request in script.requests
    ] == [
        ("POST", f"deployments/{samples.ID}/cancel", {"then_rollback": True, "reason": "bad"}),
        ("POST", f"deployments/{samples.ID}/rollback", {"override": "outage", "cross_irreversible": False}),
        ("POST", f"deployments/{samples.ID}/retry", {"from_step": "rollout", "confirm": False}),
        ("POST", f"deployments/{samples.ID}/abandon", {"reason": "it hangs"}),
        ("POST", "lanes/web/production/rollback", {"cross_irreversible": False}),
    ]


ENDING = {
    "Deprecation": "@1788134400",
    "Sunset": "Sun, 28 Feb 2027 00:00:00 GMT",
    "Link": '</v1/versions>; rel="deprecation"; type="application/json", </v2/x>; rel="successor-version"',
}


async def test_what_is_going_to_end_is_said_once(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    ending = httpx.Response(200, json=samples.deployment(), headers=ENDING)
    client = connect(Script(ending))
    await client.deployments.get(samples.ID)
    await client.deployments.get(samples.ID)
    [record] = caplog.records
    sunset = "Sun, 28 Feb 2027 00:00:00 GMT"
    assert record.getMessage() == (
        f"GET /v1/deployments/{samples.ID} is deprecated and may be gone after {sunset}; use /v2/x"
    )


@pytest.mark.parametrize("link", ["", "<>", '<a\x1b[2J>; rel="successor-version"', "<" * 5000])
async def test_a_notice_cannot_act_on_a_terminal(
    connect: Connect, caplog: pytest.LogCaptureFixture, link: str
) -> None:
    headers = [(b"deprecation", b"?"), (b"sunset", b"\x1b[2J\xff"), (b"link", link.encode())]
    await connect(Script(httpx.Response(200, json=samples.deployment(), headers=headers))).deployments.get(
        samples.ID
    )
    [record] = caplog.records
    assert record.getMessage().isprintable()
