"""Steps that flood, lie, leak or refuse to die, through the whole system: from a create to the log."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.files import files_with
from tests.observed import Observed
from tests.scenarios import truth
from tests.scenarios.house import House, pids, report, step

from dg.client.app import Client
from dg.core.deployments.models import (
    CreateDeployment,
    Deployment,
    LogLine,
    Reason,
    Status,
    StepStatus,
)
from dg.core.types import Environment

GROWTH = 64 << 20
"""Bytes by which the server may grow, whatever a step prints."""
SLOWEST = 1.0
"""Seconds in which 99 of 100 requests are answered meanwhile; other tests run beside on the same cores."""
LINE_CAP = 16 << 10

VALUE = "correct-horse/battery+staple=42"
FORMS = (
    VALUE,
    base64.b64encode(VALUE.encode()).decode(),
    quote(VALUE, safe=""),
    VALUE.encode().hex(),
)

KINDS = {
    "lines": (20_000, 1_000_000),
    "long_line": (2, 100),
    "binary": (1, 20),
    "terminal": (0,),
    "events": (0,),
    "secret": (0, 1),
    "deaf": (0,),
}
"""The kinds of hostile steps, and the numbers that each is run with."""


@pytest.fixture(scope="module")
def served(house: House) -> House:
    """A server with one service for each kind of hostile step."""
    house.home.make()
    house.home.secrets.touch(mode=0o600)
    house.home.secrets.write_text(f'[development]\napi_key = "{VALUE}"\n')
    house.start()
    asyncio.run(_register(house))
    return house


async def _register(house: House) -> None:
    async with house.client() as dg:
        for kind, numbers in KINDS.items():
            for number in numbers:
                argv = json.dumps(["{env.python}", "-ISB", "hostile.py", kind, str(number)])
                secrets = 'secrets = ["api_key"]\n' if kind == "secret" else ""
                hostile = step("hostile", "deploy", f'run = {argv}\n{secrets}grace = "300ms"')
                await dg.pipelines.register(house.pipeline(hostile, service=service(kind, number)))


def service(kind: str, number: int) -> str:
    return f"{kind}-{number}".replace("_", "-")


async def create(house: House, dg: Client, kind: str, number: int = 0) -> Deployment:
    wish = CreateDeployment(environment=Environment.DEVELOPMENT, service=service(kind, number), ref="main")
    return await house.deploy(dg, wish)


async def run(house: House, dg: Client, kind: str, number: int = 0) -> Deployment:
    """Deploy to the end, which leaves nobody."""
    deployment = await create(house, dg, kind, number)
    ended = await truth.end_of(dg, deployment.id)
    truth.nobody_is_left(house, deployment.id)
    return ended


async def log(dg: Client, deployment: Deployment) -> tuple[list[LogLine], int]:
    """All lines that are kept, and how many were left out."""
    lines: list[LogLine] = []
    left_out = 0
    async for page in dg.deployments.all_logs(deployment.id):
        lines += page.items
        left_out += page.left_out
    return lines, left_out


class Meter:
    """How long the API took and how much the server grew while the block ran."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.growth = 0

    @property
    def slow(self) -> float:
        """The 99th percentile."""
        return sorted(self.seconds)[int(len(self.seconds) * 0.99)]


@contextlib.asynccontextmanager
async def measured(house: House, dg: Client) -> AsyncIterator[Meter]:
    meter = Meter()
    before = _memory(house.pid, "VmRSS")
    _forget_peak(house.pid)

    async def ask() -> None:
        while True:
            began = time.perf_counter()
            await dg.deployments.list(limit=5)
            meter.seconds.append(time.perf_counter() - began)
            await asyncio.sleep(0.02)

    asking = asyncio.create_task(ask())
    try:
        yield meter
    finally:
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking
    meter.growth = _memory(house.pid, "VmHWM") - before


def _forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # proc_pid_clear_refs(5)


def _memory(pid: int, name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) << 10


def is_held(observed: Observed, meter: Meter, what: str, seconds: float) -> None:
    report(
        f"{what}: {seconds:.1f} s, server grew by {meter.growth / 2**20:.1f} MiB, "
        f"p99 of {len(meter.seconds)} requests {1000 * meter.slow:.0f} ms"
    )
    fault = f"a step prints {what}"
    observed("R13", fault, "growth of the server", meter.growth / 2**20, at_most=GROWTH / 2**20, unit="MiB")
    observed("R13", fault, "p99 of requests", meter.slow, at_most=SLOWEST, unit="s")


@pytest.mark.parametrize("count", [20_000, pytest.param(1_000_000, marks=pytest.mark.long)])
async def test_flood_of_lines_is_kept_in_order_or_counted(
    served: House, observed: Observed, count: int
) -> None:
    async with served.client() as dg:
        began = time.monotonic()
        async with measured(served, dg) as meter:
            deployment = await run(served, dg, "lines", count)
        is_held(observed, meter, f"{count} lines", time.monotonic() - began)
        assert deployment.status is Status.SUCCESS
        lines, left_out = await log(dg, deployment)
    printed = [line for line in lines if line.step == 0]
    assert len(lines) + left_out == lines[-1].seq + 1 == count + len(lines) - len(printed)
    numbers = [int(line.text.split()[1]) for line in printed]
    assert numbers[0] == 0
    assert numbers[-1] == count - 1
    first = printed[0].seq
    assert all(line.seq - first == number for line, number in zip(printed, numbers, strict=True))


