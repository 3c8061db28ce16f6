"""From an HTTP answer, or the lack of one, to the core's errors; a surface turns those into its own words."""

from __future__ import annotations

from collections.abc import Mapping

from dg.core.errors import (
    Forbidden,
    Invalid,
    Mismatch,
    NotFound,
    Problem,
    Refused,
    Stale,
    TooMany,
    Unauthenticated,
    Unavailable,
)

BY_STATUS: Mapping[int, type[Problem]] = {
    400: Invalid,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    405: NotFound,
    409: Refused,
    412: Stale,
    413: Invalid,
    415: Invalid,
    422: Mismatch,
    429: TooMany,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


class Unreachable(Unavailable):
    """No server answers at the address; `details["url"]` is the address."""

    default_reason = "unreachable"


class Unintelligible(Problem):
    """Something answered that does not speak this API, or a version of it that this client does not know."""

    default_reason = "unintelligible"


class NoCredential(Unauthenticated):
    """There is no address or token to go with, or one that must not be used."""

    default_reason = "no_credential"


RESERVED = frozenset({"reason", "message", "self"})
"""Names in `details` that a Problem has for itself."""


def problem(status: int, body: object) -> Problem:
    """The error that an answer with `status` means; `body` is its clean JSON, None when it was none."""
    match body:
        case {"error": {"message": str(message), **rest}}:
            found = rest.get("details")
            details: Mapping[str, object] = found if isinstance(found, dict) else {}
            reason = details.get("reason")
            return BY_STATUS.get(status, Problem)(
                message,
                reason=reason if isinstance(reason, str) else None,
                **{key: value for key, value in details.items() if key not in RESERVED},
            )
        case _:
            return BY_STATUS.get(status, Unintelligible)(
                f"the server answered {status} without dg's own words: is there a proxy between?"
            )
