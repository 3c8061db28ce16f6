"""Facts about secrets in a file."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterable
from pathlib import Path

import pytest

from dg.core.deployments.secrets import FileSecrets, Secrets
from dg.core.errors import Refused
from dg.core.types import Environment

PRODUCTION = Environment.PRODUCTION

SAMPLE = """
[production]
database_url = "postgres://common"
token = "common-token"

[production.web]
token = "token-of-web"
key = '''first line
second line'''

[staging]
token = "staging-token"
short = "12345"
nul = "123456\\u0000"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "secrets.toml"
    write(path, SAMPLE)
    return path


def write(path: Path, text: str | bytes, mode: int = 0o600) -> None:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)


async def test_a_service_gets_its_own_value_before_the_common_one(path: Path) -> None:
    secrets: Secrets = FileSecrets(path)
    names = ["token", "database_url", "key"]
    assert await secrets.get("web", PRODUCTION, names) == {
        "token": "token-of-web",
        "database_url": "postgres://common",
        "key": "first line\nsecond line",
    }
    assert await secrets.get("api", PRODUCTION, ["token"]) == {"token": "common-token"}
    assert await secrets.get("web", Environment.STAGING, ["token"]) == {"token": "staging-token"}


async def test_only_what_was_asked_for_is_given(path: Path) -> None:
    assert list(await FileSecrets(path).get("web", PRODUCTION, ["token", "token"])) == ["token"]


async def test_missing_names_are_listed_together(path: Path) -> None:
    with pytest.raises(Refused, match="no secret `absent`, `key` in production") as caught:
        await FileSecrets(path).get("api", PRODUCTION, ["key", "absent", "token"])
    assert caught.value.details["missing"] == ["absent", "key"]
    with pytest.raises(Refused, match="in development"):
        await FileSecrets(path).get("web", Environment.DEVELOPMENT, ["token"])


async def test_a_service_table_is_no_secret(path: Path) -> None:
    with pytest.raises(Refused, match="no secret `web`"):
        await FileSecrets(path).get("api", PRODUCTION, ["web"])


@pytest.mark.parametrize(("name", "why"), [("short", "shorter than 6 bytes"), ("nul", "holds a NUL")])
async def test_values_that_cannot_be_used_are_refused(path: Path, name: str, why: str) -> None:
    with pytest.raises(Refused, match=why) as caught:
        await FileSecrets(path).get("web", Environment.STAGING, [name])
    assert "12345" not in str(caught.value)


async def test_a_rotated_value_holds_at_once(path: Path) -> None:
    secrets = FileSecrets(path)
    await secrets.get("web", PRODUCTION, ["token"])
    write(path, SAMPLE.replace("token-of-web", "rotated-token"))
    assert await secrets.get("web", PRODUCTION, ["token"]) == {"token": "rotated-token"}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666, 0o601])
async def test_a_file_open_to_others_is_refused(path: Path, mode: int) -> None:
    write(path, SAMPLE, mode)
    with pytest.raises(Refused, match="chmod 600"):
        await FileSecrets(path).get("web", PRODUCTION, ["token"])


async def test_a_read_only_file_is_fine(path: Path) -> None:
    write(path, SAMPLE, 0o400)
    assert await FileSecrets(path).names("api", PRODUCTION) == {"database_url", "token"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
async def test_a_file_of_another_user_is_refused(path: Path) -> None:
    os.chown(path, 65534, 65534)
    with pytest.raises(Refused, match="another user"):
        await FileSecrets(path).get("web", PRODUCTION, ["token"])


async def test_no_file_is_needed_when_nothing_is_asked_for(tmp_path: Path) -> None:
    secrets = FileSecrets(tmp_path / "absent.toml")
    assert await secrets.get("web", PRODUCTION, []) == {}
    assert await secrets.names("web", PRODUCTION) == frozenset()
    with pytest.raises(Refused, match=r"write it under \[production\] in .*absent.toml, a file of mode 0600"):
        await secrets.get("web", PRODUCTION, ["token"])
    with pytest.raises(Refused, match=r"not a regular file|Is a directory"):
        await FileSecrets(tmp_path).get("web", PRODUCTION, ["token"])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[prodution]\ntoken = 'hunter22'", r"did you mean \[production\]"),
        ("production = 'hunter22'", "must be a table"),
        ("[qa]\ntoken = 'hunter22'", "known are development"),
        ("token = 'hunter22'", r"`token` outside of a table; write it under one of \[development\]"),
        ("[production]\nToken = 'hunter22'", "`Token` in"),
        ("[production]\ntoken = 1234567", "must be a string in quotes"),
        ("[production]\ntoken = ['hunter22']", "must be a string in quotes"),
        ("[production.Web]\ntoken = 'hunter22'", "not the name of a service"),
        ("[production.web.more]\ntoken = 'hunter22'", "must be a string"),
        ("[production]\ntoken = 'hunter22", "not TOML at"),
        ("[production]\ntoken = 'a'\ntoken = 'hunter22'", "not TOML at end of document"),
        (b"[production]\ntoken = '\xffhunter22'", "not UTF-8"),
        ("x = " + "[" * 5000, "nested too deeply"),
        ("x = '" + "hunter22" * 200_000 + "'", "larger than 1 MiB"),
    ],
)
async def test_a_bad_file_is_named_without_its_content(path: Path, text: str | bytes, why: str) -> None:
    write(path, text)
    with pytest.raises(Refused, match=why) as caught:
        await FileSecrets(path).get("web", PRODUCTION, ["token"])
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=False).format())
    assert "hunter22" not in shown
    assert caught.value.__context__ is None or "hunter22" not in repr(vars(caught.value.__context__))


async def test_values_are_in_no_repr(path: Path) -> None:
    secrets = FileSecrets(path)
    await secrets.get("web", PRODUCTION, ["token"])
    assert "token-of-web" not in repr(secrets) + repr(vars(secrets))


class Kept:
    """What an environment keeps itself."""

    def __init__(self, values: dict[str, str]) -> None:
        self._values = values

    async def get(self, service: str, environment: Environment, names: Iterable[str]) -> dict[str, str]:
        return {name: self._values[name] for name in names if name in self._values}

    async def names(self, environment: Environment) -> frozenset[str]:
        return frozenset(self._values)


async def test_the_nearest_counts_the_service_then_the_environment_then_the_file(tmp_path: Path) -> None:
    path = tmp_path / "secrets.toml"
    path.write_text(
        '[production]\none = "in the file"\ntwo = "in the file"\nthree = "in the file"\n'
        '[production.web]\nthree = "of the service"\n'
    )
    path.chmod(0o600)
    kept = {"two": "of the environment", "three": "of the environment", "four": "of the environment"}
    secrets = FileSecrets(path, Kept(kept))
    names = ["one", "two", "three", "four"]
    assert await secrets.get("web", PRODUCTION, names) == {
        "one": "in the file",
        "two": "of the environment",
        "three": "of the service",
        "four": "of the environment",
    }
    assert await secrets.names("web", PRODUCTION) == frozenset(names)


async def test_what_the_environment_keeps_needs_no_file(tmp_path: Path) -> None:
    secrets = FileSecrets(tmp_path / "absent.toml", Kept({"token": "of the environment"}))
    assert await secrets.get("web", PRODUCTION, ["token"]) == {"token": "of the environment"}
    with pytest.raises(Refused, match="dg secret set production other"):
        await secrets.get("web", PRODUCTION, ["other"])
