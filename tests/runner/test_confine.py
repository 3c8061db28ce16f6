"""What a step may use is kept: memory, processes, CPU, files, another user's rights, no network."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.runner.lab import PATH, PYTHON, Lab, Run, step, until

from dg.runner import cgroups, lease, limits, processes, spool
from dg.runner.abilities import ask
from dg.runner.accounts import Account, possible

MIB = 1 << 20
OTHER = "nobody"
HOG = "import sys; block = bytearray(400 << 20); print('has it all', len(block))"
STORM = """
import os, time
begun = refused = 0
while True:
    try:
        if os.fork() == 0:
            os.setsid()
            time.sleep(300)
    except BlockingIOError:
        refused += 1
        if refused == 50:
            print("began", begun, flush=True)
        continue
    begun += 1
"""


def _python_of_other() -> str | None:
    """A Python that this other user can run too: one below root's home may be out of reach."""
    entry = pwd.getpwnam(OTHER)
    code = "import json, sys; assert sys.version_info >= (3, 11)"
    for candidate in (PYTHON, "/usr/bin/python3"):
        argv = [candidate, "-I", "-S", "-c", code]
        try:
            subprocess.run(
                argv, user=entry.pw_uid, group=entry.pw_gid, extra_groups=[], check=True, capture_output=True
            )
        except (OSError, subprocess.CalledProcessError):
            continue
        return candidate
    return None


OTHERS_PYTHON = _python_of_other() if possible() else None
needs_root = pytest.mark.skipif(not possible(), reason="only root can begin a step as another user")
needs_namespaces = pytest.mark.skipif(
    not ask(PYTHON, None).network, reason="this machine gives no network namespace"
)
needs_others_python = pytest.mark.skipif(
    OTHERS_PYTHON is None, reason="needs root, and a Python that another user can run"
)


def ended(run: Run) -> str:
    """The sentence at the end of a run that failed."""
    end = run.wait()
    assert end["outcome"] == "failed"
    assert end["processes_left"] == 0
    assert run.processes() == []
    return str(end["detail"])


def python(code: str, *arguments: str, **more: object) -> dict[str, object]:
    own = OTHERS_PYTHON if "user" in more else PYTHON
    return step([own or "", "-I", "-S", "-c", code, *arguments], **more)


# --- control groups


@pytest.fixture
def parent() -> Iterator[str]:
    """A folder whose groups can limit everything; nothing of the machine is changed to have one."""
    for candidate in {cgroups.delegated(), cgroups.writable(), *cgroups.mounts()} - {None}:
        assert candidate is not None
        group = cgroups.Group(candidate).below(f"dg-tests-{os.getpid()}")
        if group.make() and group.enable() == set(cgroups.CONTROLLERS):
            yield group.path
            group.remove()
            assert not Path(group.path).exists()
            return
        group.remove()
    pytest.skip("no cgroup v2 folder here whose groups can limit memory, processes and CPU")


def test_step_is_killed_at_its_memory_limit_and_it_is_told(lab: Lab, parent: str) -> None:
    script = f'{PYTHON} -I -S -c "{HOG}"; echo survived'
    run = lab.start(step(script, name="build", limits={"memory": 64 * MIB}), cgroup=parent)
    assert ended(run) == "step `build` was killed by SIGKILL at its memory limit of 64 MiB"
    assert run.log() == b"dg: step `build` was killed by SIGKILL at its memory limit of 64 MiB\n"
    assert not Path(parent, f"dg-{run.deployment}").exists()


def test_memory_of_one_step_is_not_anothers(lab: Lab, parent: str) -> None:
    limit = {"memory": 64 * MIB}
    run = lab.start(
        step("echo one", limits=limit),
        python(HOG),
        step("echo three", limits=limit, when="always"),
        cgroup=parent,
    )
    assert run.wait()["outcome"] == "success"
    assert run.log() == b"one\nhas it all 419430400\nthree\n"


