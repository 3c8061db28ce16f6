"""Makes the shop's git repository from the commits that stand as folders in `shop/`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

from dg.core.errors import Unavailable

SHOP = Path(__file__).parent / "shop"
PIPELINE = "dg.toml"
AUTHOR = ("The shop's team", "team@shop.invalid")


@dataclass(frozen=True)
class Repository:
    """A repository as it was made: how many commits it has, and its tags in the order of the history."""

    path: Path
    commits: int
    tags: tuple[str, ...]

    @property
    def pipeline(self) -> str:
        """The text of its `dg.toml`."""
        return (self.path / PIPELINE).read_text("utf-8")


def make_repository(path: Path, addresses: Mapping[str, str]) -> Repository:
    """A work tree at `path` with the whole history on `main`.

    `addresses` are the values of the placeholders in `dg.toml` but the repository's own. Raises Unavailable
    when git does not do it.
    """
    history = tomllib.loads((SHOP / "history.toml").read_text("utf-8"))["commit"]
    path.mkdir(mode=0o700)
    _git(path, "init", "--quiet", "--initial-branch=main")
    for commit in history:
        _lay(SHOP / commit["files"], path, {**addresses, "repository": path.as_uri()})
        date = commit["date"].isoformat()
        _git(path, "add", "--all")
        _git(path, "commit", "--quiet", "--message", commit["message"], date=date)
        if tag := commit.get("tag"):
            _git(path, "tag", "--annotate", "--message", tag, tag, date=date)
    tags = tuple(commit["tag"] for commit in history if "tag" in commit)
    return Repository(path, len(history), tags)


def _lay(files: Path, target: Path, values: Mapping[str, str]) -> None:
    # Without the files' modes: an installed package may be read-only, and the next commit writes over them.
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(files, target, dirs_exist_ok=True, ignore=ignored, copy_function=shutil.copyfile)
    if (files / PIPELINE).exists():
        text = Template((files / PIPELINE).read_text("utf-8"))
        # Quotes and backslashes are written alike in JSON and in TOML.
        quoted = {name: json.dumps(value, ensure_ascii=False)[1:-1] for name, value in values.items()}
        (target / PIPELINE).write_text(text.substitute(quoted), "utf-8")


def _git(path: Path, *arguments: str, date: str = "") -> None:
    """Run git without the user's and the machine's settings, hooks and signatures."""
    name, mail = AUTHOR
    environ = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(path),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{role}_NAME": name for role in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{role}_EMAIL": mail for role in ("AUTHOR", "COMMITTER")},
        **({f"GIT_{role}_DATE": date for role in ("AUTHOR", "COMMITTER")} if date else {}),
    }
    command = ("git", "-c", "core.hooksPath=/dev/null", *arguments)
    try:
        done = subprocess.run(
            command,
            cwd=path,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
    except FileNotFoundError:
        raise Unavailable("git is not installed, or not on the PATH") from None
    if done.returncode:
        reason = done.stderr.decode("utf-8", "replace").strip()
        raise Unavailable(f"git {arguments[0]} did not make the shop's repository: {reason}")
