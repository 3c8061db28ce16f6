"""Backups over HTTP and from Python."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.conftest import Api
from tests.api.test_deployments import reason
from tests.api.test_environments import CANARY, CONFIG, STAGING

BACKUP = f"{STAGING}/backups/before-the-move"
RESTORE = f"{STAGING}/restores/before-the-move"


@pytest.mark.parametrize(("path", "body"), [(BACKUP, None), (RESTORE, {}), (f"{RESTORE}?dry_run=true", {})])
async def test_strangers_and_viewers_make_and_restore_nothing(api: Api, path: str, body: Any) -> None:
    async with api.caller() as stranger, api.caller("viewer") as viewer, api.caller("admin") as admin:
        await admin.put(STAGING, json=CONFIG)
        assert reason(await stranger.put(path, json=body))[0] == 401
        assert reason(await viewer.put(path, json=body)) == (403, "forbidden")
        assert (await viewer.get(f"{STAGING}/backups")).json() == {"items": []}


async def test_a_backup_is_made_listed_looked_at_and_restored(api: Api) -> None:
    async with api.caller("admin", name="ana") as admin, api.caller("viewer") as viewer:
        await admin.put(STAGING, json=CONFIG)
        made = await admin.put(BACKUP)
        assert made.status_code == 200
        assert made.json()["version"] == 1
        assert made.json()["by_name"] == "ana"
        assert (await admin.put(BACKUP)).json() == made.json()
        for path in (f"{STAGING}/backups", "/v1/backups"):
            assert (await viewer.get(path)).json() == {"items": [made.json()]}
        await admin.put(f"{STAGING}/secrets/session_key", json={"value": "another-one"})
        planned = await admin.put(RESTORE, params={"dry_run": "true"}, json={})
        assert [each["key"] for each in planned.json()["changes"]] == ["secrets.session_key"]
        assert planned.json()["version"] == 2
        assert reason(await admin.put(RESTORE, json={}, headers={"if-match": '"1"'})) == (412, "stale")
        after = await admin.put(RESTORE, json={"reason": "it failed"}, headers={"if-match": '"2"'})
        assert after.json()["version"] == 3
        assert after.headers["etag"].startswith('"3-')
        assert CANARY not in made.text + planned.text + after.text
        history = (await viewer.get(f"{STAGING}/history")).json()["items"]
        assert history[0]["reason"] == "it failed"


async def test_what_is_not_there_or_was_never_configured_is_said(api: Api) -> None:
    async with api.caller("admin") as admin:
        assert reason(await admin.put(BACKUP)) == (409, "never_configured")
        assert reason(await admin.put(RESTORE, json={}))[0] == 404
        assert reason(await admin.put(f"{STAGING}/backups/Not-A-Name"))[0] == 400
        assert reason(await admin.put(f"{STAGING}/backups/..%2f..%2fx"))[0] in {400, 404}


async def test_who_sees_staging_alone_sees_its_backups_alone(api: Api) -> None:
    async with api.caller("admin") as admin, api.caller("viewer", environment="production") as narrow:
        await admin.put(STAGING, json=CONFIG)
        await admin.put(BACKUP)
        assert (await narrow.get("/v1/backups")).json() == {"items": []}
        assert reason(await narrow.get(f"{STAGING}/backups"))[0] in {403, 404}
