"""What people decide about a deployment that waits: approve it, reject it, or pass its closed gates.

What somebody saw is compared with what is there in the transaction that counts: an approval is given to a
content, not to a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dg.core import events, ledger
from dg.core.access.models import Action, Principal
from dg.core.access.names import one_name
from dg.core.clock import SECOND
from dg.core.database import Tx
from dg.core.deployments import lanes, lifecycle, store
from dg.core.deployments.dispatcher import Dispatcher
from dg.core.deployments.gates import judge, keeper
from dg.core.deployments.gates import store as decisions
from dg.core.deployments.gates.demands import Approvals as Demanded
from dg.core.deployments.gates.names import spoken
from dg.core.deployments.models import (
    Approval,
    Approve,
    Deployment,
    Gate,
    Override,
    Reason,
    Status,
    Verdict,
)
from dg.core.deployments.parts import Parts
from dg.core.deployments.service import acting, finding
from dg.core.errors import Forbidden, Refused
from dg.core.idempotency import Once
from dg.core.text import plain

_MOST_BASES = 50
"""Deployments of a lane among which the one is looked for that ran when somebody looked."""


@dataclass(frozen=True)
class _Case:
    """One deployment that waits, its lane, and what its gates are judged by, all in one transaction."""

    deployment: Deployment
    lane: lanes.Facts
    inputs: judge.Inputs

    @property
    def gates(self) -> dict[str, Gate]:
        return {gate.name: gate for gate in self.lane.gates[self.deployment.id]}


class Approvals:
    """The decisions on deployments. Errors are those of `dg.core.errors`."""

    def __init__(self, parts: Parts, dispatcher: Dispatcher) -> None:
        self._parts = parts
        self._dispatcher = dispatcher

    async def approve(
        self,
        principal: Principal,
        id: str,  # noqa: A002 - the public word
        request: Approve,
        once: Once | None = None,
    ) -> Deployment:
        """Agree to a deployment as it is now; a second time changes nothing.

        Raises Forbidden (`people_only`, `own_deployment`, `not_an_approver`), Refused (`not_pending`,
        `nothing_to_approve`, and `stale_content` with what moved when `request.content` is another one).
        """

        def effect(tx: Tx, deployment: Deployment) -> Deployment:
            return _approve(tx, deployment, principal, request, self._parts.clock.micros())

        try:
            return await acting.act(
                self._parts, self._dispatcher, principal, id, Action.DEPLOYMENT_APPROVE, once, effect
            )
        except Refused as refused:
            deployment = await finding.deployment(self._parts, principal, id)
            raise await finding.with_changes(self._parts, deployment.service, refused) from None

    async def reject(
        self,
        principal: Principal,
        id: str,  # noqa: A002 - the public word
        reason: str,
        once: Once | None = None,
    ) -> Deployment:
        """Say no: a deployment that waits ends as rejected. Raises Forbidden, Refused (`not_pending`)."""

        def effect(tx: Tx, deployment: Deployment) -> Deployment:
            now = self._parts.clock.micros()
            _check_person(principal)
            content = keeper.content_of(lifecycle.facts(tx, *deployment.lane, now, queue=False), deployment)
            no = Approval(by=principal.id, at=now, verdict=Verdict.REJECTED, content=content, note=reason)
            decisions.insert(tx, deployment.id, no)
            fact = events.DeploymentRejected(**deployment.identity, content=content, reason=reason)
            tx.append(fact, by=principal)
            why = f"it was rejected: {reason}"
            return lifecycle.fail_pending(tx, deployment, Reason.REJECTED, why, now, principal)

        return await acting.act(
            self._parts, self._dispatcher, principal, id, Action.DEPLOYMENT_REJECT, once, effect
        )

    async def override(
        self,
        principal: Principal,
        id: str,  # noqa: A002 - the public word
        request: Override,
        once: Once | None = None,
    ) -> Deployment:
        """Pass closed gates of a deployment, all of the named or none; everybody hears of it.

        Raises Forbidden (`people_only`, `not_overridable`), Refused (`not_pending`, `no_such_gate`,
        `gate_open`).
        """

        def effect(tx: Tx, deployment: Deployment) -> Deployment:
            _check_person(principal)
            case = _case(tx, deployment, self._parts.clock.micros())
            for name in dict.fromkeys(request.gates):
                _check_passable(case, name, principal)
            for name in dict.fromkeys(request.gates):
                _pass(tx, case, name, principal, request.reason)
            return _queue_again(tx, case)

        return await acting.act(
            self._parts, self._dispatcher, principal, id, Action.DEPLOYMENT_OVERRIDE, once, effect
        )


def _check_person(principal: Principal) -> None:
    if principal.kind != "person":
        raise Forbidden(
            f"only people decide on deployments, and {principal.name} is a {principal.kind}; "
            "ask somebody with a token of their own",
            reason="people_only",
        )


def _check_not_maker_in_disguise(tx: Tx, deployment: Deployment, principal: Principal) -> None:
    made = (entry for entry in ledger.about(tx, deployment.id) if entry.type == events.DeploymentCreated.type)
    if any(entry.payload.get("impersonated_by") == principal.id for entry in made):
        raise Forbidden(
            f"{principal.name} asked for #{deployment.number} in another's name, and nobody approves what "
            "they asked for themselves",
            reason="own_deployment",
        )


def _approve(tx: Tx, deployment: Deployment, principal: Principal, request: Approve, now: int) -> Deployment:
    mine = [found for found in decisions.of(tx, deployment.id) if _is_yes_of(found, principal)]
    if mine and deployment.status is not Status.PENDING:
        return deployment
    case = _case(tx, deployment, now)
    _check_person(principal)
    _check_not_maker_in_disguise(tx, deployment, principal)
    rules = _rules(case, principal)
    _check_content(tx, case, request)
    if all(_is_given(case, rule, mine) for rule in rules):
        return deployment
    decisions.void(tx, deployment.id, "it had expired", now, by=principal.id)
    approval = Approval(
        by=principal.id,
        at=now,
        verdict=Verdict.APPROVED,
        content=case.inputs.content,
        expires_at=now + int(min(rule.expires for rule in rules) * SECOND),
        note=request.note,
    )
    decisions.insert(tx, deployment.id, approval)
    gate = _judged_again(tx, case)[judge.APPROVALS]
    fact = events.DeploymentApproved(
        **deployment.identity,
        content=case.inputs.content,
        given=int(gate.values["given"]),
        needed=int(gate.values["needed"]),
        note=request.note,
    )
    tx.append(fact, by=principal)
    return _queue_again(tx, case)


def _is_yes_of(approval: Approval, principal: Principal) -> bool:
    """Whether it is this person's approval, given with whichever of their tokens, and not void."""
    mine = approval.by == principal.id or one_name(approval.by_name or "") == one_name(principal.name)
    return mine and approval.verdict is Verdict.APPROVED and approval.voided_at is None


