"""Whether the gates before one deployment are open, as pure functions over what the store knew at one moment.

Called with every look at a lane, and again in the transaction that starts a deployment: nothing that was
found open earlier is believed then.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dg.core.access.models import Principal
from dg.core.access.names import one_name
from dg.core.clock import SECOND
from dg.core.deployments.gates import expressions
from dg.core.deployments.gates.demands import Approvals, Guard
from dg.core.deployments.gates.names import means, spoken
from dg.core.deployments.gates.windows import Standing, standing
from dg.core.deployments.lanes import spoken_time
from dg.core.deployments.models import Approval, Deployment, Gate, Verdict
from dg.core.types import Environment
from dg.settings.units import format_duration

APPROVALS, REQUIRES, SOAK, KEYS, WINDOW = "approvals", "requires", "soak", "keys", "window"

_NAMED = 5
"""Keys that a sentence names; of more it says how many."""


@dataclass(frozen=True)
class Success:
    """A deployment of the same commit that went well in an earlier environment and still stands."""

    deployment: str
    at: int
    outputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Inputs:
    """What is known about one waiting deployment at `now` (microseconds).

    `content` is the hash that approvals must be bound to; `approvals` are all decisions, the void ones too;
    `people` are those who made them, by id, as far as they may do anything still; `facts` are what
    expressions ask about; `missing` are the keys that another environment has and this one lacks.
    """

    deployment: Deployment
    guard: Guard
    now: int
    content: str
    approvals: Sequence[Approval] = ()
    people: Mapping[str, Principal] = field(default_factory=dict)
    successes: Mapping[Environment, Success] = field(default_factory=dict)
    facts: Mapping[str, expressions.Value] = field(default_factory=dict)
    missing: Mapping[Environment, Sequence[str]] = field(default_factory=dict)


def content(deployment: Deployment, base: str | None, *, known: bool) -> str:
    """SHA-256 over all that an approval is given to: 64 hex digits.

    `base` is the commit that runs in the lane, against which the difference is shown; `known` False when
    nobody can say what runs there.
    """
    guard = deployment.guard.text() if deployment.guard else ""
    bound = [
        *("dg.content/1", *deployment.lane, deployment.commit_sha, deployment.version),
        *(deployment.pipeline_sha256, deployment.not_before, base, known, guard),
    ]
    return hashlib.sha256(json.dumps(bound, separators=(",", ":")).encode()).hexdigest()


def judge(inputs: Inputs) -> tuple[Gate, ...]:
    """Every gate before the deployment, those that people open first."""
    return tuple(_overridden(inputs, gate) for gate in _judged(inputs))


def _judged(inputs: Inputs) -> Iterator[Gate]:
    guard = inputs.guard
    if guard.approvals:
        yield _approvals(inputs)
    if guard.requires:
        yield _requires(inputs)
    if guard.soak:
        yield _soak(inputs)
    if guard.keys_of:
        yield _keys(inputs)
    if guard.calendars:
        yield _window(inputs)
    for expression in guard.gates:
        answer = expressions.holds(expression, inputs.facts)
        # Receipts hold no fractions, which JSON writes in more than one way.
        values = {
            name: str(value) if isinstance(value, float) else value for name, value in answer.values.items()
        }
        yield Gate(name=expression, open=answer.open, sentence=f"{answer.sentence}.", values=values)


# --- approvals -----------------------------------------------------------------------------------


def counts(rule: Approvals, person: Principal, deployment: Deployment) -> bool:
    """True when the approval of `person` counts for `rule`: never a service's, never the maker's own."""
    if person.kind != "person" or not any(
        means(name, person, deployment.environment, deployment.service) for name in rule.people
    ):
        return False
    return rule.own or not is_maker(person, deployment)


def is_maker(person: Principal, deployment: Deployment) -> bool:
    """True for whoever made the deployment, under whichever of their tokens."""
    return person.id == deployment.created_by or one_name(person.name) == one_name(
        deployment.created_by_name or ""
    )


def given(inputs: Inputs, rule: Approvals) -> list[str]:
    """Ids of the different people whose approvals count for `rule` now."""
    found: dict[str, str] = {}
    for approval in inputs.approvals:
        person = inputs.people.get(approval.by)
        if person is not None and stands(inputs, approval) and counts(rule, person, inputs.deployment):
            found.setdefault(one_name(person.name), person.id)
    return list(found.values())


def stands(inputs: Inputs, approval: Approval) -> bool:
    """True for an approval of exactly this content that was not voided and has not expired."""
    return (
        approval.verdict is Verdict.APPROVED
        and approval.voided_at is None
        and approval.content == inputs.content
        and (approval.expires_at is None or approval.expires_at > inputs.now)
    )


def _approvals(inputs: Inputs) -> Gate:
    have = [(rule, given(inputs, rule)) for rule in inputs.guard.approvals]
    missing = [(rule, rule.count - len(people)) for rule, people in have if len(people) < rule.count]
    values: dict[str, str | int | bool] = {
        "needed": max(rule.count for rule, _ in have),
        "given": len({person for _, people in have for person in people}),
    }
    if not missing:
        return Gate(name=APPROVALS, open=True, sentence=_approved(inputs, have), values=values)
    who = spoken(name for rule, _ in missing for name in rule.people)
    count = max(number for _, number in missing)
    since = spoken_time(inputs.deployment.created_at, inputs.now)
    noun = "one approval" if count == 1 else f"{count} approvals"
    more = f" more ({_names(inputs, have)} approved)" if values["given"] else ""
    sentence = (
        f"It waits for {noun}{more} since {since}{_lost(inputs)}. "
        f"{_capital(who)} can approve it: dg approve {inputs.deployment.id}"
    )
    return Gate(name=APPROVALS, open=False, sentence=sentence, who=who, values=values)


def _approved(inputs: Inputs, have: Sequence[tuple[Approvals, list[str]]]) -> str:
    return f"It was approved by {_names(inputs, have)}."


def _names(inputs: Inputs, have: Sequence[tuple[Approvals, list[str]]]) -> str:
    ids = dict.fromkeys(person for _, people in have for person in people)
    return ", ".join(inputs.people[person].name for person in ids)


def _lost(inputs: Inputs) -> str:
    """Why what was approved before does not count now, for the sentence."""
    said = []
    newest = {approval.by: approval for approval in inputs.approvals if approval.verdict is Verdict.APPROVED}
    for approval in newest.values():
        if approval.by not in inputs.people:
            said.append(f"{_by(approval)} may not approve any more")
        elif approval.void_reason is not None:
            said.append(f"the approval of {_by(approval)} is void: {approval.void_reason}")
        elif not stands(inputs, approval):
            said.append(f"the approval of {_by(approval)} has expired")
    return f" ({'; '.join(said)})" if said else ""


def _by(approval: Approval) -> str:
    return approval.by_name or approval.by


# --- what must have gone well before -------------------------------------------------------------


def _requires(inputs: Inputs) -> Gate:
    deployment = inputs.deployment
    commit = deployment.commit_sha[:12]
    missing = [name for name in inputs.guard.requires if name not in inputs.successes]
    values: dict[str, str | int | bool] = {
        name.value: inputs.successes[name].deployment if name in inputs.successes else ""
        for name in inputs.guard.requires
    }
    if not missing:
        where = " and ".join(inputs.guard.requires)
        return Gate(
            name=REQUIRES, open=True, sentence=f"{commit} went well in {where} before.", values=values
        )
    sentence = (
        f"It waits until {commit} has gone well in {' and '.join(missing)}. "
        f"Deploy it there: dg deploy {deployment.service} {commit} --env {missing[0]}"
    )
    return Gate(name=REQUIRES, open=False, sentence=sentence, values=values)


def _soak(inputs: Inputs) -> Gate:
    wanted = inputs.guard.soak
    long = format_duration(wanted)
    where = " and ".join(inputs.guard.requires)
    values: dict[str, str | int | bool] = {"needed": int(wanted)}
    if any(name not in inputs.successes for name in inputs.guard.requires):
        sentence = f"It waits {long} after its success in {where}, which is still to come."
        return Gate(name=SOAK, open=False, sentence=sentence, values=values)
    began = max(inputs.successes[name].at for name in inputs.guard.requires)
    ends = began + int(wanted * SECOND)
    values["soaked"] = max(0, inputs.now - began) // SECOND
    if ends <= inputs.now:
        return Gate(name=SOAK, open=True, sentence=f"It ran in {where} for {long} or longer.", values=values)
    sentence = f"It soaks in {where} for {long}, until {spoken_time(ends, inputs.now)}, and then goes on."
    return Gate(name=SOAK, open=False, sentence=sentence, opens_at=ends, values=values)


# --- what it is configured with ------------------------------------------------------------------


def _keys(inputs: Inputs) -> Gate:
    environment, others = inputs.deployment.environment, inputs.guard.keys_of
    lacking = {other: inputs.missing.get(other, ()) for other in others}
    lacking = {other: keys for other, keys in lacking.items() if keys}
    values: dict[str, str | int | bool] = {"missing": len({key for keys in lacking.values() for key in keys})}
    if not lacking:
        sentence = f"{environment} has every key that {' and '.join(others)} has."
        return Gate(name=KEYS, open=True, sentence=sentence, values=values)
    said = "; ".join(f"{other} has {_some(keys)}" for other, keys in lacking.items())
    sentence = (
        f"It waits until {environment} has every key of {' and '.join(lacking)}: {said}. "
        f"Compare them, and set what is missing: dg env diff {next(iter(lacking))} {environment}"
    )
    return Gate(name=KEYS, open=False, sentence=sentence, values=values)


def _some(keys: Sequence[str]) -> str:
    rest = len(keys) - _NAMED
    return ", ".join(keys[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")


# --- windows -------------------------------------------------------------------------------------


def _window(inputs: Inputs) -> Gate:
    found = standing(inputs.guard.calendars, inputs.now)
    environment = inputs.deployment.environment
    if found.open:
        closes = f" until {spoken_time(found.closes_at, inputs.now)}" if found.closes_at else ""
        return Gate(
            name=WINDOW,
            open=True,
            sentence=f"{environment} takes deployments{closes}.",
            values={"open": True},
        )
    who = spoken(sorted(found.override), "and") if found.override else None
    opens = f" until {spoken_time(found.opens_at, inputs.now)}" if found.opens_at else ""
    pass_it = (
        f"{_capital(who)} can pass it: dg override {inputs.deployment.id} --gate window --reason WHY"
        if who
        else "Nobody can pass it."
    )
    sentence = f"{environment} takes no deployments{opens}{_because(found)}. {pass_it}"
    return Gate(
        name=WINDOW,
        open=False,
        sentence=sentence,
        opens_at=found.opens_at,
        who=who,
        values={"open": False, "closed_by": str(found.closed_by[0])},
    )


def _because(found: Standing) -> str:
    window = found.closed_by[0]
    why = f": {window.reason.rstrip(' .')}" if window.reason else ""
    return f"{why} ({window})"


# --- overrides -----------------------------------------------------------------------------------


def roles_to_pass(inputs: Inputs, gate: str) -> frozenset[str] | None:
    """The roles, all of them, that somebody needs to pass `gate` now; None when nobody may."""
    if gate == APPROVALS:
        bypasses = [rule.bypass for rule in inputs.guard.approvals]
        return None if None in bypasses else frozenset(name for name in bypasses if name is not None)
    if gate == WINDOW:
        return standing(inputs.guard.calendars, inputs.now).override
    return None


def may_pass(inputs: Inputs, gate: str, person: Principal) -> bool:
    """True when `person` may pass `gate`, which is closed, as things are now."""
    roles = roles_to_pass(inputs, gate)
    lane = inputs.deployment.environment, inputs.deployment.service
    return bool(roles) and person.kind == "person" and all(means(role, person, *lane) for role in roles or ())


def _overridden(inputs: Inputs, gate: Gate) -> Gate:
    """The gate passed, when somebody did who may still."""
    if gate.open:
        return gate
    for approval in inputs.approvals:
        person = inputs.people.get(approval.by)
        if (
            person is not None
            and (approval.verdict, approval.gate) == (Verdict.OVERRIDDEN, gate.name)
            and approval.voided_at is None
            and approval.content == inputs.content
            and may_pass(inputs, gate.name, person)
        ):
            sentence = f"{person.name} passed it: {approval.note}"
            return gate.model_copy(
                update={"open": True, "sentence": sentence, "overridden_by": person.id, "opens_at": None}
            )
    return gate


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