@pytest.mark.long
def test_check_that_is_killed_at_its_memory_limit_says_so(lab: Lab, parent: str) -> None:
    check = {"command": [PYTHON, "-I", "-S", "-c", HOG], "every": 0.1, "timeout": 8.0}
    limit = {"memory": 32 * MIB}
    run = lab.start(step(check=check, phase="verify", timeout=8.0, limits=limit), cgroup=parent)
    assert ended(run).endswith("was killed by SIGKILL; it was killed at its memory limit of 32 MiB")


@pytest.mark.long
def test_fork_storm_stays_below_its_limit_and_nobody_survives_it(lab: Lab, parent: str) -> None:
    run = lab.start(
        python(STORM, name="storm", limits={"processes": 60}, timeout=8.0, grace=0.5), cgroup=parent
    )
    until(lambda: len(run.processes()) == 60, "the storm to reach its limit")
    detail = ended(run)
    assert detail == "step `storm` timed out after 8 s; it reached its limit of 60 processes"
    assert b"began 59\n" in run.log()


def test_cpu_limit_slows_a_step_down(lab: Lab, parent: str) -> None:
    burn = f"{PYTHON} -I -S -c 'import time\nwhile time.process_time() < 0.3: pass'"
    show = "grep nr_throttled /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup | tail -n 1)/cpu.stat"
    mount = cgroups.mounts()[0]
    run = lab.end(
        step(f"{burn}; {show.replace('/sys/fs/cgroup', mount)}", limits={"cpu": 0.2}), cgroup=parent
    )
    name, _, count = run.log().decode().strip().rpartition(" ")
    assert (name, int(count) > 2) == ("nr_throttled", True)
    assert run.events("step_ended")[0]["seconds"] > 0.9


def test_limits_of_the_group_are_what_was_asked(lab: Lab, parent: str) -> None:
    wanted = {"memory": 100 * MIB, "processes": 50, "cpu": 1.5}
    run = lab.start(step("echo ready; sleep 300", limits=wanted), cgroup=parent)
    run.until_log(b"ready")
    group = Path(parent, f"dg-{run.deployment}", "step-0")
    found = {name: (group / name).read_text().strip() for name in ("memory.max", "pids.max", "cpu.max")}
    run.cancel()
    run.wait()
    assert found == {"memory.max": str(100 * MIB), "pids.max": "50", "cpu.max": "150000 100000"}


@contextmanager
def sleeping_in(group: cgroups.Group) -> Iterator[int]:
    """A process in `group`; both are gone afterwards."""
    with subprocess.Popen(["sleep", "300"]) as process:
        try:
            group.write("cgroup.procs", str(process.pid))
            yield process.pid
        finally:
            process.kill()
    until(lambda: group.members() == [], "the end of the process")
    group.remove()


def test_delegated_group_is_made_fit_and_its_own_processes_move_aside(parent: str) -> None:
    """As systemd leaves it to a service: with the service's processes in it, which the kernel minds."""
    group = cgroups.Group(parent).below("service")
    assert group.make()
    try:
        os.setxattr(group.path, "user.delegate", b"1")
    except OSError as error:
        pytest.skip(f"control groups take no attributes here: {error.strerror}")
    with sleeping_in(group) as pid:
        assert cgroups.prepare(group.path) == set(cgroups.CONTROLLERS)
        assert group.below("server").members() == [pid]


def test_groups_that_are_not_delegated_keep_their_processes(parent: str) -> None:
    group = cgroups.Group(parent).below("other")
    assert group.make()
    with sleeping_in(group) as pid:
        assert cgroups.prepare(group.path) == frozenset()
        assert group.members() == [pid]


# --- rlimits


def test_without_a_group_memory_is_limited_by_address_space_and_it_is_said(lab: Lab) -> None:
    run = lab.start(python(HOG, name="build", limits={"memory": 128 * MIB}))
    assert ended(run) == "step `build` exited with 1"
    assert b"dg: the memory limit holds for the address space of each process" in run.log()
    assert b"MemoryError" in run.log()