@pytest.mark.parametrize("megabytes", [2, pytest.param(100, marks=pytest.mark.long)])
async def test_endless_line_is_cut_with_a_mark(served: House, observed: Observed, megabytes: int) -> None:
    async with served.client() as dg:
        began = time.monotonic()
        async with measured(served, dg) as meter:
            deployment = await run(served, dg, "long_line", megabytes)
        is_held(observed, meter, f"a line of {megabytes} MB", time.monotonic() - began)
        assert deployment.status is Status.SUCCESS
        lines, _ = await log(dg, deployment)
    cut, after = [line.text for line in lines if line.step == 0]
    assert cut.startswith("x" * 1000)
    assert len(cut) < LINE_CAP + 100
    assert str(megabytes * 1_000_000) in cut
    assert after == "after the long line"


@pytest.mark.parametrize("megabytes", [1, pytest.param(20, marks=pytest.mark.long)])
async def test_bytes_that_are_no_text_are_taken(served: House, observed: Observed, megabytes: int) -> None:
    async with served.client() as dg:
        async with measured(served, dg) as meter:
            deployment = await run(served, dg, "binary", megabytes)
        is_held(observed, meter, f"{megabytes} MB of random bytes", 0.0)
        assert deployment.status is Status.SUCCESS
        lines, _ = await log(dg, deployment)
    assert lines[-1].text == "after the bytes"


async def test_terminal_orders_in_a_log_are_shown_and_not_obeyed(served: House) -> None:
    async with served.client() as dg:
        deployment = await run(served, dg, "terminal")
        lines, _ = await log(dg, deployment)
    shown = await asyncio.to_thread(served.dg, "logs", deployment.id)
    assert shown.returncode == 0, shown.stderr
    assert b"[/prod] [@click=app.quit]x[/]" in shown.stdout
    for text in (shown.stdout.decode(), "".join(line.text for line in lines)):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


async def test_output_that_looks_like_an_order_to_dg_is_only_output(served: House) -> None:
    async with served.client() as dg:
        deployment = await run(served, dg, "events")
        steps = await dg.deployments.steps(deployment.id)
        lines, _ = await log(dg, deployment)
    assert (deployment.status, deployment.reason) == (Status.FAILED, Reason.STEP_FAILED)
    assert [each.status for each in steps] == [StepStatus.FAILED]
    assert deployment.outputs == {}
    assert "dg: every step succeeded" in [line.text for line in lines]


@pytest.mark.parametrize("code", [0, 1], ids=["success", "failure"])
async def test_secret_leaves_by_no_way(served: House, code: int) -> None:
    """Not by log, events, answers, processes' arguments, the server's messages or any file of the home."""
    async with served.client() as dg:
        seen, ended = set[int](), threading.Event()
        watching = asyncio.create_task(asyncio.to_thread(_watch_arguments, seen, ended))
        try:
            deployment = await run(served, dg, "secret", code)
        finally:
            ended.set()
            await watching
        assert deployment.status is (Status.FAILED if code else Status.SUCCESS)
        assert deployment.outputs == ({} if code else {"url": "https://user:***@example.org/"})
        assert not seen, f"the arguments of {seen} told it"
        answers = [
            (await dg.deployments.status(deployment.id)).model_dump_json(),
            json.dumps([event.model_dump(mode="json") async for event in dg.events.all()]),
            "\n".join(line.text for line in (await log(dg, deployment))[0]),
            served.errors,
        ]
    assert "plain *** end" in answers[2]
    assert "pieces *** end" in answers[2]
    for form in FORMS:
        assert not [answer for answer in answers if form in answer]
        told = files_with(served.home.path, form)
        assert set(told) <= {served.home.secrets}, told


def _watch_arguments(seen: set[int], ended: threading.Event) -> None:
    while not ended.is_set():
        for pid in pids():
            with contextlib.suppress(OSError):
                if VALUE.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    seen.add(pid)


async def test_step_that_ignores_every_plea_is_ended(served: House, observed: Observed) -> None:
    """R15: TERM is ignored by the step and by what it left in sessions of its own: KILL is not."""
    async with served.client() as dg:
        deployment = await create(served, dg, "deaf")
        async for page in dg.deployments.follow_logs(deployment.id):
            if "deaf" in [line.text for line in page.items]:
                break
        began = time.monotonic()
        await dg.deployments.cancel(deployment.id)
        deployment = await truth.end_of(dg, deployment.id)
        truth.nobody_is_left(served, deployment.id)
    assert (deployment.status, deployment.reason) == (Status.FAILED, Reason.CANCELLED)
    fault = "a step and what it left behind ignore TERM"
    observed("R15", fault, "until nobody is left", time.monotonic() - began, at_most=10.0, unit="s")
