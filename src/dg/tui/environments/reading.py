"""What the environments screen asks the server, and what it knows by now of each environment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dg.core.clock import SECOND
from dg.tui.parts import Parts
from dg.tui.views import ENVIRONMENTS

if TYPE_CHECKING:
    from dg.client.app import Client
    from dg.core.backup.models import BackupRecord
    from dg.core.deployments.models import Block, Freeze
    from dg.core.drift.models import ServiceDrift
    from dg.core.environments.models import EnvironmentDiff, EnvironmentState, SecretUse, Version
    from dg.core.health.models import EnvironmentHealth, HealthHistory

WINDOWS = {"1h": 3600, "6h": 21_600, "24h": 86_400, "7d": 604_800, "30d": 2_592_000}
"""How far back health is shown: the name, and seconds."""
VERSIONS = 100
"""Versions that are shown, the newest."""


@dataclass
class Known(Parts):
    """One environment as it was read last."""

    state: EnvironmentState | None = None
    health: EnvironmentHealth | None = None
    past: HealthHistory | None = None
    versions: tuple[Version, ...] = ()
    drift: tuple[ServiceDrift, ...] = ()
    other: EnvironmentDiff | None = None
    backups: tuple[BackupRecord, ...] = ()
    freezes: tuple[Freeze, ...] = ()
    blocks: tuple[Block, ...] = ()

    def lacks(self, part: str) -> bool:
        """Whether a part is known neither, nor why it is not: nobody has asked yet."""
        return getattr(self, part) is None and part not in self.wrong


async def read_states(dg: Client, known: dict[str, Known]) -> None:
    """Which environments there are, and what each is configured with. Raises Problem."""
    states = {state.name.value: state for state in await dg.environments.list()}
    for name in ENVIRONMENTS:
        if name in states:
            known.setdefault(name, Known()).state = states[name]
        else:
            known.pop(name, None)


async def read_all(dg: Client, known: dict[str, Known]) -> None:
    """What the list of environments shows of each beside that."""
    for name, found in list(known.items()):
        await read_now(dg, name, found)
        if found.state is not None:
            found.backups = await found.take("backups", dg.backups.list(found.state.name), found.backups)


async def read_now(dg: Client, name: str, found: Known) -> None:
    """How it is now, and what runs there."""
    from dg.core.types import Environment

    environment = Environment(name)
    found.health = await found.take("health", dg.health.get(environment), found.health)
    found.drift = await found.take("drift", dg.environments.drift(environment), found.drift)


async def read_use(dg: Client, state: EnvironmentState, secret: str) -> SecretUse | None:
    """Whose steps name a secret, and when it was used last; None when it is gone by now. Raises Problem."""
    return next((each for each in await dg.environments.secrets(state.name) if each.name == secret), None)


async def read_past(dg: Client, name: str, found: Known, window: str, now: int) -> None:
    """How it was in the last `window`."""
    from dg.core.types import Environment

    since = now - WINDOWS[window] * SECOND
    found.past = await found.take("past", dg.health.history(Environment(name), since=since), found.past)


async def read_closing(dg: Client, name: str, found: Known, services: Sequence[str]) -> None:
    """What keeps deployments out of its lanes: freezes, and versions that may not come."""
    from dg.core.types import Environment

    found.freezes = await found.take("lanes", dg.lanes.freezes(), found.freezes)
    blocks: list[Block] = []
    for service in services:
        blocks += await found.take("lanes", dg.lanes.blocks(service, Environment(name)), ())
    found.blocks = tuple(blocks)


async def read_one(dg: Client, name: str, found: Known, other: str, window: str, now: int) -> None:
    """What is shown of the environment under the cursor, compared with the `other` one."""
    from dg.core.types import Environment

    environment = Environment(name)
    await read_past(dg, name, found, window, now)
    page = dg.environments.history(environment, limit=VERSIONS)
    versions = await found.take("history", page, None)
    found.versions = versions.items if versions is not None else found.versions
    comparison = dg.environments.diff(environment, other=Environment(other))
    found.other = await found.take("compare", comparison, None)