def test_file_size_and_open_files_are_limited(lab: Lab) -> None:
    wanted = {"file_size": 4096, "open_files": 64}
    run = lab.start(step("ulimit -n; head -c 5000 /dev/zero > large", limits=wanted, name="build"))
    assert "large" not in ended(run)
    assert run.log().startswith(b"64\n")
    assert (run.folder / "work" / "large").stat().st_size == 4096


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({"cpu": 0.5}, "`cpu` needs a control group here"),
        ({"processes": 9}, "`processes` needs a control group here, or a `user` of the step's own"),
    ],
)
def test_step_whose_limit_cannot_be_kept_does_not_run(lab: Lab, wanted: dict[str, float], why: str) -> None:
    run = lab.start(step("echo effect", name="build", limits=wanted))
    assert ended(run) == f"step `build` could not start: its limits cannot be kept: {why}"
    assert b"effect" not in run.log()


def test_server_may_let_a_step_run_without_a_limit_and_it_is_said(lab: Lab) -> None:
    run = lab.end(step("echo effect", limits={"cpu": 0.5}), limits_required=False)
    assert run.log() == b"dg: not limited: `cpu` needs a control group here\neffect\n"


def test_background_step_has_no_group_that_could_limit_it(lab: Lab, parent: str) -> None:
    run = lab.start(step("echo effect", background=True, limits={"cpu": 0.5}), cgroup=parent)
    assert "needs a control group" in ended(run)


# --- another user


@pytest.fixture
def area() -> Iterator[str]:
    """A folder that another user can reach, in which an area may be made."""
    base = Path(tempfile.mkdtemp(prefix="dg-", dir="/var/tmp"))
    base.chmod(0o711)
    yield str(base / "area")
    shutil.rmtree(base)


def as_other(script: str, **more: object) -> dict[str, object]:
    return step(script, user=OTHER, **more)


@needs_root
def test_step_of_another_user_is_that_user_in_every_respect(lab: Lab, area: str) -> None:
    show = 'id -un; id -ru; id -G; echo "$HOME $USER $LOGNAME"; umask; grep CapEff /proc/self/status'
    run = lab.end(as_other(show), area=area)
    entry = pwd.getpwnam(OTHER)
    groups = " ".join(map(str, os.getgrouplist(OTHER, entry.pw_gid)))
    assert run.log().decode().splitlines() == [
        OTHER,
        str(entry.pw_uid),
        groups,
        f"{entry.pw_dir} {OTHER} {OTHER}",
        "0077",
        "CapEff:\t0000000000000000",
    ]


@needs_root
def test_step_of_another_user_has_its_folders_outputs_and_pipes(lab: Lab, area: str) -> None:
    script = """
echo kept > file; mkdir -p deep/er; echo more > deep/er/file
echo x > "$TMPDIR/scratch"
echo image=web:1 >> "$DG_OUTPUTS"
echo loud > /proc/self/fd/2
"""
    run = lab.start(as_other(script), step('cat file deep/er/file; echo "$DG_OUTPUT_IMAGE"'), area=area)
    assert run.wait()["outcome"] == "success", run.log()
    assert run.log() == b"loud\nkept\nmore\nweb:1\n"
    assert run.events("step_ended")[0]["outputs"] == {"image": "web:1"}


@needs_root
def test_step_of_another_user_reaches_nothing_of_the_home(lab: Lab, area: str) -> None:
    """Not the keys, the secrets, another run, the lane's lease, nor the record of its own end."""
    home = lab.folder / "home"
    home.mkdir(mode=0o700)
    secret = home / "keys"
    secret.write_text("key")
    secret.chmod(0o644)
    run = lab.run(step("true"), area=area)
    targets = [secret, run.folder / "ticket.json", run.folder / "events.jsonl", Path(run.ticket["lease"])]
    read = "\n".join(f"cat {path} && echo READ" for path in targets)
    write = "\n".join(
        f"(echo '{{}}' > {run.folder}/{name}) && echo WROTE" for name in (spool.END, spool.EVENTS, "log/x")
    )
    run = lab.end(as_other(f"set +e\n{read}\n{write}\nls -l /proc/$$/fd"), area=area)
    log = run.log().decode()
    assert log.count("Permission denied") == len(targets) + 3
    assert "READ" not in log
    assert "WROTE" not in log
    assert ".lock\n" not in log
    ours = lab.end(step("ls -l /proc/$$/fd"))
    assert b".lock\n" in ours.log()


