"""How deployments are kept: one guarded move between states, whoever tries it and in whatever order."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from tests.core.deployments.desk import Desk, Notebook, at_once, commit_of
from tests.core.vandal import INTEGRITY

from dg.core.deployments import lanes, lifecycle, pipeline, store
from dg.core.deployments.models import (
    ACTIVE,
    FINAL,
    MOVES,
    Block,
    Deployment,
    Freeze,
    Kind,
    LaneState,
    Reason,
    RegisteredPipeline,
    Status,
    Step,
    StepStatus,
)
from dg.core.errors import Refused
from dg.core.testing import NOON, ManualClock
from dg.core.types import Environment


class _OnADesk(RuleBasedStateMachine):
    """A state machine with a desk of its own."""

    def __init__(self) -> None:
        super().__init__()
        clock = ManualClock()
        self._notebook = Notebook(clock)
        self._desk = Desk(self._notebook, clock)

    def teardown(self) -> None:
        self._notebook.close()


class _Moves(_OnADesk):
    """Deployments in lanes of their own, and readers that hold on to what they saw."""

    seen = Bundle("seen")

    def __init__(self) -> None:
        super().__init__()
        self._truth: dict[str, Deployment] = {}
        self._count = 0

    @rule(target=seen)
    def create(self) -> Deployment:
        self._count += 1
        made = at_once(self._desk.ask(f"v{self._count}", service=f"web-{self._count}"))
        self._truth[made.id] = made
        return made

    @rule(target=seen, read=seen, to=st.sampled_from(Status))
    def move(self, read: Deployment, to: Status) -> Deployment:
        truth = self._truth[read.id]
        fresh = (read.epoch, read.revision, read.status) == (truth.epoch, truth.revision, truth.status)
        work = self._desk.write(lambda tx: store.move(tx, read, to))
        if not fresh or to not in MOVES[read.status]:
            with pytest.raises(Refused) as caught:
                at_once(work)
            assert caught.value.reason == ("stale" if to in MOVES[read.status] else "illegal_move")
            return truth
        moved = at_once(work)
        assert truth.status not in FINAL or to is Status.ROLLED_BACK
        assert (moved.status, moved.revision) == (to, truth.revision + 1)
        self._truth[read.id] = moved
        return moved

    @rule(target=seen, read=seen)
    def take_over(self, read: Deployment) -> Deployment:
        truth = self._truth[read.id]
        if truth.status not in ACTIVE:
            return truth
        adopted = at_once(self._desk.write(lambda tx: lifecycle.adopt(tx, truth)))
        assert adopted.epoch == truth.epoch + 1
        self._truth[read.id] = adopted
        return adopted

    @rule(read=consumes(seen))
    def write_late(self, read: Deployment) -> None:
        truth = self._truth[read.id]
        fresh = (read.epoch, read.revision) == (truth.epoch, truth.revision)
        work = self._desk.write(lambda tx: store.change(tx, read, stage="late"))
        if fresh:
            self._truth[read.id] = at_once(work)
            return
        with pytest.raises(Refused) as caught:
            at_once(work)
        assert caught.value.reason == "stale"

    @invariant()
    def what_is_kept_is_what_was_moved(self) -> None:
        for deployment_id, truth in self._truth.items():
            assert at_once(self._desk.read(deployment_id)) == truth


TestMoves = _Moves.TestCase
TestMoves.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)


class _Queue(_OnADesk):
    """One lane through creates, starts, ends, locks and freezes; a model of it beside."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0
        self._running: Deployment | None = None

    @rule(later=st.sampled_from([None, 0, 5_000_000]))
    def create(self, later: int | None) -> None:
        self._count += 1
        moment = None if later is None else self._desk.clock.micros() + later
        at_once(self._desk.ask(f"v{self._count}", not_before=moment))

    @rule()
    def start(self) -> None:
        before = at_once(self._desk.facts())
        started = at_once(self._desk.start())
        assert started is None or started.status in ACTIVE
        if started is None:
            return
        assert self._running is None
        assert (started.not_before or 0) <= before.now
        if started.kind is Kind.ROLLBACK:
            assert before.holder is not None
            assert before.holder.id == started.id
        else:
            assert before.holder is None
            assert lanes.state(before) is LaneState.OPEN
            ahead = [d for d in before.queue if d.queued_at < started.queued_at]
            assert all(
                (d.not_before or 0) > before.now or at_once(self._desk.read(d)).reason is Reason.GATE
                for d in ahead
            )
        self._running = started

    @rule(outcome=st.sampled_from(["success", "failed", "verify_failed", "interrupted"]), touch=st.booleans())
    def end(self, outcome: str, touch: bool) -> None:
        if self._running is None:
            return
        touched = at_once(self._desk.touch(self._running)) if touch else self._running
        if outcome == "success":
            ended = at_once(self._desk.end(touched))
        else:
            reason = Reason.STEP_FAILED if outcome == "failed" else Reason(outcome)
            ended = at_once(self._desk.end(touched, "failed", reason, "no luck"))
        self._running = None
        facts = at_once(self._desk.facts())
        if facts.holder is not None:
            assert (facts.holder.kind, facts.holder.rollback_of) == (Kind.ROLLBACK, ended.id)
            assert ended.kind is not Kind.ROLLBACK

    @rule()
    def unlock(self) -> None:
        at_once(self._desk.write(lambda tx: store.set_lock(tx, *self._desk.lane, None)))

    @rule()
    def lock(self) -> None:
        at_once(self._desk.set_lock(automatic=False, seconds=3))

    @rule()
    def freeze(self) -> None:
        now = self._desk.clock.micros()
        self._count += 1
        frozen = Freeze(id=f"f{self._count}", reason="fair", by="ben", since=now, until=now + 2_000_000)
        at_once(self._desk.write(lambda tx: store.insert_freeze(tx, frozen)))

    @rule(seconds=st.integers(1, 4))
    def wait(self, seconds: int) -> None:
        self._desk.clock.jump(seconds)

    @invariant()
    def there_is_one_holder_at_most(self) -> None:
        active = [d for d in at_once(self._desk.db.read(store.unfinished)) if d.status in ACTIVE]
        assert [d.id for d in active] == ([] if self._running is None else [self._running.id])
        holder = at_once(self._desk.facts()).holder
        if self._running is not None:
            assert holder is not None
            assert holder.id == self._running.id
        elif holder is not None:
            assert (holder.status, holder.kind) == (Status.PENDING, Kind.ROLLBACK)


