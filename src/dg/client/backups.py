"""Backups that the server makes and keeps, and environments restored from them."""

from __future__ import annotations

from dg.client.environments import tag
from dg.client.http import Http, path
from dg.client.wire import decode
from dg.core.backup.models import BackupList, BackupRecord
from dg.core.environments.models import EnvironmentState
from dg.core.types import Environment


class Backups:
    """`expected` is the environment's version that a restore was decided on; a newer one makes it Stale."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def list(self, environment: Environment | None = None) -> tuple[BackupRecord, ...]:
        """Those of one environment, or all within reach; the newest first."""
        where = path("environments", environment, "backups") if environment else path("backups")
        return decode(BackupList, await self._http.get(where)).items

    async def make(self, environment: Environment, id_: str) -> BackupRecord:
        """Back an environment up; the backup of that id, where there is one already. Raises Refused."""
        answer = await self._http.write("PUT", path("environments", environment, "backups", id_))
        return decode(BackupRecord, answer)

    async def preview(
        self, environment: Environment, id_: str, *, expected: int | None = None
    ) -> EnvironmentState:
        """What `restore` would lead to, with its `changes`. Raises as it does."""
        answer = await self._http.write(
            "PUT",
            path("environments", environment, "restores", id_),
            {},
            query={"dry_run": "true"},
            match=tag(expected),
        )
        return decode(EnvironmentState, answer)

    async def restore(
        self,
        environment: Environment,
        id_: str,
        *,
        reason: str | None = None,
        expected: int | None = None,
    ) -> EnvironmentState:
        """Make it what it was in a backup, as a new version. Raises Invalid, NotFound, Refused, Stale."""
        body = {"reason": reason} if reason else {}
        answer = await self._http.write(
            "PUT", path("environments", environment, "restores", id_), body, match=tag(expected)
        )
        return decode(EnvironmentState, answer)
