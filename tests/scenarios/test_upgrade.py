"""A newer server takes the place of one whose deployments run: nothing stops, no watcher misses anything."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from tests.observed import Observed
from tests.scenarios import truth
from tests.scenarios.house import House, journalled, report, until
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from dg.client.app import Client
from dg.core import schema
from dg.core.database import prepare
from dg.core.deployments.models import CreateDeployment, Deployment, Status
from dg.core.migrations import upgrade
from dg.core.migrations.upgrade import migrate
from dg.core.types import Environment
from dg.sandbox.server import environ

STOP_WITHIN = 4.0
"""Seconds, of the five of `server.graceful_stop`: nobody is waited for who has sent nothing whole."""


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    house.start()
    try:
        yield house
    finally:
        house.close()


async def begin(house: House, go: Path) -> Deployment:
    """A deployment that is in its deploy step until `go` is there."""
    steps = (
        journalled("compile", "build"),
        journalled("switch", "deploy", 0.05, str(go)),
        journalled("smoke", "verify"),
    )
    async with house.client() as dg:
        await dg.pipelines.register(house.pipeline("".join(steps)))
        commit = house.repository.commit("second")
        request = CreateDeployment(environment=Environment.STAGING, ref=commit)
        deployment = await house.deploy(dg, request)
    await asyncio.to_thread(until, lambda: _in_step(house, "switch"), "the step to begin")
    return deployment


def _in_step(house: House, name: str) -> bool:
    return any(beat.kind == "S" and beat.step == name for beat in truth.journal(house.journal))


def put_back_a_revision(path: Path) -> str:
    """Leave the state as the version before the newest schema would have; gives that revision."""
    folder = Path(upgrade.__file__).parent / "state"
    before = sorted(file.stem for file in folder.glob("0*.py"))[-2]
    old = path.with_name("old.db")
    prepare(old)
    migrate(old, "state", before)
    with closing(sqlite3.connect(old, isolation_level=None)) as connection:
        connection.execute("ATTACH ? AS new", (str(path),))
        for (table,) in connection.execute(
            "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall():
            if table != "alembic_version":
                names = ", ".join(_columns(connection, "main", table) & _columns(connection, "new", table))
                connection.execute(f"DELETE FROM main.{table}")  # noqa: S608
                copy = f"INSERT INTO main.{table} ({names}) SELECT {names} FROM new.{table}"  # noqa: S608
                connection.execute(copy)
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    shutil.move(old, path)
    return before


def _columns(connection: sqlite3.Connection, database: str, table: str) -> set[str]:
    rows = connection.execute(f"PRAGMA {database}.table_info({table})").fetchall()
    return {row[1] for row in rows}


def revision(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])


class Watcher:
    """A WebSocket client as a team writes one: it comes back with the last `seq` that it saw."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.heard: list[dict[str, Any]] = []
        self.codes: list[int | None] = []

    async def watch(self, until_status: str) -> None:
        """Hear messages until one has this status."""
        while not self.heard or self.heard[-1]["payload"]["status"] != until_status:
            try:
                async with connect(f"{self._house.url.replace('http', 'ws')}/ws/deployments") as socket_:
                    await self._listen(socket_, until_status)
            except ConnectionClosed as end:
                self.codes.append(end.rcvd.code if end.rcvd else None)
            except (OSError, InvalidHandshake):
                await asyncio.sleep(0.05)

    async def _listen(self, socket_: ClientConnection, until_status: str) -> None:
        after = self.heard[-1]["seq"] if self.heard else 0
        await socket_.send(json.dumps({"type": "auth", "token": self._house.token, "after": after}))
        async for text in socket_:
            self.heard.append(json.loads(text))
            if self.heard[-1]["payload"]["status"] == until_status:
                return


async def follow(dg: Client, deployment_id: str) -> list[int]:
    """The `seq` of every fact until the deployment has ended, over as many connections as it takes."""
    seen = []
    async for fact in dg.events.follow(after=0):
        seen.append(fact.seq)
        if fact.type == "deployment.finished" and fact.object == deployment_id:
            return seen
    raise AssertionError("the stream ended")


