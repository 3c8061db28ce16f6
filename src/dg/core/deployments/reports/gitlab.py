"""GitLab's REST API (v4): commit statuses and deployments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from dg.core.deployments.reports.host import Api, Unwanted, number
from dg.core.deployments.reports.said import Phase, Report

LONGEST = 255
"""Characters of a description."""

_STATUS = {
    Phase.WAITING: "pending",
    Phase.RUNNING: "running",
    Phase.SUCCESS: "success",
    Phase.FAILED: "failed",
    Phase.STOPPED: "canceled",
    Phase.ROLLED_BACK: "failed",
}
_DEPLOYMENT = {
    Phase.RUNNING: "running",
    Phase.SUCCESS: "success",
    Phase.FAILED: "failed",
    Phase.STOPPED: "canceled",
}
"""GitLab knows deployments from their start on, and none that was undone: what follows it says so."""


def headers(token: str) -> dict[str, str]:
    return {"PRIVATE-TOKEN": token, "Accept": "application/json"}


def base(host: str) -> str:
    """Where the API is for a host of repositories."""
    return f"https://{host}/api/v4"


class GitLab:
    """One project there; `path` is `group/name`."""

    def __init__(self, api: Api, path: str) -> None:
        self._api = api
        self._project = f"/projects/{quote(path, safe='')}"

    async def status(self, report: Report) -> int:
        body = {
            "state": _STATUS[report.phase],
            "name": report.context,
            "description": report.line(LONGEST),
            **({"target_url": report.url} if report.url else {}),
        }
        try:
            await self._api.ask("POST", f"{self._project}/statuses/{report.commit}", body)
        except Unwanted as problem:
            # GitLab refuses a status that the commit has already.
            if problem.failure.answer == 400 and "Cannot transition status" in problem.said:
                return 400
            raise
        return 201

    async def deployment(self, report: Report, memory: Mapping[str, Any]) -> Mapping[str, Any]:
        status = _DEPLOYMENT.get(report.phase)
        if status is None or not report.started or memory.get("status") == status:
            return memory
        made = memory.get("id") or await self._find(report)
        if made is None:
            made = await self._create(report, status)
        else:
            await self._api.ask("PUT", f"{self._project}/deployments/{made}", {"status": status})
        return {"id": made, "status": status}

    async def _find(self, report: Report) -> int | None:
        """The one that was made before a server ended without noting its id: of the same commit, and not
        over yet."""
        query = urlencode(
            {"environment": report.place, "status": "running", "order_by": "id", "sort": "desc"}
        )
        found = await self._api.ask("GET", f"{self._project}/deployments?{query}")
        for each in found if isinstance(found, list) else ():
            if isinstance(each, dict) and each.get("sha") == report.commit:
                return number(each, "deployment")
        return None

    async def _create(self, report: Report, status: str) -> int:
        body = {
            "environment": report.place,
            "sha": report.commit,
            "ref": report.ref,
            "tag": False,
            "status": status,
        }
        return number(await self._api.ask("POST", f"{self._project}/deployments", body), "deployment")
