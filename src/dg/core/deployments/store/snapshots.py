"""Registered pipelines by revision, and the text of every pipeline that something ran or may run."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import schema
from dg.core.database import Statement, Tx
from dg.core.deployments.models import RegisteredPipeline

_pl = schema.pipelines
_sn = schema.snapshots

_NEWEST = (
    sa.select(sa.func.max(_pl.c.revision)).where(_pl.c.service == bindparam("service")).scalar_subquery()
)
_PIPELINE = sa.select(_pl, _sn.c.text).join(_sn, _sn.c.sha256 == _pl.c.sha256)
_NEWEST_PIPELINE = Statement(
    _PIPELINE.where(_pl.c.service == bindparam("service"), _pl.c.revision == _NEWEST)
)
_other = _pl.alias()
_NEWEST_PIPELINES = Statement(
    _PIPELINE.where(
        _pl.c.revision
        == sa.select(sa.func.max(_other.c.revision))
        .where(_other.c.service == _pl.c.service)
        .scalar_subquery()
    ).order_by(_pl.c.service)
)
_HISTORY = Statement(
    _PIPELINE.where(_pl.c.service == bindparam("service"), _pl.c.revision < bindparam("before"))
    .order_by(_pl.c.revision.desc())
    .limit(bindparam("limit"))
)
_INSERT_PIPELINE = Statement(_pl.insert())
_SNAPSHOT = Statement(sa.select(_sn.c.text).where(_sn.c.sha256 == bindparam("sha256")))
_INSERT_SNAPSHOT = Statement(_sn.insert())


def keep_snapshot(tx: Tx, sha256: str, text: str) -> None:
    """Keep a pipeline's text under its SHA-256, once."""
    if tx.one(_SNAPSHOT, sha256=sha256) is None:
        tx.run(_INSERT_SNAPSHOT, sha256=sha256, text=text)


def snapshot(tx: Tx, sha256: str) -> str:
    """The text that `keep_snapshot` kept."""
    row = tx.one(_SNAPSHOT, sha256=sha256)
    if row is None:
        raise LookupError(f"snapshot {sha256} is gone")
    return str(row["text"])


def insert_pipeline(tx: Tx, pipeline: RegisteredPipeline) -> None:
    keep_snapshot(tx, pipeline.sha256, pipeline.text)
    tx.run(_INSERT_PIPELINE, **pipeline.model_dump(exclude={"text"}))


def newest_pipeline(tx: Tx, service: str) -> RegisteredPipeline | None:
    row = tx.one(_NEWEST_PIPELINE, service=service)
    return RegisteredPipeline.model_validate(row) if row else None


def newest_pipelines(tx: Tx) -> tuple[RegisteredPipeline, ...]:
    """The newest revision of every service's pipeline."""
    return tuple(RegisteredPipeline.model_validate(row) for row in tx.all(_NEWEST_PIPELINES))


def pipeline_history(tx: Tx, service: str, before: int, limit: int) -> list[RegisteredPipeline]:
    """Revisions below `before`, newest first."""
    rows = tx.all(_HISTORY, service=service, before=before, limit=limit)
    return [RegisteredPipeline.model_validate(row) for row in rows]
