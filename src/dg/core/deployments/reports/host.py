"""What both APIs have in common: one request with the token, and what their refusals mean."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from dg.core.clock import SECOND
from dg.core.deployments.reports.said import Report
from dg.core.errors import Problem, Unavailable
from dg.core.http import Answer, Outbound, Request
from dg.core.outbox import Failed
from dg.core.text import plain

TIMEOUT = 20.0
_FINAL = frozenset({400, 404, 405, 409, 410, 422})
"""Answers that come again to the same request: there is no such repository or commit, or it may not be."""


class Unwanted(Exception):
    """The host did not take it; `failure` is what the outbox is told."""

    def __init__(self, failure: Failed, said: str = "") -> None:
        super().__init__(failure.error)
        self.failure = failure
        self.said = said


class Host(Protocol):
    """One host's API for one repository. Both methods raise Unwanted, and what `Outbound.send` does."""

    async def status(self, report: Report) -> int:
        """Set the commit's status; the host's HTTP status."""
        ...

    async def deployment(self, report: Report, memory: Mapping[str, Any]) -> Mapping[str, Any]:
        """Bring the host's deployment up to date; what to remember of it."""
        ...


@dataclass(frozen=True)
class Api:
    """Sends requests to one API. `headers` hold the token."""

    outbound: Outbound
    base: str
    headers: Mapping[str, str]
    now: int

    async def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The JSON of a 2xx answer. Raises Unwanted for another one."""
        content = b"" if body is None else json.dumps(body).encode()
        headers = {**self.headers, **({"Content-Type": "application/json"} if body is not None else {})}
        request = Request(method, f"{self.base}{path}", headers, content, timeout=TIMEOUT)
        answer = await self.outbound.send(request)
        if not 200 <= answer.status < 300:
            raise Unwanted(self._failure(answer), _message(answer))
        try:
            return json.loads(answer.content)
        except ValueError:
            raise Unavailable(f"{self.base} answered without JSON", reason="unreachable") from None

    def _failure(self, answer: Answer) -> Failed:
        error = f"the host answered {answer.status} {_message(answer)}".strip()
        wait = self._wait(answer)
        if wait is not None or answer.status in {401, 429} or answer.status >= 500:
            return Failed(error, answer.status, wait)
        return Failed(error, answer.status, final=answer.status in _FINAL, at_fault="message")

    def _wait(self, answer: Answer) -> float | None:
        """Seconds for which the host wants to be left alone; None when it does not say so."""
        if answer.status not in {403, 429, 503}:
            return None
        asked = answer.retry_after(self.now)
        if asked is not None:
            return asked
        for prefix in ("x-ratelimit", "ratelimit"):
            reset = answer.headers.get(f"{prefix}-reset", "")
            spent = answer.status == 429 or answer.headers.get(f"{prefix}-remaining") == "0"
            if spent and reset.isascii() and reset.isdecimal() and len(reset) < 12:
                return max(0.0, int(reset) - self.now / SECOND)
        return None


def number(found: Any, what: str) -> int:
    """The `id` of what the host made. Raises Unavailable when it has none."""
    value = found.get("id") if isinstance(found, dict) else None
    if isinstance(value, bool) or not isinstance(value, int):
        raise Unavailable(f"the host answered without the id of the {what}", reason="unreachable")
    return value


def failure(problem: Problem | Unwanted, memory: Mapping[str, Any]) -> Failed:
    """What the outbox is told, with what is known of the host's deployment already."""
    if isinstance(problem, Unwanted):
        told = problem.failure
        return Failed(told.error, told.answer, told.retry_after, told.final, told.at_fault, memory)
    return Failed(problem.message, memory=memory)


def _message(answer: Answer) -> str:
    """The host's own words, where it has some."""
    try:
        found = json.loads(answer.content)
    except ValueError:
        return ""
    said = found.get("message") if isinstance(found, dict) else None
    return "" if said is None else plain(said if isinstance(said, str) else json.dumps(said), limit=200)
