"""The scenes about environments: how well they are, and how what one has lost comes back."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from dg.client.models import Event
from dg.client.vitals import took
from dg.core.clock import SECOND
from dg.core.deployments.models import Deployment
from dg.core.environments.models import EnvironmentState
from dg.core.health.models import EnvironmentHealth
from dg.core.types import Environment
from dg.sandbox import environments, shell
from dg.sandbox.environments import SECRET, SERVICE
from dg.sandbox.scene import Differs, expect
from dg.sandbox.telling import Telling

EVERYWHERE = "environments"
"""Where something is told that is so in all of them."""
HEALTH_SECONDS = 20.0
LOOK_SECONDS = 0.1


class Care(Telling):
    """What the server's owner looks after. Each scene raises Differs when it goes otherwise."""

    async def probe(self) -> None:
        """Each shop gets a probe."""
        await environments.probe(self._scene.client, self._scene.hosts)
        self._tell("probed", "every second, a probe asks each shop for its products", EVERYWHERE)

    async def find_healthy(self) -> None:
        """Every environment is, by what its probe found."""
        try:
            async with asyncio.timeout(HEALTH_SECONDS):
                found = [await self._healthy(environment) for environment in self._scene.hosts]
        except TimeoutError:
            raise Differs(f"all environments should be healthy within {HEALTH_SECONDS:.0f} s") from None
        slowest = max(service.response_time or 0.0 for each in found for service in each.services)
        self._tell(
            "healthy",
            f"all three are healthy: their shops answer within {took(slowest)}",
            EVERYWHERE,
            details={"response_time": slowest},
        )

    async def find_unhealthy(self, deployment: Deployment) -> Event:
        """The service is, and dg says which deployment may be why."""
        event = await self._change(deployment.environment, "unhealthy", after=0, number=deployment.number)
        said = event.payload
        self._tell(
            "unhealthy",
            f"{SERVICE} is unhealthy since #{said['number']} began: {said['message']}",
            deployment.environment,
            details={key: said[key] for key in ("probe", "deployment", "number")},
        )
        return event

    async def find_healed(self, sick: Event) -> None:
        """The rollback healed it."""
        environment = Environment(sick.payload["environment"])
        event = await self._change(environment, "healthy", after=sick.seq)
        lasted = (event.at - sick.at) / SECOND
        self._tell("healthy", f"{SERVICE} is healthy again", environment, seconds=lasted)
        command = ("health", environment.value)
        self._show(command, await shell.dg(self._ana, *command))

    async def back_up(self, environment: Environment, name: str) -> None:
        """Ana keeps what the environment is configured with."""
        made = await self._client.backups.make(environment, name)
        self._tell(
            "backed_up",
            f"ana backs it up, encrypted: version {made.version} with its secrets",
            environment,
            details={"backup": name, "version": made.version, "file": made.file},
        )

    async def lose(self, environment: Environment) -> EnvironmentState:
        """A slip of the owner's: a secret is unset that deployments need. The environment before that."""
        owner = self._scene.client.environments
        before = await owner.get(environment)
        after = await owner.set_secret(environment, SECRET, None, reason="a slip")
        expect(f"whether {environment} has {SECRET}", SECRET in after.secrets, False)
        self._tell("lost", f"{SECRET} is unset: no deployment reaches its host", environment)
        return before

    async def restore(self, before: EnvironmentState, backup: str) -> None:
        """First what would change, as the owner sees it on the server's machine, then the restore."""
        environment = before.name
        command = ("backup", "restore", backup, "--environment", environment.value, "--dry-run")
        self._show(command, await shell.dg_alone(self._scene.home.path, *command))
        after = await self._scene.client.backups.restore(environment, backup, reason="it was a slip")
        fingerprint = after.secrets[SECRET].fingerprint
        expect(f"the fingerprint of {SECRET}", fingerprint, before.secrets[SECRET].fingerprint)
        self._tell(
            "restored",
            f"restored as version {after.version}: {SECRET} is what it was, and nobody saw it",
            environment,
            details={"version": after.version, "fingerprint": fingerprint},
        )

    async def _healthy(self, environment: Environment) -> EnvironmentHealth:
        while True:
            found = await self._client.health.get(environment)
            if found.status == "healthy":
                return found
            self._scene.teller.busy(environment, found.message, self._now())
            await self._scene.clock.sleep(LOOK_SECONDS)

    async def _change(
        self, environment: Environment, status: str, *, after: int, number: int | None = None
    ) -> Event:
        """The fact that says the service became so; `number` is the deployment that it names, if any."""
        matching = f"type=environment.health_changed env={environment} service={SERVICE}"
        try:
            async with (
                asyncio.timeout(HEALTH_SECONDS),
                aclosing(self._client.events.follow(after=after, matching=matching)) as events,
            ):
                async for event in events:
                    if (event.payload["service_status"], event.payload.get("number")) == (status, number):
                        return event
        except TimeoutError:
            pass
        raise Differs(f"{SERVICE} in {environment} should become {status} within {HEALTH_SECONDS:.0f} s")
