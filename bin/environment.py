"""Makes or repairs `.venv` from the committed lock; `bin/environment` starts it with the Python to use.

Safe to interrupt and to run twice at once: one holds a lock, and an environment left half made is made anew.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UV_VERSION = "0.13.9"
ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
TOOLS = ROOT / ".tools"
UV = TOOLS / f"uv-{UV_VERSION}"
UNFINISHED = TOOLS / "unfinished"
DRIVER = VENV / "dg-postgresql"
"""Stands where the driver for PostgreSQL was asked for: every later environment has it too."""


class CannotPrepare(Exception):
    """One sentence for the person who started dg."""


def main(arguments: list[str]) -> int:
    dev, postgresql = "--dev" in arguments, "--postgresql" in arguments
    if set(arguments) - {"--dev", "--postgresql"}:
        say("usage: bin/environment [--dev] [--postgresql]")
        return 2
    try:
        if shutil.which("git") is None:
            raise CannotPrepare("git is needed and was not found; install it")
        with one_at_a_time():
            if not up_to_date(dev) or (postgresql and not DRIVER.exists()):
                prepare(dev, postgresql=postgresql)
    except CannotPrepare as problem:
        say(str(problem))
        return 2
    except OSError as problem:
        say(f"cannot make the environment in {ROOT}: {problem}")
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


@contextmanager
def one_at_a_time() -> Iterator[None]:
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another start that is making the environment")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def up_to_date(dev: bool) -> bool:
    """Whether `.venv` stands here and has what the lock says; `bin/dg` makes the same check in shell."""
    stamp = VENV / ("dg-lock-dev" if dev else "dg-lock")
    return (
        not UNFINISHED.exists()
        and read(VENV / "dg-place") == f"{ROOT}\n"
        and read(stamp) == read(ROOT / "uv.lock")
        and (VENV / "bin" / "python").exists()
    )


def read(file: Path) -> str | None:
    return file.read_text() if file.exists() else None


def prepare(dev: bool, *, postgresql: bool) -> None:
    started = time.monotonic()
    version = ".".join(map(str, sys.version_info[:3]))
    say(f"preparing {VENV} with Python {version} (once; needs the network)")
    if not (UV / "bin" / "uv").exists():
        install_uv()
    postgresql = postgresql or DRIVER.exists()
    moved = read(VENV / "dg-place") not in (None, f"{ROOT}\n")
    if UNFINISHED.exists() or moved or not (VENV / "bin" / "python").exists():
        shutil.rmtree(VENV, ignore_errors=True)
    UNFINISHED.touch()
    sync(dev, postgresql=postgresql)
    if postgresql:
        DRIVER.touch()
    # The stamps that bin/dg trusts are written last.
    for stamp in ("dg-lock", "dg-lock-dev") if dev else ("dg-lock",):
        shutil.copyfile(ROOT / "uv.lock", VENV / stamp)
    (VENV / "dg-place").write_text(f"{ROOT}\n")
    UNFINISHED.unlink()
    say(f"ready after {time.monotonic() - started:.0f} s")


def install_uv() -> None:
    """uv in an environment of its own: it must not be among the packages that it manages."""
    fresh = TOOLS / "uv.new"
    shutil.rmtree(fresh, ignore_errors=True)
    run([sys.executable, "-m", "venv", str(fresh)], "Python's venv module failed")
    pip = [
        str(fresh / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-cache-dir",
        "--retries",
        "2",
    ]
    run([*pip, f"uv=={UV_VERSION}"], f"uv {UV_VERSION} could not be installed from the Python package index")
    fresh.rename(UV)


def sync(dev: bool, *, postgresql: bool) -> None:
    # --inexact: a start of dg must not take away the tools that bin/test installed. --compile-bytecode: where
    # Python may not write it later, every start would compile the packages again, for twice the time.
    groups = ["--group", "dev"] if dev else ["--no-dev", "--inexact"]
    extras = ["--extra", "postgresql"] if postgresql else []
    environment = {
        "UV_CACHE_DIR": str(TOOLS / "cache"),
        **os.environ,
        "UV_PROJECT_ENVIRONMENT": str(VENV),
        "UV_PYTHON": sys.executable,
        "UV_PYTHON_DOWNLOADS": "never",
    }
    environment.pop("VIRTUAL_ENV", None)
    command = [
        str(UV / "bin" / "uv"),
        "sync",
        "--frozen",
        "--quiet",
        "--no-progress",
        "--compile-bytecode",
        "--project",
        str(ROOT),
        *groups,
        *extras,
    ]
    failure = "the packages in uv.lock could not be installed"
    try:
        run(command, failure, environment)
    except CannotPrepare as problem:
        # uv brings its own authorities; a machine behind a company's proxy has one more, which pip knew.
        if "certificate" not in str(problem) or "UV_SYSTEM_CERTS" in environment:
            raise
        run(command, failure, environment | {"UV_SYSTEM_CERTS": "true"})


def run(command: list[str], failure: str, environment: dict[str, str] | None = None) -> None:
    """Run quietly. Raises CannotPrepare with `failure` and the last thing the command said."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = [line.strip() for line in (done.stdout + done.stderr).splitlines()]
        causes = [line for line in said if line and not line.startswith("hint:")]
        detail = causes[-1] if causes else f"exit code {done.returncode}"
        raise CannotPrepare(f"{failure}: {detail} (is the network there?)")


def say(text: str) -> None:
    sys.stderr.write(f"dg: {text}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
