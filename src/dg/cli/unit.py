"""`dg init server`: the systemd unit or the container in which a team's server runs."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from dg.cli.options import Command, Invocation, pass_invocation

UNIT = """\
[Unit]
Description=dg, deploys, guards and rolls back
Wants=network-online.target
After=network-online.target

[Service]
Type=exec
User={user}
ExecStart={command}

# A deployment runs in a process of its own and must survive a stop, a restart and an upgrade of the server.
KillMode=process
# Each step gets a control group of its own, in which its limits hold.
Delegate=cpu memory pids
# A step that takes too much memory fails alone; it does not take the server with it.
OOMPolicy=continue
Restart=always
RestartSec=1s
TimeoutStopSec=30s

# The folder {home}, for the server's user alone.
StateDirectory={state}
StateDirectoryMode=0700
UMask=0077
LimitNOFILE=65536
# A core dump would hold keys and secrets.
LimitCORE=0
ProtectSystem=full
# Not set on purpose: PrivateTmp= takes /tmp from running deployments at a stop, ProtectProc= hides the
# processes that a cancel has to find, and NoNewPrivileges= breaks steps that use sudo.

[Install]
WantedBy=multi-user.target
"""
STATE = Path("/var/lib")


@click.command("server", cls=Command)
@click.option("--user", default="dg", show_default=True, help="The account that the server runs as.")
@click.option("--name", default="dg", show_default=True, help="The home's name below /var/lib.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Write it there, such as /etc/systemd/system/dg.service; for --container a folder.",
)
@click.option("--container", is_flag=True, help="Instead: a Containerfile, a compose file and a quadlet.")
@pass_invocation
def server(invocation: Invocation, user: str, name: str, output: Path | None, container: bool) -> None:
    """Print a systemd unit for a server on this machine, or the recipe of a container."""
    if container:
        _container(invocation, output)
        return
    text = unit(user, name, [sys.executable, "-P", "-m", "dg"])
    if output is not None:
        _write(output, text)
    if invocation.json:
        invocation.output.record({"unit": text, "file": str(output) if output else None})
    elif output is None:
        click.echo(text, nl=False)
    else:
        say = invocation.output
        say.line(say.glyph("ok"), f"{output} is written; next: systemctl enable --now {output.name}")


def _container(invocation: Invocation, folder: Path | None) -> None:
    from dg.cli.container import recipe

    files = recipe()
    if folder is not None:
        for name, text in files.items():
            _write(folder / name, text)
    if invocation.json:
        invocation.output.record({"files": files, "folder": str(folder) if folder else None})
    elif folder is None:
        click.echo("\n".join(f"#### {name}\n{text}" for name, text in files.items()), nl=False)
    else:
        say = invocation.output
        say.line(say.glyph("ok"), f"{', '.join(files)} are in {folder}; next, in a clone of dg:")
        say.line(f"  podman build -t dg -f {folder / 'Containerfile'} .")


def unit(user: str, name: str, dg: Sequence[str]) -> str:
    """The unit's text; `dg` is the command that starts dg. Raises Invalid for a bad name."""
    from dg.core.errors import Invalid

    for option, value in (("--user", user), ("--name", name)):
        if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,30}", value):
            raise Invalid(f"{option} takes lower case letters, digits, `-` and `_`, and begins with a letter")
    home = STATE / name
    command = " ".join(quoted(part) for part in (*dg, "serve", "--home", str(home)))
    return UNIT.format(user=user, command=command, home=home, state=name)


def quoted(word: str) -> str:
    """One word of a command line as systemd reads it, in which `%` and `$` stand for themselves."""
    escaped = re.sub(r'(["\\])', r"\\\1", word).replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if re.search(r"[\s'\"\\;]", word) else escaped


def _write(path: Path, text: str) -> None:
    from dg.core.errors import Refused

    try:
        # A unit that is there may have been changed by hand.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise Refused(f"{path} cannot be written: {error.strerror}; name another with --output") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