def logs(house: House, deployment_id: str) -> subprocess.Popen[bytes]:
    """`dg logs -f` as a process of its own."""
    command = [sys.executable, "-P", "-m", "dg", "logs", deployment_id, "--follow"]
    variables = environ(os.environ) | {"DG_URL": house.url, "DG_TOKEN": house.token}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, env=variables, bufsize=0)


@pytest.mark.parametrize("older", [False, True], ids=["same schema", "older schema"])
async def test_a_deployment_and_its_watchers_outlive_an_upgrade(
    house: House, tmp_path: Path, observed: Observed, older: bool
) -> None:
    """R19: the run goes on, and whoever watches comes back to where they were."""
    go = tmp_path / "go"
    deployment = await begin(house, go)
    watcher = Watcher(house)
    with logs(house, deployment.id) as printing:
        async with house.client() as dg, asyncio.TaskGroup() as group:
            watching = group.create_task(watcher.watch("success"))
            following = group.create_task(follow(dg, deployment.id))
            await asyncio.to_thread(until, lambda: watcher.heard, "the watcher to be there")
            assert printing.stdout is not None
            first = await asyncio.to_thread(printing.stdout.readline)
            runner = house.runner(deployment.id)
            stopped = await asyncio.to_thread(house.stop)
            assert house.runner(deployment.id) == runner != []
            before = put_back_a_revision(house.home.state) if older else schema.STATE_HEAD
            started = await asyncio.to_thread(house.start)
            assert revision(house.home.state) == schema.STATE_HEAD
            assert house.runner(deployment.id) == runner
            go.touch()
            await watching
            seqs = await following
        printed, complaint = await asyncio.to_thread(printing.communicate)
    assert printing.returncode == 0, complaint
    async with house.client() as dg:
        outcome = await truth.ended(house, dg, deployment.id)
        assert (outcome.deployment.status, outcome.starts) == (Status.SUCCESS, 1)
        assert (first + printed).decode().splitlines() == [
            line.text async for page in dg.deployments.all_logs(deployment.id) for line in page.items
        ]
        await truth.books_are_in_order(house, dg)
    assert seqs == list(range(1, len(seqs) + 1))
    statuses = [message["payload"]["status"] for message in watcher.heard]
    assert statuses == ["pending", "building", "deploying", "success"]
    assert watcher.codes == [1012]
    gaps = seqs[-1] - len(seqs)
    observed("R19", "an upgrade with a deployment in flight", "facts that a watcher missed", gaps, at_most=0)
    report(
        f"upgrade from schema {before}: stopped in {stopped:.2f} s, ready again in {started:.2f} s, "
        f"{len(seqs)} facts without a gap"
    )


async def test_a_stop_waits_for_nobody_who_does_not_read_or_send(
    house: House, tmp_path: Path, observed: Observed
) -> None:
    """R19: a hundred WebSockets, five half-sent bodies, twenty unread streams: the deployment goes on."""
    go = tmp_path / "go"
    deployment = await begin(house, go)
    port = int(house.url.rpartition(":")[2])
    head = f"HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {house.token}\r\n"
    stream = f"GET /v1/events?after=0 {head}Accept: text/event-stream\r\n\r\n"
    half = f"POST /v1/tokens {head}Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{{"
    with ExitStack() as stack:
        for text in [stream] * 20 + [half] * 5:
            peer = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.sendall(text.encode())
        sockets = [await connect(f"ws://127.0.0.1:{port}/ws/deployments") for _ in range(100)]
        for each in sockets:
            await each.send(json.dumps({"type": "auth", "token": house.token}))
        stopped = await asyncio.to_thread(house.stop)
        fault = "SIGTERM with 100 WebSockets, 20 unread streams, 5 half-sent bodies"
        observed("R19", fault, "until the server is gone", stopped, at_most=STOP_WITHIN, unit="s")
        assert house.runner(deployment.id)
        for each in sockets:
            with pytest.raises(ConnectionClosed) as end:
                await each.recv()
            assert end.value.rcvd is not None
            assert end.value.rcvd.code == 1012
    go.touch()
    await asyncio.to_thread(house.start)
    async with house.client() as dg:
        outcome = await truth.ended(house, dg, deployment.id)
    assert outcome.deployment.status is Status.SUCCESS
