"""The home's keys together: a rotation leaves nothing behind, and nothing unopened."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.core.access.room import signing_key

from dg.core.access.models import SYSTEM
from dg.core.app import open_core
from dg.core.custody import Custody
from dg.core.environments import store
from dg.core.environments.vault import KeptSecrets, Wholeness
from dg.core.errors import Refused
from dg.core.home import Home, write_private
from dg.core.types import Environment
from dg.core.webhooks.models import CreateWebhook
from dg.settings import Settings

STAGING = Environment.STAGING


@pytest.fixture
async def settings(tmp_path: Path) -> Settings:
    """A home with a secret and a webhook."""
    home = Home(tmp_path / "home")
    home.make()
    write_private(home.keys / "issuer.pem", signing_key())
    found = Settings.model_validate({"home": home.path})
    async with open_core(found, environ={}, passive=True) as core:
        await core.environments.set_secret(SYSTEM, STAGING, "session_key", "the session key")
        hook = await core.webhooks.create(SYSTEM, CreateWebhook(url="https://hooks.example.org/"))
        await core.webhooks.rotate(SYSTEM, hook.webhook.id)
    return found


def lines(settings: Settings) -> list[str]:
    return (Home(settings.home).keys / "envelope.key").read_text().split()


async def secret(settings: Settings) -> dict[str, str]:
    async with open_core(settings, environ={}, passive=True) as core:
        kept = KeptSecrets(core.environments._db, core.environments._vault, core.clock)
        return await kept.get("web", STAGING, ["session_key"])


async def test_after_a_rotation_the_older_key_opens_nothing_that_is_needed(settings: Settings) -> None:
    (old,) = lines(settings)
    async with open_core(settings, environ={}, passive=True) as core:
        assert await core.keyring.check() == Wholeness(sealed=5, older=0, broken=())
        assert await core.keyring.rotate(SYSTEM) == 4
        assert await core.keyring.check() == Wholeness(sealed=5, older=0, broken=())
    fresh, kept = lines(settings)
    assert (kept, len(fresh)) == (old, len(old))
    write_private(Home(settings.home).keys / "envelope.key", fresh)
    assert await secret(settings) == {"session_key": "the session key"}
    async with open_core(settings, environ={}, passive=True) as core:
        assert (await core.keyring.check()).broken == ()


async def test_a_rotation_that_was_interrupted_is_taken_up(settings: Settings) -> None:
    await Custody(settings.keys, settings.home, {}).add()
    assert await secret(settings) == {"session_key": "the session key"}
    async with open_core(settings, environ={}, passive=True) as core:
        assert (await core.keyring.check()).older == 4
        assert [await core.keyring.rewrap(SYSTEM), await core.keyring.rewrap(SYSTEM)] == [4, 0]
        assert (await core.keyring.check()).older == 0
        entries = await core.feed.read(SYSTEM, limit=100, filter="type=keyring.rotated")
        assert [entry.payload for entry in entries] == [{"sealed": 4}]


async def test_what_does_not_open_is_named_and_nothing_is_sealed_anew(settings: Settings) -> None:
    async with open_core(settings, environ={}, passive=True) as core:
        db = core.environments._db
        keys = await db.read(store.data_keys)
        await db.write(lambda tx: store.reseal_data_key(tx, "staging", keys["fingerprints"]))
        assert (await core.keyring.check()).broken == (
            "data key/staging",
            "version 1 of the secret `session_key` of staging",
        )
        with pytest.raises(Refused, match="moved from its place"):
            await core.keyring.rotate(SYSTEM)
        assert await db.read(store.data_keys) == keys | {"staging": keys["fingerprints"]}
