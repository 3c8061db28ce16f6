"""Messages about lanes that people close and open, and the one after Slack was away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dg.bot.messages import blocks as b
from dg.bot.messages.blocks import Rendered
from dg.bot.messages.deployments import UNLOCK, summary
from dg.bot.messages.text import code, day, escape, moment, person
from dg.core.deployments.models import Deployment, Lane
from dg.core.text import counted

_MOST = 15


@dataclass(frozen=True)
class Closed:
    """Lanes that somebody closed: `where` in a few words. `over` when they are open again."""

    where: str
    reason: str
    by: str
    by_name: str | None
    until: int
    over: bool


def lock(closed: Closed, lane: Lane, accounts: Mapping[str, str]) -> Rendered:
    """A lane that was locked by hand, and the way to open it."""
    found = _closed(closed, accounts, ":lock:", "locked", "unlocked")
    if closed.over or lane.lock is None:
        return found
    value = f"{lane.service}/{lane.environment.value}:{lane.lock.since}"
    sure = b.confirmation("Unlock the lane?", escape(lane.lock.reason, 250), "Unlock")
    return Rendered(found.text, (*found.blocks, b.actions(b.button("Unlock", UNLOCK, value, None, sure))))


def freeze(closed: Closed, accounts: Mapping[str, str]) -> Rendered:
    """Lanes that were frozen."""
    return _closed(closed, accounts, ":snowflake:", "frozen", "thawed")


def _closed(closed: Closed, accounts: Mapping[str, str], icon: str, shut: str, opened: str) -> Rendered:
    who = person(closed.by, closed.by_name, accounts)
    if closed.over:
        text = f":unlock: *{escape(closed.where)}* is {opened}. ~{escape(closed.reason, 200)}~"
        return Rendered(f"{escape(closed.where)} is {opened}", (b.section(text),))
    text = f"{icon} *{escape(closed.where)}* is {shut} until {day(closed.until)}: {escape(closed.reason)}"
    return Rendered(
        f"{escape(closed.where)} is {shut}: {escape(closed.reason)}",
        (b.section(text), b.context(f"by {who}")),
    )


def away(since: int, until: int, ended: Sequence[Deployment]) -> Rendered:
    """What ended while Slack could not be reached."""
    head = f"Slack could not be reached from {moment(since)} to {moment(until)}. Meanwhile:"
    return _meanwhile(head, "while Slack could not be reached", ended)


def quiet(until: int, ended: Sequence[Deployment]) -> Rendered:
    """What ended in hours in which only what cannot wait is told."""
    return _meanwhile(f"In the quiet until {moment(until)}:", "in quiet hours", ended)


def _meanwhile(head: str, when: str, ended: Sequence[Deployment]) -> Rendered:
    lines = [f"• {escape(summary(each), 200)}" for each in ended[:_MOST]]
    more = [f"_and {len(ended) - _MOST} more: {code('dg status')}_"] if len(ended) > _MOST else []
    count = counted(len(ended), "deployment")
    text = f"{count} ended {when}"
    return Rendered(text, (b.section("\n".join([head, *lines, *more])),))
