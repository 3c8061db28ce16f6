"""The rules of a lane, as pure functions: what closes it, who is next, and the one sentence that says so.

The sentence is the same on every surface: it says what closes the lane, since when, who can open it and how.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dg.core.access.models import ACTIONS, Action
from dg.core.clock import SECOND, to_datetime
from dg.core.deployments.models import Block, Deployment, Freeze, Gate, Kind, LaneState, Lock, Status
from dg.settings.units import format_duration

MOST_WAITING = 100
"""Those behind them in a longer queue are not told when they start: it would not come true anyway."""


@dataclass(frozen=True)
class Facts:
    """Everything that decides about one lane at one moment. `now` is in microseconds.

    `left` was abandoned, and what it began may still run there. `gates` are those of the waiting deployments
    that have any, by id, as they stood when they were judged.
    """

    service: str
    environment: str
    now: int
    lock: Lock | None = None
    freezes: Sequence[Freeze] = ()
    holder: Deployment | None = None
    left: Deployment | None = None
    current: Deployment | None = None
    known: bool = True
    queue: Sequence[Deployment] = ()
    gates: Mapping[str, Sequence[Gate]] = field(default_factory=dict)

    @property
    def active_lock(self) -> Lock | None:
        return self.lock if self.lock and self.lock.until > self.now else None

    @property
    def active_freeze(self) -> Freeze | None:
        """The freeze that lasts longest of those that cover this lane."""
        covering = [freeze for freeze in self.freezes if covers(freeze, self.service, self.environment)]
        running = [freeze for freeze in covering if freeze.until > self.now]
        return max(running, key=lambda freeze: freeze.until, default=None)

    @property
    def closed_by_hand(self) -> bool:
        """Whether a person closed it, which a rollback passes only with its stated override."""
        lock = self.active_lock
        return self.active_freeze is not None or (lock is not None and not lock.automatic)


def covers(freeze: Freeze, service: str, environment: str) -> bool:
    """True when `freeze` closes this lane."""
    return freeze.service in (None, service) and freeze.environment in (None, environment)


def state(facts: Facts) -> LaneState:
    """The strongest reason that closes the lane, or open."""
    if facts.active_freeze:
        return LaneState.FROZEN
    if facts.active_lock:
        return LaneState.LOCKED
    return LaneState.BUSY if facts.holder or facts.left else LaneState.OPEN


def explain(facts: Facts) -> str:
    """The lane's one sentence."""
    name = f"{facts.service}/{facts.environment}"
    if freeze := facts.active_freeze:
        return _frozen(name, freeze, facts.now)
    if lock := facts.active_lock:
        return _locked(name, lock, facts)
    if facts.left:
        return _left(name, facts.left)
    if facts.holder:
        return _busy(name, facts.holder, facts)
    return " ".join(filter(None, (_open(name, facts), _first_held(facts))))


def _open(name: str, facts: Facts) -> str:
    if not facts.known:
        return (
            f"{name} is open, but what runs there is not known: the last deployment failed midway. "
            "Deploy a version, or roll back."
        )
    if facts.current:
        return f"{name} is open; {_version(facts.current)} runs there."
    return f"{name} is open; nothing was deployed there yet."


def _first_held(facts: Facts) -> str | None:
    """What the first one waits for that may not take the open lane."""
    for deployment in in_order(facts.queue):
        if gate := closed_gate(facts, deployment):
            return f"#{deployment.number} ({deployment.version}) waits: {gate.sentence}"
    return None


def _version(deployment: Deployment) -> str:
    """`1.4.2 (9f1c2ab)`, the commit alone where that is the version."""
    version, sha = deployment.version, deployment.commit_sha
    return version if sha.startswith(version) else f"{version} ({sha[:7]})"


def _frozen(name: str, freeze: Freeze, now: int) -> str:
    return (
        f"{name} is frozen until {spoken_time(freeze.until, now)}: {_clause(freeze.reason)} "
        f"(by {closed_by(freeze, now)}). "
        f"{who(Action.LANE_THAW)} can end it: dg thaw {freeze.id}"
    )


