"""GitHub's REST API: commit statuses, deployments and their statuses (version 2022-11-28)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from dg.core.deployments.reports.host import Api, number
from dg.core.deployments.reports.said import Phase, Report

LONGEST = 140
"""Characters of a description."""

_STATUS = {
    Phase.WAITING: "pending",
    Phase.RUNNING: "pending",
    Phase.SUCCESS: "success",
    Phase.FAILED: "failure",
    Phase.STOPPED: "error",
    Phase.ROLLED_BACK: "failure",
}
_DEPLOYMENT = {
    Phase.WAITING: "queued",
    Phase.RUNNING: "in_progress",
    Phase.SUCCESS: "success",
    Phase.FAILED: "failure",
    Phase.STOPPED: "error",
    Phase.ROLLED_BACK: "inactive",
}


def headers(token: str) -> dict[str, str]:
    return {
        "Authorization": f"Bearer {token}",
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
    }


def base(host: str) -> str:
    """Where the API is for a host of repositories."""
    return "https://api.github.com" if host == "github.com" else f"https://{host}/api/v3"


class GitHub:
    """One repository there; `path` is `owner/name`."""

    def __init__(self, api: Api, path: str) -> None:
        self._api = api
        self._repository = f"/repos/{quote(path)}"

    async def status(self, report: Report) -> int:
        body = {
            "state": _STATUS[report.phase],
            "context": report.context,
            "description": report.line(LONGEST),
            **({"target_url": report.url} if report.url else {}),
        }
        await self._api.ask("POST", f"{self._repository}/statuses/{report.commit}", body)
        return 201

    async def deployment(self, report: Report, memory: Mapping[str, Any]) -> Mapping[str, Any]:
        made = memory.get("id") or await self._find(report) or await self._create(report)
        state = _DEPLOYMENT[report.phase]
        known = {"id": made, "state": state, "sentence": report.sentence}
        if dict(memory) != known:
            await self._api.ask(
                "POST", f"{self._repository}/deployments/{made}/statuses", _told(report, state)
            )
        return known

    async def _find(self, report: Report) -> int | None:
        """The one that was made before a server ended without noting its id."""
        query = urlencode({"sha": report.commit, "environment": report.place, "per_page": 100})
        found = await self._api.ask("GET", f"{self._repository}/deployments?{query}")
        for each in found if isinstance(found, list) else ():
            if isinstance(each, dict) and _ours(each.get("payload")) == report.deployment:
                return number(each, "deployment")
        return None

    async def _create(self, report: Report) -> int:
        body: dict[str, Any] = {
            "ref": report.commit,
            "task": "rollback" if report.rollback else "deploy",
            # What must be true before is dg's to say: GitHub neither merges nor waits for checks.
            "auto_merge": False,
            "required_contexts": [],
            "environment": report.place,
            "production_environment": report.environment == "production",
            "description": report.line(LONGEST),
            "payload": {"dg": report.deployment},
        }
        return number(await self._api.ask("POST", f"{self._repository}/deployments", body), "deployment")


def _told(report: Report, state: str) -> dict[str, Any]:
    link = {"log_url": report.url} if report.url else {}
    return {"state": state, "description": report.line(LONGEST), "environment": report.place, **link}


def _ours(payload: Any) -> str | None:
    """The deployment that a payload names; GitHub gives it back as an object or as text."""
    if isinstance(payload, str):
        try:
            payload = json.loads(payload)
        except ValueError:
            return None
    found = payload.get("dg") if isinstance(payload, dict) else None
    return found if isinstance(found, str) else None
