"""How mutes of channels are kept: one plain function per statement. Times are in microseconds."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import schema
from dg.core.database import Row, Statement, Tx
from dg.core.slack.models import SlackMute

_m = schema.slack_mutes

_INSERT = Statement(_m.insert().values({column.name: bindparam(column.name) for column in _m.columns}))
_OF = Statement(sa.select(_m).where(_m.c.channel == bindparam("channel")).order_by(_m.c.since))
_OPEN = Statement(sa.select(_m).where(_m.c.ended == 0).order_by(_m.c.since, _m.c.id))
_CHANGE = Statement(
    _m.update()
    .where(_m.c.id == bindparam("of"))
    .values(
        until=bindparam("new_until"),
        by=bindparam("new_by"),
        reason=bindparam("new_reason"),
        ended=bindparam("new_ended"),
    )
)
_PRUNE = Statement(_m.delete().where(_m.c.ended == 1, _m.c.until < bindparam("before")))


def insert(tx: Tx, mute: SlackMute) -> None:
    tx.run(_INSERT, **mute.model_dump(), ended=0)


def of(tx: Tx, channel: str) -> list[SlackMute]:
    """Those of a channel that are kept, whether they are over or not, oldest first."""
    return [_mute(row) for row in tx.all(_OF, channel=channel)]


def unended(tx: Tx) -> list[SlackMute]:
    """Those of which was not said yet that they are over."""
    return [_mute(row) for row in tx.all(_OPEN)]


def change(tx: Tx, mute: SlackMute, *, ended: bool) -> None:
    tx.run(
        _CHANGE,
        of=mute.id,
        new_until=mute.until,
        new_by=mute.by,
        new_reason=mute.reason,
        new_ended=int(ended),
    )


def prune(tx: Tx, before: int) -> None:
    """Forget those that were over before `before`."""
    tx.run(_PRUNE, before=before)


def _mute(row: Row) -> SlackMute:
    return SlackMute(**{name: row[name] for name in SlackMute.model_fields})
