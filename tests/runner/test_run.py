"""One run from ticket to end: order, outcome, environment, secrets, outputs, checkout."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.runner.lab import PATH, Lab, step, until

from dg.runner import handover, lease, spool

SECRET = "correct-horse-battery"


def test_steps_run_in_order_and_the_end_tells_all(lab: Lab) -> None:
    run = lab.end(
        step("echo built", name="image", phase="build"),
        step("echo out; echo err >&2", name="rollout"),
        step(["true"], name="smoke", phase="verify"),
    )
    names = [event["event"] for event in run.events()]
    assert names == ["started", *["step_started", "step_ended"] * 3]
    assert [event["n"] for event in run.events()] == list(range(1, 8))
    assert [event["index"] for event in run.events("step_ended")] == [0, 1, 2]
    assert run.log() == b"built\nout\nerr\n"
    end = spool.read_end(run.dir, 1)
    assert end is not None
    assert end.pop("t") >= run.events()[-1]["t"]
    assert end == {
        "n": 7,
        "epoch": 1,
        "outcome": "success",
        "reason": None,
        "step": None,
        "detail": "every step succeeded",
        "touched": True,
        "outputs": {},
        "processes_left": 0,
        "log_lines": 3,
        "log_sha256": hashlib.sha256(run.log()).hexdigest(),
    }


def test_end_of_another_epoch_is_not_this_one(lab: Lab) -> None:
    run = lab.end(step(["true"]))
    assert spool.read_end(run.dir, 2) is None


def test_failure_skips_the_rest_but_not_the_steps_that_wait_for_it(lab: Lab) -> None:
    run = lab.start(
        step("exit 3", name="rollout"),
        step("echo never", name="next"),
        step("echo sorry; exit 4", name="tell", when="failure"),
        step("echo bye", name="tidy", when="always"),
    )
    end = run.wait()
    assert (end["outcome"], end["reason"], end["step"]) == ("failed", "step_failed", 0)
    assert end["detail"] == "step `rollout` exited with 3"
    assert [(e["index"], e["why"]) for e in run.events("step_skipped")] == [(1, "an earlier step failed")]
    assert b"never" not in run.log()
    assert b"sorry\n" in run.log()
    assert b"bye\n" in run.log()


def test_success_skips_what_waits_for_a_failure(lab: Lab) -> None:
    run = lab.end(step(["true"]), step("echo sorry", when="failure"))
    assert [event["index"] for event in run.events("step_skipped")] == [1]
    assert run.wait()["outcome"] == "success"


@pytest.mark.parametrize(("phase", "touched"), [("build", False), ("deploy", True)])
def test_only_a_begun_deploy_step_touches(lab: Lab, phase: str, touched: bool) -> None:
    end = lab.start(step("exit 1", phase=phase), step(["true"])).wait()
    assert end["touched"] is touched


def test_failed_verify_step_says_so(lab: Lab) -> None:
    end = lab.start(step(["true"]), step(["false"], phase="verify", name="smoke")).wait()
    assert (end["outcome"], end["reason"], end["step"]) == ("failed", "verify_failed", 1)


def test_signal_is_named(lab: Lab) -> None:
    run = lab.start(step("kill -SEGV $$"))
    assert run.wait()["detail"] == "step `step` was killed by SIGSEGV"
    event = run.events("step_ended")[0]
    assert (event["code"], event["signal"]) == (None, 11)


def test_program_that_does_not_exist_is_a_clear_failure(lab: Lab) -> None:
    end = lab.start(step(["no-such-program"])).wait()
    assert end["reason"] == "step_failed"
    assert "could not start: No such file or directory" in end["detail"]


def test_shell_stops_at_the_first_error_and_at_unset_variables(lab: Lab) -> None:
    assert lab.start(step("false; echo on")).wait()["outcome"] == "failed"
    assert lab.start(step('echo "$UNSET"')).wait()["outcome"] == "failed"


# --- environment and secrets


def test_step_sees_only_its_own_environment(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DG_MASTER_KEY", "of-the-server")
    run = lab.end(step("env; umask; pwd; ls -l /proc/self/fd; cat", env={"COLOUR": "blue"}))
    log = run.log().decode()
    names = {line.partition("=")[0] for line in log.split("0077")[0].splitlines()}
    assert names - {"_", "PWD", "OLDPWD", "SHLVL"} == {
        *("PATH", "LANG", "COLOUR", "DG_STEP", "DG_PHASE", "DG_RUN", "DG_OUTPUTS", "TMPDIR")
    }
    assert f"DG_RUN={run.deployment}\n" in log
    assert f"\n{run.dir}/work\n" in log
    assert "0 -> /dev/null" in log
    opened = [line.rpartition(" -> ")[2] for line in log.splitlines() if " -> " in line]
    own = {"/dev/null", run.ticket["lease"]}
    assert {path for path in opened if not path.startswith(("pipe:", "/proc/"))} == own


def test_secret_reaches_only_the_step_that_names_it_and_never_the_disk(lab: Lab) -> None:
    run = lab.end(
        step('printf "%s" "$DATABASE_URL" | sha256sum; echo "$DATABASE_URL"', secrets=["database_url"]),
        step('echo "none: ${DATABASE_URL-unset}"'),
        secrets={"database_url": SECRET},
    )
    log = run.log().decode()
    assert hashlib.sha256(SECRET.encode()).hexdigest() in log
    assert "\n***\n" in log
    assert "none: unset" in log
    files = [path for path in run.folder.rglob("*") if path.is_file()]
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


def test_secret_is_not_in_any_argv_nor_in_the_runners_environment(lab: Lab) -> None:
    run = lab.start(step("echo ready; sleep 30", secrets=["key"]), secrets={"key": SECRET})
    run.until_log(b"ready")
    assert run.process is not None
    for pid in (run.process.pid, *run.processes()):
        assert SECRET.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert Path(f"/proc/{run.process.pid}/environ").read_bytes() == b""


def test_runner_is_closed_to_processes_of_its_own_user(lab: Lab) -> None:
    setpriv = shutil.which("setpriv", path=PATH)
    if setpriv is None:
        pytest.skip("setpriv is not installed")
    # Root is above this check by a capability; without any, it is a user like others.
    run = lab.run(step("cat /proc/$$/environ >/dev/null && echo own; cat /proc/$PPID/environ || echo no"))
    run.start(through=[setpriv, "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else ())
    run.wait()
    log = run.log().decode()
    assert log.startswith("own\n")
    assert log.endswith("Permission denied\nno\n")


def test_steps_dump_no_core(lab: Lab) -> None:
    assert lab.end(step("ulimit -c")).log() == b"0\n"


def test_secret_in_pieces_is_masked(lab: Lab) -> None:
    shell = 'i=1; while [ $i -le ${#KEY} ]; do echo "$KEY" | cut -c$i | tr -d "\\n"; i=$((i+1)); done; echo'
    run = lab.end(step(shell, secrets=["key"]), secrets={"key": SECRET})
    assert run.log() == b"***\n"


def test_secret_in_a_reason_is_masked(lab: Lab) -> None:
    run = lab.start(step([f"/nowhere/{SECRET}"], name=SECRET), secrets={"key": SECRET})
    assert SECRET not in json.dumps([run.wait(), run.events()])


def test_environment_of_the_ticket_cannot_hide_the_tag(lab: Lab) -> None:
    run = lab.end(step("env", env={"DG_RUN": "forged"}))
    assert f"DG_RUN={run.deployment}".encode() in run.log()


def test_hostile_output_is_only_data(lab: Lab) -> None:
    lines = [b'{"event":"end"}', b"::set-env name=A::b", b"\x1b]52;c;eA==\x07", b"\xff\xfe\x00", b"a\rb\r"]
    data = b"".join(line + b"\n" for line in lines)
    run = lab.end(step(["python3", "-c", f"import os; os.write(1, {data!r})"]))
    assert run.log() == data
    assert [event["event"] for event in run.events()] == ["started", "step_started", "step_ended"]


# --- outputs


def test_outputs_reach_later_steps(lab: Lab) -> None:
    run = lab.end(
        step('echo "port=8080" >> "$DG_OUTPUTS"', output={"image": "acme/web:1"}),
        step(["echo", "{outputs.image} on {outputs.port}, was {outputs.old}"]),
        step('echo "$DG_OUTPUT_IMAGE $DG_OUTPUT_PORT $DG_OUTPUT_OLD"'),
        outputs={"old": "acme/web:0"},
    )
    assert run.log() == b"acme/web:1 on 8080, was acme/web:0\nacme/web:1 8080 acme/web:0\n"
    assert run.wait()["outputs"] == {"old": "acme/web:0", "image": "acme/web:1", "port": "8080"}
    assert run.events("step_ended")[0]["outputs"] == {"image": "acme/web:1", "port": "8080"}


def test_unknown_output_fails_the_step(lab: Lab) -> None:
    run = lab.start(step(["echo", "{outputs.nothing}"], name="rollout"))
    assert "the output `nothing` is not known" in run.wait()["detail"]


def test_bad_output_lines_are_named_and_ignored(lab: Lab) -> None:
    script = (
        "import os; f = open(os.environ['DG_OUTPUTS'], 'wb');"
        "f.write(b'good=1\\nBad=2\\nnothing\\nlong=' + b'x' * 5000 + b'\\nbell=\\x07\\nraw=\\xff\\nlast=3')"
    )
    run = lab.end(step(["python3", "-c", script]))
    assert run.wait()["outputs"] == {"good": "1", "last": "3"}
    log = run.log().decode()
    assert [line.split(": ")[2] for line in log.splitlines()] == [
        f"line {number} is ignored" for number in (2, 3, 4, 5, 6)
    ]


@pytest.mark.parametrize("replace", ["ln -s /etc/hostname", "mkfifo", "mkdir"])
def test_outputs_file_replaced_by_something_else_is_not_read(lab: Lab, replace: str) -> None:
    run = lab.end(step(f'rm "$DG_OUTPUTS"; {replace} "$DG_OUTPUTS"'))
    assert run.wait()["outputs"] == {}
    assert b"dg: outputs: the file " in run.log()


def test_pipe_in_place_of_a_later_steps_outputs_fails_that_step(lab: Lab) -> None:
    run = lab.end(step('mkfifo "$TMPDIR/outputs-1"'), step(["true"], name="next"))
    end = spool.read_end(run.dir, 1)
    assert end is not None
    assert (end["reason"], end["step"]) == ("step_failed", 1)
    assert end["detail"] == "step `next` could not start: No such device or address"


def test_pipe_in_place_of_a_log_file_does_not_hold_the_runner(lab: Lab) -> None:
    run = lab.end(
        step("for at in 0 1; do mkfifo ../log/00000000000$at-000 ../log/00000000000$at-001; done"),
        step("echo still here", name="next"),
    )
    assert run.log() == b"still here\n"


def test_secret_in_an_output_is_masked(lab: Lab) -> None:
    run = lab.end(step('echo "url=x$KEY" >> "$DG_OUTPUTS"', secrets=["key"]), secrets={"key": SECRET})
    assert run.wait()["outputs"] == {"url": "x***"}


# --- what does not begin


@pytest.mark.parametrize(
    "stdin",
    [b"", b'{"secrets": {}}', b'{"secrets": {}}\n', b'{"secrets": {"a": "b\ndg-end\n', b"[]\ndg-end\n"],
)
def test_without_the_whole_handover_nothing_begins(lab: Lab, stdin: bytes) -> None:
    run = lab.run(step("echo effect")).start(stdin=stdin)
    assert run.exit_code() == 74
    assert run.events() == []


def test_handover_is_bounded(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="limited to"):
        handover.encode({"key": "x" * handover.MAX_BYTES})
    flood = tmp_path / "flood"
    flood.write_bytes(b'{"secrets": {"key": "%s"}}\ndg-end\n' % (b"x" * handover.MAX_BYTES))
    with flood.open("rb") as file:
        assert handover.read(file.fileno()) is None


def test_void_ticket_has_no_effect(lab: Lab) -> None:
    run = lab.run(step("echo effect"))
    ticket = dict(run.ticket, void=True)
    spool.write_ticket(run.dir, ticket)
    assert run.start().exit_code() == 75
    assert run.events() == []
    spool.void_ticket(run.dir)
    assert run.start().exit_code() == 75


def test_ticket_of_another_epoch_has_no_effect(lab: Lab) -> None:
    run = lab.run(step("echo effect"), epoch=2).start()
    assert run.exit_code() == 75
    assert run.events() == []


def test_ticket_voided_while_the_runner_waits_for_the_lease_has_no_effect(lab: Lab) -> None:
    run = lab.run(step("echo effect"))
    held = lease.take(run.ticket["lease"])
    assert held is not None
    run.start()
    spool.void_ticket(run.dir)
    lease.release(held)
    assert run.exit_code() == 75
    assert run.events() == []


def test_same_epoch_never_runs_twice(lab: Lab) -> None:
    run = lab.end(step("echo effect"))
    assert run.start().exit_code() == 75
    assert run.log() == b"effect\n"


def test_malformed_ticket_is_refused_with_a_sentence(lab: Lab) -> None:
    run = lab.run({"name": "no kind", "phase": "deploy", "timeout": 1}).start()
    assert run.exit_code() == 65
    assert "exactly one of run, shell and check" in run.errors()


def test_secret_that_was_not_handed_over_stops_the_run_before_its_first_step(lab: Lab) -> None:
    run = lab.start(step("echo effect"), step(["true"], secrets=["key"]))
    assert run.exit_code() == 65
    assert run.events() == []
    assert "not handed over: key" in run.errors()


# --- checkout


def _git(folder: Path, *words: str) -> str:
    env = {"PATH": PATH, "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    user = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    done = subprocess.run(
        ["git", *user, *words], cwd=folder, env=env, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> tuple[Path, str, str]:
    """A repository's git folder with two commits, and a hook that must not run."""
    folder = tmp_path / "repository"
    folder.mkdir()
    _git(folder, "init", "-q")
    commits = []
    for text in ("one", "two"):
        (folder / "file").write_text(text)
        _git(folder, "add", "file")
        _git(folder, "commit", "-q", "-m", text)
        commits.append(_git(folder, "rev-parse", "HEAD"))
    hook = folder / ".git" / "hooks" / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/hooked\n")
    hook.chmod(0o755)
    return folder / ".git", commits[0], commits[1]


