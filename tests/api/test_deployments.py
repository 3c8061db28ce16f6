"""Deployments over HTTP; every answer is also held against the contract (`checked.py`)."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
from collections.abc import AsyncIterator, MutableMapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.api.conftest import URL, Api
from tests.api.waiting import until

from dg.api import auth
from dg.core.access import keyform
from dg.core.access.models import SYSTEM
from dg.core.deployments.receipt import read_key, verify

PATH = "/v1/deployments"
WISH = {"environment": "development", "service": "shop"}
NOBODY = "019acd5e-7c00-7000-8000-0000000000a1"
SLOW = "sleep 60"


async def registered(api: Api, command: str = "true") -> None:
    await api.core.pipelines.register(SYSTEM, api.pipeline(command=command))


async def made(client: httpx.AsyncClient, **wish: object) -> dict[str, Any]:
    answer = await client.post(PATH, json={**WISH, **wish})
    assert answer.status_code == 201, answer.text
    deployment: dict[str, Any] = answer.json()
    return deployment


async def reached(client: httpx.AsyncClient, deployment: dict[str, Any], *statuses: str) -> dict[str, Any]:
    """Wait until the deployment stands at one of `statuses`; its progress then."""
    found: dict[str, Any] = {}

    async def there() -> bool:
        found.update((await client.get(f"{PATH}/{deployment['id']}/status")).json())
        return found["status"] in statuses

    await until(there)
    return found


def git(repository: Path, *arguments: str) -> str:
    who = ["-c", "user.name=Ana", "-c", "user.email=ana@example.org", "-c", "commit.gpgsign=false"]
    argv = ["git", "-C", str(repository), *who, *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def commit(repository: Path, ref: str) -> str:
    return git(repository, "rev-parse", ref)


def reason(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["details"]["reason"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", PATH, WISH),
        ("PUT", f"{PATH}/ID", {"note": "later"}),
        ("DELETE", f"{PATH}/ID", None),
        ("POST", f"{PATH}/ID/cancel", {"reason": "x"}),
        ("POST", f"{PATH}/ID/rollback", {}),
        ("POST", "/v1/lanes/shop/development/rollback", {}),
        ("POST", "/v1/lanes/shop/development/lock", {"reason": "x", "for": "1h"}),
        ("POST", "/v1/lanes/shop/development/unlock", {}),
        ("POST", "/v1/freezes", {"reason": "x", "for": "1h"}),
        ("POST", "/v1/freezes/thaw", None),
        ("POST", "/v1/pipelines", {"text": "x"}),
        ("GET", "/v1/tokens", None),
        ("POST", "/v1/tokens", {"name": "x", "role": "admin"}),
        ("DELETE", f"/v1/tokens/{NOBODY}", None),
    ],
)
async def test_a_viewer_changes_nothing(api: Api, method: str, path: str, body: object) -> None:
    await registered(api, SLOW)
    async with api.caller("operator") as operator, api.caller("viewer") as viewer:
        deployment = await made(operator)
        before = (await api.core.feed.head(SYSTEM)).seq
        answer = await viewer.request(method, path.replace("ID", deployment["id"]), json=body)
        assert reason(answer) == (403, "forbidden")
        facts = {entry.type for entry in await api.core.feed.read(SYSTEM, after=before)}
        assert facts <= {"access.denied", "deployment.started"}


async def test_a_caller_sees_only_its_own_environment(api: Api) -> None:
    await registered(api)
    async with api.caller("operator") as operator, api.caller("viewer", environment="staging") as narrow:
        deployment = await made(operator)
        assert (await narrow.get(f"{PATH}/{deployment['id']}")).status_code == 404
        assert (await narrow.get(f"{PATH}/{deployment['id']}/logs")).status_code == 404
        assert (await narrow.get(PATH)).json() == {"items": []}
        assert {lane["environment"] for lane in (await narrow.get("/v1/lanes")).json()["items"]} == {
            "staging"
        }


async def test_a_deployment_is_made_and_read_as_the_specification_writes_it(api: Api) -> None:
    await registered(api)
    async with api.caller("operator") as operator:
        answer = await operator.post(PATH, json={**WISH, "version": "1.4.2", "note": "first"})
        deployment = answer.json()
        assert answer.headers["location"] == f"{PATH}/{deployment['id']}"
        assert {"id", "environment", "status", "version", "commit_sha", "created_at"} <= deployment.keys()
        assert None not in deployment.values()
        assert deployment["version"] == "1.4.2"
        progress = await reached(operator, deployment, "success")
        assert progress["id"] == deployment["id"]
        assert progress["progress"] == 100
        assert [step["status"] for step in progress["steps"]] == ["success"]
        ended = (await operator.get(f"{PATH}/{deployment['id'].upper()}")).json()
        assert ended["deploy_time"] > 0
        assert ended["completed_at"].endswith("Z")


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({}, "environment"),
        ({"environment": "moon"}, "environment"),
        ({**WISH, "service": "Shop"}, "service"),
        ({**WISH, "ref": "--upload-pack=x"}, "ref"),
        ({**WISH, "ref": "a b"}, "ref"),
        ({**WISH, "commit_sha": "main"}, "commit_sha"),
        ({**WISH, "version": "; rm -rf /"}, "version"),
        ({**WISH, "note": "   "}, "note"),
        ({**WISH, "not_before": "tomorrow"}, "not_before"),
        ({**WISH, "not_before": 1790000000}, "not_before"),
        ({**WISH, "status": "success"}, "status"),
    ],
)
async def test_a_wrong_wish_names_its_field(api: Api, wish: dict[str, object], field: str) -> None:
    async with api.caller("operator") as operator:
        answer = await operator.post(PATH, json=wish)
        assert reason(answer) == (400, "invalid")
        assert field in answer.json()["error"]["message"]


async def test_what_is_not_there_is_not_found(api: Api) -> None:
    async with api.caller("operator") as operator:
        assert reason(await operator.post(PATH, json=WISH)) == (404, "unknown_service")
        for path in ("", "/status", "/logs", "/changes"):
            assert (await operator.get(f"{PATH}/{NOBODY}{path}")).status_code == 404
            assert reason(await operator.get(f"{PATH}/41{path}")) == (400, "invalid")


async def test_a_list_goes_on_from_page_to_page_newest_first(api: Api) -> None:
    await registered(api)
    async with api.caller("operator") as operator:
        numbers = [(await made(operator))["number"] for _ in range(5)]
        seen, cursor = [], ""
        while True:
            page = (
                await operator.get(PATH, params={"limit": 2, **({"cursor": cursor} if cursor else {})})
            ).json()
            seen += [item["number"] for item in page["items"]]
            if not (cursor := page.get("next_cursor", "")):
                break
        assert seen == numbers[::-1]
        assert (await operator.get(PATH, params={"cursor": "bent"})).status_code == 400
        assert (await operator.get(PATH, params={"environment": "staging"})).json() == {"items": []}


async def test_a_list_is_filtered_by_the_common_language(api: Api) -> None:
    await registered(api)
    async with api.caller("operator") as operator:
        await made(operator, version="2.14.0")
        await made(operator, version="3.0.0")
        found = await operator.get(PATH, params={"filter": "version~2.14 status!=failed"})
        assert [item["version"] for item in found.json()["items"]] == ["2.14.0"]
        assert reason(await operator.get(PATH, params={"filter": "colour=red"})) == (400, "invalid_filter")


async def test_a_pending_deployment_is_changed_and_a_running_one_is_not(api: Api) -> None:
    await registered(api, SLOW)
    async with api.caller("operator") as operator:
        runs, waits = await made(operator), await made(operator)
        await reached(operator, runs, "deploying")
        later = "2099-01-01T00:00:00.123456789+02:00"
        answer = await operator.put(
            f"{PATH}/{waits['id']}", json={"note": "  patience  ", "not_before": later}
        )
        assert answer.json()["note"] == "patience"
        assert answer.json()["not_before"] == "2098-12-31T22:00:00.123456Z"
        assert (await operator.put(f"{PATH}/{runs['id']}", json={"note": "x"})).status_code == 409
        assert (await operator.put(f"{PATH}/{waits['id']}", json={})).status_code == 400


@pytest.mark.parametrize("how", ["cancel", "delete"])
async def test_a_running_deployment_is_cancelled(api: Api, how: str) -> None:
    await registered(api, SLOW)
    async with api.caller("operator") as operator:
        deployment = await made(operator)
        await reached(operator, deployment, "deploying")
        path = f"{PATH}/{deployment['id']}"
        answer = await (operator.delete(path) if how == "delete" else operator.post(f"{path}/cancel"))
        assert answer.status_code == 202
        ended = await reached(operator, deployment, "failed")
        assert ended["deployment"]["reason"] == "cancelled"
        assert (await operator.delete(path)).status_code == 409


async def test_a_lane_is_rolled_back_to_what_ran_before(api: Api) -> None:
    await registered(api)
    old = commit(api.repository, "main~1")
    async with api.caller("operator") as operator:
        assert (await operator.post("/v1/lanes/shop/development/rollback")).status_code == 409
        first = await made(operator, commit_sha=old[:12])
        await reached(operator, first, "success")
        second = await made(operator)
        await reached(operator, second, "success")
        answer = await operator.post(f"{PATH}/{second['id']}/rollback", json={"reason": "500s"})
        assert answer.status_code == 201
        rollback = answer.json()
        assert answer.headers["location"] == f"{PATH}/{rollback['id']}"
        assert (rollback["kind"], rollback["rollback_of"]) == ("rollback", second["id"])
        assert rollback["commit_sha"] == first["commit_sha"] == old
        await reached(operator, rollback, "success")
        assert (await operator.get(f"{PATH}/{second['id']}")).json()["status"] == "rolled_back"
        lane = (await operator.get("/v1/lanes/shop/development")).json()
        assert lane["current_sha"] == old


async def test_a_failed_deployment_is_retried_from_the_step_that_failed(api: Api) -> None:
    mended = api.core.settings.home.parent / "mended"
    await registered(api, f"test -e {mended}")
    async with api.caller("operator") as operator, api.caller("approver") as approver:
        failed = await made(operator)
        await reached(operator, failed, "failed")
        path = f"{PATH}/{failed['id']}/retry"
        assert (await approver.post(path)).status_code == 403
        unknown = await operator.post(path, json={"from_step": "ship"})
        (wrong,) = unknown.json()["error"]["details"]["errors"]
        assert (unknown.status_code, wrong["field"]) == (400, "from_step")
        await asyncio.to_thread(mended.touch)
        answer = await operator.post(path, json={"note": "the disk was full"})
        assert answer.status_code == 201
        retry = answer.json()
        assert answer.headers["location"] == f"{PATH}/{retry['id']}"
        assert (retry["retry_of"], retry["from_step"], retry["kind"]) == (failed["id"], "release", "deploy")
        await reached(operator, retry, "success")
        again = await operator.post(path)
        assert (again.status_code, again.json()["error"]["details"]["reason"]) == (409, "not_newest")


async def test_one_that_does_not_stop_is_not_abandoned_before_its_time(api: Api) -> None:
    await registered(api, SLOW)
    async with api.caller("operator") as operator, api.caller("approver") as approver:
        deployment = await made(operator)
        await reached(operator, deployment, "deploying")
        path, why = f"{PATH}/{deployment['id']}/abandon", {"reason": "it hangs"}
        assert (await operator.post(path, json=why)).status_code == 403
        assert (await approver.post(path, json={})).status_code == 400
        early = await approver.post(path, json=why)
        assert (early.status_code, early.json()["error"]["details"]["reason"]) == (409, "not_cancelling")
        await operator.post(f"{PATH}/{deployment['id']}/cancel")
        await reached(operator, deployment, "failed")
        late = await approver.post(path, json=why)
        assert (late.status_code, late.json()["error"]["details"]["reason"]) == (409, "not_running")


async def test_a_preview_is_what_the_same_body_would_do(api: Api) -> None:
    await registered(api, "make release")
    async with api.caller("operator") as operator:
        found = (await operator.post(f"{PATH}/preview", json=WISH)).json()
        assert (found["verdict"], found["kind"]) == ("starts", "deploy")
        assert [step["name"] for step in found["steps"]] == ["release"]
        assert "make release" in found["steps"][0]["text"]
        assert (found["changes"]["total"], found["commit_sha"]) == (2, commit(api.repository, "main"))
        assert (await operator.get(PATH)).json()["items"] == []
        await operator.post("/v1/lanes/shop/development/lock", json={"reason": "migration", "for": "1h"})
        closed = (await operator.post(f"{PATH}/preview", json=WISH)).json()
        refused = await operator.post(PATH, json=WISH)
        assert closed["verdict"] == "refused"
        assert closed["sentence"] == refused.json()["error"]["message"]
        assert reason(refused) == (409, closed["objections"][0]["reason"])
        assert (await operator.post(f"{PATH}/preview", json={**WISH, "service": "none"})).status_code == 404
        assert (await operator.post(f"{PATH}/preview", json={**WISH, "ref": "none"})).status_code == 400
        misplaced = await operator.get(f"{PATH}/preview")
        assert (misplaced.status_code, misplaced.headers["allow"]) == (405, "POST")
    async with api.caller("viewer") as viewer:
        looked = (await viewer.post(f"{PATH}/preview", json=WISH)).json()
        assert [each["reason"] for each in looked["objections"]] == ["forbidden", "lane_closed"]


async def test_a_rollback_is_previewed_before_it_is_made(api: Api) -> None:
    await registered(api)
    path = "/v1/lanes/shop/development/rollback"
    async with api.caller("operator") as operator:
        nothing = (await operator.post(f"{path}/preview")).json()
        assert (nothing["verdict"], nothing["objections"][0]["reason"]) == ("refused", "no_target")
        first = await made(operator, commit_sha=commit(api.repository, "main~1"))
        await reached(operator, first, "success")
        second = await made(operator)
        await reached(operator, second, "success")
        found = (await operator.post(f"{path}/preview", json={"reason": "500s"})).json()
        assert (found["verdict"], found["undoes"]["id"]) == ("safe", second["id"])
        assert [line["subject"] for line in found["changes"]["leaving"]] == ["Release 2"]
        assert found["artefact"]["commit_kept"] is True
        assert (await operator.post(path)).json()["target"] == found["target"]["id"] == first["id"]


async def test_logs_come_as_pages_as_text_and_by_waiting(api: Api) -> None:
    await registered(api, "echo one; sleep 0.3; echo two")
    async with api.caller("operator") as operator:
        deployment = await made(operator)
        path, lines, after, complete = f"{PATH}/{deployment['id']}/logs", list[str](), 0, False
        async with asyncio.timeout(20):
            while not complete:
                page = (await operator.get(path, params={"after": after, "limit": 2, "wait": 10})).json()
                lines += [line["text"] for line in page["items"]]
                after, complete = page["next_seq"], page["complete"]
        assert lines[-2:] == ["one", "two"]
        text = await operator.get(path, headers={"accept": "text/plain"})
        assert text.headers["content-type"].startswith("text/plain")
        assert text.text.splitlines() == lines
        for wait, status in (
            ("31", 400),
            ("1e999", 400),
            ("nan", 400),
            ("0x1", 400),
            ("1e-1", 200),
            ("0.1", 200),
        ):
            assert (await operator.get(path, params={"after": 1000, "wait": wait})).status_code == status


async def test_waiting_for_logs_ends_when_the_server_stops(api: Api) -> None:
    await registered(api, SLOW)
    async with api.caller("operator") as operator:
        deployment = await made(operator)
        await reached(operator, deployment, "deploying")
        path = f"{PATH}/{deployment['id']}/logs"
        waiting = asyncio.ensure_future(operator.get(path, params={"after": 1000, "wait": 30}))
        await asyncio.sleep(0.1)
        api.app.stop()
        async with asyncio.timeout(20):
            assert (await waiting).json()["items"] == []


async def test_a_download_of_a_log_is_cut_off_when_the_right_to_it_ends(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dg.api.deployments.deployments.PAGE", 1)
    await registered(api, "echo one; echo two; echo three")
    async with api.caller("operator") as operator:
        deployment = await made(operator)
        await reached(operator, deployment, "success")
        path = f"{PATH}/{deployment['id']}/logs"
        whole = (await operator.get(path, headers={"accept": "text/plain"})).text.splitlines()
    issued = await api.core.tokens.create(SYSTEM, name="leaked", role="viewer")
    chunks: list[bytes] = []

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError("nothing more comes")

    async def send(message: MutableMapping[str, Any]) -> None:
        if chunk := message.get("body"):
            chunks.append(chunk)
            await api.core.tokens.revoke(SYSTEM, issued.token.id)

    asked = [(b"accept", b"text/plain"), (b"authorization", f"Bearer {issued.secret}".encode())]
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": asked}
    await api.app({**scope, "scheme": "http", "client": ("127.0.0.1", 1)}, receive, send)
    first, *rest = b"".join(chunks).decode().splitlines()
    assert first == whole[0]
    assert rest == ["… cut off here: what you may read has ended meanwhile …"]


async def test_whoever_waits_for_logs_with_a_revoked_token_gets_none(api: Api) -> None:
    await registered(api, SLOW)
    issued = await api.core.tokens.create(SYSTEM, name="leaked", role="viewer")
    async with api.caller("operator") as operator, api.caller() as thief:
        deployment = await made(operator)
        await reached(operator, deployment, "deploying")
        asked = {"after": 1000, "wait": 1}
        thief.headers["authorization"] = f"Bearer {issued.secret}"
        waiting = asyncio.ensure_future(thief.get(f"{PATH}/{deployment['id']}/logs", params=asked))
        await asyncio.sleep(0.1)
        await api.core.tokens.revoke(SYSTEM, issued.token.id)
        assert reason(await waiting) == (401, "unauthenticated")


async def test_a_request_that_takes_long_to_arrive_has_the_rights_of_its_last_byte(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "RECHECK", 0.0)
    await registered(api)
    issued = await api.core.tokens.create(SYSTEM, name="leaked", role="operator")

    async def slowly() -> AsyncIterator[bytes]:
        yield b'{"service": "shop", '
        await api.core.tokens.revoke(SYSTEM, issued.token.id)
        yield b'"environment": "development"}'

    headers = {"authorization": f"Bearer {issued.secret}", "content-type": "application/json"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(api.app), base_url=URL) as thief:
        answer = await thief.post(PATH, content=slowly(), headers=headers)
    assert reason(answer) == (401, "unauthenticated")
    assert await api.core.feed.read(SYSTEM, filter="type=token.revoked")
    assert not await api.core.feed.read(SYSTEM, filter="type=deployment.created")


async def test_changes_name_the_commits_that_come(api: Api) -> None:
    await registered(api)
    async with api.caller("operator") as operator:
        deployment = await made(operator)
        changes = (await operator.get(f"{PATH}/{deployment['id']}/changes")).json()
        assert [commit["subject"] for commit in changes["commits"]] == ["Release 2", "Release 1"]


async def test_a_diff_shows_the_files_between_what_ran_and_what_comes(api: Api) -> None:
    await registered(api)
    async with api.caller("operator") as operator:
        first = await made(operator, ref=commit(api.repository, "main~1"))
        await reached(operator, first, "success")
        second = await made(operator)
        found = (await operator.get(f"{PATH}/{second['id']}/diff")).json()
        changes = (await operator.get(f"{PATH}/{second['id']}/changes")).json()
        assert (found["base"], found["head"]) == (changes["base"], changes["head"])
        named = [file["path"] for file in found["files"]["files"]]
        assert named
        assert all(f"b/{name}" in found["patch"] for name in named)
        one = await operator.get(f"{PATH}/{second['id']}/diff", params={"file": named[0]})
        assert [file["path"] for file in one.json()["files"]["files"]] == named[:1]
        away = await operator.get(f"{PATH}/{second['id']}/diff", params={"file": "../../etc/passwd"})
        assert away.status_code == 400


async def test_who_may_only_look_sees_no_source(api: Api) -> None:
    await registered(api)
    async with api.caller("operator") as operator, api.caller("viewer") as viewer:
        deployment = await made(operator)
        answer = await viewer.get(f"{PATH}/{deployment['id']}/diff")
        assert reason(answer) == (403, "forbidden")
        assert (await viewer.get(f"{PATH}/{deployment['id']}/changes")).status_code == 200


async def test_a_key_in_the_source_is_not_shown(api: Api) -> None:
    await registered(api)
    # The repository is one for the whole module: on the other database too there is something to commit.
    key = keyform.make(None, secrets.token_bytes)
    (api.repository / "settings").write_text(f"key = {key}\n")
    git(api.repository, "add", "settings")
    git(api.repository, "commit", "--message", "Leak a key")
    async with api.caller("operator") as operator:
        deployment = await made(operator)
        one = {"file": "settings"}
        patch = (await operator.get(f"{PATH}/{deployment['id']}/diff", params=one)).json()["patch"]
        assert "+key = ***" in patch.splitlines()
        assert key not in patch


async def test_a_hundred_requests_with_one_key_have_one_effect(api: Api) -> None:
    await registered(api)
    async with api.caller("operator") as operator:
        key = {"idempotency-key": '"deploy-42"'}
        answers = await asyncio.gather(*(operator.post(PATH, json=WISH, headers=key) for _ in range(100)))
        assert {answer.status_code for answer in answers} <= {201, 409}
        assert {reason(answer)[1] for answer in answers if answer.status_code == 409} <= {"in_flight"}
        ids = {answer.json()["id"] for answer in answers if answer.status_code == 201}
        again = await operator.post(PATH, json=WISH, headers=key)
        assert {again.json()["id"]} == ids
        assert len((await operator.get(PATH)).json()["items"]) == 1
        other = await operator.post(PATH, json={**WISH, "environment": "staging"}, headers=key)
        assert reason(other) == (422, "idempotency_mismatch")


async def test_another_caller_s_key_is_another_key(api: Api) -> None:
    await registered(api)
    async with api.caller("operator") as one, api.caller("operator") as two:
        key = {"idempotency-key": "same"}
        first, second = [await client.post(PATH, json=WISH, headers=key) for client in (one, two)]
        assert first.json()["id"] != second.json()["id"]


async def test_an_ended_deployment_has_a_receipt_that_verifies(api: Api) -> None:
    await api.core.pipelines.register(SYSTEM, api.pipeline())
    async with api.caller("operator") as operator:
        wish = {**WISH, "not_before": "2099-01-01T00:00:00Z"}
        at = f"/v1/deployments/{(await operator.post('/v1/deployments', json=wish)).json()['id']}"
        assert reason(await operator.get(f"{at}/receipt")) == (409, "not_ended")
        await operator.post(f"{at}/cancel")
        first, again = await operator.get(f"{at}/receipt"), await operator.get(f"{at}/receipt")
        assert first.content == again.content
        assert verify(first.content).body["deployment"]["status"] == "failed"
        key = read_key((await operator.get("/v1/receipts/key")).content)
    assert verify(first.content, key).body["deployment"]["status"] == "failed"
