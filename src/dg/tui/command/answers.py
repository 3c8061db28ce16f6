"""What is answered to a line that only looks: rows for a sheet, made from models alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from dg.tui.drawing import ago, moment, place
from dg.tui.frame.sheet import facts
from dg.tui.ink import Piece, Pieces
from dg.tui.signs import ink, said

if TYPE_CHECKING:
    from dg.core.access.models import Principal
    from dg.core.deployments.models import Lane, Waiting
    from dg.core.grammar import Verb
    from dg.tui.command.words import Word
    from dg.tui.views import DeploymentView, LaneView


def why(lane: Lane, queue: Sequence[Waiting]) -> list[Pieces]:
    """What closes a lane, and who waits there."""
    word = lane.state.value
    rows: list[Pieces] = [[(f"{said(word)}  ", f"{ink(word)} bold"), (lane.sentence, "fg")]]
    for each in queue:
        found = each.deployment
        starts = f"  about {moment(each.estimated_start)}" if each.estimated_start else ""
        rows.append(
            [
                (f"{each.position}. ", "muted"),
                (f"#{found.number} {found.version}", "fg bold"),
                (starts, "muted"),
                (f"  {found.hold or ''}", "fg"),
            ]
        )
    return rows


def status(lanes: Iterable[LaneView], under_way: Iterable[DeploymentView], now: int) -> list[Pieces]:
    """What runs in some lanes, what closes them, and what is under way there."""
    rows: list[Pieces] = []
    for lane in lanes:
        runs = lane.version or ("nothing" if lane.known else "not known")
        head: list[Piece] = [place(lane.environment, "bold"), (f"  {lane.service}  ", "fg")]
        state: Piece = (f"  {said(lane.state)}", ink(lane.state))
        rows.append([*head, (runs, "fg bold"), state])
        if lane.closed:
            rows.append([("  ", ""), (lane.sentence, "muted")])
    for each in under_way:
        begun = f"  {each.by} · {ago(each.created_at, now)} ago"
        rows.append([(f"{said(each.state)}  ", ink(each.state)), (each.name, "fg"), (begun, "muted")])
    return rows or [[("there is no such lane that you may see", "muted")]]


def who(principal: Principal, url: str) -> list[Pieces]:
    """Who one is, where, and what one may."""
    held = sorted({grant.spoken for grant in principal.grants})
    told = [
        ("name", f"{principal.name} ({principal.kind})"),
        ("at", url),
        ("may", ", ".join(held) or "nothing"),
    ]
    return facts(told)


def said_here(verbs: Iterable[Verb], words: Iterable[Word]) -> list[Pieces]:
    """Everything that may be said, one's own words behind those of the grammar."""
    rows: list[Pieces] = [_line(verb.example, verb.summary) for verb in verbs]
    return [*rows, [], *(_line(word.example, word.summary) for word in words)]


def _line(example: str, summary: str) -> Pieces:
    return [(f":{example}", "primary bold"), (f"  {summary}", "muted")]


def said_so(verb: Verb) -> list[Pieces]:
    """How one thing is said."""
    also = [("also  ", "muted"), (", ".join(verb.aliases), "fg")]
    return [[(verb.summary, "fg")], [(f":{verb.example}", "primary bold")], *([also] if verb.aliases else [])]
