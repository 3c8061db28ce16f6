"""Where the server is and what opens it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dg.client.app import Client
from dg.client.auth import Credentials, checked, checked_token, find
from dg.client.errors import NoCredential, Unreachable
from dg.core.access import keyform
from dg.core.errors import Invalid

LOCAL = "http://127.0.0.1:8470"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose server runs."""
    write(tmp_path / "server.json", json.dumps({"url": LOCAL, "pid": 1}))
    write(tmp_path / "local.token", "owner.token\n")
    return tmp_path


def write(path: Path, text: str, mode: int = 0o600) -> None:
    path.write_text(text)
    path.chmod(mode)


def test_the_local_server_is_found_by_itself(home: Path) -> None:
    assert find({}, home) == Credentials(LOCAL, "owner.token")


def test_arguments_win_over_the_environment_and_that_over_the_home(home: Path) -> None:
    environ = {"DG_URL": "https://dg.example.org/", "DG_TOKEN": "from.env"}
    assert find(environ, home) == Credentials("https://dg.example.org", "from.env")
    assert find(environ, home, url=LOCAL, token="given") == Credentials(LOCAL, "given")


def test_a_token_of_the_environment_is_used_for_the_local_server(home: Path) -> None:
    assert find({"DG_TOKEN": "mine"}, home) == Credentials(LOCAL, "mine")


def test_the_owners_token_never_goes_to_another_server(home: Path) -> None:
    with pytest.raises(NoCredential, match="DG_TOKEN"):
        find({"DG_URL": "https://elsewhere.example.org"}, home)
    with pytest.raises(NoCredential):
        find({"DG_URL": "http://127.0.0.1:9999"}, home)


def test_the_owners_token_goes_to_the_local_server_named_by_its_address(home: Path) -> None:
    assert find({"DG_URL": LOCAL + "/v1"}, home) == Credentials(LOCAL, "owner.token")


def test_without_a_server_the_way_out_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="dg serve"):
        find({}, tmp_path)


@pytest.mark.parametrize("name", ["server.json", "local.token"])
def test_a_file_that_others_can_read_is_refused(home: Path, name: str) -> None:
    (home / name).chmod(0o644)
    with pytest.raises(NoCredential, match="chmod 600"):
        find({}, home)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_refused(home: Path) -> None:
    os.chown(home / "local.token", 65534, 65534)
    with pytest.raises(NoCredential, match="does not belong to you"):
        find({}, home)


def test_a_link_is_not_followed(home: Path) -> None:
    target = home / "elsewhere"
    (home / "local.token").rename(target)
    (home / "local.token").symlink_to(target)
    with pytest.raises(NoCredential):
        find({}, home)


def test_a_pipe_in_place_of_a_file_does_not_hang(home: Path) -> None:
    (home / "local.token").unlink()
    os.mkfifo(home / "local.token", 0o600)
    with pytest.raises(NoCredential):
        find({}, home)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"pid": 1}'])
def test_a_damaged_server_file_is_said_so(home: Path, text: str) -> None:
    write(home / "server.json", text)
    with pytest.raises(NoCredential, match="damaged"):
        find({}, home)


def test_a_missing_local_token_is_said_so(home: Path) -> None:
    (home / "local.token").unlink()
    with pytest.raises(NoCredential, match="missing"):
        find({}, home)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "https://dg.example.org"]
)
def test_addresses_that_keep_the_token_secret_are_taken(url: str) -> None:
    assert checked(url + "/") == url


@pytest.mark.parametrize(
    "url",
    [
        "http://dg.example.org",
        "http://10.0.0.1:8470",
        "http://127.0.0.1.example.org",
        "http://localhost.example.org",
        "http://127.0.0.1@example.org",
        "ftp://127.0.0.1",
        "127.0.0.1:8470",
        "https://",
        "https://ana:secret@dg.example.org",
        "http://[::1",
        "http://127.0.0.1:99999",
        "https://dg.example.org/?token=x",
    ],
)
def test_other_addresses_are_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(Invalid):
        Client(url, "token")


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "gänseblümchen", "\x00"])
def test_what_cannot_be_a_token_is_refused(token: str) -> None:
    with pytest.raises(NoCredential):
        Client(LOCAL, token)


def test_credentials_do_not_show_the_token() -> None:
    assert "hush" not in repr(Credentials(LOCAL, "hush"))


def test_a_mistyped_key_is_told_before_it_is_sent() -> None:
    key = keyform.make(None, lambda size: bytes(range(size)))
    assert checked_token(f" {key}\n") == key
    for wrong in (key[:-1], key.replace("dgk_all", "dgk_prod"), key[:20] + "-" + key[21:]):
        with pytest.raises(NoCredential, match="mistyped"):
            checked_token(wrong)
