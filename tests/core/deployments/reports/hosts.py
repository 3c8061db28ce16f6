"""GitHub's and GitLab's APIs on loopback, as strict as they are: paths, tokens, bodies, transitions."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.core.receivers import Behaviour, Received

TOKEN = "ghp_abcdefghijklmnop"
SHA = r"[0-9a-f]{40}"

Answer = tuple[int, Any]


@dataclass
class FakeHost:
    """Keeps what it was told. `instead` answers come first, one for each request; `lost` swallows the answer
    to the next deployment that is made."""

    statuses: list[dict[str, Any]] = field(default_factory=list)
    made: list[dict[str, Any]] = field(default_factory=list)
    told: list[tuple[int, str, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    instead: list[Behaviour] = field(default_factory=list)
    lost: bool = False
    asked: int = 0
    _ids: itertools.count[int] = field(default_factory=lambda: itertools.count(7))

    async def behave(self, request: Received, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        if self.instead:
            await self.instead.pop(0)(request, writer)
            return
        before = len(self.made)
        status, body = self.answer(request)
        if status >= 400:
            self.wrong.append(f"{request.method} {request.path} {status} {body}")
        if self.lost and len(self.made) > before:
            self.lost = False
            return
        content = json.dumps(body).encode()
        head = f"HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: {len(content)}"
        writer.write(head.encode() + b"\r\n\r\n" + content)

    def answer(self, request: Received) -> Answer:
        raise NotImplementedError


class FakeGitHub(FakeHost):
    """`acme/web` and nothing else."""

    STATES = frozenset({"error", "failure", "pending", "success"})
    DEPLOYMENT_STATES = frozenset(
        {"error", "failure", "inactive", "in_progress", "queued", "pending", "success"}
    )

    def answer(self, request: Received) -> Answer:
        headers = request.headers
        if headers.get("authorization") != f"Bearer {TOKEN}":
            return 401, {"message": "Bad credentials"}
        if headers.get("accept") != "application/vnd.github+json" or "user-agent" not in headers:
            return 415, {"message": "Unsupported"}
        path, body = urlsplit(request.path), json.loads(request.body) if request.body else {}
        routes: dict[str, Callable[[re.Match[str]], Answer]] = {
            rf"POST /repos/acme/web/statuses/({SHA})": lambda m: self._status(m[1], body),
            r"GET /repos/acme/web/deployments": lambda m: self._list(parse_qs(path.query)),
            r"POST /repos/acme/web/deployments": lambda m: self._create(body),
            r"POST /repos/acme/web/deployments/([0-9]+)/statuses": lambda m: self._tell(int(m[1]), body),
        }
        for route, work in routes.items():
            if match := re.fullmatch(route, f"{request.method} {path.path}"):
                return work(match)
        return 404, {"message": "Not Found"}

    def _status(self, sha: str, body: dict[str, Any]) -> Answer:
        if body.get("state") not in self.STATES or len(body.get("description", "")) > 140:
            return 422, {"message": "Validation Failed"}
        self.statuses.append({"sha": sha, **body})
        return 201, {"id": next(self._ids)}

    def _list(self, query: dict[str, list[str]]) -> Answer:
        wanted = {name: values[0] for name, values in query.items()}
        return 200, [
            each
            for each in reversed(self.made)
            if each["ref"] == wanted["sha"] and each["environment"] == wanted["environment"]
        ]

    def _create(self, body: dict[str, Any]) -> Answer:
        if not re.fullmatch(SHA, body.get("ref", "")) or len(body.get("description", "")) > 140:
            return 422, {"message": "Validation Failed"}
        if body.get("auto_merge", True) or body.get("required_contexts") != []:
            return 409, {"message": "Conflict merging main"}
        self.made.append({"id": next(self._ids), **body})
        return 201, self.made[-1]

    def _tell(self, number: int, body: dict[str, Any]) -> Answer:
        if number not in {each["id"] for each in self.made}:
            return 404, {"message": "Not Found"}
        if body.get("state") not in self.DEPLOYMENT_STATES or len(body.get("description", "")) > 140:
            return 422, {"message": "Validation Failed"}
        self.told.append((number, body["state"], body["description"]))
        return 201, {"id": next(self._ids)}


class FakeGitLab(FakeHost):
    """`acme/shop/web` and nothing else."""

    STATES = frozenset({"pending", "running", "success", "failed", "canceled"})

    def answer(self, request: Received) -> Answer:
        if request.headers.get("private-token") != TOKEN:
            return 401, {"message": "401 Unauthorized"}
        path, body = urlsplit(request.path), json.loads(request.body) if request.body else {}
        project = r"/projects/acme%2Fshop%2Fweb"
        routes: dict[str, Callable[[re.Match[str]], Answer]] = {
            rf"POST {project}/statuses/({SHA})": lambda m: self._status(m[1], body),
            rf"GET {project}/deployments": lambda m: self._list(parse_qs(path.query)),
            rf"POST {project}/deployments": lambda m: self._create(body),
            rf"PUT {project}/deployments/([0-9]+)": lambda m: self._tell(int(m[1]), body),
        }
        for route, work in routes.items():
            if match := re.fullmatch(route, f"{request.method} {path.path}"):
                return work(match)
        return 404, {"message": "404 Project Not Found"}

    def _status(self, sha: str, body: dict[str, Any]) -> Answer:
        if body.get("state") not in self.STATES or len(body.get("description", "")) > 255:
            return 400, {"message": {"state": ["does not have a valid value"]}}
        same = [each for each in self.statuses if (each["sha"], each["name"]) == (sha, body["name"])]
        if same and same[-1]["state"] == body["state"]:
            return 400, {"message": f"Cannot transition status via :enqueue from :{body['state']}"}
        self.statuses.append({"sha": sha, **body})
        return 201, {"id": next(self._ids)}

    def _list(self, query: dict[str, list[str]]) -> Answer:
        wanted = {name: values[0] for name, values in query.items()}
        return 200, [
            each
            for each in reversed(self.made)
            if each["environment"] == wanted["environment"] and each["status"] == wanted["status"]
        ]

    def _create(self, body: dict[str, Any]) -> Answer:
        if set(body) != {"environment", "sha", "ref", "tag", "status"}:
            return 400, {"error": "parameters are missing"}
        if body["status"] not in self.STATES - {"pending"}:
            return 400, {"error": "status does not have a valid value"}
        self.made.append({"id": next(self._ids), **body})
        return 201, self.made[-1]

    def _tell(self, number: int, body: dict[str, Any]) -> Answer:
        found = next((each for each in self.made if each["id"] == number), None)
        if found is None or body.get("status") not in self.STATES:
            return 404, {"message": "404 Not Found"}
        found["status"] = body["status"]
        self.told.append((number, body["status"], ""))
        return 200, found
