"""How lanes are drawn: what runs in each, and what keeps deployments out of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dg.tui.drawing import moment
from dg.tui.ink import Piece, Pieces
from dg.tui.signs import ink, sign
from dg.tui.views import LaneView
from dg.tui.widgets.table import Column

if TYPE_CHECKING:
    from dg.core.deployments.models import Block, Freeze


@dataclass(frozen=True)
class LaneRow:
    """A freeze, a lane, or a version that may not come to the lane above it."""

    key: str
    lane: LaneView | None = None
    freeze: Freeze | None = None
    block: Block | None = None

    @property
    def kind(self) -> str:
        return "freezes" if self.freeze else "blocks" if self.block else "lanes"


def rows(
    environment: str, lanes: Iterable[LaneView], freezes: Iterable[Freeze], blocks: Iterable[Block]
) -> list[LaneRow]:
    """Freezes that reach the environment, then its lanes, each with what is kept out of it."""
    found = [
        LaneRow(f"freeze {each.id}", freeze=each)
        for each in freezes
        if each.environment is None or each.environment.value == environment
    ]
    kept = list(blocks)
    for lane in sorted(
        (each for each in lanes if each.environment == environment), key=lambda lane: lane.key
    ):
        found.append(LaneRow(f"lane {lane.service}", lane=lane))
        found += [
            LaneRow(f"block {each.service} {each.commit_sha}", lane=lane, block=each)
            for each in kept
            if each.service == lane.service and each.environment.value == environment
        ]
    return found


def columns() -> Sequence[Column[LaneRow]]:
    return (
        Column("sign", "", lambda row: [_sign(row)], 1),
        Column("what", "lane", _what, 12, lambda row: row.key, flex=True),
        Column("version", "runs", lambda row: [(_version(row), "fg")], 10),
        Column("why", "why it is closed", lambda row: [(_why(row), "muted")], 12, flex=True, needs=52),
    )


def _sign(row: LaneRow) -> Piece:
    if row.freeze is not None:
        return sign("frozen"), "warn bold"
    if row.block is not None:
        return sign("fail"), "err bold"
    state = row.lane.state if row.lane is not None else "unknown"
    return sign(state), ink(state)


def _what(row: LaneRow) -> Pieces:
    if row.freeze is not None:
        here = "all here" if row.freeze.environment else "everything"
        return [(f"freeze of {row.freeze.service or here}", "fg bold")]
    if row.block is not None:
        return [("└ ", "dim"), (f"not {row.block.version}", "fg")]
    return [(row.lane.service if row.lane is not None else "", "fg bold")]


def scope(freeze: Freeze) -> str:
    """The lanes that a freeze closes."""
    environment = freeze.environment.value if freeze.environment else ""
    return "/".join(filter(None, (freeze.service, environment))) or "everything"


def _version(row: LaneRow) -> str:
    if row.freeze is not None or row.block is not None or row.lane is None:
        return ""
    return row.lane.version if row.lane.known else "not known"


def _why(row: LaneRow) -> str:
    if row.freeze is not None:
        return f"{row.freeze.reason}, until {moment(row.freeze.until)}"
    if row.block is not None:
        return row.block.reason
    return row.lane.sentence if row.lane is not None and row.lane.closed else ""


def facts(row: LaneRow) -> list[tuple[str, str]]:
    """All that is known of it."""
    if (freeze := row.freeze) is not None:
        return [
            ("closes", scope(freeze)),
            ("why", freeze.reason),
            ("since", f"{moment(freeze.since)} by {freeze.by}"),
            ("until", moment(freeze.until)),
            ("id", freeze.id),
        ]
    if (block := row.block) is not None:
        return [
            ("keeps out", f"{block.version} at {block.commit_sha}"),
            ("why", block.reason),
            ("since", moment(block.at)),
            ("went wrong in", block.deployment or ""),
        ]
    if (lane := row.lane) is not None:
        waiting = str(lane.queue) if lane.queue else ""
        return [("", lane.sentence), ("runs", _version(row)), ("commit", lane.sha), ("waiting", waiting)]
    return []
