"""What the sandbox is made of: its home, its repository, and the processes it owns."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dg.core.clock import SystemClock
from dg.core.deployments.pipeline import lint, parse
from dg.core.errors import Refused, Unavailable
from dg.core.types import Environment
from dg.sandbox.home import SandboxHome, open_home
from dg.sandbox.hosts import HostAddress, placeholders
from dg.sandbox.owned import owned
from dg.sandbox.repository import Repository, make_repository
from dg.sandbox.server import environ


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    home = SandboxHome(tmp_path_factory.mktemp("sandbox"), passing=False)
    hosts = {name: HostAddress(1, f"http://{name}:1", f"http://{name}:2", "secret") for name in Environment}
    return make_repository(home.path / 'a "quoted" {place}', placeholders(hosts, home))


def test_pipeline_has_nothing_to_find_fault_with(repository: Repository) -> None:
    assert lint(parse(repository.pipeline)) == []


def git(repository: Repository, *arguments: str) -> str:
    command = ("git", "-C", str(repository.path), *arguments)
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_history_is_the_same_everywhere(repository: Repository) -> None:
    lines = git(repository, "log", "--reverse", "--format=%an|%cI|%s", "main").splitlines()
    assert len(lines) == repository.commits == 6
    assert lines[0] == "The shop's team|2026-03-02T09:12:00+00:00|Answer the catalogue as JSON"
    assert git(repository, "status", "--porcelain") == ""
    assert repository.tags == ("v1.0.0", "v1.1.0", "v1.2.0")


@pytest.mark.parametrize("tag", ["v1.0.0", "v1.1.0", "v1.2.0"])
def test_tests_of_every_release_pass_even_of_the_bad_one(
    repository: Repository, tmp_path: Path, tag: str
) -> None:
    git(repository, "worktree", "add", "--quiet", "--detach", str(tmp_path / tag), tag)
    done = subprocess.run((sys.executable, "-B", "-m", "unittest"), cwd=tmp_path / tag, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_only_the_last_release_has_the_bug_and_only_with_a_discount(
    repository: Repository, tmp_path: Path
) -> None:
    asked = "import shop; print(shop.answer('/products')[0])"
    codes = {}
    for tag in repository.tags:
        git(repository, "worktree", "add", "--quiet", "--detach", str(tmp_path / tag), tag)
        for discount in ({}, {"SHOP_DISCOUNT": "15"}):
            command = (sys.executable, "-B", "-c", asked)
            done = subprocess.run(command, cwd=tmp_path / tag, env=discount, capture_output=True)
            codes[tag, bool(discount)] = done.returncode
    assert codes == {(tag, discount): int(tag == "v1.2.0" and discount) for tag, discount in codes}


def test_pack_gives_the_same_bytes_for_the_same_release(repository: Repository, tmp_path: Path) -> None:
    digests = set()
    for name in ("one", "two"):
        folder, outputs = tmp_path / name, tmp_path / f"{name}.outputs"
        folder.mkdir()
        variables = {"DG_VERSION": "v1.2.0", "DG_SHA": "a" * 40, "DG_OUTPUTS": str(outputs)}
        command = (sys.executable, "ops/pack.py", str(folder))
        subprocess.run(command, cwd=repository.path, env=variables, check=True, capture_output=True)
        digests.add(outputs.read_text().split("digest=")[1])
    assert len(digests) == 1


def test_own_home_is_private_and_removed_at_the_end() -> None:
    with open_home(None, keep=False) as home:
        assert home.path.stat().st_mode & 0o777 == 0o700
    assert not home.path.exists()


def test_home_that_is_named_stays(tmp_path: Path) -> None:
    with open_home(tmp_path / "new", keep=False) as home:
        (home.path / "dg.db").touch()
    assert (tmp_path / "new" / "dg.db").exists()


def test_home_of_an_earlier_sandbox_is_emptied(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    with open_home(tmp_path / "home", keep=False) as home:
        (home.path / "git").mkdir()
        (home.path / "link").symlink_to(outside)
        (home.own / "shop").mkdir()
    with open_home(tmp_path / "home", keep=False) as home:
        assert sorted(path.name for path in home.path.iterdir()) == ["sandbox"]
        assert sorted(path.name for path in home.own.iterdir()) == ["lock", "releases"]
    assert (outside / "precious").exists()


def test_folder_of_somebody_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(Refused, match="is not empty and no sandbox made it"), open_home(tmp_path, keep=False):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_home_is_one_sandboxs_at_a_time(tmp_path: Path) -> None:
    with (
        open_home(tmp_path / "home", keep=False),
        pytest.raises(Refused, match="another sandbox uses"),
        open_home(tmp_path / "home", keep=False),
    ):
        pass


async def test_owned_process_says_its_line_and_ends_with_the_block(tmp_path: Path) -> None:
    script = "import sys; print('noise\\nready 7', flush=True); sys.stdin.read()"
    command = (sys.executable, "-c", script)
    async with owned(command, tmp_path / "log", {}, SystemClock()) as process:
        assert await process.says("ready", 20) == "ready 7"
        pid = process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_owned_process_that_fails_is_reported_with_its_last_words(tmp_path: Path) -> None:
    command = (sys.executable, "-c", "raise SystemExit('port 80 is taken')")
    async with owned(command, tmp_path / "server.log", {}, SystemClock()) as process:
        with pytest.raises(Unavailable, match="server ended with exit code 1: port 80 is taken"):
            await process.says("ready", 20)


async def test_server_learns_nothing_of_other_servers() -> None:
    seen = environ({"DG_URL": "http://real", "DG_SERVER__PORT": "1", "LANG": "C", "PATH": "/bin"})
    assert seen == {"LANG": "C", "PATH": f"{Path(sys.executable).parent}{os.pathsep}/bin"}


def test_dg_is_told_to_stop_when_its_input_closes(tmp_path: Path) -> None:
    watch = (
        "import threading, dg.sandbox.lifeline as it; threading.Thread(target=it.watch, args=(0,)).start()"
    )
    command = (sys.executable, "-c", f"{watch}; print('up', flush=True); threading.Event().wait()")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path) as process:
        assert process.stdout
        assert process.stdin
        assert process.stdout.readline() == b"up\n"
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(20) == -signal.SIGTERM