def _is_given(case: _Case, rule: Demanded, mine: Sequence[Approval]) -> bool:
    """Whether one of a person's approvals counts for `rule`; one by a token that ended does not."""
    people = case.inputs.people
    return any(
        judge.stands(case.inputs, approval) and judge.counts(rule, people[approval.by], case.deployment)
        for approval in mine
        if approval.by in people
    )


def _rules(case: _Case, principal: Principal) -> Sequence[Demanded]:
    """The demands that this person's approval counts for; Forbidden when there is none."""
    deployment, rules = case.deployment, case.inputs.guard.approvals
    if not rules:
        raise Refused(
            f"#{deployment.number} needs nobody's approval: {lanes.hold(case.lane, deployment)}",
            reason="nothing_to_approve",
        )
    counting = [rule for rule in rules if judge.counts(rule, principal, deployment)]
    if counting:
        return counting
    who = spoken(name for rule in rules for name in rule.people)
    if judge.is_maker(principal, deployment):
        raise Forbidden(
            f"nobody approves what they asked for themselves; {who} other than {principal.name} can",
            reason="own_deployment",
        )
    raise Forbidden(
        f"an approval of #{deployment.number} must come from {who}; {principal.name} is none of them",
        reason="not_an_approver",
    )


def _check_content(tx: Tx, case: _Case, request: Approve) -> None:
    if request.content is None or case.inputs.content.startswith(request.content):
        return
    deployment, current = case.deployment, case.lane.current
    raise Refused(
        f"#{deployment.number} is not what you saw: {_moved(tx, case, request.content)}. "
        f"Look again and approve what is there now: dg diff {deployment.id}",
        reason="stale_content",
        content=case.inputs.content,
        base=current.commit_sha if current else None,
        head=deployment.commit_sha,
    )


