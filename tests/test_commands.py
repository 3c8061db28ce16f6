"""`bin/dg` in a clone: its first start, its later ones, and what it says when it cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dg import __version__

ROOT = Path(__file__).parents[1]
VERSION = f"dg {__version__}\n".encode()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The tree as a clone has it, with the packages that this machine has fetched already."""
    clone = tmp_path / "a clone"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, clone / name)
    clone.joinpath(".tools").mkdir()
    for tool in ROOT.glob(".tools/uv-*"):
        clone.joinpath(".tools", tool.name).symlink_to(tool)
    return clone


def start(clone: Path, *arguments: str, **environ: str) -> subprocess.Popen[bytes]:
    environ = {
        "UV_CACHE_DIR": str(ROOT / ".tools" / "cache"),
        **os.environ,
        "DG_PYTHON": sys.executable,
        **environ,
    }
    return subprocess.Popen(
        [clone / "bin" / "dg", *arguments],
        cwd="/",
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def ended(process: subprocess.Popen[bytes]) -> tuple[int, bytes, str]:
    output, errors = process.communicate(timeout=120)
    return process.returncode, output, errors.decode()


@pytest.mark.long
def test_several_first_starts_at_once_make_one_environment(clone: Path) -> None:
    outcomes = [ended(process) for process in [start(clone, "--version") for _ in range(3)]]
    assert [outcome[:2] for outcome in outcomes] == [(0, VERSION)] * 3
    assert sum("preparing" in outcome[2] for outcome in outcomes) == 1


@pytest.mark.long
def test_a_later_start_only_starts(clone: Path) -> None:
    assert ended(start(clone, "--version"))[0] == 0
    clone.joinpath("bin", "environment").write_text("#!/bin/sh\nexit 9\n")
    link = clone.parent / "link"
    link.symlink_to("a clone/bin/dg")
    done = subprocess.run([link, "--version"], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, VERSION, b"")


@pytest.mark.long
def test_an_environment_left_half_made_is_made_anew(clone: Path) -> None:
    assert ended(start(clone, "--version"))[0] == 0
    click = next(clone.glob(".venv/lib/*/site-packages/click"))
    shutil.rmtree(click)
    for stamp in ("dg-lock", "dg-place"):
        clone.joinpath(".venv", stamp).unlink()
    clone.joinpath(".tools", "unfinished").touch()
    code, output, _ = ended(start(clone, "config", "show", DG_HOME=str(clone)))
    assert (code, output[:7]) == (0, b"SETTING")


@pytest.mark.long
def test_a_clone_that_was_moved_makes_its_environment_again(clone: Path) -> None:
    assert ended(start(clone, "--version"))[0] == 0
    moved = clone.rename(clone.with_name("moved"))
    assert ended(start(moved, "--version"))[:2] == (0, VERSION)


@pytest.mark.long
def test_the_wheel_carries_every_file_of_the_package(clone: Path) -> None:
    assert ended(start(clone, "--version"))[0] == 0
    uv = next(clone.glob(".tools/uv-*/bin/uv"))
    subprocess.run(
        [uv, "build", "--quiet", "--offline", "--wheel", "--out-dir", clone.parent], cwd=clone, check=True
    )
    wheel = zipfile.ZipFile(next(clone.parent.glob("dg-*.whl")))
    files = {
        path.relative_to(clone / "src").as_posix()
        for path in clone.joinpath("src", "dg").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert files <= set(wheel.namelist())
    assert any(name.endswith("api/contracts/platform-api.yaml") for name in files)


@pytest.mark.parametrize("python", ["/nonexistent/python", "false"])
def test_a_python_that_does_not_work_is_named(clone: Path, python: str) -> None:
    code, output, errors = ended(start(clone, "--version", DG_PYTHON=python))
    assert (code, output) == (2, b"")
    assert errors == f"dg: DG_PYTHON names {python}, which is not a working Python 3.11 or newer.\n"


def fake_python(folder: Path, script: str) -> Path:
    python = folder / "python3"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    return python


def test_a_python_without_venv_is_told_what_to_install(clone: Path) -> None:
    python = fake_python(clone.parent, f'case "$*" in *ensurepip*) exit 1;; esac; exec {sys.executable} "$@"')
    code, _, errors = ended(start(clone, "--version", DG_PYTHON=str(python)))
    assert code == 2
    assert errors.startswith(f"dg: {python} lacks its venv module; install it (on Debian and Ubuntu: ")


def test_a_machine_without_git_is_told_so(clone: Path) -> None:
    tools = clone.parent / "tools"
    tools.mkdir()
    for name in ("sh", "readlink", "cmp"):
        found = shutil.which(name)
        assert found
        tools.joinpath(name).symlink_to(found)
    code, _, errors = ended(start(clone, "--version", PATH=str(tools)))
    assert (code, errors) == (2, "dg: git is needed and was not found; install it\n")


@pytest.mark.long
def test_no_network_is_said_in_a_sentence(clone: Path) -> None:
    for tool in clone.glob(".tools/uv-*"):
        tool.unlink()
    nowhere = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(clone / "docs"), "PIP_CONFIG_FILE": os.devnull}
    code, _, errors = ended(start(clone, "--version", **nowhere))
    assert code == 2
    assert "could not be installed from the Python package index" in errors
    assert len(errors.splitlines()) == 2