@needs_others_python
def test_step_of_another_user_cannot_touch_its_runner(lab: Lab, area: str) -> None:
    code = """
import ctypes, os, signal
runner = os.getppid()
def attempt(name, call):
    try:
        print(name, "WORKED", call())
    except OSError as error:
        print(name, error.strerror)
attempt("environ", lambda: open(f"/proc/{runner}/environ").read())
attempt("memory", lambda: open(f"/proc/{runner}/mem", "rb").read(1))
attempt("descriptors", lambda: os.listdir(f"/proc/{runner}/fd"))
attempt("signal", lambda: os.kill(runner, signal.SIGKILL))
libc = ctypes.CDLL(None, use_errno=True)
print("trace", libc.ptrace(16, runner, 0, 0), os.strerror(ctypes.get_errno()))
"""
    run = lab.end(python(code, user=OTHER), area=area, secrets={"key": "correct-horse"})
    assert run.log().decode().splitlines() == [
        "environ Permission denied",
        "memory Permission denied",
        "descriptors Permission denied",
        "signal Operation not permitted",
        "trace -1 Operation not permitted",
    ]


@needs_root
def test_stubborn_tree_of_another_user_dies_at_a_cancel(lab: Lab, area: str) -> None:
    tree = "trap '' TERM\nsetsid sh -c 'trap \"\" TERM; sleep 301' &\necho ready\nsleep 302"
    run = lab.start(as_other(tree, grace=0.3), area=area)
    run.until_log(b"ready")
    until(lambda: len(run.processes()) >= 3, "the whole tree")
    run.cancel()
    assert run.wait()["processes_left"] == 0
    assert run.processes() == []


@needs_root
def test_what_a_killed_runner_left_of_another_user_is_found_and_ended(lab: Lab, area: str) -> None:
    run = lab.start(as_other("setsid sleep 301 & echo ready; sleep 302"), area=area)
    run.until_log(b"ready")
    leader = next(pid for pid in run.processes() if processes.describe(pid).endswith("sleep 302"))
    run.kill()
    until(lambda: not processes.alive(leader, "") or len(run.processes()) < 3, "the kernel to kill the first")
    assert not lease.held(run.ticket["lease"])
    assert processes.kill_tagged(run.deployment, 1.0) == 0
    assert run.processes() == []


@needs_others_python
def test_tree_goes_from_user_to_user_but_not_what_they_linked(lab: Lab, area: str, tmp_path: Path) -> None:
    ours = Path(area).parent / "ours"
    ours.write_text("server's\n")
    link = f"os.link('{ours}', 'planted')"
    run = lab.run(
        as_other("echo mine > file"),
        python(f"import os; {link}; os.symlink('{ours}', 'symbolic')"),
        as_other("stat -c '%U %n' file planted; echo changed > file; (echo x > planted) || true"),
        area=area,
    )
    assert run.start().wait()["outcome"] == "success"
    assert run.log().startswith(f"{OTHER} file\nroot planted\n".encode())
    assert b"Permission denied" in run.log()
    assert (ours.read_text(), ours.stat().st_uid) == ("server's\n", 0)


@needs_root
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("root", "the user `root` is root or in root's group, which no step may name"),
        ("no-such-user", "this machine has no user `no-such-user`"),
    ],
)
def test_user_that_no_step_may_name_is_refused(lab: Lab, area: str, name: str, why: str) -> None:
    run = lab.start(step("id", user=name), area=area)
    assert ended(run) == f"step `step` could not start: {why}"


@needs_root
def test_area_that_others_can_write_to_is_refused(lab: Lab, area: str) -> None:
    Path(area).parent.chmod(0o777)
    run = lab.start(as_other("echo effect"), area=area)
    assert "is not a folder that only the server's user can write to" in ended(run)
    assert b"effect" not in run.log()


