"""The story: two good releases and a bad one, told by what the server says and what the sites answer."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from dg.client.app import Client
from dg.core.clock import Clock
from dg.core.deployments.models import CreateDeployment, Deployment, Kind, LaneState, Reason, Status, Step
from dg.core.errors import Refused
from dg.core.text import plain
from dg.core.types import Environment
from dg.sandbox.home import SandboxHome
from dg.sandbox.hosts import Hosts
from dg.sandbox.repository import Repository

SERVICE = "shop"
WATCH_SECONDS = 0.1
LOG_LINES = 4
VISIT_SECONDS = 10


@dataclass(frozen=True)
class Fact:
    """One thing that happened: `at` seconds after the start, `where` an environment or a part of the sandbox.

    `name` is a stable word, `seconds` how long it took, `aside` what may be left out where there is no room.
    """

    name: str
    at: float
    text: str
    where: str = ""
    aside: str = ""
    seconds: float | None = None
    details: Mapping[str, object] = field(default_factory=dict)


class Teller(Protocol):
    """Who shows the story."""

    def tell(self, fact: Fact) -> None: ...

    def busy(self, where: str, text: str, at: float) -> None:
        """What goes on while nothing is told; called several times a second."""
        ...


class Differs(Exception):
    """Something was not as the story has it; the message says what, and perhaps ends with a log."""


@dataclass(frozen=True)
class Scene:
    """Everything the story is played with. `started` is the clock's monotonic time at the beginning."""

    home: SandboxHome
    hosts: Hosts
    repository: Repository
    client: Client
    clock: Clock
    teller: Teller
    started: float


@dataclass(frozen=True)
class Visit:
    """What a visitor got from a site."""

    status: int
    body: object


async def tell_story(scene: Scene) -> None:
    """Play it from the first release to the closed lane. Raises Differs."""
    first, good, bad = scene.repository.tags
    story = Story(scene)
    story.chapter(f"{first} is the first release.")
    for environment in Environment:
        await story.deploy(first, environment)
    story.chapter(f"{good} is a good one.")
    for environment in (Environment.STAGING, Environment.PRODUCTION):
        await story.deploy(good, environment)
    story.chapter(f"{bad} has a bug that only production's settings bring out.")
    await story.deploy(bad, Environment.STAGING)
    failed = await story.fail(bad, Environment.PRODUCTION)
    await story.roll_back(failed, good)
    await story.find_closed(bad, Environment.PRODUCTION)
    await story.close()


class Story:
    """Its scenes, each of which tells what it found and raises Differs when that is something else."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._client = scene.client
        self._gone_out: set[str] = set()

    def chapter(self, text: str) -> None:
        self._tell("chapter", text)

    async def deploy(self, version: str, environment: Environment) -> None:
        """A deployment that goes well."""
        asked = await self._ask(version, environment)
        ended, steps = await self._watch(asked)
        if ended.status is not Status.SUCCESS:
            raise Differs(await self._account(ended, Status.SUCCESS))
        products = await self._expect_running(version, environment)
        self._tell(
            "deployed",
            f"{version} runs",
            ended.environment,
            aside=phases(steps),
            seconds=lasted(ended),
            details={**reference(ended), "products": products},
        )

    async def fail(self, version: str, environment: Environment) -> Deployment:
        """A deployment whose verify step fails; returned as it was then."""
        asked = await self._ask(version, environment)
        ended, steps = await self._watch(asked)
        if (
            ended.status not in (Status.FAILED, Status.ROLLED_BACK)
            or ended.reason is not Reason.VERIFY_FAILED
        ):
            raise Differs(await self._account(ended, Reason.VERIFY_FAILED))
        step = next(step for step in steps if step.reason is not None)
        self._tell(
            "failed",
            f"{version} fails its check `{step.name}`",
            ended.environment,
            seconds=lasted(ended),
            details={**reference(ended), "step": step.name, "reason": ended.reason},
        )
        self._tell("check", step.detail or "", details={"step": step.name})
        for line in last_lines(self._scene.home.host(environment) / f"{version}.log"):
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
            again = await self._ask(version, environment)
        except Refused as refusal:
            self._tell(
                "refused",
                f"{version} once more is refused: {refusal.message}",
                environment,
                details={"reason": refusal.reason},
            )
        else:
            raise Differs(f"{version} should be refused now, but deployment #{again.number} was accepted")

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

    def _tell(
        self,
        name: str,
        text: str,
        where: str = "",
        *,
        aside: str = "",
        seconds: float | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:
        self._scene.teller.tell(Fact(name, self._now(), text, where, aside, seconds, details or {}))

    def _now(self) -> float:
        return self._scene.clock.monotonic() - self._scene.started

    async def _ask(self, version: str, environment: Environment) -> Deployment:
        request = CreateDeployment(service=SERVICE, environment=environment, ref=version, version=version)
        deployment = await self._client.deployments.create(request)
        await self._tell_commits(deployment)
        return deployment

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


def expect(what: str, found: object, wanted: object) -> None:
    """Raises Differs unless both are the same."""
    if found != wanted:
        raise Differs(f"{what} should be {wanted}, but is {found}")


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
    return (deployment.completed_at - deployment.created_at) / 1e6


def phases(steps: Sequence[Step]) -> str:
    """How long each phase took, such as `build 0.4, deploy 0.3, verify 0.5`."""
    sums: dict[str, float] = {}
    for step in steps:
        if step.seconds is not None:
            sums[step.phase] = sums.get(step.phase, 0.0) + step.seconds
    return ", ".join(f"{phase} {seconds:.1f}" for phase, seconds in sums.items())


def last_lines(log: Path) -> Sequence[str]:
    """The end of a release's own log, safe to show."""
    return [plain(line) for line in log.read_text("utf-8", "replace").splitlines()[-LOG_LINES:]]


def visit(url: str) -> Visit:
    """One GET with no proxy between."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=VISIT_SECONDS)
    try:
        connection.request("GET", parts.path)
        response = connection.getresponse()
        content = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise Differs(f"{url} should answer, but does not: {error}") from None
    finally:
        connection.close()
    try:
        return Visit(response.status, json.loads(content))
    except ValueError:
        return Visit(response.status, content.decode("utf-8", "replace"))
