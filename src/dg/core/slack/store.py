"""How mutes and subscriptions of channels are kept: a plain function per statement; times in microseconds."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import schema
from dg.core.database import Row, Statement, Tx
from dg.core.slack.models import SlackMute, SlackSubscription

_m = schema.slack_mutes
_s = schema.slack_subscriptions

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
_SUBSCRIBE = Statement(_s.insert().values({column.name: bindparam(column.name) for column in _s.columns}))
_SUBSCRIPTIONS = Statement(sa.select(_s).order_by(_s.c.since, _s.c.id))
_CHANGE_SUBSCRIPTION = Statement(
    _s.update()
    .where(_s.c.id == bindparam("of"))
    .values(
        severity=bindparam("new_severity"),
        since=bindparam("new_since"),
        by=bindparam("new_by"),
        ended_at=bindparam("new_ended_at"),
    )
)
_PRUNE_SUBSCRIPTIONS = Statement(_s.delete().where(_s.c.ended_at < bindparam("before")))


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


def insert_subscription(tx: Tx, subscription: SlackSubscription) -> None:
    tx.run(_SUBSCRIBE, **subscription.model_dump())


def subscriptions(tx: Tx) -> list[SlackSubscription]:
    """All that are kept, whether they are over or not, the oldest first."""
    return [_subscription(row) for row in tx.all(_SUBSCRIPTIONS)]


def change_subscription(tx: Tx, subscription: SlackSubscription) -> None:
    tx.run(
        _CHANGE_SUBSCRIPTION,
        of=subscription.id,
        new_severity=subscription.severity,
        new_since=subscription.since,
        new_by=subscription.by,
        new_ended_at=subscription.ended_at,
    )


def prune_subscriptions(tx: Tx, before: int) -> None:
    """Forget those that were over before `before`."""
    tx.run(_PRUNE_SUBSCRIPTIONS, before=before)


def _subscription(row: Row) -> SlackSubscription:
    return SlackSubscription(**{name: row[name] for name in SlackSubscription.model_fields})


def _mute(row: Row) -> SlackMute:
    return SlackMute(**{name: row[name] for name in SlackMute.model_fields})
