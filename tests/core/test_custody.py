"""Where the key of a home comes from, and what no server starts with."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.core.access.room import signing_key

from dg.core.access.models import SYSTEM
from dg.core.app import open_core
from dg.core.custody import Custody
from dg.core.environments.vault import KeptSecrets
from dg.core.errors import Refused, Unavailable
from dg.core.home import Home, write_private
from dg.core.keys import fresh
from dg.core.types import Environment
from dg.settings import Settings
from dg.settings.tree import Keys

STAGING = Environment.STAGING
VALUE = "the session key"
RANDOM = "7c2f9be04d1185a36e0ac4f31b97d258e6430fbd2a815c79d3461e90afb87c25"


def custody(
    home: Path, environ: Mapping[str, str] | None = None, *, required: bool = False, **keys: Any
) -> Custody:
    return Custody(Keys.model_validate(keys), home, environ or {}, required=required)


def script(folder: Path, text: str) -> str:
    path = folder / "vault"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return str(path)


def settings(home: Path, *, production: bool = False, **keys: Any) -> Settings:
    Home(home).make()
    if not (home / "keys/issuer.pem").exists():
        write_private(home / "keys/issuer.pem", signing_key())
    return Settings.model_validate({"home": home, "server": {"production": production}, "keys": keys})


async def put(settings: Settings, environ: Mapping[str, str] | None = None) -> None:
    async with open_core(settings, environ=environ or {}, passive=True) as core:
        await core.environments.set_secret(SYSTEM, STAGING, "session_key", VALUE)


async def get(settings: Settings, environ: Mapping[str, str] | None = None) -> str:
    async with open_core(settings, environ=environ or {}) as core:
        kept = KeptSecrets(core.environments._db, core.environments._vault, core.clock)
        return (await kept.get("web", STAGING, ["session_key"]))["session_key"]


# --- a file


async def test_the_first_use_makes_a_key_that_is_its_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "keys/envelope.key"
    sealed = (await custody(tmp_path).open()).seal(VALUE, "a")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (await custody(tmp_path).open()).open(sealed, "a") == VALUE
    file.chmod(0o640)
    with pytest.raises(Refused, match="chmod 600"):
        await custody(tmp_path).open()


async def test_a_new_key_seals_and_the_older_ones_open(tmp_path: Path) -> None:
    for file in (None, Path("mine.key"), tmp_path / "elsewhere/mine.key"):
        before = (await custody(tmp_path, file=file).open()).seal(VALUE, "a")
        after = await custody(tmp_path, file=file).add()
        assert (after.open(before, "a"), after.is_newest(before)) == (VALUE, False)
        assert after.is_newest(after.seal(VALUE, "a"))
        assert len((tmp_path / (file or "keys/envelope.key")).read_text().split()) == 2


async def test_a_key_is_made_once(tmp_path: Path) -> None:
    made = custody(tmp_path).make()
    assert made == tmp_path / "keys/envelope.key"
    before = made.read_text()
    with pytest.raises(Refused, match="holds a key already"):
        custody(tmp_path).make()
    assert made.read_text() == before


async def test_a_folder_in_the_keys_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.key").mkdir(mode=0o700)
    with pytest.raises(Refused, match="cannot be read"):
        await custody(tmp_path, file="mine.key").open()


# --- a variable, and a command


@pytest.mark.parametrize("kind", ["env", "command"])
async def test_a_key_that_somebody_else_keeps_seals_and_is_rotated(tmp_path: Path, kind: str) -> None:
    home, old, new = tmp_path / "home", fresh(), fresh()
    place: Any = {"env": "THE_KEY"} if kind == "env" else {"command": [script(tmp_path, "cat")]}

    def held(text: str) -> dict[str, str]:
        script(tmp_path, f"printf '{text}'")
        return {"THE_KEY": text}

    chosen = settings(home, **place)
    await put(chosen, held(old))
    assert await get(chosen, held(old)) == VALUE
    assert not (home / "keys/envelope.key").exists()
    async with open_core(chosen, environ=held(old), passive=True) as core:
        with pytest.raises(Refused, match="which dg only reads"):
            await core.keyring.rotate(SYSTEM)
    async with open_core(chosen, environ=held(new + old), passive=True) as core:
        assert await core.keyring.rotate(SYSTEM) == 2
        assert (await core.keyring.check()).older == 0
    assert await get(chosen, held(new)) == VALUE
    with pytest.raises(Refused, match="which dg only reads"):
        Custody(chosen.keys, home, {}).make()


async def test_a_variable_that_is_not_set_gives_no_key(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="the variable THE_KEY does not hold keys"):
        await custody(tmp_path, env="THE_KEY").open()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"echo {RANDOM}; echo {RANDOM} >&2; exit 3", "ended with code 3"),
        (f"echo {RANDOM}; sleep 60", "did not end within 0.3 seconds"),
        (f"echo {RANDOM} tail", "does not hold keys"),
        ("yes aaaaaaaa | head -c 200000", "does not hold keys"),
        ("true", "does not hold keys"),
    ],
)
async def test_what_a_command_prints_is_in_no_error(
    tmp_path: Path, text: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises((Refused, Unavailable), match=said) as error:
        await custody(tmp_path, command=[script(tmp_path, text), "get"], timeout=0.3).open()
    assert RANDOM not in f"{error.value.message}{error.value.details}{caplog.text}{error.value.__context__}"
    assert "vault" in error.value.message


async def test_a_command_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="`/no/such/vault` gives no key: it cannot be run"):
        await custody(tmp_path, command=["/no/such/vault"]).open()


def test_one_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="three places for one key"):
        settings(tmp_path, env="A", command=["vault"])


async def test_nobody_but_the_key_sees_its_variable(tmp_path: Path) -> None:
    chosen = settings(tmp_path / "home", env="THE_KEY")
    async with open_core(chosen, environ={"THE_KEY": RANDOM, "PATH": "/bin"}, passive=True) as core:
        assert core.deployments._parts.environ == {"PATH": "/bin"}


# --- production


async def test_a_server_in_production_makes_no_key_unasked(tmp_path: Path) -> None:
    chosen = settings(tmp_path / "home", production=True)
    with pytest.raises(Refused, match=r"envelope\.key is not there.*`dg keys init`"):
        await put(chosen)
    Custody(chosen.keys, chosen.home, {}).make()
    await put(chosen)
    assert await get(chosen) == VALUE


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        ("00" * 32, 0o600, "holds a sample"),
        ("a7b1", 0o600, "does not hold keys of 32 bytes"),
        (RANDOM, 0o644, "others may read it: run `chmod 600"),
        (RANDOM, 0o600, "is not the one that sealed this home's secrets (2 of 2 do not open)"),
    ],
)
async def test_a_server_in_production_starts_with_the_right_key_alone(
    tmp_path: Path, content: str, mode: int, said: str
) -> None:
    await put(settings(tmp_path / "home"))
    file = tmp_path / "home/keys/envelope.key"
    file.write_text(content)
    file.chmod(mode)
    with pytest.raises(Refused) as error:
        await get(settings(tmp_path / "home", production=True))
    assert said in error.value.message
    assert content not in error.value.message


async def test_a_command_is_ended_with_the_start_that_waits_for_it(tmp_path: Path) -> None:
    told = tmp_path / "told"
    chosen = custody(tmp_path, command=[script(tmp_path, f"trap 'touch {told}' TERM; sleep 30 & wait")])
    opening = asyncio.ensure_future(chosen.open())
    await asyncio.sleep(0.3)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert told.exists()
