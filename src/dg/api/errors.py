"""Turns what went wrong into the specification's error envelope, its HTTP status and headers."""

from __future__ import annotations

from starlette.responses import Response

from dg.api import json
from dg.core.errors import Invalid, Problem


class MethodNotAllowed(Problem):
    """The path exists, but not with this method; `allow` lists the ones it has."""

    code = "NOT_FOUND"
    status = 405
    default_reason = "method_not_allowed"

    def __init__(self, method: str, allow: tuple[str, ...]) -> None:
        super().__init__(f"{method} is not possible here; use {' or '.join(allow)}", allow=list(allow))
        self.allow = allow


class TooSlow(Invalid):
    """The client took longer to send its body than `server.body_timeout`."""

    status = 408
    default_reason = "too_slow"


class TooLarge(Invalid):
    """The body is larger than `server.max_body_bytes`."""

    status = 413
    default_reason = "too_large"


class HeadTooLarge(Invalid):
    """The request's line and headers are larger than `most` bytes."""

    status = 431
    default_reason = "head_too_large"

    def __init__(self, most: int) -> None:
        super().__init__(f"the request's line and headers are larger than {most} bytes", limit=most)


class UnsupportedMedia(Invalid):
    """The body is in a form that the operation does not read."""

    status = 415
    default_reason = "unsupported_media"


UNREAD_BODY = frozenset({408, 413})
"""After these the rest of the body was not read, so the connection cannot be used again."""


def render(problem: Problem, request_id: str) -> Response:
    """The answer for `problem`."""
    return Response(envelope(problem, request_id), problem.status, headers(problem), json.MEDIA_TYPE)


def envelope(problem: Problem, request_id: str) -> bytes:
    """`{"error": {"code", "message", "details": {"reason", "request_id", ...}}}`."""
    given = {name: value for name, value in problem.details.items() if value is not None}
    details = {"reason": problem.reason, "request_id": request_id, **given}
    return json.write({"error": {"code": problem.code, "message": problem.message, "details": details}})


def crash(request_id: str) -> Response:
    """The answer when dg itself is at fault: of the cause, only the id to find it by leaves the server."""
    sentence = f"dg failed to answer; its log has the cause under request id {request_id}"
    return render(Problem(sentence), request_id)


def headers(problem: Problem) -> dict[str, str]:
    """What HTTP asks for beside the envelope."""
    found: dict[str, str] = {}
    if isinstance(problem, MethodNotAllowed):
        found["allow"] = ", ".join(problem.allow)
    if problem.status == 401:
        found["www-authenticate"] = 'Bearer realm="dg"'
    if problem.status in (429, 503) or problem.reason == "in_flight":
        found["retry-after"] = str(problem.details.get("retry_after", 1))
    if problem.status in UNREAD_BODY:
        found["connection"] = "close"
    return found
