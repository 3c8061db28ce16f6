"""What each key of the environments screen changes, by what is under the cursor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dg.tui.actions import Act
from dg.tui.deployments import lanes
from dg.tui.environments import editing, probing, upkeep
from dg.tui.environments.drawing.lanes import LaneRow
from dg.tui.environments.drawing.probes import ProbeRow
from dg.tui.offers import ANYWHERE, Offer, Offers, any_row

if TYPE_CHECKING:
    from dg.core.environments.models import EnvironmentState, Version


@dataclass(frozen=True)
class At:
    """The environment that is changed, as it was seen, and the moment in microseconds."""

    state: EnvironmentState
    now: int


def _restorable(at: At, row: Version) -> bool:
    return row.version != at.state.version


def _pause(at: At, row: ProbeRow) -> Act:
    # By the document that would be changed: what was last heard of its health may be older.
    act = probing.wake if probing.rests(at.state, row.key, at.now) else probing.rest
    return act(at.state, row.reading, at.now)


def _open(_: At, row: LaneRow) -> Act:
    if row.block is not None:
        return lanes.unblock(row.block)
    if row.freeze is None:
        raise ValueError("a lane is unlocked as on the other screens")
    return lanes.thaw(row.freeze.id)


def _block(at: At, row: LaneRow) -> Act:
    return lanes.block(row.lane.service if row.lane else "", at.state.name.value)


def _drifts(status: str) -> Any:
    return lambda at, row: row.status.value == status


_ON_PROBE = Offer(lambda at, row: probing.set_probe(at.state, row.key), any_row)
_NEW_PROBE = Offer(lambda at, row: probing.set_probe(at.state))
_LESS_PROBE = Offer(lambda at, row: probing.remove(at.state, row.reading), any_row)
_OF_SECRET = Offer(lambda at, row: editing.set_secret(at.state, row.shown), any_row)

OFFERS: Offers = {
    "edit": {
        "config": Offer(lambda at, row: editing.edit(at.state, row), any_row),
        "secrets": _OF_SECRET,
        "probes": _ON_PROBE,
        "heartbeats": _ON_PROBE,
    },
    "add": {
        ANYWHERE: Offer(lambda at, row: editing.edit(at.state)),
        "probes": _NEW_PROBE,
        "heartbeats": _NEW_PROBE,
    },
    "secret": {ANYWHERE: Offer(lambda at, row: editing.set_secret(at.state)), "secrets": _OF_SECRET},
    "unset": {
        "config": Offer(lambda at, row: editing.unset(at.state, row), lambda at, row: row.key != "domain"),
        "secrets": Offer(lambda at, row: editing.unset_secret(at.state, row.shown), any_row),
        "probes": _LESS_PROBE,
        "heartbeats": _LESS_PROBE,
    },
    "restore": {
        "history": Offer(lambda at, row: editing.restore(at.state, row), _restorable),
        "backups": Offer(lambda at, row: upkeep.restore_backup(at.state, row, at.now), any_row),
    },
    "accept": {"drift": Offer(lambda at, row: upkeep.accept_drift(at.state, row), _drifts("drifted"))},
    "withdraw": {"drift": Offer(lambda at, row: upkeep.withdraw_drift(at.state, row), _drifts("accepted"))},
    "back_up": {ANYWHERE: Offer(lambda at, row: upkeep.back_up(at.state, at.now))},
    "try_probe": {
        "probes": Offer(lambda at, row: probing.try_probe(at.state, row.reading), any_row, at_once=True),
        "heartbeats": Offer(lambda at, row: probing.beat(at.state, row.reading), any_row),
    },
    "pause": {"probes": Offer(_pause, any_row), "heartbeats": Offer(_pause, any_row)},
    "unlock": {"blocks": Offer(_open, any_row), "freezes": Offer(_open, any_row)},
    "block": {"lanes": Offer(_block, any_row), "blocks": Offer(_block, any_row)},
}
"""By the name of the key's action; kinds are those of `Environments.under_cursor`."""
OF_PROBES = frozenset({"try_probe", "pause"})
"""Keys for the probe that is selected, wherever the cursor is."""
