"""What can go wrong, in the specification's four codes and a stable `reason` word.

Services raise these; every surface has one translator of its own (`api/errors.py`, `cli/errors.py`, ...).

    Problem
    ├── Invalid          VALIDATION_ERROR  400   the request itself is wrong
    │   ├── Refused      VALIDATION_ERROR  409   the request is fine, the state of things forbids it
    │   ├── Stale            VALIDATION_ERROR  412   it was changed since the caller read it
    │   ├── Mismatch     VALIDATION_ERROR  422   the same Idempotency-Key with another body
    │   └── TooMany      VALIDATION_ERROR  429   slow down
    ├── Unauthenticated  UNAUTHORIZED      401
    ├── Forbidden        UNAUTHORIZED      403
    ├── NotFound         NOT_FOUND         404
    └── Unavailable      INTERNAL_ERROR    503   something dg needs does not answer; try again
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class Problem(Exception):
    """An error a caller may see.

    `message` is one sentence for a person; `reason` a stable word for a program; `details` plain JSON values.
    Nothing in them may hold a secret.
    """

    code: ClassVar[str] = "INTERNAL_ERROR"
    status: ClassVar[int] = 500
    default_reason: ClassVar[str] = "internal"

    def __init__(self, message: str, *, reason: str | None = None, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.details: Mapping[str, object] = details


class Invalid(Problem):
    """The request is malformed; `details["errors"]` lists `{"field", "message"}` where several are wrong."""

    code = "VALIDATION_ERROR"
    status = 400
    default_reason = "invalid"


class Refused(Invalid):
    """The request is well-formed but the state of things forbids it now (a closed lane, ...)."""

    status = 409
    default_reason = "conflict"


class Stale(Invalid):
    """Somebody changed it since the caller read it; `details` say who, and which version it has now."""

    status = 412
    default_reason = "stale"


class Mismatch(Invalid):
    """An Idempotency-Key came back with another body."""

    status = 422
    default_reason = "idempotency_mismatch"


class TooMany(Invalid):
    """A rate or a cap was reached; `details["retry_after"]` is in seconds."""

    status = 429
    default_reason = "rate_limited"


class Unauthenticated(Problem):
    """No credential, or one that proves nothing. Never says which part was wrong."""

    code = "UNAUTHORIZED"
    status = 401
    default_reason = "unauthenticated"


class Forbidden(Problem):
    """A known caller without the role; `details` name the action and the roles that may."""

    code = "UNAUTHORIZED"
    status = 403
    default_reason = "forbidden"


class NotFound(Problem):
    """No such thing, or none that this caller may see."""

    code = "NOT_FOUND"
    status = 404
    default_reason = "not_found"


class Unavailable(Problem):
    """A dependency (database, disk, git) does not answer; the request had no effect and may be repeated."""

    status = 503
    default_reason = "unavailable"
