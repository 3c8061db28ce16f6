"""The guides' examples, run as they stand against a real server; their words, held against the program's."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
import yaml
from tests.scenarios.house import House, step

from dg.cli.main import dg

ROOT = Path(__file__).parents[2]
INTEGRATION = ROOT / "docs/integration.md"
TROUBLESHOOTING = ROOT / "docs/troubleshooting.md"
SDK = ROOT / "sdks/typescript"
TSC = SDK / "node_modules/.bin/tsc"
STEPS = step("release", "deploy", 'run = ["echo", "released"]')

needs_tools = pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("jq")), reason="curl or jq is not installed"
)
needs_npm = pytest.mark.skipif(
    not TSC.exists() or shutil.which("node") is None, reason="`npm ci --prefix sdks/typescript` was not run"
)


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    found: list[str] = re.findall(
        rf"^```{language}\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    return found


@dataclass(frozen=True)
class Reader:
    """Somebody at a terminal beside a server with a service `web`, and the key of the guide in hand."""

    house: House
    folder: Path
    key: str

    def run(self, *command: str | Path, **more: str) -> str:
        """What a command printed; it has to go well."""
        tools = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("DG_")}
        environ = {**inherited, "PATH": tools, "DG_URL": self.house.url, **more}
        done = subprocess.run(
            command, cwd=self.folder, env=environ, capture_output=True, text=True, timeout=200, check=False
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    def shell(self, script: str, **more: str) -> str:
        return self.run("bash", "--noprofile", "--norc", "-euo", "pipefail", "-c", script, **more)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("guide")
    house = House(folder)
    try:
        house.repository.commit("good")
        house.start()
        (folder / "dg.toml").write_text(house.pipeline(STEPS))
        assert house.dg("pipeline", "register", str(folder / "dg.toml")).returncode == 0
        work = folder / "work"
        work.mkdir()
        alone = ("--env", "staging", "--service", "web")
        made = house.dg(
            "key", "create", "--name", "reader", "--role", "operator", *alone, "--out", str(work / "own")
        )
        assert made.returncode == 0, made.stderr
        key = (work / "own").read_text().strip()
        reader = Reader(house, work, key)
        assert reader.shell("dg deploy web main --env staging --wait", DG_TOKEN=key)
        yield reader
    finally:
        house.close()


@pytest.mark.long
@needs_tools
def test_the_shell_of_the_integration_guide_runs_from_top_to_bottom(reader: Reader) -> None:
    said = reader.shell("\n".join(blocks(INTEGRATION, "sh")), DG_HOME=str(reader.house.home.path))
    assert "released" in said.splitlines()
    assert (reader.folder / "events.txt").read_text().count("event: deployment.created") >= 2


@pytest.mark.long
@pytest.mark.parametrize("number", range(len(blocks(INTEGRATION, "python"))))
def test_an_example_in_python_runs(reader: Reader, number: int) -> None:
    code = blocks(INTEGRATION, "python")[number]
    assert reader.run(sys.executable, "-W", "error", "-c", code, DG_TOKEN=reader.key)


@pytest.fixture(scope="module")
def compiled(reader: Reader) -> Path:
    """The examples in TypeScript, compiled under the strict rules of the package that they import."""
    package = reader.folder / "node_modules/dg-client"
    reader.run(TSC, "--project", SDK / "tsconfig.build.json", "--outDir", package / "dist")
    shutil.copy(SDK / "package.json", package)
    (reader.folder / "package.json").write_text('{"type": "module"}')
    for number, code in enumerate(blocks(INTEGRATION, "ts")):
        (reader.folder / f"example{number}.ts").write_text(code)
    types = SDK / "node_modules/@types"
    options = ["--strict", "--noUncheckedIndexedAccess", "--target", "es2022", "--module", "nodenext"]
    reader.run(TSC, *options, "--typeRoots", types, "--types", "node", *reader.folder.glob("example*.ts"))
    return reader.folder


@pytest.mark.long
@needs_npm
@pytest.mark.parametrize("number", range(len(blocks(INTEGRATION, "ts"))))
def test_an_example_in_typescript_compiles_and_runs(reader: Reader, compiled: Path, number: int) -> None:
    socket = reader.run("node", "--print", "typeof WebSocket").strip() == "function"
    options = [] if socket else ["--experimental-websocket", "--no-warnings"]
    assert reader.run("node", *options, compiled / f"example{number}.js", DG_TOKEN=reader.key)


@pytest.mark.long
@needs_tools
@pytest.mark.parametrize("system", ["github", "gitlab"])
def test_a_job_of_the_guide_deploys(reader: Reader, system: str) -> None:
    github, gitlab = (yaml.safe_load(block) for block in blocks(INTEGRATION, "yaml"))
    scripts = {
        "github": github["jobs"]["staging"]["steps"][0]["run"],
        "gitlab": "\n".join(gitlab["staging"]["script"]),
    }
    commit = reader.house.repository.commit(f"by {system}")
    said = reader.shell(
        scripts[system],
        DG_TOKEN=reader.key,
        GITHUB_SHA=commit,
        GITHUB_RUN_ID="7",
        GITHUB_RUN_ATTEMPT="1",
        CI_COMMIT_SHA=commit,
        CI_JOB_ID="7",
    )
    assert "released" in said.splitlines()
    assert reader.key not in said


@pytest.mark.long
@needs_tools
def test_the_first_looks_of_the_troubleshooting_page_run(reader: Reader) -> None:
    for line in "".join(blocks(TROUBLESHOOTING, "sh")).splitlines():
        assert reader.shell(line, DG_HOME=str(reader.house.home.path)), line


def test_the_words_of_the_troubleshooting_page_are_the_programs() -> None:
    source = "\n".join(path.read_text("utf-8") for path in (ROOT / "src/dg").rglob("*.py"))
    known = set(re.findall(r"""["']([a-z_]+)["']""", source))
    rows = re.findall(r"^\| (`[^|]*) \|", TROUBLESHOOTING.read_text("utf-8"), re.MULTILINE)
    named = {word for row in rows for word in re.findall(r"`([a-z_]+)`", row)} - {"reason"}
    assert len(named) > 30
    assert named - known == set()


@pytest.mark.parametrize("page", [INTEGRATION, TROUBLESHOOTING], ids=lambda page: page.stem)
def test_settings_named_in_a_guide_exist(page: Path) -> None:
    settings = (ROOT / "docs/settings.md").read_text("utf-8")
    named = re.findall(r"`((?:server|api|access|limits|database)\.[a-z_]+)`", page.read_text("utf-8"))
    assert [name for name in named if name.partition(".")[2] not in settings] == []


@pytest.mark.parametrize("page", [INTEGRATION, TROUBLESHOOTING], ids=lambda page: page.stem)
def test_commands_named_in_a_guide_exist(page: Path) -> None:
    named = re.findall(r"(?:`|^)dg ([a-z-]+)(?: ([a-z-]+))?", page.read_text("utf-8"), re.MULTILINE)
    assert named
    context = click.Context(dg)
    for name, part in named:
        command = dg.get_command(context, name)
        assert command is not None, name
        if isinstance(command, click.Group) and part:
            assert command.get_command(context, part) is not None, f"{name} {part}"
