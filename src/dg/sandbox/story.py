"""The story: two good releases and a bad one, told by what the server says and what the sites answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from dg.core.clock import SECOND, to_datetime
from dg.core.deployments import receipt
from dg.core.deployments.models import (
    Approve,
    CreateDeployment,
    Deployment,
    Kind,
    LaneState,
    Override,
    Reason,
    RequestRollback,
    Status,
    Step,
)
from dg.core.deployments.previews import PreviewVerdict, RollbackVerdict
from dg.core.errors import Forbidden, Refused
from dg.core.types import Environment
from dg.sandbox import shell
from dg.sandbox.care import Care
from dg.sandbox.environments import SERVICE
from dg.sandbox.scene import Differs, Scene, expect
from dg.sandbox.sites import LOG_LINES, last_lines, visit
from dg.sandbox.telling import Telling

WATCH_SECONDS = 0.1
STAGING, PRODUCTION = Environment.STAGING, Environment.PRODUCTION
APPROVALS, WINDOW = "approvals", "window"
RECEIPT = "receipt.json"
BACKUP = "before-the-teapot"


async def tell_story(scene: Scene) -> None:
    """Play it from the first release to the receipt that proves one. Raises Differs."""
    first, good, bad = scene.repository.tags
    story, care = Story(scene), Care(scene)
    story.chapter(f"{first} is the first release. Production takes what a second person agreed to.")
    await asyncio.gather(*(story.deploy(first, lane) for lane in (Environment.DEVELOPMENT, STAGING)))
    asked = await story.wait(first, PRODUCTION, APPROVALS)
    await story.refuse_own_approval(asked)
    await story.approve(asked)
    await story.finish(asked)
    await care.probe()

    story.chapter(f"{good} is a good one, but production has just been closed for stocktaking.")
    await story.deploy(good, STAGING)
    await story.close_production()
    await story.plan(good)
    asked = await story.wait(good, PRODUCTION, APPROVALS, WINDOW)
    await story.approve(asked)
    await story.keep_waiting(asked, WINDOW)
    await story.override(asked, "no stock depends on this release")
    shipped = await story.finish(asked)
    await story.plan_rollback(first)
    await care.find_healthy()

    story.chapter(f"{bad} has a bug that only production's settings bring out.")
    await story.deploy(bad, STAGING)
    await care.back_up(PRODUCTION, BACKUP)
    asked = await story.ask(bad, PRODUCTION)
    await story.approve(asked)
    await story.override(asked, "customers wait for the teapot")
    sick = await care.find_unhealthy(asked)
    failed = await story.fail(asked)
    await story.roll_back(failed, good)
    await care.find_healed(sick)
    await story.find_closed(bad, PRODUCTION)

    story.chapter("Production loses a secret. The backup has it.")
    await care.restore(await care.lose(PRODUCTION), BACKUP)

    story.chapter(f"The receipt of {good} needs no server to be believed.")
    await story.keep_receipt(shipped)
    await story.verify_receipt()
    await story.find_forged(good, bad)
    await story.close()


class Story(Telling):
    """Its scenes, each of which tells what it found and raises Differs when that is something else."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._gone_out: set[str] = set()

    async def deploy(self, version: str, environment: Environment) -> None:
        """A deployment that waits for nobody and goes well."""
        await self.finish(await self.ask(version, environment))

    async def ask(self, version: str, environment: Environment) -> Deployment:
        """Ana asks for it."""
        request = CreateDeployment(service=SERVICE, environment=environment, ref=version, version=version)
        deployment = await self._client.deployments.create(request)
        await self._tell_commits(deployment)
        return deployment

    async def wait(self, version: str, environment: Environment, *gates: str) -> Deployment:
        """What ana asks for waits for exactly these gates; the first one's sentence is told."""
        asked = await self.ask(version, environment)
        await self.keep_waiting(asked, *gates)
        return asked

    async def keep_waiting(self, asked: Deployment, *gates: str) -> None:
        """These gates are closed and no others; what holds it is told in the server's words."""
        seen = await self._client.deployments.get(asked.id)
        closed = [gate for gate in seen.gates or () if not gate.open]
        expect(f"the status of {seen.version}", seen.status, Status.PENDING)
        expect(f"what {seen.version} waits for", [gate.name for gate in closed], list(gates))
        expect(f"what holds {seen.version}", seen.hold, closed[0].sentence)
        details = {**reference(seen), "gates": gates}
        self._tell("waits", closed[0].sentence, seen.environment, details=details)

    async def refuse_own_approval(self, deployment: Deployment) -> None:
        """Whoever asked may not agree."""
        try:
            await self._client.deployments.approve(deployment.id, Approve())
        except Forbidden as refusal:
            expect("why ana may not approve", refusal.reason, "own_deployment")
            text = f"ana tries it herself: {refusal.message}"
            self._tell("denied", text, deployment.environment, details={"reason": refusal.reason})
        else:
            raise Differs("ana should not be able to approve what she asked for, but was")

    async def approve(self, deployment: Deployment) -> None:
        """Ben looks, and agrees to the content that he saw."""
        api = self._ben.client.deployments
        seen = await api.get(deployment.id)
        brings = len((await api.changes(deployment.id)).commits)
        approved = await api.approve(deployment.id, Approve(content=seen.content))
        expect("who approved", [given.by for given in approved.approvals or ()], [self._ben.id])
        self._tell(
            "approved",
            f"ben approves: {brings} commits, content {(seen.content or '')[:12]}",
            deployment.environment,
            details={**reference(deployment), "content": seen.content},
        )

    async def override(self, deployment: Deployment, reason: str) -> None:
        """Ben passes the window, and says why."""
        asked = Override(gates=(WINDOW,), reason=reason)
        passed = await self._ben.client.deployments.override(deployment.id, asked)
        window = next(gate for gate in passed.gates or () if gate.name == WINDOW)
        expect("who passed the window", window.overridden_by, self._ben.id)
        self._tell(
            "overridden",
            f"ben passes the window: {reason}",
            deployment.environment,
            details={**reference(deployment), "gate": WINDOW, "reason": reason},
        )

    async def finish(self, asked: Deployment) -> Deployment:
        """It goes well, and its site runs it."""
        ended, steps = await self._watch(asked)
        if ended.status is not Status.SUCCESS:
            raise Differs(await self._account(ended, Status.SUCCESS))
        products = await self._expect_running(asked.version, asked.environment)
        self._tell(
            "deployed",
            f"{asked.version} runs",
            ended.environment,
            aside=phases(steps),
            seconds=lasted(ended),
            details={**reference(ended), "products": products},
        )
        return ended

    async def close_production(self) -> None:
        """A window that closes production from this minute on, registered with the pipeline."""
        now = to_datetime(self._scene.clock.micros())
        window = (
            f'{{ deny = "{now.minute} {now.hour} * * *", for = "2h", tz = "UTC", '
            'override = "role:approver", reason = "stocktaking" }'
        )
        await self._scene.client.pipelines.register(
            f"{self._scene.repository.pipeline}windows = [{window}]\n"
        )
        self._tell("closed", f"closed from {now:%H:%M} UTC for 2 hours: a window in dg.toml", PRODUCTION)

    async def plan(self, version: str) -> None:
        """What ana reads before she asks."""
        request = CreateDeployment(service=SERVICE, environment=PRODUCTION, ref=version, version=version)
        preview, _ = await asyncio.gather(
            self._client.deployments.preview(request),
            self._command("plan", SERVICE, version, "--version", version, "--env", PRODUCTION.value),
        )
        expect(f"the verdict on {version}", preview.verdict, PreviewVerdict.WAITS)

    async def plan_rollback(self, version: str) -> None:
        """The way back is known and safe before anybody needs it."""
        preview, _ = await asyncio.gather(
            self._client.lanes.preview_rollback(SERVICE, PRODUCTION, RequestRollback()),
            self._command("rollback", SERVICE, "--env", PRODUCTION.value, "--plan"),
        )
        expect("the verdict on going back", preview.verdict, RollbackVerdict.SAFE)
        expect("where it would go back to", preview.target and preview.target.version, version)

    async def fail(self, asked: Deployment) -> Deployment:
        """A deployment whose verify step fails; returned as it was then."""
        ended, steps = await self._watch(asked)
        if (
            ended.status not in (Status.FAILED, Status.ROLLED_BACK)
            or ended.reason is not Reason.VERIFY_FAILED
        ):
            raise Differs(await self._account(ended, Reason.VERIFY_FAILED))
        step = next(step for step in steps if step.reason is not None)
        self._tell(
            "failed",
            f"{ended.version} fails its check `{step.name}`",
            ended.environment,
            seconds=lasted(ended),
            details={**reference(ended), "step": step.name, "reason": ended.reason},
        )
        self._tell("check", step.detail or "", details={"step": step.name})
        for line in last_lines(self._scene.home.host(ended.environment) / f"{ended.version}.log"):
            self._tell("log", line)
        return ended

    async def roll_back(self, failed: Deployment, version: str) -> None:
        """The rollback that nobody asked for, and the site afterwards."""
        newest = await self._client.deployments.list(service=SERVICE, environment=failed.environment, limit=1)
        expect("the newest deployment's kind", newest.items[0].kind, Kind.ROLLBACK)
        expect("the deployment that it rolls back", newest.items[0].rollback_of, failed.id)
        ended, steps = await self._watch(newest.items[0])
        if ended.status is not Status.SUCCESS:
            raise Differs(await self._account(ended, Status.SUCCESS))
        undone = await self._client.deployments.get(failed.id)
        expect(f"the status of {failed.version}", undone.status, Status.ROLLED_BACK)
        expect(f"what rolled {failed.version} back", undone.rolled_back_by, ended.id)
        self._tell(
            "rolled_back",
            f"{ended.version} runs again: dg rolled back by itself",
            ended.environment,
            aside=phases(steps),
            seconds=lasted(ended),
            details={**reference(ended), "rollback_of": failed.id},
        )
        products = await self._expect_running(version, failed.environment)
        url = f"{self._scene.hosts[failed.environment].site}/products"
        self._tell(
            "answers",
            f"GET {url} answers 200 from {version}",
            failed.environment,
            details={"url": url, "version": version, "products": products},
        )

    async def find_closed(self, version: str, environment: Environment) -> None:
        """The lane's lock, and what somebody hears who tries the bad version once more."""
        lane = await self._client.lanes.get(SERVICE, environment)
        expect(f"the lane {SERVICE}/{environment}", lane.state, LaneState.LOCKED)
        expect("whether dg locked it", bool(lane.lock and lane.lock.automatic), True)
        self._tell("locked", lane.sentence, environment)
        try:
            again = await self.ask(version, environment)
        except Refused as refusal:
            self._tell(
                "refused",
                f"{version} once more is refused: {refusal.message}",
                environment,
                details={"reason": refusal.reason},
            )
        else:
            raise Differs(f"{version} should be refused now, but deployment #{again.number} was accepted")

    async def keep_receipt(self, deployment: Deployment) -> None:
        """The signed receipt in a file, which names who asked, who agreed to what, and who passed what."""
        document = await self._client.deployments.receipt(deployment.id)
        body = receipt.verify(document).body
        decided = [(said["by"], said["verdict"], said.get("gate")) for said in body["approvals"]]
        expect("who asked, by the receipt", body["deployment"]["created_by"], self._ana.id)
        expect(
            "who decided what, by the receipt",
            decided,
            [(self._ben.id, "approved", None), (self._ben.id, "overridden", WINDOW)],
        )
        path = self._ana.folder / RECEIPT
        path.write_bytes(document)
        self._tell(
            "receipt",
            f"{len(document)} signed bytes: who asked, agreed and passed what, and what was run",
            deployment.environment,
            details={**reference(deployment), "path": str(path)},
        )

    async def verify_receipt(self) -> None:
        """Where no server is known, the receipt still proves itself."""
        answer = await self._verify()
        expect("the exit code of `dg receipt verify`", answer.code, 0)

    async def find_forged(self, version: str, another: str) -> None:
        """The same receipt, made to speak of another version."""
        path = self._ana.folder / RECEIPT
        path.write_bytes(path.read_bytes().replace(version.encode(), another.encode()))
        self._tell("forged", f"once {another} is written over {version} in it:", PRODUCTION)
        answer = await self._verify()
        if answer.code == 0 or not any("it was changed" in line for line in answer.lines):
            raise Differs("a receipt that was changed should be refused, but was not")

    async def _verify(self) -> shell.Answer:
        command = ("receipt", "verify", RECEIPT)
        answer = await shell.dg_alone(self._ana.folder, *command)
        self._tell_command(command, answer)
        return answer

    async def close(self) -> None:
        """The server's own account of it all."""
        page = await self._client.deployments.list(service=SERVICE, limit=50)
        verdict = await self._client.events.verify()
        expect("whether the ledger's chain holds", verdict.ok, True)
        rollbacks = sum(deployment.kind is Kind.ROLLBACK for deployment in page.items)
        text = f"The story went as it should: {len(page.items)} deployments, {rollbacks} of them a rollback."
        details = {"deployments": len(page.items), "rollbacks": rollbacks, "facts": verdict.checked}
        self._tell(
            "end",
            text,
            aside=f"The ledger has {verdict.checked} facts, and its chain holds.",
            details=details,
        )

    async def _command(self, *arguments: str) -> None:
        """A command of ana's."""
        self._show(arguments, await shell.dg(self._ana, *arguments))

    async def _watch(self, deployment: Deployment) -> tuple[Deployment, Sequence[Step]]:
        """The deployment when it has ended, and its steps."""
        steps: Sequence[Step] = ()
        async for progress in self._client.deployments.watch(deployment.id, every=WATCH_SECONDS):
            steps, stage = progress.steps, progress.deployment.stage
            self._scene.teller.busy(deployment.environment, f"{deployment.version} {stage}", self._now())
        return await self._client.deployments.get(deployment.id), steps

    async def _expect_running(self, version: str, environment: Environment) -> int:
        """The number of products that the site sells, when both the lane and the site say `version`."""
        lane = await self._client.lanes.get(SERVICE, environment)
        expect(f"what the lane {SERVICE}/{environment} runs", lane.current_version, version)
        site = self._scene.hosts[environment].site
        health, products = await asyncio.to_thread(
            lambda: (visit(f"{site}/health"), visit(f"{site}/products"))
        )
        expect(f"the answer of {site}/products", products.status, 200)
        match health.body, products.body:
            case {"version": running}, [*listed]:
                expect(f"the version that {site} answers", running, version)
                return len(listed)
        raise Differs(f"{site} answers something else than the shop: {health.body!r} and {products.body!r}")

    async def _tell_commits(self, deployment: Deployment) -> None:
        """What goes out with a version, told where it goes first."""
        if deployment.version in self._gone_out:
            return
        self._gone_out.add(deployment.version)
        changes = await self._client.deployments.changes(deployment.id)
        for commit in changes.commits:
            self._tell("commit", commit.subject, aside=commit.sha[:7], details={"sha": commit.sha})

    async def _account(self, deployment: Deployment, wanted: str) -> str:
        """A deployment that went otherwise than `wanted`, with the end of its log."""
        page = await self._client.deployments.logs(deployment.id)
        found = " ".join(filter(None, (deployment.status, deployment.reason, deployment.message)))
        sentence = (
            f"deployment #{deployment.number} of {deployment.version} to {deployment.environment} should end "
            f"with {wanted}, but ended with {found}"
        )
        return "\n".join((sentence, *(line.text for line in page.items[-3 * LOG_LINES :])))


def reference(deployment: Deployment) -> dict[str, object]:
    """What names a deployment to programs."""
    return {
        "deployment": deployment.id,
        "version": deployment.version,
        "commit": deployment.commit_sha,
        "status": deployment.status,
    }


def lasted(deployment: Deployment) -> float | None:
    """Seconds from being asked for to its end."""
    if deployment.completed_at is None:
        return None
    return (deployment.completed_at - deployment.created_at) / SECOND


def phases(steps: Sequence[Step]) -> str:
    """How long each phase took, such as `build 0.4, deploy 0.3, verify 0.5`."""
    sums: dict[str, float] = {}
    for step in steps:
        if step.seconds is not None:
            sums[step.phase] = sums.get(step.phase, 0.0) + step.seconds
    return ", ".join(f"{phase} {seconds:.1f}" for phase, seconds in sums.items())
