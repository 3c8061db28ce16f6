"""`dg init`: a first `dg.toml` for the repository one stands in."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click

from dg.cli.options import Group, Invocation, pass_invocation
from dg.cli.output import Meaning
from dg.cli.unit import server

NAME = "dg.toml"
URLS = {
    "development": "https://dev.{service}.example.com",
    "staging": "https://staging.{service}.example.com",
    "production": "https://{service}.example.com",
}


@click.group(cls=Group, invoke_without_command=True)
@click.option("--service", help="The service's name; the folder's when left out.")
@click.option("-y", "--yes", is_flag=True, help="Ask nothing.")
@click.option("--force", is_flag=True, help="Replace a dg.toml that is there.")
@click.pass_context
@pass_invocation
def init(invocation: Invocation, context: click.Context, service: str | None, yes: bool, force: bool) -> None:
    """Write a first dg.toml for the git repository you stand in."""
    if context.invoked_subcommand is None:
        write_pipeline(invocation, service, yes, force)


init.add_command(server)


def write_pipeline(invocation: Invocation, service: str | None, yes: bool, force: bool) -> None:
    """Write the file and say what comes next. Raises Refused, Unavailable."""
    from dg.core.deployments.pipeline import template
    from dg.core.errors import Refused

    root = repository(Path.cwd())
    file = root / NAME
    if file.exists() and not force:
        raise Refused(f"{file} is there already; --force replaces it")
    asking = not yes and sys.stdin.isatty() and not invocation.json
    service = service or _ask("Service", named_after(root), asking)
    ref = _ask("Branch that production takes", branch(root), asking)
    text = template(
        service,
        origin(root),
        ref,
        urls={name: url.format(service=service) for name, url in URLS.items()},
        has_dockerfile=(root / "Dockerfile").is_file(),
        make_targets=make_targets(root / "Makefile"),
    )
    file.write_text(text, encoding="utf-8")
    output = invocation.output
    if output.json:
        output.record({"file": str(file), "service": service, "ref": ref})
        return
    output.line(
        output.glyph("ok"), f"{file} says how {service} is deployed: read it, set the addresses, then"
    )
    for command in (
        "dg pipeline lint",
        "dg pipeline register",
        f"dg deploy {service} {ref} --env development --wait",
    ):
        output.line("  ", (command, Meaning.STRONG))


def _ask(what: str, found: str, asking: bool) -> str:
    answer: str = click.prompt(what, default=found, err=True) if asking else found
    return answer


def repository(folder: Path) -> Path:
    """The root of the git repository that `folder` is in. Raises Refused."""
    from dg.core.errors import Refused

    root = git(folder, "rev-parse", "--show-toplevel")
    if not root:
        raise Refused(
            f"{folder} is not in a git repository; go to the one to deploy, or make it with `git init`"
        )
    return Path(root)


def branch(root: Path) -> str:
    """The current branch, `main` where there is none."""
    return git(root, "symbolic-ref", "--quiet", "--short", "HEAD") or "main"


def origin(root: Path) -> str:
    """Where the server fetches from: the remote `origin`, else this folder itself."""
    address = git(root, "remote", "get-url", "origin")
    if address.startswith(("./", "../")):
        # git means it from the repository's root; the server stands elsewhere.
        return str((root / address).resolve())
    return address or str(root)


def git(folder: Path, *arguments: str) -> str:
    """One line that git answers, empty when it has none. Raises Unavailable without git."""
    from dg.core.errors import Unavailable

    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        raise Unavailable("git is not installed; dg needs it to read repositories") from None
    return done.stdout.strip() if done.returncode == 0 else ""


def named_after(root: Path) -> str:
    """A service name as near as can be to the folder's."""
    name = re.sub(r"[^a-z0-9]+", "-", root.name.lower()).strip("-")
    return re.sub(r"^[^a-z]+", "", name)[:63].rstrip("-") or "app"


def make_targets(makefile: Path) -> set[str]:
    """The targets of a Makefile, empty when there is none."""
    try:
        text = makefile.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return set()
    return set(re.findall(r"^([A-Za-z0-9_-]+)\s*:(?!=)", text, re.MULTILINE))
