"""Secrets that only the runner opens: with a command whose output nobody sees, before the first step."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from tests.runner.lab import Lab, Run, step, until

from dg.runner import handover, spool
from dg.runner.handover import Handed, Opener, Sealed

SECRET = "correct-horse-battery"
CIPHERTEXT = Sealed(base64.b64encode(SECRET.encode()).decode())
PATH = "/usr/bin:/bin"


def opener(script: str, timeout: float = 20.0, **env: str) -> Opener:
    return Opener(("/bin/sh", "-c", script), {"PATH": PATH, **env}, timeout)


def handed(opener: Opener, **secrets: str) -> bytes:
    return handover.encode({"key": CIPHERTEXT, **secrets}, opener)


def end(run: Run, opener: Opener, **secrets: str) -> Run:
    run.start(stdin=handed(opener, **secrets)).wait()
    return run


def test_what_is_handed_over_arrives(tmp_path: Path) -> None:
    command = opener("base64 -d", KEY_FILE="/x")
    (tmp_path / "handed").write_bytes(handed(command, plain="as it is"))
    with (tmp_path / "handed").open("rb") as file:
        found = handover.read(file.fileno())
    secrets = {"key": CIPHERTEXT, "plain": "as it is"}
    assert found == Handed(secrets, frozenset({"key"}), command)


def test_a_sealed_secret_without_a_command_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"`key` is for the runner alone, and `runner\.decrypt` names no"):
        handover.encode({"key": CIPHERTEXT})


def test_a_step_gets_what_the_command_prints_and_the_log_hides_it(lab: Lab) -> None:
    show = 'echo "$KEY"; printf "%s" "$KEY" | wc -c; echo "${TOKEN_FILE-unset}"; printf "%s" "$PLAIN" | wc -c'
    run = lab.run(step(show, secrets=["key", "plain"]))
    end(run, opener("test $TOKEN_FILE = here && base64 -d && echo", TOKEN_FILE="here"), plain="as it is")
    assert run.log().decode().split() == ["***", str(len(SECRET)), "unset", "8"]
    kept = [path for path in run.folder.rglob("*") if path.is_file()]
    assert not [path for path in kept if SECRET.encode() in path.read_bytes()]
    assert "base64" not in (run.folder / "ticket.json").read_text()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (f"echo {SECRET}; echo {SECRET} >&2; exit 3", "ended with code 3; run it by hand"),
        (f"echo {SECRET}; sleep 60", "did not end within 0.5 s (`runner.decrypt_timeout`)"),
        ("printf short", "printed what cannot be one"),
        ("printf 'with\\000null'", "printed what cannot be one"),
        ("head -c 40000 /dev/zero | tr '\\000' a", "printed what cannot be one"),
        ("printf 'no\\377text'", "printed no text"),
        ("kill -9 $$", "ended with code -9"),
    ],
)
def test_a_secret_that_does_not_open_ends_the_run_before_any_step(lab: Lab, script: str, said: str) -> None:
    run = lab.run(step("echo ran", secrets=["key"]), step("echo ran", when="always"))
    run.start(stdin=handed(opener(script, timeout=0.5 if "sleep" in script else 20.0)))
    ended = run.wait()
    assert (ended["outcome"], ended["reason"], ended["touched"]) == ("failed", "secret_failed", False)
    assert said in ended["detail"]
    assert "`/bin/sh`, which should open the secret `key`," in ended["detail"]
    assert SECRET not in json.dumps([ended, run.events()]) + run.errors()
    assert b"ran" not in run.log()
    assert [event["why"] for event in run.events("step_skipped")] == ["a secret could not be opened"] * 2


def test_a_command_that_is_not_there_is_named(lab: Lab) -> None:
    run = lab.run(step("echo ran", secrets=["key"]))
    run.start(stdin=handed(Opener(("/no/such/age", "-d"), {}, 5.0)))
    assert "`/no/such/age`, which should open the secret `key`, cannot be run" in run.wait()["detail"]


def test_nothing_of_a_command_that_hangs_is_left(lab: Lab, tmp_path: Path) -> None:
    run = lab.run(step("true", secrets=["key"]))
    end(run, opener(f"sleep 61 & echo $! > {tmp_path}/pid; sleep 62", timeout=2.0))
    until(lambda: not run.processes(), "nothing to be left")
    assert (tmp_path / "pid").read_text().strip().isdecimal()


def test_a_run_that_is_cancelled_meanwhile_gives_no_ciphertext_to_its_last_steps(
    lab: Lab, tmp_path: Path
) -> None:
    last = step(f'test "$KEY" = {SECRET} && echo right', secrets=["key"], when="always")
    run = lab.run(step("echo first"), last)
    began, go = tmp_path / "began", tmp_path / "go"
    waits = f"touch {began}; until test -e {go}; do sleep 0.02; done; base64 -d"
    run.start(stdin=handed(opener(waits)))
    until(began.exists, "the command to begin")
    run.cancel()
    go.touch()
    assert run.wait()["outcome"] == "cancelled"
    assert run.log() == b"right\n"


def test_a_run_without_sealed_secrets_asks_no_command(lab: Lab, tmp_path: Path) -> None:
    run = lab.run(step("true", secrets=["plain"]))
    run.start(stdin=handover.encode({"plain": "as it is"}, opener(f"touch {tmp_path}/asked")))
    assert run.wait()["outcome"] == "success"
    assert not (tmp_path / "asked").exists()
    assert spool.read_end(run.dir, 1)
