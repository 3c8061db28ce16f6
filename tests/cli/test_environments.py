"""`dg env` and `dg secret`."""

from __future__ import annotations

import base64
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import ScriptedApi

from dg.cli.errors import ExitCode
from dg.cli.main import run
from dg.core import boxes

CANARY = "canary-7f3e91-do-not-show"
Captured = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch


def shown(version: int = 2) -> dict[str, Any]:
    return {
        "set": True,
        "version": version,
        "fingerprint": "9f2c41aa",
        "grade": "at_rest",
        "changed_at": "2026-11-26T07:00:00Z",
        "changed_by": "local",
    }


def environment(**changed: Any) -> dict[str, Any]:
    return {
        "name": "staging",
        "domain": "staging.example.com",
        "config": {
            "workers": 4,
            "since": "2026-11-26T07:00:00Z",
            "database_url": "********",
            "api_keys": {"mail": "********"},
        },
        "secrets": {"session_key": shown(3), "database_url": shown(), "api_key_mail": shown(1)},
        "targets": {"hosts": ["web-1"], "regions": [], "clusters": []},
        "links": {"docs": "https://d.example/"},
        "protection": {"approvals": {"count": 2}},
        "probes": {"web": {"kind": "dns", "service": "shop", "host": "a.example"}},
        "runs": {"web": {"url": "https://w.example/v", "pointer": "/commit", "interval": 60, "timeout": 10}},
        "version": 7,
        "changed_at": "2026-11-26T07:00:00Z",
        "changed_by": "local",
        "changed_by_name": "ana",
        **changed,
    }


DIFF = {
    "before": "staging@7",
    "after": "staging@new",
    "items": [
        {"key": "config.workers", "before": {"type": "number"}, "after": {"type": "string"}},
        {"key": "secrets.session_key", "before": {"type": "secret", "fingerprint": "9f2c41aa"}},
    ],
}


def said_on(stdin: bytes, monkeypatch: Patch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))


