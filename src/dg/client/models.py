"""What the API tells beyond the core's models. Times are microseconds since the epoch, durations seconds."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class Limit(_Model):
    """Where the caller stands in one class of requests: of `limit` in a `window` such as `1m`, `remaining`
    may be sent at once; at `reset`, in seconds since the epoch, nothing is spent any more."""

    name: str
    limit: int
    remaining: int
    reset: int
    window: str


class Event(_Model):
    """One fact of the ledger; `seq` counts without gaps over the server, the payload is the fact's own."""

    seq: int
    at: int
    type: str
    actor: str
    actor_name: str | None = None
    auth: str
    object: str = ""
    environment: str | None = None
    service: str | None = None
    payload: dict[str, Any] = {}
    prev: str | None = None
    hash: str | None = None


class EventPage(_Model):
    """Facts, oldest first; `next_after` is the cursor to ask with next, also when a filter left none."""

    items: tuple[Event, ...]
    next_after: int


class Verdict(_Model):
    """Whether the ledger is whole; `bad_seq` is the first entry that is not as it was written."""

    ok: bool
    checked: int
    message: str
    head_seq: int
    head_hash: str
    bad_seq: int | None = None


class Finding(_Model):
    """What a pipeline's reader should know; `field` is a path such as `step[2].timeout`."""

    level: Literal["error", "warning", "note"]
    field: str
    message: str


class PipelineSource(_Model):
    """Where a service's code comes from: what `ref` is there, and with what the server was let in.

    `source` names an entry of the server's `git.sources`, `credential` is ssh_key, ssh_agent or token.
    """

    service: str
    git: str
    ref: str
    commit_sha: str
    source: str | None = None
    credential: str | None = None