@needs_root
def test_another_user_needs_a_server_that_runs_as_root(lab: Lab, area: str) -> None:
    setpriv = shutil.which("setpriv", path=PATH)
    if setpriv is None:
        pytest.skip("setpriv is not installed")
    run = lab.run(as_other("echo effect"), area=area)
    run.start(through=[setpriv, "--bounding-set=-setuid", "--inh-caps=-all"])
    assert ended(run).endswith("only a server that runs as root can run a step as the user nobody")


@pytest.mark.long
@needs_others_python
def test_processes_of_another_user_are_limited_without_a_group(lab: Lab, area: str) -> None:
    here = sum(1 for path in Path("/proc").glob("[0-9]*") if path.stat().st_uid == pwd.getpwnam(OTHER).pw_uid)
    limit = here + 40
    run = lab.start(
        python(STORM, name="storm", user=OTHER, limits={"processes": limit}, timeout=8.0, grace=0.3),
        area=area,
    )
    until(lambda: len(run.processes()) >= 20, "the storm")
    assert ended(run) == "step `storm` timed out after 8 s"
    began = next(line for line in run.log().splitlines() if line.startswith(b"began "))
    assert 20 <= int(began.split()[1]) < limit
    assert b"dg: the limit on processes counts every process of the user nobody" in run.log()


@needs_root
def test_accounts_know_their_groups() -> None:
    account = Account.named(OTHER)
    assert (account.uid, account.gid) == (pwd.getpwnam(OTHER).pw_uid, pwd.getpwnam(OTHER).pw_gid)
    assert account.gid in account.groups


# --- network


REACH = """
import socket, sys
def attempt(port):
    try:
        socket.create_connection(("127.0.0.1", port), 2).close()
        return "reached"
    except OSError as error:
        return error.strerror
own = socket.create_server(("127.0.0.1", 0))
print("outside", attempt(int(sys.argv[1])))
print("inside", attempt(own.getsockname()[1]))
print("interfaces", [name for _, name in socket.if_nameindex() if name == "lo" or "eth" in name])
print("may gain rights", "NoNewPrivs:\\t0" in open("/proc/self/status").read())
"""


