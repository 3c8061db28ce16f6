"""Grades of secrets: what is sealed for the server, what only the runner opens, what nobody plays again."""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.core.environments.test_environments import CANARY, PRODUCTION, STAGING, Estate, open_estate, wanted

from dg.core.access.models import SYSTEM
from dg.core.boxes import fingerprint, public_key, seal, secret_context
from dg.core.environments.models import Box, Ciphertext, SealingKey
from dg.core.errors import Forbidden, Invalid, Stale
from dg.core.types import Environment
from dg.runner.handover import Sealed


@pytest.fixture
async def lone(tmp_path: Path) -> AsyncIterator[Estate]:
    async with open_estate(tmp_path / "home") as found:
        yield found


@pytest.fixture
async def on_either(tmp_path: Path, either_url: str | None) -> AsyncIterator[Estate]:
    async with open_estate(tmp_path / "home", either_url) as found:
        yield found


def sealed(
    key: SealingKey, value: str = CANARY, name: str = "session_key", where: Environment = STAGING
) -> Box:
    context = secret_context(where, name, key.version)
    box = seal(base64.b64decode(key.public_key), value, context)
    return Box(key=key.key, version=key.version, box=box)


async def test_a_secret_that_a_client_sealed_is_given_to_steps(on_either: Estate) -> None:
    environments = on_either.environments
    viewer = await on_either.who("viewer")
    key = await environments.sealing_key(viewer, STAGING, "session_key")
    assert key.version == 1
    assert key.key == fingerprint(base64.b64decode(key.public_key))
    with pytest.raises(Forbidden):
        await environments.set_secret(viewer, STAGING, "session_key", sealed(key))
    after = await environments.set_secret(SYSTEM, STAGING, "session_key", sealed(key))
    assert (after.secrets["session_key"].grade, after.version) == ("sealed", 1)
    assert await on_either.kept.get("web", STAGING, ["session_key"]) == {"session_key": CANARY}
    again = await environments.sealing_key(SYSTEM, STAGING, "session_key")
    assert (again.key, again.version) == (key.key, 2)


async def test_a_sealed_secret_is_not_played_again(lone: Estate) -> None:
    key = await lone.environments.sealing_key(SYSTEM, STAGING, "session_key")
    old = sealed(key)
    await lone.environments.set_secret(SYSTEM, STAGING, "session_key", old)
    await lone.environments.set_secret(SYSTEM, STAGING, "session_key", f"{CANARY}-newer")
    with pytest.raises(Stale, match=r"sealed as version 1 .* takes version 3"):
        await lone.environments.set_secret(SYSTEM, STAGING, "session_key", old)
    forged = old.model_copy(update={"version": 3})
    with pytest.raises(Invalid, match="does not open here"):
        await lone.environments.set_secret(SYSTEM, STAGING, "session_key", forged)
    assert await lone.kept.get("web", STAGING, ["session_key"]) == {"session_key": f"{CANARY}-newer"}


async def test_a_sealed_secret_opens_in_no_other_place(lone: Estate) -> None:
    key = await lone.environments.sealing_key(SYSTEM, STAGING, "session_key")
    for where, name in ((PRODUCTION, "session_key"), (STAGING, "other_key")):
        with pytest.raises(Invalid, match="does not open here"):
            await lone.environments.set_secret(SYSTEM, where, name, sealed(key))


async def test_a_box_for_another_servers_key_is_refused_with_the_right_one(lone: Estate) -> None:
    key = await lone.environments.sealing_key(SYSTEM, STAGING, "session_key")
    public = public_key(os.urandom(32))
    other = key.model_copy(
        update={"key": fingerprint(public), "public_key": base64.b64encode(public).decode()}
    )
    with pytest.raises(Stale, match=key.key):
        await lone.environments.set_secret(SYSTEM, STAGING, "session_key", sealed(other))
    forged = sealed(other).model_copy(update={"key": key.key})
    with pytest.raises(Invalid, match="does not open here"):
        await lone.environments.set_secret(SYSTEM, STAGING, "session_key", forged)


@pytest.mark.parametrize("value", ["tiny", "with\0null", "x" * 40_000])
async def test_what_was_sealed_is_checked_like_any_secret(lone: Estate, value: str) -> None:
    key = await lone.environments.sealing_key(SYSTEM, STAGING, "session_key")
    with pytest.raises(Invalid, match=r"secrets\.session_key") as error:
        await lone.environments.set_secret(SYSTEM, STAGING, "session_key", sealed(key, value))
    assert value not in error.value.message
    address = await lone.environments.sealing_key(SYSTEM, STAGING, "database_url")
    box = sealed(address, CANARY, "database_url")
    with pytest.raises(Invalid, match="must be an address"):
        await lone.environments.set_secret(SYSTEM, STAGING, "database_url", box)


async def test_the_grade_is_the_one_in_which_a_value_first_came(lone: Estate) -> None:
    await lone.environments.set_secret(SYSTEM, STAGING, "session_key", CANARY)
    key = await lone.environments.sealing_key(SYSTEM, STAGING, "session_key")
    after = await lone.environments.set_secret(SYSTEM, STAGING, "session_key", sealed(key))
    assert (after.version, after.secrets["session_key"].grade) == (1, "at_rest")


async def test_a_ciphertext_is_kept_and_handed_on_as_it_is(lone: Estate) -> None:
    text = "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----"
    after = await lone.environments.set_secret(SYSTEM, STAGING, "kube_token", Ciphertext(ciphertext=text))
    assert after.secrets["kube_token"].grade == "runner_only"
    found = await lone.kept.get("web", STAGING, ["kube_token"])
    assert found == {"kube_token": text}
    assert isinstance(found["kube_token"], Sealed)
    same = await lone.environments.set_secret(SYSTEM, STAGING, "kube_token", Ciphertext(ciphertext=text))
    assert same.version == 1
    opened = await lone.environments.set_secret(SYSTEM, STAGING, "kube_token", text)
    assert (opened.version, opened.secrets["kube_token"].grade) == (2, "at_rest")
    assert not isinstance((await lone.kept.get("web", STAGING, ["kube_token"]))["kube_token"], Sealed)
    back = await lone.environments.restore(SYSTEM, STAGING, 1)
    assert back.secrets["kube_token"].grade == "runner_only"


@pytest.mark.parametrize("text", ["", " \n", "a\0b", "x" * 40_000])
async def test_what_is_no_ciphertext_is_refused(lone: Estate, text: str) -> None:
    with pytest.raises(Invalid, match="ciphertext"):
        await lone.environments.set_secret(SYSTEM, STAGING, "kube_token", Ciphertext(ciphertext=text))


async def test_grades_stay_when_what_was_read_is_sent_back(lone: Estate) -> None:
    key = await lone.environments.sealing_key(SYSTEM, STAGING, "session_key")
    await lone.environments.set_secret(SYSTEM, STAGING, "session_key", sealed(key))
    shown = (await lone.environments.get(SYSTEM, STAGING)).secrets["session_key"]
    request = wanted(secrets={"session_key": shown.model_dump()})
    assert (await lone.environments.update(SYSTEM, STAGING, request)).secrets == {"session_key": shown}