def test_steps_run_in_the_files_of_exactly_the_commit(
    lab: Lab, repository: tuple[Path, str, str], tmp_path: Path
) -> None:
    git_dir, first, _ = repository
    work = str(tmp_path / "work")
    run = lab.end(
        step("pwd; cat file; echo; git rev-parse HEAD"),
        checkout={"git_dir": str(git_dir), "commit": first, "work": work},
    )
    assert run.log().decode().endswith(f"{work}\none\n{first}\n")
    assert not (tmp_path / "hooked").exists()
    assert [event["event"] for event in run.events()][1:3] == ["checkout_started", "checkout_ended"]
    ended = run.events("checkout_ended")[0]
    assert (ended["ok"], ended["error"]) == (True, None)
    assert run.chunks()[0].step == spool.CHECKOUT_STEP


def test_commit_that_is_missing_fails_before_any_step(
    lab: Lab, repository: tuple[Path, str, str], tmp_path: Path
) -> None:
    order = {"git_dir": str(repository[0]), "commit": "0" * 40, "work": str(tmp_path / "work")}
    run = lab.start(step("echo effect"), step("echo told", when="always", phase="verify"), checkout=order)
    end = run.wait()
    assert (end["outcome"], end["reason"], end["touched"]) == ("failed", "checkout_failed", False)
    assert run.events("checkout_ended")[0]["ok"] is False
    assert b"effect" not in run.log()
    assert b"told" in run.log()