def test_an_environment_is_shown_with_masks(api: ScriptedApi, capsys: Captured) -> None:
    api.on("GET /environments/staging", environment())
    assert run(["env", "show", "stag"]) == ExitCode.OK
    said = capsys.readouterr().out
    for part in ("version 7 by ana", "config.workers", "set, version 2", "config.api_keys.mail", "web-1"):
        assert part in said
    assert run(["env", "show", "staging", "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out) == environment()


def test_environments_are_listed(api: ScriptedApi, capsys: Captured) -> None:
    never = {"name": "production", "domain": "", "config": {}, "secrets": {}, "version": 0}
    api.on("GET /environments", {"items": [environment(), never | {"targets": {}, "links": {}}]})
    assert run(["env", "list"]) == ExitCode.OK
    lines = capsys.readouterr().out.splitlines()
    assert "ana" in lines[1]
    assert "never" in lines[2]


def test_settings_are_changed_from_the_version_that_was_read_and_secrets_stay(
    api: ScriptedApi, capsys: Captured
) -> None:
    api.on("GET /environments/staging", environment())
    api.on("PUT /environments/staging", environment(version=8))
    words = ["workers=8", "name=of it", "flags=[true]", "--unset", "since", "--reason", "load"]
    assert run(["env", "set", "staging", *words]) == ExitCode.OK
    (asked,) = api.requests("PUT /environments/staging")
    assert asked.body == {
        "domain": "staging.example.com",
        "config": {"workers": 8, "name": "of it", "flags": [True]},
        "secrets": {},
        "targets": {"hosts": ["web-1"], "regions": [], "clusters": []},
        "links": {"docs": "https://d.example/"},
        "reason": "load",
    }
    assert "is at version 8" in capsys.readouterr().out


def test_a_dry_run_shows_the_difference_and_changes_nothing(api: ScriptedApi, capsys: Captured) -> None:
    api.on("GET /environments/staging", environment())
    api.on("PUT /environments/staging", environment(changes=DIFF["items"]))
    assert run(["env", "set", "staging", "workers=x", "--dry-run"]) == ExitCode.OK
    assert [asked.query for asked in api.requests("PUT /environments/staging")] == [{"dry_run": "true"}]
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["~", "config.workers", "number", "string"]
    assert lines[2].split() == ["-", "secrets.session_key", "secret", "9f2c41aa"]


@pytest.mark.parametrize(
    "words",
    [[], ["workers"], ["=4"], ["database_url=x"], ["api_key_mail=x"], ["api_keys.mail=x"], ["--unset", "no"]],
)
def test_what_cannot_be_set_is_misuse(api: ScriptedApi, capsys: Captured, words: list[str]) -> None:
    api.on("GET /environments/staging", environment())
    assert run(["env", "set", "staging", *words]) == ExitCode.USAGE
    assert api.requests("PUT /environments/staging") == []
    capsys.readouterr()


def test_who_was_first_is_named(api: ScriptedApi, capsys: Captured) -> None:
    problem = {"code": "VALIDATION_ERROR", "message": "ben changed it", "details": {"reason": "stale"}}
    api.on("GET /environments/staging", environment())
    api.on("PUT /environments/staging", {"error": problem}, status=412)
    assert run(["env", "set", "staging", "workers=8"]) == ExitCode.REFUSED
    assert "ben changed it" in capsys.readouterr().err


def test_an_edit_is_saved_after_its_difference_was_seen(
    api: ScriptedApi, capsys: Captured, monkeypatch: Patch, tmp_path: Path
) -> None:
    seen, editor = tmp_path / "seen", tmp_path / "editor"
    editor.write_text(f'#!/bin/sh\ncp "$1" {seen}\nsed -i s/4/8/ "$1"\ntouch -d "+1 minute" "$1"\n')
    editor.chmod(0o700)
    monkeypatch.setenv("EDITOR", str(editor))
    monkeypatch.delenv("VISUAL", raising=False)
    api.on("GET /environments/staging", environment())
    api.on("PUT /environments/staging", environment(changes=DIFF["items"]), environment(version=8))
    assert run(["env", "edit", "staging", "--yes"]) == ExitCode.OK
    assert json.loads(seen.read_text())["config"] == {"workers": 4, "since": "2026-11-26T07:00:00Z"}
    dry, real = api.requests("PUT /environments/staging")
    assert (dry.query, real.query) == ({"dry_run": "true"}, {})
    assert real.body["config"]["workers"] == 8
    assert "config.workers" in capsys.readouterr().err


def test_environments_are_compared(api: ScriptedApi, capsys: Captured) -> None:
    api.on("GET /environments/staging/diff", DIFF | {"after": "production@2"})
    assert run(["env", "diff", "staging", "prod", "--from", "3"]) == ExitCode.OK
    assert api.asked[0].query == {"with": "production", "from": "3"}
    assert "PRODUCTION@2" in capsys.readouterr().out


def test_history_says_who_and_why(api: ScriptedApi, capsys: Captured) -> None:
    version = {"version": 2, "at": "2026-11-26T07:00:00Z", "by": "local", "changed": ["domain"]}
    api.on("GET /environments/staging/history", {"items": [version | {"reason": "load", "by_name": "ana"}]})
    assert run(["env", "history", "staging"]) == ExitCode.OK
    said = capsys.readouterr().out
    for part in ("ana", "load", "domain"):
        assert part in said


def test_an_older_version_is_restored(api: ScriptedApi, capsys: Captured) -> None:
    api.on("PUT /environments/staging/restore", environment(version=8))
    assert run(["env", "restore", "staging", "5", "--reason", "wrong"]) == ExitCode.OK
    assert api.asked[0].body == {"version": 5, "reason": "wrong"}
    assert "version 8, like 5" in capsys.readouterr().out


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
def test_a_secret_comes_on_standard_input_and_is_not_printed(
    api: ScriptedApi, capsys: Captured, monkeypatch: Patch, ending: bytes
) -> None:
    said_on(CANARY.encode() + ending, monkeypatch)
    api.on("PUT /environments/staging/secrets/session_key", environment())
    assert run(["secret", "set", "staging", "session_key", "--reason", "rotated"]) == ExitCode.OK
    assert api.asked[0].body == {"value": CANARY, "reason": "rotated"}
    said = capsys.readouterr()
    assert CANARY not in said.out + said.err


def test_a_secret_is_sealed_before_it_is_sent(api: ScriptedApi, capsys: Captured, monkeypatch: Patch) -> None:
    private = os.urandom(32)
    public = boxes.public_key(private)
    key = {"key": boxes.fingerprint(public), "suite": boxes.SUITE, "version": 4}
    api.on(
        "GET /environments/staging/secrets/session_key/sealing-key",
        {**key, "public_key": base64.b64encode(public).decode()},
    )
    api.on("PUT /environments/staging/secrets/session_key", environment())
    said_on(CANARY.encode(), monkeypatch)
    command = ["secret", "set", "staging", "session_key", "--sealed", "--sealing-key"]
    assert run([*command, boxes.fingerprint(public)]) == ExitCode.OK
    (sent,) = api.requests("PUT /environments/staging/secrets/session_key")
    assert sent.body is not None
    box = sent.body["sealed"]
    assert (box["key"], box["version"]) == (key["key"], 4)
    context = boxes.secret_context("staging", "session_key", 4)
    assert boxes.open_box(private, box["box"], context) == CANARY
    assert CANARY not in json.dumps(sent.body)
    said_on(CANARY.encode(), monkeypatch)
    assert run([*command, "0" * 32]) != ExitCode.OK
    assert "nothing was sent" in capsys.readouterr().err
    assert len(api.requests("PUT /environments/staging/secrets/session_key")) == 1


@pytest.mark.parametrize(
    ("given", "said"), [(b"", "no value came"), (b"\n", "no value came"), (b"abc", "6 bytes")]
)
def test_a_secret_that_is_too_short_is_refused_with_the_reason(
    api: ScriptedApi, capsys: Captured, monkeypatch: Patch, given: bytes, said: str
) -> None:
    said_on(given, monkeypatch)
    assert run(["secret", "set", "staging", "session_key"]) == ExitCode.USAGE
    assert said in capsys.readouterr().err
    assert not api.asked


def test_a_ciphertext_is_sent_as_it_is(api: ScriptedApi, capsys: Captured, monkeypatch: Patch) -> None:
    said_on(b"YWdlLWVuY3J5cHRpb24=\n", monkeypatch)
    api.on("PUT /environments/staging/secrets/session_key", environment())
    assert run(["secret", "set", "staging", "session_key", "--runner-only"]) == ExitCode.OK
    assert api.asked[0].body == {"ciphertext": "YWdlLWVuY3J5cHRpb24="}
    capsys.readouterr()


@pytest.mark.parametrize("given", [["--sealed", "--runner-only"], ["--sealing-key", "0" * 32]])
def test_grades_that_exclude_each_other_are_misuse(
    api: ScriptedApi, capsys: Captured, given: list[str]
) -> None:
    assert run(["secret", "set", "staging", "session_key", *given]) == ExitCode.USAGE
    assert api.asked == []
    capsys.readouterr()


def test_a_secret_comes_from_a_file(api: ScriptedApi, capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "value").write_text(f"{CANARY}\nsecond line\n")
    api.on("PUT /environments/staging/secrets/key_file", environment())
    assert (
        run(["secret", "set", "staging", "key_file", "--from-file", str(tmp_path / "value")]) == ExitCode.OK
    )
    assert api.asked[0].body == {"value": f"{CANARY}\nsecond line"}
    capsys.readouterr()


@pytest.mark.parametrize(
    "typed",
    [
        ("session_key", CANARY),
        ("session_key", CANARY, "--reason", "rotated"),
        (f"session_key={CANARY}",),
        (CANARY,),
        ("session_key", f"--value={CANARY}"),
        ("session_key", f"-{CANARY}"),
    ],
)
@pytest.mark.parametrize("command", ["set", "unset"])
def test_a_secret_that_was_typed_is_neither_sent_nor_repeated(
    api: ScriptedApi, capsys: Captured, command: str, typed: tuple[str, ...]
) -> None:
    assert run(["secret", command, "staging", *typed]) == ExitCode.USAGE
    said = capsys.readouterr()
    assert CANARY not in f"{said.out}{said.err}"
    assert api.asked == []


def test_who_typed_a_secret_is_told_where_it_belongs_and_where_it_stands_now(
    api: ScriptedApi, capsys: Captured
) -> None:
    assert run(["secret", "set", "staging", "session_key", CANARY]) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert "dg secret set ENVIRONMENT NAME < FILE" in said
    assert "history of the shell" in said


def test_what_is_not_text_is_misuse_and_not_repeated(
    api: ScriptedApi, capsys: Captured, monkeypatch: Patch
) -> None:
    said_on(CANARY.encode() + b"\xff", monkeypatch)
    assert run(["secret", "set", "staging", "session_key"]) == ExitCode.USAGE
    said = capsys.readouterr()
    assert CANARY not in said.out + said.err


def test_a_secret_is_unset(api: ScriptedApi, capsys: Captured) -> None:
    api.on("PUT /environments/staging/secrets/session_key", environment())
    assert run(["secret", "unset", "staging", "session_key"]) == ExitCode.OK
    assert api.asked[0].body == {"unset": True}
    capsys.readouterr()


def test_secrets_are_listed_with_their_age_and_use(api: ScriptedApi, capsys: Captured) -> None:
    use = {name: value for name, value in shown().items() if name != "set"}
    mail = {**use, "name": "api_key_mail", "age": 40 * 86400, "old": False, "services": []}
    token = {**use, "name": "kube_token", "grade": "runner_only", "age": 400 * 86400, "old": True}
    token |= {"services": ["shop", "web"], "used_by": "web", "used_at": "2026-11-26T07:00:00Z"}
    api.on("GET /environments/staging/secrets", {"items": [mail, token]})
    assert run(["secret", "list", "staging", "--json"]) == ExitCode.OK
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["name"], each["old"]) for each in listed] == [("api_key_mail", False), ("kube_token", True)]
    assert run(["secret", "list", "staging"]) == ExitCode.OK
    text = capsys.readouterr().out
    assert "shop web" in text
    assert "no service" in text
    assert "never" in text
    assert "runner only" in text


