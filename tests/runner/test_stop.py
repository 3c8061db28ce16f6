"""Nothing a step began outlives it, its timeout, its cancel or its runner, unless it said so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.runner.lab import PYTHON, Lab, Run, step, until

from dg.runner import cgroups, handover, lease, processes, spool

STUBBORN = """
trap '' TERM
(trap '' TERM; setsid sh -c 'trap "" TERM; sleep 301 & sleep 302') &
setsid sh -c 'trap "" TERM; (sleep 303 &) ; (setsid sh -c "trap \\"\\" TERM; sleep 304" &)' </dev/null &
python3 -c '
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(305)
    os._exit(0)
os.wait()
'
echo ready
sleep 306
"""


def _gone(run: Run) -> bool:
    return run.processes() == []


# --- timeouts


@pytest.mark.parametrize("shell", ["sleep 60", "kill -STOP $$"])
def test_step_ends_at_its_timeout(lab: Lab, shell: str) -> None:
    run = lab.start(step(shell, timeout=0.3, grace=0.3, name="rollout"))
    end = run.wait()
    assert (end["reason"], end["detail"]) == ("timeout", "step `rollout` timed out after 0.3 s")
    assert end["processes_left"] == 0
    assert _gone(run)


def test_timeout_of_a_verify_step_is_a_failed_verification(lab: Lab) -> None:
    end = lab.start(step(["sleep", "60"], timeout=0.2, phase="verify")).wait()
    assert end["reason"] == "verify_failed"
    assert "timed out" in end["detail"]


def test_silent_step_ends_at_its_idle_time_and_a_talking_one_does_not(lab: Lab) -> None:
    talking = lab.start(step("for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.25; done", idle=1.5))
    silent = lab.start(step("echo once; sleep 60", idle=1.0))
    assert silent.wait()["reason"] == "idle"
    assert silent.log().startswith(b"once\n")
    assert talking.wait()["outcome"] == "success"


def test_term_comes_first_and_what_is_said_at_it_is_kept(lab: Lab) -> None:
    script = "trap 'echo tidy; exit 9' TERM; echo ready; while :; do sleep 0.05; done"
    run = lab.start(step(script, timeout=2.0))
    assert run.wait()["reason"] == "timeout"
    assert run.events("step_ended")[0]["code"] == 9
    assert b"tidy\n" in run.log()


def test_stubborn_tree_dies_at_the_timeout(lab: Lab) -> None:
    run = lab.start(step(STUBBORN, timeout=1.0, grace=0.3))
    end = run.wait()
    assert (end["reason"], end["processes_left"]) == ("timeout", 0)
    assert _gone(run)


def test_flood_does_not_delay_the_timeout(lab: Lab) -> None:
    begun = time.monotonic()
    run = lab.start(step("yes", timeout=0.5, grace=0.2))
    assert run.wait()["reason"] == "timeout"
    assert time.monotonic() - begun < 45


# --- cancel


def test_stubborn_tree_dies_at_a_cancel(lab: Lab) -> None:
    run = lab.start(step(STUBBORN, grace=0.3), step("echo never"))
    run.until_log(b"ready")
    until(lambda: len(run.processes()) >= 6, "the whole tree")
    run.cancel()
    end = run.wait()
    assert (end["outcome"], end["reason"], end["step"]) == ("cancelled", "cancelled", 0)
    assert end["processes_left"] == 0
    assert _gone(run)
    assert b"never" not in run.log()
    assert [event["event"] for event in run.events()].count("cancelling") == 1


def test_cancel_is_noticed_without_a_signal(lab: Lab) -> None:
    run = lab.start(step("echo ready; sleep 60"))
    run.until_log(b"ready")
    spool.request_cancel(run.dir)
    assert run.wait()["outcome"] == "cancelled"


def test_cancel_before_the_first_step_runs_none(lab: Lab) -> None:
    run = lab.run(step("echo effect"), step("echo bye", when="always"))
    spool.request_cancel(run.dir)
    end = run.start().wait()
    assert end["outcome"] == "cancelled"
    assert run.log() == b"bye\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_without_the_file_is_ignored(lab: Lab, number: signal.Signals) -> None:
    run = lab.start(step('echo ready; until [ -e "$TMPDIR/go" ]; do sleep 0.02; done; echo done'))
    run.until_log(b"ready")
    assert run.process is not None
    for _ in range(3):
        run.process.send_signal(number)
    (run.folder / "tmp" / "go").touch()
    assert run.wait()["outcome"] == "success"
    assert run.events("cancelling") == []


def test_step_that_must_finish_finishes_and_is_the_last(lab: Lab) -> None:
    wait = 'echo ready; until [ -e "$TMPDIR/go" ]; do sleep 0.02; done; echo finished'
    run = lab.start(step(wait, cancel="finish"), step("echo never"), step("echo bye", when="always"))
    run.until_log(b"ready")
    run.cancel()
    run.until_event("cancelling")
    (run.folder / "tmp" / "go").touch()
    end = run.wait()
    assert end["outcome"] == "cancelled"
    assert run.events("step_ended")[0]["ok"] is True
    assert run.log() == b"ready\nfinished\nbye\n"
    assert run.events("step_skipped") == [
        {**run.events("step_skipped")[0], "index": 1, "why": "the run was cancelled"}
    ]


def test_cleaning_step_after_a_cancel_has_its_own_timeout(lab: Lab) -> None:
    run = lab.start(step("echo ready; sleep 60"), step(["sleep", "60"], when="always", timeout=0.3))
    run.until_log(b"ready")
    run.cancel()
    assert run.wait()["reason"] == "cancelled"
    assert run.events("step_ended")[1]["reason"] == "timeout"


# --- leftovers


def test_leftovers_are_killed_and_named(lab: Lab) -> None:
    run = lab.start(step("sleep 301 & setsid sleep 302 & (setsid sleep 303 &); echo done", grace=1.0))
    assert run.wait()["outcome"] == "success"
    assert run.events("step_ended")[0]["leftovers"] == 3
    assert _gone(run)
    for seconds in (301, 302, 303):
        assert f"sleep {seconds}\n".encode() in run.log()


def test_secret_in_the_arguments_of_a_leftover_is_masked(lab: Lab) -> None:
    script = 'sh -c \'sleep 301; : "$0"\' "$KEY" & echo done'
    run = lab.end(step(script, secrets=["key"], grace=0.2), secrets={"key": "correct-horse"})
    assert b"***" in run.log()
    assert b"correct-horse" not in run.log()


def test_helper_about_to_end_is_no_leftover(lab: Lab) -> None:
    run = lab.end(step("(sleep 0.05; echo last words) & echo done"))
    assert run.events("step_ended")[0]["leftovers"] == 0
    assert run.log() == b"done\nlast words\n"


def test_background_step_keeps_what_it_left_also_through_later_kills(lab: Lab) -> None:
    daemon = "(setsid sh -c 'sleep 301; :' >/dev/null 2>&1 &); echo started"
    run = lab.start(
        step(daemon, background=True),
        step("sleep 302 & echo done", grace=0.5),
        step(["sleep", "303"], timeout=0.2),
    )
    end = run.wait()
    assert (end["reason"], end["processes_left"]) == ("timeout", 0)
    assert b"dg: goes on in the background: " in run.log()
    kept = [processes.describe(pid) for pid in run.processes()]
    assert sorted(name.partition(" ")[2] for name in kept) == ["sh -c sleep 301; :", "sleep 301"]
    assert processes.tagged(run.deployment) == []
    assert not lease.held(run.ticket["lease"])


def test_background_step_itself_dies_at_its_timeout(lab: Lab) -> None:
    run = lab.start(step("sleep 301 & sleep 302", background=True, timeout=0.3, grace=0.3))
    assert run.wait()["reason"] == "timeout"
    assert _gone(run)


# --- deaths


def test_runner_survives_the_death_of_its_server(lab: Lab) -> None:
    run = lab.run(step("for i in 1 2 3 4 5 6; do echo $i; sleep 0.1; done"), step("echo end"))
    code = (
        "import subprocess, sys, time\n"
        "p = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,"
        " stderr=subprocess.DEVNULL, cwd='/', env={}, start_new_session=True)\n"
        f"p.stdin.write({handover.encode({})!r}); p.stdin.close(); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, *handover.command(PYTHON, run.dir, 1)]) as server:
        run.until_log(b"2\n")
        server.kill()
    end = until(lambda: spool.read_end(run.dir, 1), "the end")
    assert end["outcome"] == "success"
    assert run.log() == b"1\n2\n3\n4\n5\n6\nend\n"
    assert end["log_lines"] == 7


def test_lease_outlives_a_killed_runner_as_long_as_its_steps(lab: Lab) -> None:
    run = lab.start(step("setsid sleep 301 & echo ready; sleep 302"))
    run.until_log(b"ready")
    direct = run.events("started")[0]["pid"]
    run.kill()
    until(lambda: len(run.processes()) == 2, "the kernel to kill the step's first process")
    assert lease.held(run.ticket["lease"])
    assert processes.kill_tagged(run.deployment, 1.0) == 0
    assert _gone(run)
    until(lambda: not lease.held(run.ticket["lease"]), "a free lease")
    assert not processes.alive(direct, "")


def test_stubborn_leavings_of_a_killed_runner_die(lab: Lab) -> None:
    run = lab.start(step(STUBBORN))
    run.until_log(b"ready")
    run.kill()
    assert processes.kill_tagged(run.deployment, 0.3) == 0
    assert _gone(run)


def test_process_is_named_by_pid_and_start(lab: Lab) -> None:
    with subprocess.Popen(["sleep", "300"]) as child:
        started = processes.start_time(child.pid)
        assert processes.alive(child.pid, started)
        assert not processes.alive(child.pid, "1")
        child.kill()
        until(lambda: Path(f"/proc/{child.pid}/stat").read_text().split(")")[1][1] == "Z", "a zombie")
        assert not processes.alive(child.pid, started)
    assert not processes.alive(child.pid, started)


def test_process_without_arguments_is_still_named_while_it_lives(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As the kernel shows one in the middle of an exec, and one that is over."""
    for pid, state in ((7, "R"), (8, "Z")):
        folder = tmp_path / str(pid)
        folder.mkdir()
        (folder / "cmdline").write_bytes(b"")
        (folder / "comm").write_text("setsid\n")
        (folder / "stat").write_text(f"{pid} (setsid) {state} 1 2 3")
    monkeypatch.setattr(processes, "PROC", str(tmp_path))
    assert [processes.describe(pid) for pid in (7, 8, 9)] == ["7 (setsid)", "", ""]