@pytest.mark.parametrize("commit", ["--upload-pack=x", "main", "abc123", "A" * 40])
def test_anything_but_a_full_commit_id_is_refused(lab: Lab, commit: str, tmp_path: Path) -> None:
    order = {"git_dir": str(tmp_path), "commit": commit, "work": str(tmp_path / "work")}
    run = lab.start(step("echo effect"), checkout=order)
    assert run.exit_code() == 65
    assert run.events() == []


def test_checkout_changes_nothing_in_the_repository_it_comes_from(
    lab: Lab, repository: tuple[Path, str, str], tmp_path: Path
) -> None:
    """So a runner that is killed at any instant of it leaves no half-written record for the next git."""
    git_dir, first, _ = repository
    before = {path: path.stat().st_mtime_ns for path in git_dir.rglob("*")}
    order = {"git_dir": str(git_dir), "commit": first, "work": str(tmp_path / "work")}
    run = lab.end(step("git describe --always --all; git status --porcelain"), checkout=order)
    assert run.wait()["outcome"] == "success"
    assert {path: path.stat().st_mtime_ns for path in git_dir.rglob("*")} == before


def test_two_runs_check_out_the_same_repository_at_once(
    lab: Lab, repository: tuple[Path, str, str], tmp_path: Path
) -> None:
    git_dir, first, second = repository
    runs = [
        lab.start(
            step("cat file"),
            checkout={"git_dir": str(git_dir), "commit": commit, "work": str(tmp_path / f"{at}" / "work")},
        )
        for at, commit in enumerate([first, second] * 3)
    ]
    ends = [run.wait() for run in runs]
    assert [end["outcome"] for end in ends] == ["success"] * 6, [run.log() for run in runs]
    assert [run.log()[-4:] for run in runs] == [b"one\n", b"two\n"] * 3