def drift(status: str = "drifted", **changed: Any) -> dict[str, Any]:
    return {
        "service": "web",
        "environment": "staging",
        "status": status,
        "sentence": "web in staging runs v2, but dg deployed v1 (aaaaaaa, #3)",
        "found": "v2",
        **changed,
    }


def test_drift_is_listed_and_ends_with_what_scripts_look_at(api: ScriptedApi, capsys: Captured) -> None:
    for name in ("development", "production"):
        api.on(f"GET /environments/{name}/drift", {"items": []})
    api.on("GET /environments/staging/drift", {"items": [drift()]})
    assert run(["env", "drift"]) == ExitCode.REFUSED
    assert "✗ drifted  web in staging runs v2" in capsys.readouterr().out
    assert run(["env", "drift", "prod"]) == ExitCode.OK
    assert "dg env runs" in capsys.readouterr().out
    api.on("GET /environments/staging/drift", {"items": [drift("accepted"), drift("unknown")]})
    assert run(["env", "drift", "staging", "--json"]) == ExitCode.OK
    assert [json.loads(line)["status"] for line in capsys.readouterr().out.splitlines()] == [
        "accepted",
        "unknown",
    ]


def test_a_difference_is_accepted_and_taken_back(api: ScriptedApi, capsys: Captured) -> None:
    api.on("PUT /environments/staging/drift/web", drift("accepted"))
    accept = ["env", "drift", "staging", "--accept", "web", "--reason", "hotfix", "--for", "2d"]
    assert run(accept) == ExitCode.OK
    assert api.asked[-1].body == {"reason": "hotfix", "for": "2d"}
    api.on("PUT /environments/staging/drift/web", drift())
    assert run(["env", "drift", "staging", "--withdraw", "web", "--reason", "done"]) == ExitCode.OK
    assert api.asked[-1].body == {"reason": "done", "withdraw": True}