def _locked(name: str, lock: Lock, facts: Facts) -> str:
    return (
        f"{name} is locked until {spoken_time(lock.until, facts.now)}: {_clause(lock.reason)} "
        f"(by {closed_by(lock, facts.now)}). {_unlock(facts)}"
    )


def closed_by(found: Lock | Freeze, now: int) -> str:
    """Who closed it and when: `dg since 16:30 UTC, after a rollback that ana asked for`."""
    asked = found.asked_by if isinstance(found, Lock) else None
    after = f", after a rollback that {asked} asked for" if asked else ""
    return f"{found.by} since {spoken_time(found.since, now)}{after}"


def _unlock(facts: Facts) -> str:
    unlock = f"dg lane unlock {facts.service} {facts.environment}"
    return f"{who(Action.LANE_UNLOCK)} can open it: {unlock}"


def locked_after(facts: Facts, seconds: float) -> str:
    """How long the lane will be closed after a rollback: for `seconds`, or as a person closed it before."""
    name, lock = f"{facts.service}/{facts.environment}", facts.active_lock
    if lock and not lock.automatic:
        how = f"stays locked until {spoken_time(lock.until, facts.now)}, as {lock.by} locked it"
    else:
        how = f"will be locked for {format_duration(seconds)}"
    return f"Afterwards {name} {how}. {_unlock(facts)}"


def _left(name: str, left: Deployment) -> str:
    return (
        f"{name} is not free: #{left.number} ({left.version}) was abandoned, and processes of it still run. "
        "End them on the server's machine; the lane goes on by itself when they are gone."
    )


def _busy(name: str, holder: Deployment, facts: Facts) -> str:
    doing = {Kind.ROLLBACK: "is rolling back to"}.get(holder.kind, "is deploying")
    since = holder.started_at or holder.created_at
    waiting = len([deployment for deployment in facts.queue if deployment.id != holder.id])
    behind = "" if not waiting else f"; {waiting} more {'waits' if waiting == 1 else 'wait'} behind it"
    return (
        f"{name} is busy: #{holder.number} {doing} {holder.version} since "
        f"{spoken_time(since, facts.now)}{behind}. "
        f"{who(Action.DEPLOYMENT_CANCEL)} can stop it: dg cancel {holder.id}"
    )


def blocked(block: Block) -> str:
    """Why a version is refused, and the two ways out."""
    return (
        f"{block.version} is blocked here: {_clause(block.reason)}. Deploy a commit that mends it. "
        f"{_unblock(block)}"
    )


def kept_out_after(bad: Deployment) -> str:
    """That a version may not come back to its lane after a rollback, and who can let it."""
    return f"Afterwards {_version(bad)} may not come back to {'/'.join(bad.lane)}. {_unblock(bad)}"


def _unblock(what: Block | Deployment) -> str:
    return (
        f"{who(Action.LANE_UNBLOCK)} can let it back: "
        f"dg lane unblock {what.service} {what.environment} {what.commit_sha[:12]} --reason WHY"
    )


def who(action: Action) -> str:
    """The roles that may, as the beginning of a sentence: `An admin or operator`."""
    roles = sorted(ACTIONS[action])
    names = " or ".join(filter(None, (", ".join(roles[:-1]), roles[-1])))
    return f"{'An' if names[0] in 'aeio' else 'A'} {names}"


def _clause(text: str) -> str:
    return text.rstrip(" .")


def spoken_time(at: int, now: int) -> str:
    """`17:00 UTC`, with its date where that is another than the one at `now` (microseconds)."""
    moment = to_datetime(at)
    same_day = moment.date() == to_datetime(now).date()
    return f"{moment:%H:%M}" + (" UTC" if same_day else f" UTC on {moment:%Y-%m-%d}")