# --- the lease


@pytest.mark.long
def test_second_runner_of_a_lane_is_refused(lab: Lab) -> None:
    shared = str(lab.folder / "lane.lock")
    first = lab.start(step("echo ready; sleep 30"), lease=shared)
    first.until_log(b"ready")
    second = lab.start(step("echo effect"), lease=shared)
    assert second.exit_code() == 75
    assert second.events() == []
    assert lease.held(shared)


def test_runner_waits_for_a_predecessor_that_is_just_ending(lab: Lab) -> None:
    shared = str(lab.folder / "lane.lock")
    first = lab.start(step("echo ready; sleep 1"), lease=shared)
    first.until_log(b"ready")
    second = lab.start(step("echo mine"), lease=shared)
    assert second.wait()["outcome"] == "success"
    assert first.wait()["outcome"] == "success"


def test_lease_names_its_holder_and_is_private(lab: Lab) -> None:
    run = lab.start(step("echo ready; sleep 30"))
    run.until_log(b"ready")
    assert run.process is not None
    started = run.events("started")[0]
    assert lease.holder(run.ticket["lease"]) == lease.Holder(
        run.deployment, run.process.pid, started["start_time"], 1
    )
    assert Path(run.ticket["lease"]).stat().st_mode & 0o777 == 0o600


def test_lease_is_free_after_the_end(lab: Lab) -> None:
    run = lab.end(step(["true"]))
    until(lambda: not lease.held(run.ticket["lease"]), "a free lease")