TestQueue = _Queue.TestCase
TestQueue.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)


async def test_the_database_itself_refuses_a_second_one_in_a_lane(desk: Desk) -> None:
    first, second = await desk.ask("v1"), await desk.ask("v2")
    await desk.write(lambda tx: store.move(tx, first, Status.DEPLOYING))
    with pytest.raises(INTEGRITY):
        await desk.write(lambda tx: store.move(tx, second, Status.BUILDING))
    assert (await desk.read(second)).status is Status.PENDING


async def test_what_is_kept_comes_back_as_it_was(desk: Desk) -> None:
    made = await desk.ask("v1", outputs={"image": "web:1"}, note="näh", touched=True, not_before=NOON)
    assert await desk.read(made) == made
    assert await desk.db.read(lambda tx: store.find(tx, "nobody")) is None
    assert await desk.db.read(lambda tx: store.find_number(tx, made.number)) == made
    with pytest.raises(LookupError, match="deployment nobody is gone"):
        await desk.read("nobody")


async def test_successes_come_newest_first_and_effects_oldest_first(desk: Desk) -> None:
    ended = [await desk.succeed(f"v{number}") for number in (1, 2, 3)]
    found = await desk.db.read(lambda tx: store.successes(tx, *desk.lane))
    assert [d.id for d in found] == [d.id for d in reversed(ended)]
    effects = await desk.db.read(lambda tx: store.effects_since(tx, *desk.lane, ended[0].number))
    assert [d.id for d in effects] == [d.id for d in ended[1:]]


async def test_a_step_that_is_not_there_is_not_made(desk: Desk) -> None:
    made = await desk.ask()
    step = Step(index=0, name="rollout", phase="deploy", reversible=False)
    await desk.write(lambda tx: store.replace_steps(tx, made.id, [step]))
    changed = await desk.write(lambda tx: store.set_step(tx, made.id, 0, status=StepStatus.RUNNING))
    assert changed == step.model_copy(update={"status": StepStatus.RUNNING})
    assert await desk.write(lambda tx: store.set_step(tx, made.id, 1, status=StepStatus.RUNNING)) is None
    assert await desk.steps(made) == (changed,)


async def test_revisions_of_a_pipeline_are_all_kept_and_the_newest_is_found(desk: Desk) -> None:
    def revision(service: str, number: int) -> RegisteredPipeline:
        text = f"# {number}"
        return RegisteredPipeline(
            service=service,
            revision=number,
            sha256=pipeline.sha256(text),
            text=text,
            registered_at=NOON,
            registered_by="ana",
        )

    kept = [revision("web", 1), revision("web", 2), revision("api", 1)]
    for one in kept:
        await desk.write(lambda tx, one=one: store.insert_pipeline(tx, one))  # type: ignore[misc]
    assert await desk.db.read(lambda tx: store.newest_pipeline(tx, "web")) == kept[1]
    assert await desk.db.read(store.newest_pipelines) == (kept[2], kept[1])
    assert await desk.db.read(lambda tx: store.pipeline_history(tx, "web", 2, 9)) == [kept[0]]
    assert await desk.db.read(lambda tx: store.newest_pipeline(tx, "shop")) is None


async def test_a_block_is_of_one_commit_in_one_lane(desk: Desk) -> None:
    bad = commit_of("v2")
    block = Block(
        service="web",
        environment=Environment.PRODUCTION,
        commit_sha=bad,
        version="v2",
        reason="it broke",
        at=NOON,
        deployment="d1",
    )
    await desk.write(lambda tx: store.insert_block(tx, block))

    async def blocked(service: str, environment: str, commit: str) -> bool:
        return await desk.db.read(lambda tx: store.block(tx, service, environment, commit)) is not None

    assert await blocked("web", "production", bad)
    assert not await blocked("web", "staging", bad)
    assert not await blocked("api", "production", bad)
    assert not await blocked("web", "production", commit_of("v1"))


async def test_lanes_that_wait_and_do_not_run_are_listed_once_each_in_order(desk: Desk) -> None:
    await desk.begin()
    for service in ("shop", "api", "shop", "web"):
        await desk.ask(service=service)
    assert await desk.db.read(store.waiting_lanes) == [("shop", "production"), ("api", "production")]