def admits(facts: Facts, deployment: Deployment) -> bool:
    """True when nothing but the lane's holder stands in the way of `deployment`.

    A rollback to the newest good version passes automatic locks; a manual lock or a freeze only with its
    stated override.
    """
    if deployment.kind is Kind.ROLLBACK:
        return not facts.closed_by_hand or deployment.override is not None
    return facts.active_freeze is None and facts.active_lock is None


def closed_gate(facts: Facts, deployment: Deployment) -> Gate | None:
    """The first gate that keeps `deployment` from the lane; None when all are open.

    Raises KeyError for one that has gates which nobody judged: it must not pass for open.
    """
    gates = facts.gates[deployment.id] if deployment.guard else ()
    return next((gate for gate in gates if not gate.open and not _opened(gate, facts.now)), None)


def _opened(gate: Gate, at: int) -> bool:
    return gate.opens_at is not None and gate.opens_at <= at


def ready(facts: Facts, deployment: Deployment) -> bool:
    """True when `deployment` is due and its gates are open."""
    return (deployment.not_before or 0) <= facts.now and closed_gate(facts, deployment) is None


def next_up(facts: Facts) -> Deployment | None:
    """Who takes the lane now: a rollback first, then first in first out among those that are due."""
    if facts.left or (facts.holder and facts.holder.status is not Status.PENDING):
        return None
    if facts.holder:
        return facts.holder if admits(facts, facts.holder) else None
    due = [d for d in facts.queue if admits(facts, d) and ready(facts, d)]
    return min(due, key=_order, default=None)


def _order(deployment: Deployment) -> tuple[bool, int, int]:
    return deployment.kind is not Kind.ROLLBACK, deployment.queued_at, deployment.number


def moments(facts: Facts) -> list[int]:
    """When something opens by itself that a waiting deployment waits for (microseconds)."""
    closed = [found.until for found in (facts.active_lock, facts.active_freeze) if found]
    begins = [d.not_before for d in facts.queue if d.not_before]
    opens = [gate.opens_at for gates in facts.gates.values() for gate in gates if gate.opens_at]
    return [moment for moment in (*closed, *begins, *opens) if moment > facts.now]


def starts(facts: Facts, free_at: int | None, lasts: Callable[[Deployment], float | None]) -> dict[str, int]:
    """When each waiting deployment would start (microseconds, by id), as far as that is known.

    `free_at` is when the lane's holder will be done, None when nobody knows; `lasts` gives seconds.
    """
    found: dict[str, int] = {}
    left, at = list(facts.queue), free_at
    while left and at is not None and len(found) < MOST_WAITING:
        then = replace(facts, now=at, holder=None, queue=left)
        chosen = next_up(then)
        if chosen is None:
            at = min(moments(then), default=None)
            continue
        found[chosen.id] = at
        left.remove(chosen)
        seconds = lasts(chosen)
        at = None if seconds is None else at + int(seconds * SECOND)
    return found


def in_order(queue: Iterable[Deployment]) -> list[Deployment]:
    """Those who wait, the next one first."""
    return sorted(queue, key=_order)


def hold(facts: Facts, deployment: Deployment) -> str:
    """What a pending deployment waits for, in one sentence."""
    if gate := closed_gate(facts, deployment):
        return gate.sentence
    if (deployment.not_before or 0) > facts.now:
        return f"It starts at {spoken_time(deployment.not_before or 0, facts.now)}."
    if not admits(facts, deployment):
        return explain(facts)
    if facts.left:
        return _left(f"{facts.service}/{facts.environment}", facts.left)
    ahead = [
        other
        for other in facts.queue
        if _order(other) < _order(deployment) and closed_gate(facts, other) is None
    ]
    if facts.holder and facts.holder.id != deployment.id:
        ahead.insert(0, facts.holder)
    if ahead:
        return f"It waits for {_list(ahead)} in {deployment.service}/{deployment.environment}."
    return "It is next and starts at once."


def _list(deployments: Iterable[Deployment]) -> str:
    names = list(dict.fromkeys(f"#{deployment.number} ({deployment.version})" for deployment in deployments))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
