"""A server whose certificate no public authority signed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.client.servers import Server, serving
from tests.scenarios.house import free_port
from tests.tls import make_certificate

from dg.client.app import Client
from dg.client.errors import Unreachable
from dg.core.errors import Invalid


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Signs itself; its key stands beside it."""
    made, _ = make_certificate(tmp_path_factory.mktemp("authority"))
    return made


@pytest.fixture(scope="module")
def served(certificate: Path) -> Iterator[tuple[Server, Path]]:
    """A server with that certificate, and its home."""
    home, port = certificate.parent / "home", free_port()
    home.mkdir(mode=0o700)
    (home / "server.toml").write_text(
        f'[server]\ntls_certificate = "{certificate}"\ntls_key = "{certificate.with_suffix(".key")}"\n'
        f'public_url = "https://127.0.0.1:{port}"\n'
    )
    with serving(home, port) as server:
        yield server, home


async def test_the_authority_that_was_named_is_believed_and_no_other(
    served: tuple[Server, Path], certificate: Path
) -> None:
    server, home = served
    token = (home / "local.token").read_text()
    async with Client(server.url, token, ca_file=certificate) as dg:
        assert (await dg.whoami()).name
    async with Client(server.url, token) as dg:
        with pytest.raises(Unreachable, match=r"CERTIFICATE_VERIFY_FAILED.*DG_CA_FILE"):
            await dg.whoami()


@pytest.mark.parametrize(("named", "code"), [(True, 0), (False, 4)])
def test_the_command_line_reads_it_from_its_environment(
    served: tuple[Server, Path], certificate: Path, named: bool, code: int
) -> None:
    _, home = served
    environ = {"PATH": os.environ["PATH"], "DG_HOME": str(home)}
    if named:
        environ["DG_CA_FILE"] = str(certificate)
    command = [sys.executable, "-P", "-m", "dg", "token", "list"]
    assert subprocess.run(command, env=environ, capture_output=True, check=False).returncode == code


def test_a_file_of_no_certificates_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    for file, why in ((tmp_path / "none.pem", "No such file"), (tmp_path / "empty.pem", "")):
        with pytest.raises(Invalid, match=f"the certificates in {file} cannot be used.*{why}"):
            Client("https://127.0.0.1:1", "token", ca_file=file)
