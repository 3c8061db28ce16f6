"""`dg tui` on a real terminal, against a server every text of which attacks: nothing of it acts."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.client.servers import PIPELINE
from tests.tui.bending import Bender
from tests.tui.between import Between, between
from tests.tui.conftest import APPROVALS, House, served
from tests.tui.hostile import MARKUP, STRINGS
from tests.tui.house import client, deploy, finish
from tests.tui.terminals import ESCAPE, WITHIN, Terminal, terminal
from tests.tui.test_terminal import THEIRS

from dg.client.app import Client
from dg.client.auth import find
from dg.core.access.models import CreateBinding, Scope
from dg.core.deployments.models import CreateDeployment
from dg.core.environments.models import UpdateEnvironment
from dg.core.types import Environment

DEVELOPMENT, STAGING, PRODUCTION = Environment
SIZE = (120, 36)
SENT = tuple(text for text in STRINGS if "\ud800" not in text and len(text) < 5000)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house in which every key has something to act on, the newest deployment first: one that runs, one
    that waits for a yes, one that failed, one that went well."""
    folder = tmp_path_factory.mktemp("town")
    with served(folder, APPROVALS) as house:
        asyncio.run(_settle(house))
        yield house
        house.repository.joinpath("go").touch()


async def _settle(house: House) -> None:
    await finish(house.home, "bad", DEVELOPMENT)
    await finish(house.home, "good", STAGING)
    patient = PIPELINE.format(repository=house.repository).replace("30s", "30m") + APPROVALS
    async with client(house.home) as dg:
        await dg.pipelines.register(patient)
        await dg.lanes.unlock("web", DEVELOPMENT)
        issued = await dg.tokens.create(name="ana", role="operator", kind="person")
        async with Client(dg.url, issued.secret) as ana:
            await ana.deployments.create(CreateDeployment(environment=PRODUCTION, service="web", ref="good"))
        await dg.keys.create(name="ci", scopes=[Scope(role="viewer")])
        await dg.bindings.create(CreateBinding(subject=issued.token.id, role="viewer"))
        for name in Environment:
            for domain in ("a.example.com", "b.example.com"):
                wish = UpdateEnvironment(domain=domain, config={"workers": 4}, reason="why not")
                await dg.environments.update(name, wish)
            await dg.environments.set_secret(name, "stripe_key", "a-secret")
        port = int(house.server.url.rpartition(":")[2])
        probe = {"kind": "tcp", "service": "db", "host": "127.0.0.1", "port": port, "interval": "1s"}
        await dg.health.set_probe(DEVELOPMENT, "db", probe)
        await dg.backups.make(DEVELOPMENT, "first-one")
    await deploy(house.home, "slow", DEVELOPMENT)


async def done(home: Path) -> list[str]:
    """What the owner, as whom the dashboard goes, did or tried; the server does things of its own."""
    async with client(home) as dg:
        owner = (await dg.whoami()).id
        return [fact.type async for fact in dg.events.all() if fact.actor == owner]


FORMS: dict[str, dict[str, str]] = {
    "1": {"gx": "CANCEL", "d": "DEPLOY", "R": "ROLL BACK", "L": "LOCK", "F": "FREEZE"},
    "2": {"gjp": "APPROVE", "gjX": "REJECT", "Gt": "RETRY"},
    "3": {
        "[ge": "CONFIGURE",
        "n": "CONFIGURE",
        "s": "SECRET",
        "b": "BACK",
        "\tn": "ADD A PROBE",
        "\te": "CHANGE A PROBE",
    },
    "0": {"c": "may I?", "]gD": "REVOKE"},
}
"""By screen: the keys of its forms one after the other, and what stands in the form's title."""
WAYS: dict[str, dict[str, str]] = {
    "1": {
        "H": "handover",
        ":show": "completes",
        ":deploy ": "completes",
        ":mute for 1h": "completes",
        ":subscribe ": "completes",
        "@1s\r": "AS OF",
    },
    "2": {"G\rD": "files", "G\ri": "asked by"},
}
"""By screen: the keys of what it leads to, which hold what servers say too, and what stands there."""
PAGES = 6
CLICKS = 12
"""Cells between two clicks."""


def _visit(screen: Terminal, mode: str) -> None:
    """Open a screen, all its pages, the row under the cursor, its help and the palette."""
    for keys in (
        mode,
        "\t",
        *"]" * PAGES,
        "\r",
        ESCAPE,
        "G",
        "\r",
        ESCAPE,
        "?",
        ESCAPE,
        "\x10",
        ESCAPE,
        mode,
    ):
        screen.press(keys)
        screen.settle()


def _click_all_over(screen: Terminal) -> None:
    """Whatever can be clicked is, and whatever that opens."""
    width, height = SIZE
    for y in range(2, height + 1):
        for x in range(2 + y % CLICKS, width, CLICKS):
            screen.press(f"\x1b[<0;{x};{y}M\x1b[<0;{x};{y}m")
        screen.read(0.02)
    for _ in range(4):
        screen.settle()
        screen.press(ESCAPE)
    screen.settle()


def _open(screen: Terminal, keys: str, title: str) -> None:
    """A form, its first field, what it would do, and away again."""
    end, found = time.monotonic() + WITHIN, False
    while not found:
        # What the server said meanwhile may have taken the row or the key away for a moment.
        assert time.monotonic() < end, (title, bytes(screen.written[-3000:]))
        before = len(screen.written)
        for key in (ESCAPE, *keys):
            screen.press(key)
            screen.settle()
        screen.read(1)
        found = title.encode() in screen.written[before:]
    for key in ("\t", "\r", "\r", ESCAPE, ESCAPE):
        screen.press(key)
        screen.settle()


@pytest.mark.long
@pytest.mark.parametrize(("attacks", "names"), [(SENT, False), (MARKUP, True)], ids=["texts", "names"])
def test_nothing_that_a_server_says_acts(
    town: House, tmp_path: Path, attacks: tuple[str, ...], names: bool
) -> None:
    before = asyncio.run(done(town.home))
    bender = Bender(attacks, names=names)
    with between(town.server.url) as way:
        way.bend = bender
        with terminal("tui", environ=_environ(town, way, tmp_path), size=SIZE) as screen:
            screen.until(lambda: b"live" in screen.written)
            for mode, forms in FORMS.items():
                _visit(screen, mode)
                for keys, title in () if names else (*forms.items(), *WAYS.get(mode, {}).items()):
                    _open(screen, keys, title)
                _click_all_over(screen)
            assert screen.process.poll() is None, bytes(screen.written[-1500:])
            assert [theirs for theirs in THEIRS if theirs in screen.written] == []
            assert _errors(tmp_path) == []
            assert screen.end(signal.SIGTERM) == 128 + signal.SIGTERM
            screen.assert_restored()
        assert bender.bent > 500
        assert way.writes == []
    assert asyncio.run(done(town.home)) == before


def _errors(folder: Path) -> list[str]:
    """What went wrong in the dashboard. Textual's palette looks for its list when it was closed meanwhile."""
    logs = [log.read_text() for log in folder.rglob("dashboard.log")]
    return [trace for log in logs for trace in log.split("\n\n") if trace and "'CommandList'" not in trace]


def _environ(house: House, way: Between, folder: Path) -> dict[str, str]:
    token = find({}, house.home).token
    assert token is not None
    return {
        "DG_URL": way.url,
        "DG_TOKEN": token,
        "XDG_CACHE_HOME": str(folder / "cache"),
        "XDG_STATE_HOME": str(folder / "state"),
    }
