"""The home: private, one server's at a time, and free when that server is dead."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from dg.core.errors import Refused
from dg.core.home import Home, write_private

_HOLD = """
import sys
from pathlib import Path
from dg.core.home import Home
with Home(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_home_that_cannot_be_made_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(Refused, match="cannot be made: Not a directory; choose another with --home"),
        Home(tmp_path / "file" / "home").lock(),
    ):
        pass


@pytest.mark.parametrize("name", ["", "keys", "runs"])
@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path, name: str, mode: int) -> None:
    planted = tmp_path / "home" / name
    planted.mkdir(parents=True)
    planted.chmod(mode)
    with pytest.raises(Refused, match=f"others may write to {planted}: .* `chmod 700 {planted}`"):
        Home(tmp_path / "home").make()
    planted.chmod(0o755)
    Home(tmp_path / "home").make()


def test_a_home_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    with pytest.raises(Refused, match=rf"belongs to another user \(uid {me}\): run dg as that user"):
        Home(tmp_path / "home").make()


def test_everything_in_a_home_is_its_owners_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        home = Home(tmp_path / "deep" / "home")
        with home.lock():
            write_private(home.owner_token, "secret")
    finally:
        os.umask(old)
    assert mode(home.path) == 0o700
    for path in home.path.iterdir():
        assert mode(path) == (0o700 if path.is_dir() else 0o600), path


def test_making_a_home_twice_keeps_what_is_there(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    (home.keys / "issuer.pem").write_text("key")
    home.make()
    assert (home.keys / "issuer.pem").read_text() == "key"


def test_another_process_is_refused_and_told_who_holds_the_home(tmp_path: Path) -> None:
    home = Home(tmp_path)
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    with holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Refused, match="another dg server holds the home"), home.lock():
            pass
        home.address.write_text(json.dumps({"url": "http://127.0.0.1:1", "pid": holder.pid}))
        with pytest.raises(Refused, match=rf"pid {holder.pid}, http://127\.0\.0\.1:1") as caught, home.lock():
            pass
        assert caught.value.reason == "home_locked"
        holder.kill()
        holder.wait()
        with home.lock():
            pass


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x", "url": 1}', '{"pid": 1}', "\ud800"])
def test_a_broken_address_does_not_hide_the_refusal(tmp_path: Path, content: str) -> None:
    home = Home(tmp_path)
    with home.lock():
        home.address.write_text(content, errors="surrogatepass")
        with pytest.raises(Refused, match="another dg server"), Home(tmp_path).lock():
            pass


def test_a_home_is_free_after_the_lock(tmp_path: Path) -> None:
    for _ in range(2):
        with Home(tmp_path).lock():
            pass


def test_a_private_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("old")
    path.chmod(0o644)
    with path.open() as reader:
        write_private(path, "new")
        assert reader.read() == "old"
    assert path.read_text() == "new"
    assert mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]
