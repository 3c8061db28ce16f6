"""Which backups the server made and still keeps."""

from __future__ import annotations

import json

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import schema
from dg.core.backup.models import HOME, BackupRecord
from dg.core.database import Row, Statement, Tx
from dg.core.types import Environment

_b = schema.backups
_p = schema.principals

_SEEN = sa.select(_b, _p.c.name.label("by_name")).select_from(_b.outerjoin(_p, _p.c.id == _b.c.by))
_OF = _b.c.what == bindparam("kind")
_ONE = sa.and_(_OF, _b.c.id == bindparam("wanted"))
_ALL = Statement(_SEEN.order_by(_b.c.at.desc(), _b.c.what, _b.c.id))
_ALL_OF = Statement(_SEEN.where(_OF).order_by(_b.c.at.desc(), _b.c.id))
_FIND = Statement(_SEEN.where(_ONE))
_INSERT = Statement(_b.insert().values({column.name: bindparam(column.name) for column in _b.columns}))
_TESTED = Statement(
    _b.update().where(_ONE).values(tested_at=bindparam("new_tested_at"), problem=bindparam("new_problem"))
)
_DELETE = Statement(_b.delete().where(_ONE))


def every(tx: Tx, what: str | None = None) -> list[BackupRecord]:
    """All of them, or those of an environment or of the home; the newest first."""
    return [_record(row) for row in (tx.all(_ALL) if what is None else tx.all(_ALL_OF, kind=what))]


def find(tx: Tx, what: str, id_: str) -> BackupRecord | None:
    row = tx.one(_FIND, kind=what, wanted=id_)
    return _record(row) if row else None


def add(tx: Tx, record: BackupRecord) -> None:
    kept = record.model_dump(exclude={"environment", "by_name", "keys", "scheduled"})
    tx.run(
        _INSERT,
        what=record.what,
        keys=json.dumps(record.keys),
        folder=record.folder,
        scheduled=int(record.scheduled),
        **kept,
    )


def note_test(tx: Tx, record: BackupRecord, at: int, problem: str | None) -> None:
    tx.run(_TESTED, kind=record.what, wanted=record.id, new_tested_at=at, new_problem=problem)


def remove(tx: Tx, record: BackupRecord) -> None:
    tx.run(_DELETE, kind=record.what, wanted=record.id)


def _record(row: Row) -> BackupRecord:
    what = row["what"]
    same = {name: row[name] for name in BackupRecord.model_fields if name in row}
    return BackupRecord.model_validate(
        {
            **same,
            "environment": None if what == HOME else Environment(what),
            "scheduled": bool(row["scheduled"]),
            "keys": tuple(json.loads(row["keys"])),
        }
    )
