"""`dg init` and `dg pipeline`: files on this machine, and what the server keeps."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import ScriptedApi
from tests.client import samples

from dg.cli.errors import ExitCode
from dg.cli.init import make_targets, named_after
from dg.cli.main import run

Captured = pytest.CaptureFixture[str]


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository of a small service, in which the command stands."""
    root = tmp_path / "Web Shop"
    (root / "deep").mkdir(parents=True)
    git(root, "init", "--initial-branch", "trunk")
    git(root, "remote", "add", "origin", "https://git.example.org/web-shop.git")
    (root / "Makefile").write_text("test:\n\ttrue\ndeploy: test\n\ttrue\nX := 1\n")
    monkeypatch.chdir(root / "deep")
    return root


def test_init_writes_a_pipeline_that_lints_clean(repository: Path, capsys: Captured) -> None:
    assert run(["init", "--yes"]) == ExitCode.OK
    said = capsys.readouterr().out
    assert "dg deploy web-shop trunk --env development --wait" in said
    text = (repository / "dg.toml").read_text()
    assert 'service = "web-shop"' in text
    assert 'git = "https://git.example.org/web-shop.git"' in text
    assert 'ref = "trunk"' in text
    assert 'run = ["make", "deploy"]' in text
    assert run(["pipeline", "lint", str(repository / "dg.toml")]) == ExitCode.OK
    assert "is fine" in capsys.readouterr().out


def test_init_never_replaces_a_file_by_itself(repository: Path, capsys: Captured) -> None:
    (repository / "dg.toml").write_text("mine")
    assert run(["init", "--yes"]) == ExitCode.REFUSED
    assert (repository / "dg.toml").read_text() == "mine"
    assert run(["pipeline", "init", "--yes", "--force", "--service", "shop", "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out) == {
        "file": str(repository / "dg.toml"),
        "service": "shop",
        "ref": "trunk",
    }


def test_a_relative_origin_is_written_as_the_folder_it_means(repository: Path) -> None:
    git(repository, "remote", "set-url", "origin", "../elsewhere.git")

    assert run(["init", "--yes"]) == ExitCode.OK

    text = (repository / "dg.toml").read_text()
    assert f'git = "{(repository.parent / "elsewhere.git").resolve()}"' in text


def test_init_outside_a_repository_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert run(["init", "--yes"]) == ExitCode.REFUSED
    assert "not in a git repository" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("web", "web"),
        ("Web Shop", "web-shop"),
        ("42-api_v2", "api-v2"),
        ("商店", "app"),
        ("x" * 90, "x" * 63),
    ],
)
def test_a_service_is_named_after_its_folder(folder: str, name: str) -> None:
    assert named_after(Path("/srv") / folder) == name


def test_targets_are_read_and_assignments_are_not(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("test: a b\nX:=1\nY := 2\nbuild :\n.PHONY: test\n\trecipe: no\n")
    assert make_targets(tmp_path / "Makefile") == {"test", "build"}
    assert make_targets(tmp_path / "none") == set()


def test_lint_names_each_bad_field(tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "dg.toml"
    file.write_text('version = 1\nservice = "Web"\n[source]\ngit = "https://git.example.org/web.git"\n')
    assert run(["pipeline", "lint", str(file)]) == ExitCode.USAGE
    assert "service" in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, b"\xff", b"x" * 70_000])
def test_a_file_that_is_no_pipeline_is_said_so(
    tmp_path: Path, content: bytes | None, capsys: Captured
) -> None:
    file = tmp_path / "dg.toml"
    if content is not None:
        file.write_bytes(content)
    assert run(["pipeline", "lint", str(file)]) == ExitCode.USAGE
    assert str(file) in capsys.readouterr().err


def revision(number: int = 3) -> dict[str, Any]:
    return {
        "service": "web",
        "revision": number,
        "sha256": "ab" * 32,
        "text": 'version = 1\n\tservice = "web"\n',
        "registered_at": "2026-11-26T07:00:00Z",
        "registered_by": "ana",
    }


def test_register_sends_the_text_as_it_is(api: ScriptedApi, tmp_path: Path, capsys: Captured) -> None:
    api.on("POST /pipelines", revision(), status=201)
    (tmp_path / "dg.toml").write_text("anything = 'the server judges'\n")
    assert run(["pipeline", "register", str(tmp_path / "dg.toml")]) == ExitCode.OK
    assert api.asked[0].body == {"text": "anything = 'the server judges'\n"}
    assert "web is at revision 3" in capsys.readouterr().out


def test_show_prints_the_text_that_could_be_registered_again(api: ScriptedApi, capsys: Captured) -> None:
    api.on("GET /pipelines/web", revision())
    assert run(["pipeline", "show", "web"]) == ExitCode.OK
    assert capsys.readouterr().out == revision()["text"]


def test_revisions_are_listed(api: ScriptedApi, capsys: Captured) -> None:
    api.on("GET /pipelines", {"items": [revision()]})
    api.on("GET /pipelines/web/history", {"items": [revision(3), revision(2)], "next_cursor": "c"})
    assert run(["pipeline", "list"]) == ExitCode.OK
    assert run(["pipeline", "history", "web", "--limit", "2"]) == ExitCode.OK
    rows = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert rows == [
        ["SERVICE", "REVISION"],
        ["web", "3"],
        ["SERVICE", "REVISION"],
        ["web", "3"],
        ["web", "2"],
    ]


def test_source_says_what_let_the_server_in(api: ScriptedApi, capsys: Captured) -> None:
    found = {"service": "web", "git": "git@github.com:acme/web.git", "ref": "main", "commit_sha": samples.SHA}
    known = {**found, "source": "git@github.com:acme/", "credential": "ssh_key"}
    api.on("GET /pipelines/web/source", known, found)
    assert run(["pipeline", "source", "web"]) == ExitCode.OK
    said = " ".join(capsys.readouterr().out.split())
    assert "git@github.com:acme/web.git main is 9f1c2ab" in said
    assert 'by the ssh key of [git.sources."git@github.com:acme/"]' in said
    assert run(["pipeline", "source", "web"]) == ExitCode.OK
    assert "by no key or token of the server's settings" in capsys.readouterr().out
