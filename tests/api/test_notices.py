"""Webhooks that come in over HTTP: the answers, whoever sends them, and the bounds of what is read."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from tests.api.checked import CheckedTransport
from tests.api.conftest import URL, Api
from tests.api.test_deployments import reason
from tests.api.waiting import until
from tests.core.deployments.notices.signing import SECRET, Sent, generic, github, gitlab, gitlab_push

from dg.api.app import create_app
from dg.core.access.models import SYSTEM
from dg.core.app import open_core
from dg.settings import Settings

PATH = "/v1/incoming-webhooks"
RULE = '\n[[on]]\nevent = "push"\nref = "main"\nenvironment = "development"\n'


@asynccontextmanager
async def sender(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=CheckedTransport(api.app), base_url=URL) as client:
        yield client


@pytest.fixture
async def listening(tmp_path: Path, first_home: Path, repository: Path) -> AsyncIterator[Api]:
    """An API with a source of each kind, which all sign with the secret."""
    import shutil

    home = shutil.copytree(first_home, tmp_path / "home")
    sources = {kind: {"kind": kind, "secret_env": "HOOK"} for kind in ("github", "gitlab", "generic")}
    settings = Settings.model_validate({"home": home, "incoming": {"sources": sources}})
    async with open_core(settings, passive=True, environ={"HOOK": SECRET, "PATH": "/usr/bin:/bin"}) as core:
        app = create_app(core, settings)
        yield Api(core, app, repository)
        app.stop()


async def post(client: httpx.AsyncClient, source: str, sent: Sent) -> httpx.Response:
    return await client.post(f"{PATH}/{source}", content=sent.body, headers=sent.headers)


def now(api: Api) -> int:
    return api.core.clock.micros() // 1_000_000


async def test_a_signed_push_is_answered_at_once_and_deployed(listening: Api) -> None:
    api = listening
    await api.core.pipelines.register(SYSTEM, api.pipeline() + RULE)
    value = {"event": "push", "repository": str(api.repository), "ref": "main"}
    async with sender(api) as client:
        sent = generic(value, now(api), delivery="one")
        first = await post(client, "generic", sent)
        assert (first.status_code, first.json()["repeated"]) == (202, False)
        again = await post(client, "generic", sent)
        assert (again.status_code, again.json()) == (202, {**first.json(), "repeated": True})

    async def deployed() -> bool:
        return len((await api.core.deployments.list(SYSTEM)).items) == 1

    await until(deployed)


async def test_every_host_is_understood_and_what_nobody_deploys_for_too(listening: Api) -> None:
    async with sender(listening) as client:
        for source, sent in (
            ("github", github({"zen": "Keep it simple."}, "ping")),
            ("gitlab", gitlab({"object_kind": "pipeline"})),
        ):
            answer = await post(client, source, sent)
            assert (answer.status_code, answer.json()) == (202, {"repeated": False})
        answer = await post(client, "gitlab", gitlab(gitlab_push("1" * 40), delivery="one"))
        assert answer.json().keys() == {"id", "repeated"}


async def test_no_answer_tells_a_stranger_which_sources_there_are(listening: Api) -> None:
    """Nor whether the signature or the body is what is wrong."""
    other = "somebody else's secret of that length"
    value = {"event": "push", "repository": "/srv/x", "ref": "main"}
    good = generic(value, now(listening))
    answers = set()
    async with sender(listening) as client:
        for source, sent in (
            ("nobody", good),
            ("generic", generic(value, now(listening), secret=other)),
            ("generic", generic(value, now(listening) - 301)),
            ("generic", Sent({"content-type": "application/json"}, good.body)),
            ("generic", Sent(good.headers, b"{no json")),
            ("generic", Sent(good.headers, b"")),
            ("github", github(value, secret=other)),
            ("github", good),
            ("gitlab", gitlab(value, token=other)),
            ("%2e%2e", good),
        ):
            answer = await post(client, source, sent)
            error = answer.json()["error"]
            error["details"].pop("request_id")
            answers.add((answer.status_code, json.dumps(error, sort_keys=True)))
    assert len(answers) == 1
    assert answers.pop()[0] == 401


async def test_a_token_does_not_stand_in_for_a_signature(listening: Api) -> None:
    async with listening.caller("admin") as admin:
        answer = await admin.post(f"{PATH}/generic", json={"event": "push"})
    assert reason(answer) == (401, "unauthenticated")


async def test_what_is_read_is_bounded(listening: Api) -> None:
    async with sender(listening) as client:
        huge = generic({"x": "y" * (2 << 20)}, now(listening))
        assert (await post(client, "generic", huge)).status_code == 413
        form = Sent({"content-type": "application/x-www-form-urlencoded"}, b"payload=%7B%7D")
        assert (await post(client, "github", form)).status_code == 415


@pytest.mark.parametrize(
    "body", [b"{no json", b'{"event": "push", "event": "tag"}', b"[" * 10_000, b"\xff", b"", b"[]"]
)
async def test_signed_bytes_that_are_no_report_are_an_ordinary_mistake(listening: Api, body: bytes) -> None:
    from tests.core.deployments.notices import signing

    at = now(listening)
    proof = signing.digest(f"{at}.".encode() + body).hex()
    sent = Sent({"content-type": "application/json", "dg-signature": f"t={at},v1={proof}"}, body)
    async with sender(listening) as client:
        assert (await post(client, "generic", sent)).status_code == 400
