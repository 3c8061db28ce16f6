"""A real sshd on loopback with keys of its own, for whatever reaches a host by ssh."""

from __future__ import annotations

import getpass
import os
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROGRAM = shutil.which("sshd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
needs_sshd = pytest.mark.skipif(PROGRAM is None, reason="sshd is not installed")
READY_SECONDS = 20.0
_CONFIG = """\
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PrintMotd no
AcceptEnv none
"""


class Sshd:
    """One host: whoever holds a key of `authorized_keys` logs in as the user that runs the tests."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.log = folder / "log"

    @property
    def destination(self) -> str:
        return f"{getpass.getuser()}@127.0.0.1"

    @property
    def known_host(self) -> str:
        """The line of a known_hosts file that lets this host in."""
        kind, key, *_ = (self.folder / "host_key.pub").read_text().split()
        return f"[127.0.0.1]:{self.port} {kind} {key}\n"

    def authorize(self, key: Path, command: str = "") -> None:
        """Let the owner of `key` in; with `command` for nothing else."""
        options = f'restrict,command="{command}" ' if command else ""
        with (self.folder / "authorized_keys").open("a") as file:
            file.write(options + key.with_name(f"{key.name}.pub").read_text())


def make_key(path: Path, *kind: str, passphrase: str = "") -> Path:
    """A key pair: `path` and `path.pub`; `kind` are options of ssh-keygen."""
    argv = ["ssh-keygen", "-q", *(kind or ("-t", "ed25519")), "-N", passphrase, "-C", "test", "-f", str(path)]
    subprocess.run(argv, check=True, capture_output=True)
    return path


@contextmanager
def sshd(folder: Path) -> Iterator[Sshd]:
    """A host that is up, with its files in `folder`; ended with everybody who is logged in."""
    assert PROGRAM is not None
    folder.mkdir(parents=True)
    make_key(folder / "host_key")
    (folder / "authorized_keys").touch()
    if os.geteuid() == 0:
        # Where sshd separates its privileges; a machine whose sshd was never started has none.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    host = Sshd(folder, _free_port())
    (folder / "config").write_text(_CONFIG.format(port=host.port, folder=folder))
    with host.log.open("wb") as log:
        process = subprocess.Popen(
            [PROGRAM, "-D", "-e", "-f", str(folder / "config")], stderr=log, start_new_session=True
        )
    try:
        _wait(host, process)
        yield host
    finally:
        process.terminate()
        process.wait(10)


def _wait(host: Sshd, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while b"Server listening" not in host.log.read_bytes():
        assert process.poll() is None, host.log.read_text()
        assert time.monotonic() < deadline, "sshd is not ready in time"
        time.sleep(0.01)


def _free_port() -> int:
    """A port below the ephemeral ones, so that no connection of another test takes it in between."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
