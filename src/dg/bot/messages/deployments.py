"""The message of one deployment, from the first wish to its end, and what stands in its thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dg.bot.messages import blocks as b
from dg.bot.messages.blocks import Block, Rendered
from dg.bot.messages.text import (
    bar,
    block_of_code,
    code,
    day,
    escape,
    joined,
    moment,
    person,
    sentence,
    span,
    stated,
)
from dg.core.clock import SECOND
from dg.core.deployments.models import (
    ACTIVE,
    Changes,
    Deployment,
    Gate,
    Kind,
    Lane,
    Lock,
    Progress,
    Reason,
    Status,
    Step,
    StepStatus,
    Verdict,
)
from dg.core.text import counted

APPROVE, REJECT, CANCEL, RETRY, ROLL_BACK, UNLOCK = (
    f"dg_{name}" for name in ("approve", "reject", "cancel", "retry", "rollback", "unlock")
)
THREAD_BUDGET = 2800

_MOST_STEPS = 12
_MOST_COMMITS = 3
_MOST_IN_THREAD = 20
_ICONS = {
    Status.PENDING: ":hourglass:",
    Status.BUILDING: ":hammer_and_wrench:",
    Status.DEPLOYING: ":rocket:",
    Status.SUCCESS: ":white_check_mark:",
    Status.FAILED: ":x:",
    Status.ROLLED_BACK: ":leftwards_arrow_with_hook:",
}
_STEP_ICONS = {
    StepStatus.PENDING: ":white_small_square:",
    StepStatus.RUNNING: ":arrow_forward:",
    StepStatus.SUCCESS: ":ballot_box_with_check:",
    StepStatus.FAILED: ":x:",
    StepStatus.SKIPPED: ":heavy_minus_sign:",
}
STOPPED = frozenset({Reason.CANCELLED, Reason.REJECTED, Reason.EXPIRED, Reason.SUPERSEDED})


@dataclass(frozen=True)
class Shown:
    """All that a deployment's message is made of. `accounts` are users in Slack by principal.

    `mention` is who is called for an approval, in a new message only; `url` leads to it. `superseded` says
    that something which came later runs there.
    """

    progress: Progress
    lane: Lane | None = None
    changes: Changes | None = None
    accounts: Mapping[str, str] = field(default_factory=dict)
    mention: str | None = None
    url: str | None = None
    superseded: bool = False

    @property
    def deployment(self) -> Deployment:
        return self.progress.deployment


def deployment(shown: Shown) -> Rendered:
    """The one message of a deployment."""
    told = shown.deployment
    found = [b.section(_head(shown)), b.section(_state(shown))]
    if told.status not in (Status.PENDING, Status.SUCCESS) and shown.progress.steps:
        found.append(b.section(_steps(shown.progress.steps)))
    if told.status is Status.PENDING and (approval := waits_for_approval(told)):
        found.append(b.section(_approval(shown, approval)))
    if shown.changes and (shown.changes.total or shown.changes.leaving_total):
        found.append(b.context(_changes(shown.changes)))
    found.append(b.context(_people(shown)))
    if buttons := _buttons(shown):
        found.append(b.actions(*buttons))
    return Rendered(escape(summary(told)), tuple(found))


def line(told: Deployment) -> str:
    """One line with a sign for how it is."""
    return f"{icon(told)} {escape(summary(told), 200)}"


def summary(told: Deployment) -> str:
    """One line that says it all, as plain text."""
    verb = {Kind.ROLLBACK: "rolls back to"}.get(told.kind, "→")
    where = f"{told.service} {verb} {told.version} in {told.environment.value}"
    return f"{where}: {word(told)} (#{told.number})"


def stamp(told: Deployment) -> str:
    """What a button of this state carries: which deployment, and in which of its lives it was shown."""
    return f"{told.id}:{told.epoch}"


def approval_stamp(told: Deployment) -> str:
    """What Approve carries: the deployment, and what of it was shown. An approval is given to that alone."""
    return f"{told.id}:{(told.content or '')[:16]}"


def waits_for_approval(told: Deployment) -> Gate | None:
    """The closed gate that people open."""
    gates = told.gates or ()
    return next((gate for gate in gates if gate.name == "approvals" and not gate.open), None)


def word(told: Deployment) -> str:
    """How it is, in a word or two."""
    if told.status is Status.FAILED and told.reason in STOPPED:
        return told.reason.value
    if told.status is Status.PENDING and waits_for_approval(told):
        return "waits for approval"
    return {Status.ROLLED_BACK: "rolled back", Status.PENDING: "waits"}.get(told.status, told.status.value)


def _head(shown: Shown) -> str:
    told = shown.deployment
    arrow = ":rewind: back to" if told.kind is Kind.ROLLBACK else "→"
    if told.kind is Kind.ROLLBACK:
        what = f"*{escape(told.service)}* {arrow} {code(told.version)} in *{told.environment.value}*"
    else:
        what = f"*{escape(told.service)}* {code(told.version)} {arrow} *{told.environment.value}*"
    return f"{icon(told)} {what}  ·  {number(told, shown.url)}"


def number(told: Deployment, url: str | None) -> str:
    """What people call it, leading to it where there is an address."""
    return f"<{url}|#{told.number}>" if url else f"#{told.number}"


def icon(told: Deployment) -> str:
    """The sign for how it is."""
    if told.status is Status.FAILED and told.reason in STOPPED:
        return ":no_entry_sign:"
    waits = told.status is Status.PENDING and waits_for_approval(told)
    return ":raised_hand:" if waits else _ICONS[told.status]


def _state(shown: Shown) -> str:
    told = shown.deployment
    match told.status:
        case Status.PENDING:
            return _hold(told)
        case Status.BUILDING | Status.DEPLOYING:
            return _running(shown)
        case Status.SUCCESS:
            return _succeeded(shown)
        case Status.ROLLED_BACK:
            why = stated(escape(told.message, 400)) + " " if told.message else ""
            return f"{why}It was rolled back.{_locked(shown)}"
        case _:
            return _ended(shown)


def _succeeded(shown: Shown) -> str:
    told, lane = shown.deployment, shown.lane
    at = f"{moment(told.completed_at or told.created_at)}{_took(told)}."
    if lane is None or is_current(told, lane):
        return f"Runs there since {at}"
    return f"It went well at {at}" + (" Another runs there by now." if lane.current else "")


def _hold(told: Deployment) -> str:
    """What it waits for. Who may approve it has a button for that here."""
    hold = told.hold or "It waits for its turn."
    approve = f": dg approve {told.id}"
    return stated(escape(hold.removesuffix(approve), 600)) if hold.endswith(approve) else sentence(hold, 600)


def _running(shown: Shown) -> str:
    told, progress = shown.deployment, shown.progress
    step = next((step for step in progress.steps if step.status is StepStatus.RUNNING), None)
    if told.cancel_requested_at is not None:
        doing = "stopping"
    else:
        doing = escape(step.name, 60) if step else told.status.value
    about = progress.estimated_completion
    eta = f" · done about {moment(about)}" if about and told.cancel_requested_at is None else ""
    return f"`{bar(progress.progress)}` {progress.progress:.0f} %  {doing}{eta}"


def _ended(shown: Shown) -> str:
    told = shown.deployment
    why = escape(told.message or (told.reason.value if told.reason else "it failed"), 500)
    found = [f"{stated(why).removesuffix('.')}{_took(told)}."]
    if told.touched and told.reason not in STOPPED:
        found.append("A deploy step had begun.")
    return "\n".join(found) + ("" if told.reason in STOPPED else _locked(shown))


def _locked(shown: Shown) -> str:
    """What a deployment that went wrong leaves: a lane that somebody has to open."""
    lane = shown.lane
    return f"\n:lock: {sentence(lane.sentence, 600)}" if lane is not None and lane.lock else ""


def _took(told: Deployment) -> str:
    if told.started_at is None or told.completed_at is None:
        return ""
    seconds = (told.completed_at - told.started_at) / SECOND
    return f", after {span(seconds)}" if seconds >= 1 else ""


def _steps(steps: tuple[Step, ...]) -> str:
    first = next((at for at, step in enumerate(steps) if step.status is not StepStatus.SUCCESS), len(steps))
    begin = max(0, min(first - 4, len(steps) - _MOST_STEPS))
    lines = [f"_{begin} before_"] if begin else []
    lines += [_step(step) for step in steps[begin : begin + _MOST_STEPS]]
    left = len(steps) - begin - _MOST_STEPS
    return "\n".join([*lines, f"_{left} more_"] if left > 0 else lines)


def _step(step: Step) -> str:
    took = f"  {span(step.seconds)}" if step.seconds is not None and step.seconds >= 1 else ""
    return f"{_STEP_ICONS[step.status]} {escape(step.name, 60)}{took}"


def _approval(shown: Shown, gate: Gate) -> str:
    given, needed = gate.values.get("given", 0), gate.values.get("needed", 1)
    called = f"  {shown.mention}" if shown.mention else ""
    until = shown.deployment.expires_at
    return f"*{given} of {needed}* approvals{called}" + (f" · until {day(until)}" if until else "")


def _changes(changes: Changes) -> str:
    commits = [f"{code(one.sha[:7])} {escape(one.subject, 80)}" for one in changes.commits[:_MOST_COMMITS]]
    more = f" _and {changes.total - len(commits)} more_" if changes.total > len(commits) else ""
    count = counted(changes.total, "commit")
    leaving = f" · takes {changes.leaving_total} back" if changes.leaving_total else ""
    return f"{count}{leaving}: " + " · ".join(commits) + more if commits else f"{count}{leaving}"


def _people(shown: Shown) -> str:
    told = shown.deployment
    parts = [f"by {person(told.created_by, told.created_by_name, shown.accounts)}"]
    agreed = [
        person(each.by, each.by_name, shown.accounts)
        for each in told.approvals or ()
        if each.verdict is Verdict.APPROVED and each.voided_at is None
    ]
    if agreed:
        parts.append(f"approved by {joined(list(dict.fromkeys(agreed)))}")
    passed = [each for each in told.approvals or () if each.verdict is Verdict.OVERRIDDEN]
    parts += [
        f":warning: {person(each.by, each.by_name, shown.accounts)} passed {escape(each.gate or '', 40)}: "
        f"{escape(each.note or '', 120)}"
        for each in passed[:2]
    ]
    if told.override:
        parts.append(f":warning: override: {escape(told.override, 120)}")
    if told.note:
        parts.append(escape(told.note, 200))
    return " · ".join(parts)


def _buttons(shown: Shown) -> list[Block]:
    told = shown.deployment
    if told.status is Status.PENDING:
        return _while_it_waits(told)
    if told.status in ACTIVE:
        return [] if told.cancel_requested_at is not None else [_cancel(told)]
    lane = shown.lane
    if told.status is Status.SUCCESS:
        return [roll_back(told)] if is_current(told, lane) else []
    if told.status is Status.ROLLED_BACK:
        return _unlock(lane)
    if told.status is Status.FAILED and told.reason not in STOPPED:
        return _after_it_failed(shown)
    return []


def is_current(told: Deployment, lane: Lane | None) -> bool:
    """Whether it is what runs in its lane."""
    return told.status is Status.SUCCESS and lane is not None and lane.current == told.id


def _while_it_waits(told: Deployment) -> list[Block]:
    if not waits_for_approval(told):
        return [_cancel(told)]
    where = f"*{escape(told.service)}* {code(told.version)} to *{told.environment.value}*"
    agree = b.confirmation("Approve this?", f"{where}, as it is shown here.", "Approve")
    return [
        b.button("Approve", APPROVE, approval_stamp(told), "primary", agree),
        b.button("Reject…", REJECT, stamp(told), "danger"),
        _cancel(told),
    ]


def _cancel(told: Deployment) -> Block:
    what = "It ends." if told.status is Status.PENDING else "What its steps have changed stays changed."
    return b.button("Cancel", CANCEL, stamp(told), None, b.confirmation("Stop it?", what, "Stop", "danger"))


def roll_back(told: Deployment) -> Block:
    """The button that asks before it brings back what ran before `told`."""
    return b.button("Roll back…", ROLL_BACK, stamp(told), "danger")


def _after_it_failed(shown: Shown) -> list[Block]:
    told, lane, found = shown.deployment, shown.lane, []
    if not shown.superseded:
        found.append(b.button("Retry", RETRY, stamp(told), None, _sure_to_retry(told)))
        if lane is not None and told.touched and lane.holder is None:
            found.append(roll_back(told))
    return found + _unlock(lane)


def _unlock(lane: Lane | None) -> list[Block]:
    return [] if lane is None or lane.lock is None else [unlock(lane, lane.lock)]


def unlock(lane: Lane, lock: Lock) -> Block:
    """The button that opens a lane, as long as it is this lock that closes it."""
    value = f"{lane.service}/{lane.environment.value}:{lock.since}"
    sure = b.confirmation("Unlock the lane?", escape(lock.reason, 250), "Unlock")
    return b.button("Unlock", UNLOCK, value, None, sure)


def _sure_to_retry(told: Deployment) -> Block:
    what = "from the step that failed; what went well is not run again."
    return b.confirmation("Retry it?", f"#{told.number} goes on {what}", "Retry")


# --- the thread ----------------------------------------------------------------------------------


def log_tail(told: Deployment, lines: Sequence[str]) -> Rendered:
    """The last lines of a deployment that failed."""
    head = f"The last lines of #{told.number}, whole with `dg logs {told.id}`"
    shown = block_of_code(lines, THREAD_BUDGET - len(head))
    return Rendered(head, (b.section(f"{head}\n{shown}"),))


def commit_list(told: Deployment, changes: Changes) -> Rendered:
    """What a deployment that waits for people would bring."""
    commits = changes.commits[:_MOST_IN_THREAD]
    lines = [f"{code(one.sha[:7])} {escape(one.subject, 72)} _{escape(one.author, 30)}_" for one in commits]
    left = changes.total - len(lines)
    back = [f":warning: takes {changes.leaving_total} commits back"] if changes.leaving_total else []
    more = [f"_and {left} more_"] if left > 0 else []
    base = code(changes.base[:7]) if changes.base else "what ran before is not known"
    count = counted(changes.total, "commit")
    head = f"#{told.number} brings {count}: {base} → {code(changes.head[:7])}"
    return Rendered(head.replace("`", ""), (b.section("\n".join([head, *lines, *more, *back])),))
