"""`dg init server`: the unit is what systemd reads, what it starts is a server; a container gets time."""

from __future__ import annotations

import configparser
import getpass
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dg.cli import unit
from dg.cli.container import recipe
from dg.cli.errors import ExitCode
from dg.cli.main import run
from dg.core.errors import Invalid
from dg.settings.loader import load

DG = [sys.executable, "-P", "-m", "dg"]


def service(text: str) -> dict[str, str]:
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text)
    return dict(parser["Service"])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not on this machine")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    file = tmp_path / "dg.service"
    assert run(["init", "server", "--user", getpass.getuser(), "--output", str(file)]) == ExitCode.OK
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--generators=no", file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "dg.service" not in done.stderr


def test_a_stop_of_the_unit_leaves_deployments_alone() -> None:
    said = service(unit.unit("dg", "dg", DG))
    assert said["KillMode"] == "process"
    assert said["OOMPolicy"] == "continue"
    assert said["Delegate"] == "cpu memory pids"
    assert not {"PrivateTmp", "ProtectProc", "RuntimeDirectory"} & said.keys()


def test_what_the_unit_starts_is_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unit, "STATE", tmp_path)
    command = shlex.split(service(unit.unit("dg", "dg", DG))["ExecStart"])
    environ = {"PATH": "/usr/bin:/bin", "DG_SERVER__PORT": "0"}
    started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ)
    assert started.stdout is not None
    with started, started.stdout:
        ready = started.stdout.readline()
        started.send_signal(signal.SIGTERM)
    assert f"home {tmp_path / 'dg'}" in ready
    assert started.returncode == 0


def test_a_unit_that_is_there_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "dg.service"
    file.write_text("mine")
    assert run(["init", "server", "--output", str(file)]) == ExitCode.REFUSED
    assert "cannot be written: File exists" in capsys.readouterr().err
    assert file.read_text() == "mine"


@pytest.mark.parametrize("name", ["", "a/b", "../x", "Dg", "a\nExecStart=/bin/evil", "%h"])
def test_a_name_adds_no_line_to_the_unit(name: str) -> None:
    with pytest.raises(Invalid, match="--name takes"):
        unit.unit("dg", name, DG)


def test_a_path_is_one_word_to_systemd() -> None:
    assert unit.quoted('/a b/50%/"$x') == '"/a b/50%%/\\"$$x"'
    assert unit.quoted("/usr/bin/python") == "/usr/bin/python"


def test_a_container_is_given_more_time_to_stop_than_its_server_takes() -> None:
    files = recipe()
    environ = dict(
        word.split("=", 1)
        for line in files["Containerfile"].splitlines()
        if line.startswith("ENV ")
        for word in line.split()[1:]
    )
    server = load(Path("/x"), {}, environ).settings.server
    assert server.drain is not None
    takes = server.drain + server.graceful_stop
    dg = yaml.safe_load(files["compose.yaml"])["services"]["dg"]
    assert float(dg["stop_grace_period"].removesuffix("s")) > takes
    quadlet = configparser.ConfigParser(interpolation=None, delimiters=("=",), strict=False)
    quadlet.read_string(files["dg.container"])
    podman = float(quadlet["Container"]["PodmanArgs"].removeprefix("--stop-timeout="))
    assert float(quadlet["Service"]["TimeoutStopSec"]) > podman > takes


def test_in_a_container_the_stop_signal_reaches_the_server_alone() -> None:
    files = recipe()
    assert "STOPSIGNAL SIGTERM" in files["Containerfile"]
    assert 'ENTRYPOINT ["/opt/dg/bin/dg"]' in files["Containerfile"]
    assert yaml.safe_load(files["compose.yaml"])["services"]["dg"]["init"] is True
    assert "RunInit=true" in files["dg.container"]


def test_a_container_s_port_is_published_to_this_machine_alone() -> None:
    """Inside, the server listens in the clear."""
    files = recipe()
    assert yaml.safe_load(files["compose.yaml"])["services"]["dg"]["ports"] == ["127.0.0.1:8470:8470"]
    assert "PublishPort=127.0.0.1:8470:8470" in files["dg.container"]


def test_what_the_image_copies_is_in_a_clone() -> None:
    root = Path(__file__).parents[2]
    for line in recipe()["Containerfile"].splitlines():
        if line.startswith("COPY "):
            assert all((root / name).exists() for name in line.split()[1:-1]), line


def test_a_recipe_is_written_into_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "server", "--container", "--output", str(tmp_path)]) == ExitCode.OK
    assert "podman build" in capsys.readouterr().out
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == recipe()
    assert run(["init", "server", "--container", "--output", str(tmp_path)]) == ExitCode.REFUSED
    assert run(["init", "server", "--container"]) == ExitCode.OK
