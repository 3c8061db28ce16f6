"""Deployments and their logs, as a caller of the API sees them."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator

from dg.client.errors import Unreachable
from dg.client.http import Http, Patience, path
from dg.client.wire import JSON, decode, encode
from dg.core.deployments.models import (
    FINAL,
    Approve,
    Changes,
    CreateDeployment,
    Deployment,
    Diff,
    LogPage,
    Override,
    Page,
    Progress,
    RequestRetry,
    RequestRollback,
    Status,
    Step,
    UpdateDeployment,
)
from dg.core.deployments.previews import Preview
from dg.core.errors import Invalid, NotFound

LONG_POLL = 20.0
LATEST = "latest"
WHOLE = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
NUMBER = re.compile(r"#?([1-9][0-9]{0,17})")
"""Ids begin with the time, and so with a zero: no number is the beginning of one."""
BEGINNING = re.compile(r"0[0-9a-fA-F-]{0,35}")


class Deployments:
    """`key` is an Idempotency-Key of the caller's; without it a write gets one, for the SDK's own retries."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def create(self, request: CreateDeployment, *, key: str | None = None) -> Deployment:
        """Ask for a deployment. Raises Refused for a closed lane, Invalid for an unknown ref or service."""
        answer = await self._http.write("POST", path("deployments"), encode(request), key=key)
        return decode(Deployment, answer)

    async def preview(self, request: CreateDeployment) -> Preview:
        """What `create` would make of this request; nothing is started. Raises Invalid, NotFound."""
        answer = await self._http.write("POST", path("deployments", "preview"), encode(request))
        return decode(Preview, answer)

    async def get(self, deployment_id: str) -> Deployment:
        """One deployment. Raises NotFound."""
        return decode(Deployment, await self._http.get(path("deployments", deployment_id)))

    async def named(self, name: str) -> str:
        """The id of the deployment that people call `name`: its number, how its id begins, or `latest`.

        Raises NotFound, and Invalid for what names none or several.
        """
        if WHOLE.fullmatch(name):
            return name
        if (matching := _matching(name)) is None:
            raise Invalid(
                f"`{name[:64]}` names no deployment: give its id or how that begins, its number, or {LATEST}"
            )
        found = (await self.list(matching=matching or None, limit=2)).items
        if not found:
            raise NotFound(f"there is no deployment {name}" if matching else "nothing was deployed yet")
        if matching.startswith("id") and len(found) > 1:
            raise Invalid(f"several deployments have an id that begins with {name}; give more of it")
        return found[0].id

    async def list(
        self,
        *,
        matching: str | None = None,
        service: str | None = None,
        environment: str | None = None,
        status: Status | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Page[Deployment]:
        """One page, newest first; `matching` is a filter such as `env=production status!=success`."""
        query = {
            "filter": matching,
            "service": service,
            "environment": environment,
            "status": status.value if status else None,
            "cursor": cursor,
            "limit": limit,
        }
        return decode(Page[Deployment], await self._http.get(path("deployments"), query))

    async def update(
        self, deployment_id: str, request: UpdateDeployment, *, key: str | None = None
    ) -> Deployment:
        """Change a pending deployment. Raises Refused when it has started."""
        answer = await self._http.write(
            "PUT", path("deployments", deployment_id), encode(request, only_set=True), key=key
        )
        return decode(Deployment, answer)

    async def cancel(
        self,
        deployment_id: str,
        *,
        then_rollback: bool = False,
        reason: str | None = None,
        key: str | None = None,
    ) -> Deployment:
        """Stop a deployment; a running one ends a little later. Raises Refused when it has ended."""
        body = {"then_rollback": then_rollback, **({"reason": reason} if reason else {})}
        return await self._act(deployment_id, "cancel", body, key)

    async def rollback(
        self, deployment_id: str, request: RequestRollback, *, key: str | None = None
    ) -> Deployment:
        """Roll back the lane of `deployment_id`; the answer is the rollback, a deployment of its own."""
        return await self._act(deployment_id, "rollback", encode(request), key)

    async def retry(self, deployment_id: str, request: RequestRetry, *, key: str | None = None) -> Deployment:
        """Take a failed deployment up again; the answer is the retry. Raises Refused, such as `confirm`."""
        return await self._act(deployment_id, "retry", encode(request), key)

    async def abandon(self, deployment_id: str, reason: str, *, key: str | None = None) -> Deployment:
        """Give up on one that was asked to stop and does not. Raises Refused (`too_early`), Forbidden."""
        return await self._act(deployment_id, "abandon", {"reason": reason}, key)

    async def approve(self, deployment_id: str, request: Approve, *, key: str | None = None) -> Deployment:
        """Agree to a deployment. Raises Refused (`stale_content` when what was seen moved), Forbidden."""
        return await self._act(deployment_id, "approve", encode(request), key)

    async def reject(self, deployment_id: str, reason: str, *, key: str | None = None) -> Deployment:
        """Refuse a deployment that waits; the answer has ended. Raises Refused, Forbidden."""
        return await self._act(deployment_id, "reject", {"reason": reason}, key)

    async def override(self, deployment_id: str, request: Override, *, key: str | None = None) -> Deployment:
        """Pass closed gates, all of them or none. Raises Refused for open ones, Forbidden."""
        return await self._act(deployment_id, "override", encode(request), key)

    async def _act(self, deployment_id: str, action: str, body: JSON, key: str | None) -> Deployment:
        where = path("deployments", deployment_id, action)
        return decode(Deployment, await self._http.write("POST", where, body, key=key))

    async def status(self, deployment_id: str) -> Progress:
        """Status, progress and the last log lines: cheap to ask often."""
        return decode(Progress, await self._http.get(path("deployments", deployment_id, "status")))

    async def changes(self, deployment_id: str) -> Changes:
        """The commits that the deployment brings and takes away."""
        return decode(Changes, await self._http.get(path("deployments", deployment_id, "changes")))

    async def diff(self, deployment_id: str, *, file: str | None = None) -> Diff:
        """What it changes in the files, or in one of them, safe to show. Raises Forbidden, NotFound."""
        return decode(Diff, await self._http.get(path("deployments", deployment_id, "diff"), {"file": file}))

    async def receipt(self, deployment_id: str) -> bytes:
        """The signed receipt, byte for byte, for `dg receipt verify`. Raises Refused while it lives."""
        return await self._bytes(path("deployments", deployment_id, "receipt"), "application/json")

    async def receipt_key(self) -> bytes:
        """The public key that the server's receipts verify with, in PEM form."""
        return await self._bytes(path("receipts", "key"), "application/x-pem-file")

    async def _bytes(self, where: str, accept: str) -> bytes:
        async with self._http.stream(where, accept=accept, silence=LONG_POLL) as response:
            return await response.aread()

    async def steps(self, deployment_id: str) -> tuple[Step, ...]:
        """The deployment's steps in order."""
        return (await self.status(deployment_id)).steps

    async def logs(
        self, deployment_id: str, *, after: int = 0, limit: int | None = None, wait: float = 0
    ) -> LogPage:
        """Lines with `seq` from `after` on; the server waits for some up to `wait` seconds."""
        query = {"after": after, "limit": limit, "wait": wait or None}
        return decode(
            LogPage, await self._http.get(path("deployments", deployment_id, "logs"), query, wait=wait)
        )

    async def all_logs(self, deployment_id: str, *, after: int = 0) -> AsyncGenerator[LogPage]:
        """Pages from `after` on, as far as there are lines now."""
        while True:
            page = await self.logs(deployment_id, after=after)
            after = page.next_seq
            if page.items or page.left_out:
                yield page
            if page.complete or not page.items:
                return

    async def follow_logs(self, deployment_id: str, *, after: int = 0) -> AsyncGenerator[LogPage]:
        """Pages from `after` on until the deployment has ended and its log is complete.

        Goes on through a restart of the server; raises Unreachable when it stays away for PATIENCE seconds.
        """
        patience = Patience(self._http)
        while True:
            try:
                page = await self.logs(deployment_id, after=after, wait=LONG_POLL)
            except Unreachable as error:
                await patience.spend(error)
                continue
            patience.restore()
            after = page.next_seq
            if page.items or page.left_out or page.complete:
                yield page
            if page.complete:
                return

    async def raw_logs(self, deployment_id: str) -> AsyncGenerator[bytes]:
        """The whole log as it is kept, in blocks: not made safe for a terminal."""
        async with self._http.stream(
            path("deployments", deployment_id, "logs"), accept="text/plain", silence=LONG_POLL
        ) as response:
            async for block in response.aiter_bytes():
                yield block

    async def watch(self, deployment_id: str, *, every: float = 0.25) -> AsyncGenerator[Progress]:
        """Its progress every so many seconds, the last one when it has ended.

        Goes on through a restart of the server; raises Unreachable when it stays away for PATIENCE seconds.
        """
        patience = Patience(self._http)
        while True:
            try:
                progress = await self.status(deployment_id)
            except Unreachable as error:
                await patience.spend(error)
                continue
            patience.restore()
            yield progress
            if progress.deployment.status in FINAL:
                return
            await self._http.clock.sleep(every)


def _matching(name: str) -> str | None:
    """The filter that finds what `name` names, empty for the newest; None where it can name nothing."""
    if name == LATEST:
        return ""
    if number := NUMBER.fullmatch(name):
        return f"number={number[1]}"
    return f"id={name}" if BEGINNING.fullmatch(name) else None