@pytest.mark.parametrize(
    "words",
    [
        ["--accept", "web", "--reason", "x", "--for", "2d"],
        ["staging", "--accept", "web", "--reason", "x"],
        ["staging", "--accept", "web", "--for", "2d"],
        ["staging", "--reason", "x", "--for", "2d"],
        ["staging", "--withdraw", "web"],
        ["staging", "--withdraw", "web", "--reason", "x", "--for", "2d"],
        ["staging", "--accept", "web", "--withdraw", "web", "--reason", "x", "--for", "2d"],
    ],
)
def test_an_acceptance_that_is_not_whole_is_not_sent(
    api: ScriptedApi, words: list[str], capsys: Captured
) -> None:
    assert run(["env", "drift", *words]) == ExitCode.USAGE
    assert capsys.readouterr().err


def test_what_says_what_runs_is_set_and_unset(api: ScriptedApi, capsys: Captured) -> None:
    api.on("GET /environments/staging", environment())
    api.on("PUT /environments/staging", environment(version=8))
    assert (
        run(["env", "runs", "staging", "api", "--every", "2m", "--", "cat", "/srv/REVISION"]) == ExitCode.OK
    )
    web = environment()["runs"]["web"]
    assert api.asked[-1].body["runs"] == {
        "web": web,
        "api": {"command": ["cat", "/srv/REVISION"], "interval": 120, "timeout": 10},
    }
    assert "secrets" not in api.asked[-1].body or api.asked[-1].body["secrets"] == {}
    at = ["--at", "https://api.example/version", "--pointer", "/commit"]
    assert run(["env", "runs", "staging", "api", *at]) == ExitCode.OK
    assert api.asked[-1].body["runs"]["api"]["url"] == "https://api.example/version"
    assert run(["env", "runs", "staging", "web", "--unset"]) == ExitCode.OK
    assert api.asked[-1].body["runs"] == {}
    for words in (["web"], ["web", "--unset", "--at", "https://w.example/"], ["api", "--unset"]):
        assert run(["env", "runs", "staging", *words]) == ExitCode.USAGE
