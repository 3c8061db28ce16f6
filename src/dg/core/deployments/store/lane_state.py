"""Rows of lanes, and of what closes them: locks, freezes, blocks."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import schema
from dg.core.database import Row, Shapes, Statement, Tx
from dg.core.deployments.models import Block, Freeze, Lock
from dg.core.deployments.store.columns import to_column

_l = schema.lanes
_f = schema.freezes
_b = schema.blocks

_shapes = Shapes()

_LANE_WHERE = sa.and_(_l.c.service == bindparam("service"), _l.c.environment == bindparam("environment"))
_LANE = Statement(sa.select(_l).where(_LANE_WHERE))
_LANES = Statement(sa.select(_l).order_by(_l.c.service, _l.c.environment))
_LEFT_LANES = Statement(sa.select(_l).where(_l.c.left_by.is_not(None)))
_INSERT_LANE = Statement(
    _l.insert().values(
        service=bindparam("service"), environment=bindparam("environment"), known=1, lock_automatic=0
    )
)
_FREEZES = Statement(sa.select(_f).order_by(_f.c.since))
_INSERT_FREEZE = Statement(_f.insert())
_DELETE_FREEZE = Statement(_f.delete().where(_f.c.id == bindparam("id_")))
_BLOCK = Statement(
    sa.select(_b).where(
        _b.c.service == bindparam("service"),
        _b.c.environment == bindparam("environment"),
        _b.c.commit_sha == bindparam("commit_sha"),
    )
)
_BLOCKS = Statement(
    sa.select(_b)
    .where(_b.c.service == bindparam("service"), _b.c.environment == bindparam("environment"))
    .order_by(_b.c.at.desc(), _b.c.commit_sha)
)
_INSERT_BLOCK = Statement(_b.insert())
_DELETE_BLOCK = Statement(
    _b.delete().where(
        _b.c.service == bindparam("of_service"),
        _b.c.environment == bindparam("of_environment"),
        _b.c.commit_sha == bindparam("of_commit"),
    )
)


def lane(tx: Tx, service: str, environment: str) -> Row:
    """The lane's row; a lane that was never used is an empty one."""
    row = tx.one(_LANE, service=service, environment=environment)
    return row or {column.name: None for column in _l.columns} | {
        "service": service,
        "environment": environment,
        "known": 1,
        "lock_automatic": 0,
    }


def lanes(tx: Tx) -> list[Row]:
    """Every lane that was ever used."""
    return tx.all(_LANES)


def left_lanes(tx: Tx) -> list[Row]:
    """The lanes in which an abandoned deployment, `left_by`, may still be at work."""
    return tx.all(_LEFT_LANES)


def set_lane(tx: Tx, service: str, environment: str, **changes: Any) -> None:
    """Change a lane's row, making it at its first use."""
    if tx.one(_LANE, service=service, environment=environment) is None:
        tx.run(_INSERT_LANE, service=service, environment=environment)
    names = tuple(sorted(changes))
    statement = _shapes.get(
        ("lane", names),
        lambda: (
            _l.update()
            .where(_l.c.service == bindparam("of_service"), _l.c.environment == bindparam("of_environment"))
            .values({name: bindparam(f"to_{name}") for name in names})
        ),
    )
    values = {f"to_{name}": to_column(value) for name, value in changes.items()}
    tx.run(statement, of_service=service, of_environment=environment, **values)


def set_lock(tx: Tx, service: str, environment: str, lock: Lock | None) -> None:
    """Close a lane or open it."""
    set_lane(
        tx,
        service,
        environment,
        lock_reason=lock.reason if lock else None,
        lock_automatic=lock.automatic if lock else False,
        lock_by=lock.by if lock else None,
        lock_since=lock.since if lock else None,
        lock_until=lock.until if lock else None,
        lock_asked_by=lock.asked_by if lock else None,
    )


def lock_of(row: Row) -> Lock | None:
    """The lock in a lane's row, also one that ran out."""
    if row["lock_until"] is None:
        return None
    return Lock(
        reason=row["lock_reason"],
        automatic=bool(row["lock_automatic"]),
        by=row["lock_by"],
        since=row["lock_since"],
        until=row["lock_until"],
        asked_by=row["lock_asked_by"],
    )


def freezes(tx: Tx) -> tuple[Freeze, ...]:
    """Every freeze that was not lifted, also those that ran out and were not swept yet."""
    return tuple(Freeze.model_validate(row) for row in tx.all(_FREEZES))


def insert_freeze(tx: Tx, freeze: Freeze) -> None:
    tx.run(_INSERT_FREEZE, **freeze.model_dump(mode="json"))


def delete_freeze(tx: Tx, freeze_id: str) -> bool:
    return tx.run(_DELETE_FREEZE, id_=freeze_id) == 1


def block(tx: Tx, service: str, environment: str, commit_sha: str) -> Block | None:
    """Why a commit may not be deployed to a lane, None when it may."""
    row = tx.one(_BLOCK, service=service, environment=environment, commit_sha=commit_sha)
    return _blocked(row) if row else None


def blocks(tx: Tx, service: str, environment: str) -> tuple[Block, ...]:
    """What may not be deployed to a lane, the newest block first."""
    return tuple(_blocked(row) for row in tx.all(_BLOCKS, service=service, environment=environment))


def insert_block(tx: Tx, block: Block) -> None:
    tx.run(_INSERT_BLOCK, **{**block.model_dump(mode="json"), "deployment": block.deployment or ""})


def delete_block(tx: Tx, block: Block) -> None:
    tx.run(
        _DELETE_BLOCK,
        of_service=block.service,
        of_environment=block.environment.value,
        of_commit=block.commit_sha,
    )


def _blocked(row: Row) -> Block:
    return Block.model_validate({**row, "deployment": row["deployment"] or None})
