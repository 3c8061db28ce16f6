"""Ends what a restored home holds unfinished: nobody here follows it, and nothing may start by itself.

Called by the restore of a backup, once, before a server opens the home.
"""

from __future__ import annotations

from dataclasses import dataclass

from dg.core.access.models import SYSTEM
from dg.core.clock import Ids
from dg.core.database import Tx
from dg.core.deployments import endings, lifecycle, store
from dg.core.deployments.endings import Ending
from dg.core.deployments.models import ACTIVE, Deployment, Reason

_RAN = "it ran when the backup was made that this home was restored from; how it ended is not known here"
_WAITED = "it waited when the backup was made that this home was restored from; ask for it again"


@dataclass(frozen=True)
class Salvaged:
    """What was ended: `interrupted` may have touched its environment and its lane is locked until somebody
    looked; `unstarted` did nothing.
    """

    interrupted: tuple[Deployment, ...]
    unstarted: tuple[Deployment, ...]


def salvage(tx: Tx, now: int, ids: Ids) -> Salvaged:
    """End every unfinished deployment as interrupted. Facts: DeploymentFinished and what follows from it."""
    ending = Ending("failed", Reason.INTERRUPTED, _RAN, touched=True)
    interrupted = [
        endings.conclude(tx, deployment, ending, now, ids.new())
        for deployment in store.unfinished(tx)
        if deployment.status in ACTIVE
    ]
    # Among them may be a rollback that has just been made because a cancellation had asked for one.
    unstarted = [
        lifecycle.fail_pending(tx, deployment, Reason.INTERRUPTED, _WAITED, now, SYSTEM)
        for deployment in store.unfinished(tx)
    ]
    return Salvaged(tuple(interrupted), tuple(unstarted))
