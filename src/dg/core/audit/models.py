"""The ledger as an auditor reads it: who, how proved, from where, what, on what, allowed or not, and why."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from dg.core.types import Environment

ALLOWED: Final = "allowed"
DENIED: Final = "denied"


class AuditEntry(BaseModel):
    """One entry. Address and request are None for dg's own work, and where they were erased.

    `why` is what allowed it, or what was missing; `count` how many denied tries it stands for, the first of
    which came from `address`.
    """

    model_config = ConfigDict(frozen=True)

    seq: int
    at: int
    type: str
    decision: Literal["allowed", "denied"]
    why: str
    actor: str
    actor_name: str
    impersonated_by: str | None = None
    method: str
    address: str | None = None
    request_id: str | None = None
    action: str | None = None
    object: str
    environment: Environment | None = None
    service: str | None = None
    count: int | None = None


class AuditPage(BaseModel):
    """Some entries, the newest first, and where the next ones begin; None behind the last."""

    model_config = ConfigDict(frozen=True)

    items: tuple[AuditEntry, ...]
    next_cursor: str | None = None