# --- what the machine offers


@pytest.fixture
def group() -> str:
    folder = cgroups.writable()
    if folder is None:
        pytest.skip("no writable cgroup2 hierarchy")
    return folder


def test_cgroup_holds_the_steps_but_not_the_runner_and_is_removed(lab: Lab, group: str) -> None:
    run = lab.start(
        step("cat /proc/self/cgroup; echo ready; env -i setsid sleep 301 & sleep 302"), cgroup=group
    )
    run.until_log(b"ready")
    assert f"/dg-{run.deployment}/step-0\n".encode() in run.log()
    assert run.process is not None
    assert run.process.pid not in cgroups.Group.of(group, run.deployment).members()  # type: ignore[union-attr]
    run.cancel()
    assert run.wait()["processes_left"] == 0
    assert not Path(group, f"dg-{run.deployment}").exists()
    assert run.events("degraded") == []


def test_cgroup_finds_what_cleared_its_environment_after_the_runner_was_killed(lab: Lab, group: str) -> None:
    run = lab.start(step("env -i setsid sleep 301 & sleep 0.2; echo ready; sleep 302"), cgroup=group)
    run.until_log(b"ready")
    made = cgroups.Group.of(group, run.deployment)
    assert made is not None
    run.kill()
    assert processes.kill_tagged(run.deployment, 1.0, group) == 0
    assert made.members() == []
    made.remove()


def test_cgroup_that_cannot_be_had_degrades(lab: Lab, tmp_path: Path) -> None:
    run = lab.end(step(["true"]), cgroup=str(tmp_path / "no" / "such"))
    assert run.events("degraded")[0]["missing"] == ["cgroup2"]


def test_capabilities_are_all_known() -> None:
    assert set(processes.capabilities()) == {"prctl", "proc", "children", "cgroup2"}
    assert processes.capabilities()["proc"] is Path("/proc/self/stat").exists()


def test_without_children_files_the_parents_are_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_has_children_file", lambda: False)
    with subprocess.Popen(["sleep", "300"]) as child:
        assert child.pid in processes.children(os.getpid())
        child.kill()


def test_without_proc_a_group_is_still_found_and_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    family = processes.Family("none", None, subreaper=False)
    with subprocess.Popen(["sh", "-c", "sleep 300 & wait"], start_new_session=True) as child:
        family.begin(child.pid, None)
        monkeypatch.setattr(processes, "PROC", str(tmp_path))
        assert family.find() == [-child.pid]
        family.kill(family.find())
        child.wait(10)
        until(lambda: family.find() == [], "the end of the group")