@pytest.fixture
def server() -> Iterator[int]:
    """The port of something that listens on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def reaching(port: int, **more: object) -> dict[str, object]:
    return python(REACH, str(port), **more)


CUT_OFF = [
    "outside Connection refused",
    "inside reached",
    "interfaces ['lo']",
    "may gain rights False",
]


@needs_namespaces
def test_step_without_network_has_a_loopback_of_its_own(lab: Lab, server: int) -> None:
    run = lab.end(reaching(server), reaching(server, network=False))
    lines = run.log().decode().splitlines()
    assert (lines[0], lines[4:]) == ("outside reached", CUT_OFF)


@needs_others_python
@needs_namespaces
def test_step_of_another_user_can_be_without_network_too(lab: Lab, area: str, server: int) -> None:
    run = lab.end(reaching(server, network=False, user=OTHER), area=area)
    assert run.log().decode().splitlines() == CUT_OFF


@needs_namespaces
def test_checks_of_dg_itself_keep_the_network(lab: Lab, server: int) -> None:
    run = lab.start(step(check={"tcp": f"127.0.0.1:{server}"}, network=False))
    assert run.wait()["outcome"] == "success"


@needs_root
def test_step_runs_nowhere_when_the_network_cannot_be_taken_from_it(lab: Lab) -> None:
    setpriv = shutil.which("setpriv", path=PATH)
    if setpriv is None:
        pytest.skip("setpriv is not installed")
    run = lab.run(step("echo effect", network=False))
    run.start(through=[setpriv, "--bounding-set=-sys_admin", "--inh-caps=-all"])
    assert "the network cannot be taken from a step here: Operation not permitted" in ended(run)
    assert b"effect" not in run.log()


# --- a server that is not root


@pytest.fixture
def ordinary() -> Iterator[tuple[Lab, list[str]]]:
    """A lab that belongs to an ordinary user, and what its runners begin through."""
    setpriv = shutil.which("setpriv", path=PATH)
    if setpriv is None:
        pytest.skip("setpriv is not installed")
    entry = pwd.getpwnam(OTHER)
    through = [setpriv, f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]
    through += ["--inh-caps=-all", "--bounding-set=-all"]
    folder = Path(tempfile.mkdtemp(prefix="dg-", dir="/var/tmp"))
    lab = Lab(folder)
    yield lab, through
    lab.clean()
    shutil.rmtree(folder)


def begin(ordinary: tuple[Lab, list[str]], *steps: dict[str, object], **more: object) -> Run:
    lab, through = ordinary
    run = lab.run(*steps, **more)
    entry = pwd.getpwnam(OTHER)
    for path in (lab.folder, *lab.folder.rglob("*")):
        os.chown(path, entry.pw_uid, entry.pw_gid)
    return run.start(through=through, python=OTHERS_PYTHON or "")


@needs_others_python
def test_ordinary_users_server_keeps_rlimits_and_refuses_the_rest(ordinary: tuple[Lab, list[str]]) -> None:
    kept = begin(ordinary, step("id -un; ulimit -n", limits={"open_files": 32, "memory": 512 * MIB}))
    assert kept.wait()["outcome"] == "success"
    assert kept.log().decode().splitlines()[1:] == [OTHER, "32"]
    refused = begin(ordinary, step("echo effect", user="daemon"))
    assert ended(refused).endswith("only a server that runs as root can run a step as the user daemon")


@needs_others_python
def test_ordinary_users_server_takes_the_network_by_a_user_namespace(
    ordinary: tuple[Lab, list[str]], server: int
) -> None:
    argv = [OTHERS_PYTHON or "", "-I", "-S", "-c", REACH, str(server)]
    run = begin(ordinary, step(argv, network=False), step("id -un", network=False))
    end = run.wait()
    if "cannot be taken" in run.log().decode():
        pytest.skip("this machine gives ordinary users no namespaces")
    assert end["outcome"] == "success", run.log()
    assert run.log().decode().splitlines() == [*CUT_OFF, OTHER]


@needs_others_python
def test_step_cut_off_by_a_user_namespace_is_still_found_and_ended(ordinary: tuple[Lab, list[str]]) -> None:
    tree = "trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep 301' & echo ready; sleep 302"
    run = begin(ordinary, step(tree, network=False, grace=0.3))
    until(lambda: b"ready" in run.log() or b"cannot be taken" in run.log(), "the step")
    if b"cannot be taken" in run.log():
        pytest.skip("this machine gives ordinary users no namespaces")
    run.cancel()
    assert run.wait()["processes_left"] == 0
    assert run.processes() == []


# --- the rule itself


def test_everything_is_kept_where_there_are_control_groups() -> None:
    wanted = limits.StepLimits(memory=MIB, processes=3, cpu=0.25, file_size=10, open_files=20)
    kept = limits.keep(wanted, cgroups.CONTROLLERS, None)
    assert kept.values == {
        "memory.max": str(MIB),
        "memory.oom.group": "1",
        "pids.max": "3",
        "cpu.max": "25000 100000",
    }
    assert (kept.notes, kept.broken) == ((), ())


@pytest.mark.parametrize(
    ("count", "written"), [(512 * MIB, "512 MiB"), (1 << 30, "1 GiB"), (1536, "1536 bytes"), (2048, "2 KiB")]
)
def test_sizes_are_written_for_people(count: int, written: str) -> None:
    assert limits.size(count) == written


def test_signal_of_the_limit_on_files_is_named(lab: Lab) -> None:
    run = lab.start(step(["head", "-c", "5000", "/dev/zero"], limits={"file_size": 10}))
    assert run.wait()["outcome"] == "success"  # a pipe is no file
    killed = lab.start(step("exec head -c 5000 /dev/zero > large", limits={"file_size": 10}, name="build"))
    assert ended(killed) == f"step `build` was killed by {signal.SIGXFSZ.name}"