def _moved(tx: Tx, case: _Case, seen: str) -> str:
    """What is different from the content that the person saw, as far as its hash gives that away."""
    deployment, current = case.deployment, case.lane.current
    earlier = [found.commit_sha for found in store.successes(tx, *deployment.lane, limit=_MOST_BASES)]
    for base in dict.fromkeys([deployment.base_sha, None, *earlier]):
        for known in (True, False):
            if judge.content(deployment, base, known=known).startswith(seen):
                return (
                    f"{_short(base)} ran in {deployment.environment} then, and "
                    f"{_short(current.commit_sha if current else None)} does now"
                )
    return f"its start, or what {deployment.environment} demands, was changed"


def _short(commit: str | None) -> str:
    return commit[:12] if commit else "nothing that is known"


# --- passing gates -------------------------------------------------------------------------------


def _check_passable(case: _Case, name: str, principal: Principal) -> None:
    deployment, gate = case.deployment, case.gates.get(name)
    if gate is None:
        raise Refused(
            f"#{deployment.number} has no gate {plain(name, limit=64)}; it has {', '.join(case.gates)}",
            reason="no_such_gate",
        )
    if gate.open and gate.overridden_by is None:
        raise Refused(f"the gate {name} is open: {gate.sentence}", reason="gate_open")
    roles = judge.roles_to_pass(case.inputs, name)
    if not roles:
        raise Forbidden(
            f"nobody may pass {name} in {deployment.environment}: no role is stated for it. {gate.sentence}",
            reason="not_overridable",
        )
    if not judge.may_pass(case.inputs, name, principal):
        raise Forbidden(
            f"passing {name} in {deployment.environment} needs {spoken(sorted(roles), 'and')}; "
            f"{principal.name} is not",
            reason="not_overridable",
        )


def _pass(tx: Tx, case: _Case, name: str, principal: Principal, reason: str) -> None:
    deployment = case.deployment
    if case.gates[name].overridden_by is not None:
        return
    override = Approval(
        by=principal.id,
        at=case.lane.now,
        verdict=Verdict.OVERRIDDEN,
        gate=name,
        content=case.inputs.content,
        note=reason,
    )
    decisions.insert(tx, deployment.id, override)
    tx.append(events.GateOverridden(**deployment.identity, gate=name, reason=reason), by=principal)


# --- what follows --------------------------------------------------------------------------------


def _case(tx: Tx, deployment: Deployment, now: int) -> _Case:
    if deployment.status is not Status.PENDING:
        raise Refused(
            f"deployment {deployment.id} is {deployment.status}; only one that waits can be decided on",
            reason="not_pending",
        )
    lane = lifecycle.facts(tx, *deployment.lane, now)
    if deployment.guard is None:
        raise Refused(
            f"nothing is demanded of #{deployment.number}: {lanes.hold(lane, deployment)}",
            reason="nothing_to_approve",
        )
    return _Case(deployment, lane, keeper.inputs(tx, lane, [deployment])(deployment))


def _judged_again(tx: Tx, case: _Case) -> dict[str, Gate]:
    lane = lifecycle.facts(tx, *case.deployment.lane, case.lane.now)
    return {gate.name: gate for gate in lane.gates[case.deployment.id]}


def _queue_again(tx: Tx, case: _Case) -> Deployment:
    """Whoever opens a gate gives the deployment its place: first in, first out by approval."""
    deployment, now = case.deployment, case.lane.now
    opened = any(gate.open and not case.gates[name].open for name, gate in _judged_again(tx, case).items())
    store.change(tx, deployment, queued_at=now if opened else deployment.queued_at)
    lifecycle.supersede(tx, lifecycle.facts(tx, *deployment.lane, now))
    return store.require(tx, deployment.id)
