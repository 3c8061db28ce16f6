"""Messages about lanes that people close and open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dg.bot.messages import blocks as b
from dg.bot.messages.blocks import Rendered
from dg.bot.messages.deployments import unlock
from dg.bot.messages.text import day, escape, person
from dg.core.deployments.models import Lane


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
    found = _closed(closed, accounts, "locked", "unlocked")
    if closed.over or lane.lock is None:
        return found
    return Rendered(found.text, (*found.blocks, b.actions(unlock(lane, lane.lock))))


def freeze(closed: Closed, accounts: Mapping[str, str]) -> Rendered:
    """Lanes that were frozen."""
    return _closed(closed, accounts, "frozen", "thawed")


def line(closed: Closed, shut: str, opened: str) -> str:
    """Lanes that were `shut`, in one line."""
    if closed.over:
        return f":unlock: *{escape(closed.where)}* is {opened}. ~{escape(closed.reason, 200)}~"
    icon = {"locked": ":lock:"}.get(shut, ":snowflake:")
    return f"{icon} *{escape(closed.where)}* is {shut} until {day(closed.until)}: {escape(closed.reason)}"


def _closed(closed: Closed, accounts: Mapping[str, str], shut: str, opened: str) -> Rendered:
    text = line(closed, shut, opened)
    if closed.over:
        return Rendered(f"{escape(closed.where)} is {opened}", (b.section(text),))
    who = person(closed.by, closed.by_name, accounts)
    return Rendered(
        f"{escape(closed.where)} is {shut}: {escape(closed.reason)}",
        (b.section(text), b.context(f"by {who}")),
    )
