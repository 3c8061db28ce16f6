"""Gates that open by themselves, those that people pass, and what becomes of a queue."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.core.deployments.gates.yard import HOUR, MINUTE, Yard, closed, open_yard
from tests.core.deployments.world import ADMIN, OPERATOR

from dg.core.clock import to_micros
from dg.core.database import Tx
from dg.core.deployments import lanes, lifecycle
from dg.core.deployments.models import (
    BlockVersion,
    CreateDeployment,
    Deployment,
    LockLane,
    Reason,
    RequestRollback,
    SetFreeze,
    Status,
)
from dg.core.errors import Forbidden, Problem, Refused
from dg.core.testing import ManualClock
from dg.core.types import Environment

SECOND = 1_000_000
FRIDAY = to_micros(datetime(2026, 11, 27, 16, 0, tzinfo=UTC))
"""17:00 on a Friday in Berlin."""
WEEKEND = (
    'windows = [{ deny = "0 17 * * FRI", for = "63h", tz = "Europe/Berlin", '
    'override = "role:admin", reason = "nobody is here" }]'
)


async def refusal(kind: type[Problem], call: Any) -> Problem:
    with pytest.raises(kind) as caught:
        await call
    return caught.value


async def started(yard: Yard) -> Deployment:
    found = await yard.start()
    assert found is not None
    return found


async def moments(yard: Yard) -> list[int]:
    return lanes.moments(await yard.desk().facts())


# --- requires and soak


async def test_it_waits_for_the_same_commit_in_an_earlier_environment(yard: Yard) -> None:
    await yard.demand('requires = ["staging"]')
    made = await yard.ask("v2")
    commit = made.commit_sha[:12]
    assert made.hold == (
        f"It waits until {commit} has gone well in staging. "
        f"Deploy it there: dg deploy web {commit} --env staging"
    )
    await yard.succeed("v1", "staging")
    assert closed(await yard.look(made)) == ["requires"]
    good = await yard.succeed("v2", "staging")
    seen = await yard.look(made)
    assert closed(seen) == []
    assert seen.gates is not None
    assert seen.gates[0].values == {"staging": good.id}
    assert (await started(yard)).id == made.id


async def test_what_was_rolled_back_there_counts_no_more(yard: Yard) -> None:
    await yard.demand('requires = ["staging"]')
    await yard.succeed("v1", "staging")
    await yard.succeed("v2", "staging")
    made = await yard.ask("v2")
    assert closed(made) == []
    await yard.world.core.deployments.rollback_lane(OPERATOR, "web", Environment.STAGING, RequestRollback())
    rollback = await yard.start("staging")
    assert rollback is not None
    await yard.desk("staging").end(rollback)
    assert closed(await yard.look(made)) == ["requires"]
    assert await yard.start() is None


async def test_an_earlier_success_of_what_was_rolled_back_there_since_counts_no_more(yard: Yard) -> None:
    await yard.demand('requires = ["staging"]')
    for ref in ("v2", "v1", "v2"):
        await yard.succeed(ref, "staging")
    made = await yard.ask("v2")
    assert closed(made) == []
    await yard.world.core.deployments.rollback_lane(OPERATOR, "web", Environment.STAGING, RequestRollback())
    rollback = await yard.start("staging")
    assert rollback is not None
    await yard.desk("staging").end(rollback)
    assert closed(await yard.look(made)) == ["requires"]


async def test_it_soaks_from_that_success_and_then_starts_by_itself(yard: Yard) -> None:
    await yard.demand('requires = ["staging"]\nsoak = "20m"')
    made = await yard.ask("v2")
    assert closed(made) == ["requires", "soak"]
    good = await yard.succeed("v2", "staging")
    assert good.completed_at is not None
    seen = await yard.look(made)
    assert closed(seen) == ["soak"]
    ends = good.completed_at + 20 * 60 * SECOND
    assert seen.hold == (
        f"It soaks in staging for 20m, until {lanes.spoken_time(ends, yard.clock.micros())}, "
        "and then goes on."
    )
    assert await moments(yard) == [ends]
    yard.clock.jump(20 * MINUTE - 0.000_001)
    assert await yard.start() is None
    yard.clock.jump(0.000_001)
    assert (await started(yard)).id == made.id


async def test_a_redeploy_there_does_not_begin_the_soak_anew(yard: Yard) -> None:
    await yard.demand('requires = ["staging"]\nsoak = "20m"')
    await yard.succeed("v2", "staging")
    yard.clock.jump(20 * MINUTE)
    await yard.succeed("v2", "staging")
    assert closed(await yard.ask("v2")) == []


async def test_both_earlier_environments_may_be_required(yard: Yard) -> None:
    await yard.demand('requires = ["development", "staging"]')
    await yard.succeed("v2", "staging")
    made = await yard.ask("v2")
    assert "gone well in development." in str(made.hold)
    await yard.succeed("v2", "development")
    assert closed(await yard.look(made)) == []


# --- windows


async def test_a_window_closes_and_opens_by_itself(tmp_path: Path) -> None:
    async with open_yard(tmp_path, ManualClock(FRIDAY - 10 * SECOND)) as yard:
        await yard.demand(WEEKEND)
        early = await yard.ask("v1")
        assert closed(early) == []
        yard.clock.jump(9)
        late = await yard.look(early)
        assert late.hold == (
            "production takes no deployments until 07:00 UTC on 2026-11-30: nobody is here "
            "(deny: at 17:00 on Friday for 2d15h (Europe/Berlin)). "
            f"An admin can pass it: dg override {early.id} --gate window --reason WHY"
        )
        assert await yard.start() is None
        monday = to_micros(datetime(2026, 11, 30, 7, 0, tzinfo=UTC))
        assert await moments(yard) == [monday]
        facts = await yard.desk().facts()
        assert lanes.starts(facts, facts.now, lambda _: 1.0) == {early.id: monday}
        yard.clock.jump(63 * HOUR)
        assert (await started(yard)).id == early.id


async def test_an_admin_passes_a_window_for_a_reason_and_everybody_hears_of_it(tmp_path: Path) -> None:
    async with open_yard(tmp_path, ManualClock(FRIDAY)) as yard:
        await yard.demand(WEEKEND)
        made = await yard.ask("v1")
        problem = await refusal(Forbidden, yard.override(made, await yard.person("ben"), "window"))
        assert problem.message == "passing window in production needs an admin; ben is not"
        admin = await yard.person("ada", "admin")
        passed = await yard.override(made, admin, "window")
        assert closed(passed) == []
        assert passed.gates is not None
        assert (passed.gates[0].overridden_by, passed.gates[0].sentence) == (
            admin.id,
            "ada passed it: the shop is down",
        )
        (entry,) = await yard.entries("gate.overridden")
        assert (entry.actor, entry.payload["gate"], entry.payload["alert"]) == (admin.id, "window", True)
        assert await yard.override(made, admin, "window") == await yard.look(made)
        assert len(await yard.entries("gate.overridden")) == 1
        assert (await started(yard)).id == made.id


async def test_an_override_of_somebody_who_lost_the_role_passes_nothing(tmp_path: Path) -> None:
    async with open_yard(tmp_path, ManualClock(FRIDAY)) as yard:
        await yard.demand(WEEKEND)
        made = await yard.ask("v1")
        admin = await yard.person("ada", "admin")
        await yard.override(made, admin, "window")
        await yard.revoke(admin)
        assert await yard.start() is None


async def test_nothing_is_passed_where_no_role_is_stated(yard: Yard) -> None:
    await yard.demand('requires = ["staging"]\napprovals = {}\ngates = ["lane.failures == 1"]')
    made = await yard.ask("v1")
    for name in ("approvals", "requires", "lane.failures == 1"):
        problem = await refusal(Forbidden, yard.override(made, ADMIN, name))
        assert problem.reason == "not_overridable"
        assert "no role is stated for it" in problem.message
    problem = await refusal(Refused, yard.override(made, ADMIN, "window"))
    assert problem.message == (
        f"#{made.number} has no gate window; it has approvals, requires, lane.failures == 1"
    )


async def test_of_several_gates_all_are_passed_or_none(tmp_path: Path) -> None:
    async with open_yard(tmp_path, ManualClock(FRIDAY)) as yard:
        await yard.demand(f'approvals = {{ bypass = "role:admin" }}\n{WEEKEND}\nrequires = ["staging"]')
        made = await yard.ask("v1")
        admin = await yard.person("ada", "admin")
        await refusal(Forbidden, yard.override(made, admin, "approvals", "window", "requires"))
        assert closed(await yard.look(made)) == ["approvals", "requires", "window"]
        assert closed(await yard.override(made, admin, "approvals", "window")) == ["requires"]


async def test_an_open_gate_is_not_passed(yard: Yard) -> None:
    await yard.demand('approvals = { bypass = "role:admin" }')
    made = await yard.approve(await yard.ask(), await yard.person("ben"))
    problem = await refusal(Refused, yard.override(made, await yard.person("ada", "admin"), "approvals"))
    assert problem.reason == "gate_open"
    assert problem.message == "the gate approvals is open: It was approved by ben."


async def test_a_bypass_is_void_when_what_runs_there_moves(yard: Yard) -> None:
    await yard.succeed("v1", "production")
    await yard.demand('approvals = { bypass = "role:admin" }')
    admin = await yard.person("ada", "admin")
    first, second = await yard.ask("v2"), await yard.ask("v3")
    for one in (first, second):
        await yard.override(one, admin, "approvals")
    await yard.desk().end(await started(yard))
    assert closed(await yard.look(second)) == ["approvals"]


# --- expressions


async def test_what_an_earlier_environment_recorded_opens_a_gate(yard: Yard) -> None:
    await yard.demand("gates = [\"artefact.scan == 'passed'\"]")
    made = await yard.ask("v2")
    assert closed(made) == ["artefact.scan == 'passed'"]
    assert "no earlier environment recorded `artefact.scan` for this commit" in str(made.hold)
    await yard.succeed("v1", "staging", scan="passed")
    assert len(closed(await yard.look(made))) == 1
    await yard.succeed("v2", "staging", scan="passed")
    assert closed(await yard.look(made)) == []


async def test_failures_in_a_row_close_a_gate_until_somebody_deploys_without_it(yard: Yard) -> None:
    await yard.demand('gates = ["lane.failures < 2"]')
    for version in ("v1", "v2"):
        made = await yard.ask(version)
        assert closed(made) == []
        await yard.desk().end(await started(yard), "failed", Reason.STEP_FAILED, "it broke")
    held = await yard.ask("v3")
    assert held.hold == "`lane.failures < 2` does not hold: lane.failures is 2."


# --- the queue


async def test_the_latest_takes_all_turns(yard: Yard) -> None:
    await yard.demand('queue = "latest"')
    first = await yard.ask("v1")
    assert (await started(yard)).id == first.id
    second, third = await yard.ask("v2"), await yard.ask("v3")
    ended = await yard.look(second)
    assert (ended.status, ended.reason) == (Status.FAILED, Reason.SUPERSEDED)
    assert ended.message == f"#{third.number} (v3) took its place: production takes only the latest"
    assert (await yard.look(first)).status is Status.DEPLOYING
    assert (await yard.look(third)).status is Status.PENDING


async def test_an_approved_one_never_yields_to_one_without(yard: Yard) -> None:
    await yard.demand('queue = "latest"\napprovals = {}')
    ben = await yard.person("ben")
    older = await yard.approve(await yard.ask("v1"), ben)
    newer = await yard.ask("v2")
    assert (await yard.look(older)).status is Status.PENDING
    await yard.approve(newer, ben)
    assert (await yard.look(older)).reason is Reason.SUPERSEDED


async def test_what_opens_by_itself_ends_the_older_when_it_starts(yard: Yard) -> None:
    await yard.demand('queue = "latest"\nrequires = ["staging"]')
    older, newer = await yard.ask("v1"), await yard.ask("v2")
    for version in ("v1", "v2"):
        await yard.succeed(version, "staging")
    assert (await started(yard)).id == newer.id
    assert (await yard.look(older)).reason is Reason.SUPERSEDED


async def test_a_rollback_is_not_superseded(yard: Yard) -> None:
    for version in ("v1", "v2"):
        await yard.succeed(version, "production")
    await yard.demand('queue = "latest"')
    rollback = await yard.world.core.deployments.rollback_lane(
        OPERATOR, "web", Environment.PRODUCTION, RequestRollback()
    )
    await yard.ask("v3")
    assert (await started(yard)).id == rollback.id


async def test_nobody_waits_where_waiting_is_refused(yard: Yard) -> None:
    await yard.demand('queue = "reject"')
    first = await yard.ask("v1")
    for _ in range(2):
        problem = await refusal(Refused, yard.ask("v2"))
        assert problem.reason == "queue_closed"
        assert f"production lets nobody wait, and #{first.number} (v1) is there" in problem.message
        if (await yard.look(first)).status is Status.PENDING:
            await started(yard)
    await yard.desk().end(await yard.look(first))
    assert (await yard.ask("v2")).status is Status.PENDING


# --- what somebody saw


async def test_a_request_that_saw_another_base_is_refused_with_what_would_come(yard: Yard) -> None:
    await yard.succeed("v1", "production")
    old = yard.world.repository.head("v1")
    await yard.succeed("v2", "production")
    problem = await refusal(Refused, yard.ask("v3", base_sha=old))
    now = yard.world.repository.head("v2")
    assert problem.reason == "outdated_base"
    assert f"{old[:12]} is not what runs in web/production: {now[:12]} runs there now." in problem.message
    assert (problem.details["base"], problem.details["head"]) == (now, yard.world.repository.head("v3"))
    changes = problem.details["changes"]
    assert isinstance(changes, dict)
    assert [commit["subject"] for commit in changes["commits"]] == ["Release 3"]
    for base in (now, now[:7], now.upper()):
        assert (await yard.ask("v3", base_sha=base)).base_sha == now


@pytest.mark.parametrize("base", ["v1", "abc", "g" * 40, "0" * 41])
async def test_a_base_is_a_commit(yard: Yard, base: str) -> None:
    with pytest.raises(Problem, match="base_sha: 7 to 40 hexadecimal digits"):
        await yard.ask("v3", base_sha=base)


# --- together with what a lane knows already


async def test_gates_are_judged_again_in_the_transaction_that_starts_it(yard: Yard) -> None:
    await yard.demand("approvals = {}")
    ben = await yard.person("ben")
    made = await yard.approve(await yard.ask(), ben)
    facts = await yard.desk().facts()
    assert lanes.next_up(facts) is not None
    await yard.revoke(ben)
    assert await yard.start() is None
    assert (await yard.look(made)).status is Status.PENDING


async def test_a_closed_lane_keeps_what_is_approved(yard: Yard) -> None:
    await yard.demand("approvals = {}")
    made = await yard.approve(await yard.ask(), await yard.person("ben"))
    until = yard.clock.micros() + 3600 * SECOND
    lanes_ = yard.world.core.lanes
    await lanes_.freeze(ADMIN, SetFreeze(reason="fair", until=until))
    assert "is frozen" in str((await yard.look(made)).hold)
    assert await yard.start() is None
    await lanes_.thaw(ADMIN)
    await lanes_.lock(ADMIN, "web", "production", LockLane(reason="work", until=until))
    assert await yard.start() is None
    await lanes_.unlock(ADMIN, "web", "production")
    await lanes_.block(ADMIN, "web", "production", BlockVersion(version="v1", reason="bad"))
    assert await yard.start() is None
    assert (await yard.look(made)).reason is Reason.GATE


async def test_it_waits_for_its_gates_before_it_waits_for_its_time(yard: Yard) -> None:
    await yard.demand("approvals = {}")
    begins = yard.clock.micros() + 3600 * SECOND
    made = await yard.ask(not_before=begins)
    assert str(made.hold).startswith("It waits for one approval")
    approved = await yard.approve(made, await yard.person("ben"))
    assert str(approved.hold).startswith("It starts at ")
    assert await moments(yard) == [begins]


async def test_what_was_judged_is_kept_and_goes_into_the_receipt(yard: Yard) -> None:
    await yard.demand(
        'approvals = {}\nrequires = ["staging"]\nsoak = "1m"\ngates = ["minutes_since.staging >= 1"]'
    )
    good = await yard.succeed("v1", "staging")
    yard.clock.jump(2 * MINUTE)
    ben = await yard.person("ben")
    made = await yard.approve(await yard.ask("v1"), ben, note="a secret of ben's")
    ended = await yard.desk().end(await started(yard))
    shown = await yard.look(ended)
    assert [(gate.name, gate.open) for gate in shown.gates or ()] == [
        ("approvals", True),
        ("requires", True),
        ("soak", True),
        ("minutes_since.staging >= 1", True),
    ]
    document = await yard.world.core.deployments.receipt(ADMIN, ended.id)
    body = json.loads(document)["receipt"]
    assert [gate["name"] for gate in body["gates"]] == [gate.name for gate in shown.gates or ()]
    assert body["gates"][1]["values"] == {"staging": good.id}
    assert body["gates"][3]["values"] == {"minutes_since.staging": 2}
    (approval,) = body["approvals"]
    assert (approval["by"], approval["verdict"], approval["content"]) == (ben.id, "approved", made.content)
    assert b"secret of ben" not in document


async def test_a_lane_without_demands_asks_the_store_for_nothing_more(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await yard.ask()
    assert (made.gates, made.approvals, made.content) == (None, None, None)

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("the gates' store was asked")

    for name in ("of", "decisions", "successes", "failures", "kind"):
        monkeypatch.setattr(f"dg.core.deployments.gates.store.{name}", forbidden)
    await yard.look(await yard.ask())
    await yard.world.core.deployments.status(ADMIN, made.id)
    assert (await started(yard)).id == made.id


async def test_many_that_wait_are_looked_at_with_a_few_questions(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    await yard.demand('approvals = {}\nrequires = ["staging"]\nqueue = "all"')
    for version in ("v1", "v2", "v3") * 3:
        await yard.ask(version)
    asked: list[str] = []
    for name in ("all", "one"):
        real = getattr(Tx, name)

        def counted(tx: Tx, *args: Any, _real: Any = real, _name: str = name, **values: Any) -> Any:
            asked.append(_name)
            return _real(tx, *args, **values)

        monkeypatch.setattr(Tx, name, counted)
    now = yard.clock.micros()
    facts = await yard.world.db.read(lambda tx: lifecycle.facts(tx, "web", "production", now))
    assert len(facts.gates) == 9
    assert len(asked) <= 6


async def test_a_gate_may_ask_who_made_it(yard: Yard) -> None:
    await yard.demand("gates = [\"created_by.kind == 'person'\"]")
    by = {name: await yard.person(name, "operator", kind=name) for name in ("person", "service")}
    request = CreateDeployment(environment=Environment.PRODUCTION, ref="v1")
    for name, maker in by.items():
        made = await yard.look(await yard.world.core.deployments.create(maker, request))
        assert (closed(made) == []) is (name == "person")
    unknown = await yard.ask()
    assert "`created_by.kind` is not known here" in str(unknown.hold)


# --- before anything is asked for


async def test_a_preview_says_what_it_would_wait_for(yard: Yard) -> None:
    await yard.succeed("v1", "production")
    await yard.demand('approvals = {}\nrequires = ["staging"]')
    await yard.succeed("v2", "staging")
    request = CreateDeployment(environment=Environment.PRODUCTION, ref="v2")
    found = await yard.world.core.deployments.preview(OPERATOR, request)
    assert [(gate.name, gate.open) for gate in found.gates] == [("approvals", False), ("requires", True)]
    assert found.verdict == "waits"
    assert found.sentence == found.gates[0].sentence
    assert found.sentence.endswith("An approver or an admin can approve it: dg approve ID")
    free = CreateDeployment(environment=Environment.STAGING, ref="v2")
    assert (await yard.world.core.deployments.preview(OPERATOR, free)).gates == ()


async def test_a_preview_says_that_what_was_seen_has_moved(yard: Yard) -> None:
    await yard.succeed("v1", "production")
    old = yard.world.repository.head("v3")
    request = CreateDeployment(environment=Environment.PRODUCTION, ref="v2", base_sha=old)
    found = await yard.world.core.deployments.preview(OPERATOR, request)
    assert [objection.reason for objection in found.objections] == ["outdated_base"]
