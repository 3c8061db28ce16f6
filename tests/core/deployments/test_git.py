"""Facts about the git driver, with real repositories and the real git."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from dg.core.clock import SystemClock
from dg.core.deployments.git import Mirrors
from dg.core.errors import Invalid, NotFound, Unavailable

AUTHOR = {
    "GIT_AUTHOR_NAME": "Ada Example",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": "Ada Example",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}
MISSING = "0123456789012345678901234567890123456789"


class Upstream:
    """A repository that a team pushes to; commit times count up from a fixed second."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seconds = 1_700_000_000
        path.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")

    @property
    def url(self) -> str:
        return f"file://{self.path}"

    def git(self, *arguments: str) -> str:
        dates = {"GIT_AUTHOR_DATE": f"{self._seconds} +0200", "GIT_COMMITTER_DATE": f"{self._seconds} +0200"}
        env = {"PATH": os.environ["PATH"]} | AUTHOR | dates
        done = subprocess.run(["git", *arguments], cwd=self.path, env=env, capture_output=True, check=True)
        return done.stdout.decode().strip()

    def commit(self, subject: str, **files: str) -> str:
        self._seconds += 60
        for name, content in files.items():
            (self.path / name).write_text(content)
            self.git("add", "--", name)
        self.git("commit", "--quiet", "--allow-empty", f"--message={subject}")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def upstream(tmp_path: Path) -> Upstream:
    return Upstream(tmp_path / "upstream")


@pytest.fixture
def mirrors(tmp_path: Path) -> Mirrors:
    return make_mirrors(tmp_path)


def make_mirrors(tmp_path: Path, *, timeout: float = 60.0, ssh_command: str = "ssh") -> Mirrors:
    return Mirrors(
        tmp_path / "mirrors",
        clock=SystemClock(),
        environ={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        timeout=timeout,
        ssh_command=ssh_command,
    )


def in_mirror(mirrors: Mirrors, *arguments: str) -> None:
    command = ["git", f"--git-dir={mirrors.path('web')}", *arguments]
    subprocess.run(command, check=True, capture_output=True)


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


# Resolving


async def test_a_branch_resolves_to_its_newest_commit_every_time(
    upstream: Upstream, mirrors: Mirrors
) -> None:
    first = upstream.commit("first")
    assert (await mirrors.resolve("web", upstream.url, "main")).commit == first
    second = upstream.commit("second")
    resolved = await mirrors.resolve("web", upstream.url, "main")
    assert (resolved.commit, resolved.ref, resolved.subject) == (second, "refs/heads/main", "second")
    assert resolved.author_time == 1_700_000_120_000_000


async def test_a_tag_resolves_to_the_commit_below_it(upstream: Upstream, mirrors: Mirrors) -> None:
    commit = upstream.commit("first")
    upstream.git("tag", "--annotate", "--message=one", "v1")
    upstream.git("tag", "--annotate", "--message=nested", "v1-again", "v1")
    for tag in ("v1", "v1-again", "refs/tags/v1"):
        resolved = await mirrors.resolve("web", upstream.url, tag)
        assert (resolved.commit, resolved.ref) == (commit, f"refs/tags/{tag.removeprefix('refs/tags/')}")


async def test_a_tag_of_no_commit_is_unknown(upstream: Upstream, mirrors: Mirrors) -> None:
    upstream.commit("first", file="content")
    upstream.git("tag", "blob", upstream.git("rev-parse", "HEAD:file"))
    with pytest.raises(Invalid, match="no branch, tag or commit `blob`"):
        await mirrors.resolve("web", upstream.url, "blob")


async def test_seven_to_forty_digits_resolve_without_a_ref(upstream: Upstream, mirrors: Mirrors) -> None:
    commit = upstream.commit("first")
    for digits in (commit[:7], commit[:20].upper(), commit, commit.upper()):
        resolved = await mirrors.resolve("web", upstream.url, digits)
        assert (resolved.commit, resolved.ref) == (commit, None)


async def test_a_known_full_commit_needs_no_remote(upstream: Upstream, mirrors: Mirrors) -> None:
    commit = upstream.commit("first")
    await mirrors.fetch("web", upstream.url)
    upstream.path.rename(upstream.path.with_name("moved"))
    assert (await mirrors.resolve("web", upstream.url, commit)).commit == commit
    with pytest.raises(Unavailable):
        await mirrors.resolve("web", upstream.url, "main")


async def test_git_is_asked_for_a_full_commit_once(
    tmp_path: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = upstream.commit("first")
    calls, real = tmp_path / "calls", shutil.which("git")
    script(tmp_path / "git", f'echo >> {calls}\nexec {real} "$@"')
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    mirrors = make_mirrors(tmp_path)
    first = await mirrors.resolve("web", upstream.url, commit)
    await mirrors.keep("web", commit)
    asked = calls.read_text()
    assert await mirrors.resolve("web", upstream.url, commit.upper()) == first
    await mirrors.keep("web", commit)
    assert calls.read_text() == asked


async def test_a_mirror_that_is_gone_is_made_again_for_a_commit_seen_before(
    upstream: Upstream, mirrors: Mirrors
) -> None:
    commit = upstream.commit("first")
    await mirrors.resolve("web", upstream.url, commit)
    await mirrors.keep("web", commit)
    shutil.rmtree(mirrors.path("web"))
    assert (await mirrors.resolve("web", upstream.url, commit)).subject == "first"
    await mirrors.keep("web", commit)
    in_mirror(mirrors, "rev-parse", "--verify", f"refs/dg/{commit}")


async def test_an_unknown_name_is_answered_with_near_misses(upstream: Upstream, mirrors: Mirrors) -> None:
    upstream.commit("first")
    upstream.git("branch", "release/1.2")
    with pytest.raises(Invalid, match=r"did you mean `release/1\.2`") as caught:
        await mirrors.resolve("web", upstream.url, "release/1.3")
    assert caught.value.reason == "unknown_ref"
    for digits in (MISSING, MISSING[:9]):
        with pytest.raises(Invalid, match="no branch, tag or commit"):
            await mirrors.resolve("web", upstream.url, digits)


async def test_a_name_of_two_commits_is_refused_naming_both(upstream: Upstream, mirrors: Mirrors) -> None:
    upstream.commit("first")
    upstream.git("tag", "next")
    upstream.git("branch", "same")
    upstream.git("tag", "same")
    upstream.commit("second")
    upstream.git("branch", "next")
    with pytest.raises(Invalid, match="`refs/heads/next`, `refs/tags/next`") as caught:
        await mirrors.resolve("web", upstream.url, "next")
    assert caught.value.reason == "ambiguous_ref"
    assert (await mirrors.resolve("web", upstream.url, "same")).ref == "refs/heads/same"


async def test_a_branch_named_like_a_commit_does_not_pass_for_it(
    upstream: Upstream, mirrors: Mirrors
) -> None:
    good = upstream.commit("good")
    evil = upstream.commit("evil")
    upstream.git("branch", good[:8], evil)
    upstream.git("update-ref", f"refs/heads/{good}", evil)
    with pytest.raises(Invalid, match="means several commits"):
        await mirrors.resolve("web", upstream.url, good[:8])
    assert (await mirrors.resolve("web", upstream.url, good)).commit == good


@pytest.mark.parametrize(
    "ref",
    ["--upload-pack=touch pwned", "--output=pwned", "main..x", "main@{0}", "main^", "main:file", "HEAD~1"],
)
async def test_a_hostile_name_is_refused_before_git_runs(
    upstream: Upstream, mirrors: Mirrors, ref: str
) -> None:
    with pytest.raises(Invalid, match="not the plain name"):
        await mirrors.resolve("web", upstream.url, ref)
    assert not mirrors.path("web").exists()


@pytest.mark.parametrize("service", ["../web", "Web", "-x", "a/b", "", "web\n"])
def test_a_hostile_service_gets_no_folder(mirrors: Mirrors, service: str) -> None:
    with pytest.raises(Invalid, match="not a name of a service"):
        mirrors.path(service)


@pytest.mark.parametrize("commit", ["main", "--output=x", MISSING[:39], MISSING + "\n", MISSING[:39] + "G"])
async def test_only_full_commit_ids_reach_git(upstream: Upstream, mirrors: Mirrors, commit: str) -> None:
    known = upstream.commit("first")
    await mirrors.fetch("web", upstream.url)
    calls = (
        mirrors.keep("web", commit),
        mirrors.contains("web", "main", commit),
        mirrors.commits("web", None, commit, 5),
        mirrors.commits("web", commit, known, 5),
        mirrors.commits("web", known, commit, 5),
        mirrors.changed_files("web", commit, known, 5),
        mirrors.changed_files("web", known, commit, 5),
        mirrors.has("web", commit),
        mirrors.read_file("web", commit, "file", 5),
    )
    for call in calls:
        with pytest.raises(Invalid, match="not a full commit id"):
            await call


# What moves upstream


async def test_a_kept_commit_survives_a_force_push(upstream: Upstream, mirrors: Mirrors) -> None:
    upstream.commit("first")
    deployed = upstream.commit("deployed")
    await mirrors.fetch("web", upstream.url)
    await mirrors.keep("web", deployed)
    upstream.git("reset", "--hard", "--quiet", "HEAD~1")
    replacement = upstream.commit("replacement")
    assert (await mirrors.resolve("web", upstream.url, "main")).commit == replacement
    in_mirror(mirrors, "gc", "--prune=now", "--quiet")
    assert (await mirrors.resolve("web", upstream.url, deployed)).subject == "deployed"
    assert not await mirrors.contains("web", "main", deployed)


async def test_a_branch_that_is_gone_upstream_is_gone_here(upstream: Upstream, mirrors: Mirrors) -> None:
    upstream.commit("first")
    upstream.git("branch", "topic")
    await mirrors.fetch("web", upstream.url)
    upstream.git("branch", "-D", "topic")
    upstream.git("branch", "topic/deeper")
    assert (await mirrors.resolve("web", upstream.url, "topic/deeper")).ref == "refs/heads/topic/deeper"
    with pytest.raises(Invalid, match="no branch"):
        await mirrors.contains("web", "topic", upstream.git("rev-parse", "HEAD"))


async def test_a_service_may_move_to_another_repository(
    tmp_path: Path, upstream: Upstream, mirrors: Mirrors
) -> None:
    old = upstream.commit("old")
    await mirrors.fetch("web", upstream.url)
    await mirrors.keep("web", old)
    other = Upstream(tmp_path / "other")
    new = other.commit("new")
    assert (await mirrors.resolve("web", other.url, "main")).commit == new
    assert (await mirrors.resolve("web", other.url, old)).commit == old


async def test_only_commits_on_the_branch_are_contained(upstream: Upstream, mirrors: Mirrors) -> None:
    first = upstream.commit("first")
    upstream.git("checkout", "--quiet", "-b", "topic")
    topic = upstream.commit("topic")
    await mirrors.fetch("web", upstream.url)
    assert await mirrors.contains("web", "main", first)
    assert not await mirrors.contains("web", "main", topic)
    assert await mirrors.contains("web", "refs/heads/topic", topic)
    with pytest.raises(Invalid, match="no branch `nope`"):
        await mirrors.contains("web", "nope", first)


# What comes and goes


async def test_commits_between_two_releases_are_listed_newest_first(
    upstream: Upstream, mirrors: Mirrors
) -> None:
    base = upstream.commit("base")
    made = [upstream.commit(f"change {number}") for number in range(5)]
    await mirrors.fetch("web", upstream.url)
    changes = await mirrors.commits("web", base, made[-1], limit=3)
    assert (changes.total, changes.leaving) == (5, ())
    assert [line.sha for line in changes.commits] == made[:-4:-1]
    newest = changes.commits[0]
    assert (newest.author, newest.subject, newest.at) == ("Ada Example", "change 4", 1_700_000_360_000_000)


async def test_commits_that_go_away_are_listed_too(upstream: Upstream, mirrors: Mirrors) -> None:
    fork = upstream.commit("fork")
    left = upstream.commit("left")
    upstream.git("checkout", "--quiet", "-b", "other", fork)
    right = upstream.commit("right")
    await mirrors.fetch("web", upstream.url)
    changes = await mirrors.commits("web", left, right, limit=10)
    assert [line.sha for line in changes.commits] == [right]
    assert [line.sha for line in changes.leaving] == [left]
    backwards = await mirrors.commits("web", left, fork, limit=10)
    assert (backwards.total, [line.sha for line in backwards.leaving]) == (0, [left])


async def test_a_first_deployment_has_no_base(upstream: Upstream, mirrors: Mirrors) -> None:
    upstream.commit("first")
    head = upstream.commit("second")
    await mirrors.fetch("web", upstream.url)
    for base in (None, MISSING):
        changes = await mirrors.commits("web", base, head, limit=10)
        assert (changes.base, changes.total, len(changes.commits)) == (None, 2, 2)


async def test_subjects_and_authors_cannot_break_a_line(upstream: Upstream, mirrors: Mirrors) -> None:
    upstream.git("config", "user.name", "x")
    head = upstream.commit("\x1b[2J\u202esubject \udcff".encode("utf-8", "surrogateescape").decode("latin-1"))
    await mirrors.fetch("web", upstream.url)
    line = (await mirrors.commits("web", None, head, limit=1)).commits[0]
    assert line.subject.startswith("␛[2J")
    assert not re.search("[\x00-\x1f\x7f-\x9f\u202e]", line.subject)


async def test_a_commit_from_an_impossible_time_still_fits(upstream: Upstream, mirrors: Mirrors) -> None:
    upstream.commit("first")
    tree = upstream.git("rev-parse", "HEAD^{tree}")
    raw = f"tree {tree}\nauthor x <x> 9999999999999999 +0000\ncommitter x <x> 1 +0000\n\nlate\n"
    (upstream.path / "raw").write_text(raw)
    head = upstream.git("hash-object", "-t", "commit", "--literally", "-w", "raw")
    upstream.git("branch", "late", head)
    resolved = await mirrors.resolve("web", upstream.url, "late")
    assert (resolved.commit, resolved.subject) == (head, "late")
    assert abs(resolved.author_time) < 2**63


async def test_changed_files_are_named_and_their_lines_counted(upstream: Upstream, mirrors: Mirrors) -> None:
    base = upstream.commit("base", kept="1", edited="1\n2\n3\n", image="\0")
    changed = {"new file": "1\n", "\x1b[2J": "1\n", "image": "\0\0"}
    head = upstream.commit("head", edited="2\n3\n4\n5\n", **changed)
    await mirrors.fetch("web", upstream.url)
    found = await mirrors.changed_files("web", base, head, limit=10)
    assert [(file.path, file.added, file.removed) for file in found.files] == [
        ("␛[2J", 1, 0),
        ("edited", 2, 1),
        ("image", None, None),
        ("new file", 1, 0),
    ]
    assert (found.total, found.added, found.removed) == (4, 4, 1)
    first = await mirrors.changed_files("web", base, head, limit=1)
    assert (first.total, [file.path for file in first.files]) == (4, ["␛[2J"])


async def test_a_patch_shows_what_differs_and_acts_on_no_terminal(
    upstream: Upstream, mirrors: Mirrors
) -> None:
    base = upstream.commit("base", edited="1\n2\n", gone="x\n")
    upstream.git("rm", "--quiet", "gone")
    attacks = {"*.py diff=x": "\n", "evil": "\x1b]52;c;aGk=\x07\n\u202etxt\n", "image": "\0"}
    head = upstream.commit("head", edited="1\n3\n", **attacks)
    await mirrors.fetch("web", upstream.url)
    found = await mirrors.diff("web", base, head, file=None, limit=10, cap=1 << 20)
    assert (found.base, found.head, found.cut) == (base, head, False)
    assert found.files.total == len(found.files.files) == 5
    lines = found.patch.splitlines()
    assert "-2" in lines
    assert "+3" in lines
    assert "deleted file mode 100644" in lines
    assert "Binary files /dev/null and b/image differ" in lines
    assert "+␛]52;c;aGk=␇" in lines
    assert "\u202e" not in found.patch


async def test_a_patch_of_one_file_shows_nothing_else(upstream: Upstream, mirrors: Mirrors) -> None:
    base = upstream.commit("base", one="1\n", other="1\n")
    head = upstream.commit("head", one="2\n", other="2\n", **{"*": "glob\n"})
    await mirrors.fetch("web", upstream.url)
    found = await mirrors.diff("web", base, head, file="one", limit=10, cap=1 << 20)
    assert [file.path for file in found.files.files] == ["one"]
    assert found.patch.count("diff --git") == 1
    star = await mirrors.diff("web", base, head, file="*", limit=10, cap=1 << 20)
    assert [file.path for file in star.files.files] == ["*"]
    with pytest.raises(NotFound, match="does not differ"):
        await mirrors.diff("web", base, head, file="nowhere", limit=10, cap=1 << 20)
    for outside in ("../x", "/etc/passwd", ":(top)one", "a\0b", ""):
        with pytest.raises(Invalid, match="not a path inside"):
            await mirrors.diff("web", base, head, file=outside, limit=10, cap=1 << 20)


async def test_a_patch_too_long_ends_with_a_whole_line_and_says_so(
    upstream: Upstream, mirrors: Mirrors
) -> None:
    base = upstream.commit("base")
    head = upstream.commit("head", long="".join(f"line {at}\n" for at in range(1000)))
    await mirrors.fetch("web", upstream.url)
    found = await mirrors.diff("web", base, head, file=None, limit=10, cap=500)
    assert found.cut
    assert len(found.patch) <= 500
    assert found.patch.endswith("\n")
    assert found.files.added == 1000


async def test_a_file_that_no_memory_should_hold_is_not_compared(
    upstream: Upstream, mirrors: Mirrors
) -> None:
    base = upstream.commit("base")
    head = upstream.commit("head", huge="x\n" * (9 << 20), small="1\n")
    await mirrors.fetch("web", upstream.url)
    found = await mirrors.diff("web", base, head, file=None, limit=10, cap=1 << 20)
    assert "Binary files /dev/null and b/huge differ" in found.patch
    assert (found.files.total, found.files.added, found.cut) == (2, 1, False)


async def test_everything_is_new_where_nothing_known_runs(upstream: Upstream, mirrors: Mirrors) -> None:
    head = upstream.commit("head", first="1\n")
    await mirrors.fetch("web", upstream.url)
    for base in (None, "0" * 39 + "1"):
        found = await mirrors.diff("web", base, head, file="first", limit=10, cap=1 << 20)
        assert (found.base, found.files.added) == (None, 1)


async def test_the_mirror_knows_what_it_has(upstream: Upstream, mirrors: Mirrors) -> None:
    commit = upstream.commit("first")
    assert not await mirrors.has("web", commit)
    await mirrors.fetch("web", upstream.url)
    assert await mirrors.has("web", commit)
    assert not await mirrors.has("web", "0" * 40)


async def test_a_file_is_read_at_a_commit(upstream: Upstream, mirrors: Mirrors) -> None:
    first = upstream.commit("first", **{"dg.toml": "version = 1\n"})
    second = upstream.commit("second", **{"dg.toml": "version = 2\n"})
    await mirrors.fetch("web", upstream.url)
    assert await mirrors.read_file("web", first, "dg.toml", 64) == b"version = 1\n"
    assert await mirrors.read_file("web", second, "dg.toml", 12) == b"version = 2\n"
    with pytest.raises(Invalid, match="larger than 11 bytes"):
        await mirrors.read_file("web", second, "dg.toml", 11)
    with pytest.raises(NotFound, match="no file `other`"):
        await mirrors.read_file("web", second, "other", 64)
    with pytest.raises(NotFound, match="no file"):
        await mirrors.read_file("web", second, "*.toml", 64)


async def test_only_regular_files_inside_the_repository_are_read(
    upstream: Upstream, mirrors: Mirrors
) -> None:
    (upstream.path / "link").symlink_to("/etc/passwd")
    (upstream.path / "folder").mkdir()
    (upstream.path / "folder" / "file").write_text("x")
    upstream.git("add", ".")
    commit = upstream.commit("first")
    await mirrors.fetch("web", upstream.url)
    assert await mirrors.read_file("web", commit, "folder/file", 64) == b"x"
    for path in ("link", "folder", "../x", "/etc/passwd", "", ":(top)link", "folder/../link", "a\0b"):
        with pytest.raises(Invalid):
            await mirrors.read_file("web", commit, path, 64)


# Remotes that fail


async def test_nothing_is_known_before_the_first_fetch(mirrors: Mirrors) -> None:
    with pytest.raises(NotFound, match="never fetched"):
        await mirrors.keep("web", MISSING)


async def test_a_remote_that_does_not_exist_is_named(tmp_path: Path, mirrors: Mirrors) -> None:
    with pytest.raises(Unavailable, match=r"does not appear to be a git repository|not exist"):
        await mirrors.fetch("web", f"{tmp_path}/nowhere")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
async def test_a_repository_of_another_user_is_refused_in_plain_words(
    upstream: Upstream, mirrors: Mirrors
) -> None:
    upstream.commit("first")
    for path in (upstream.path, upstream.path / ".git"):
        os.chown(path, 65534, 65534)
    with pytest.raises(Unavailable, match="belongs to another user than the server's"):
        await mirrors.fetch("web", upstream.url)


async def test_the_complaint_of_ssh_is_passed_on_without_its_control_characters(tmp_path: Path) -> None:
    ssh = script(
        tmp_path / "ssh", r"printf 'git@example.com: Permission denied\033[2J (publickey).\n' >&2; exit 255"
    )
    with pytest.raises(Unavailable, match=r"Permission denied␛\[2J \(publickey\)"):
        await make_mirrors(tmp_path, ssh_command=str(ssh)).fetch("web", "git@example.com:web.git")


async def test_an_ssh_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    ssh = script(tmp_path / "ssh", f"trap '' TERM; sleep 300 & echo $$ $! >> {pids}; wait; wait")
    with pytest.raises(Unavailable, match=r"did not answer within 0\.5 seconds"):
        await make_mirrors(tmp_path, timeout=0.5, ssh_command=str(ssh)).fetch(
            "web", "git@example.com:web.git"
        )
    await until_dead([int(pid) for pid in pids.read_text().split()])


async def test_cancelling_a_fetch_ends_git(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    ssh = script(tmp_path / "ssh", f"echo $$ >> {pids}; exec sleep 300")
    mirrors = make_mirrors(tmp_path, ssh_command=str(ssh))
    fetch = asyncio.create_task(mirrors.fetch("web", "git@example.com:web.git"))
    await until(lambda: pids.exists() and bool(pids.read_text()))
    fetch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetch
    await until_dead([int(pid) for pid in pids.read_text().split()])


async def until_dead(pids: list[int]) -> None:
    assert pids
    await until(lambda: not any(is_alive(pid) for pid in pids))


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it did not come true within 20 seconds")


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_a_server_that_never_answers_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(Unavailable, match="did not answer"):
            await make_mirrors(tmp_path, timeout=0.5).fetch("web", f"https://token@127.0.0.1:{port}/web.git")


async def test_a_user_name_in_an_address_is_not_repeated(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closing:
        port = closing.getsockname()[1]
    with pytest.raises(Unavailable) as caught:
        await make_mirrors(tmp_path).fetch("web", f"https://ghp-secret-token@127.0.0.1:{port}/web.git")
    assert f"127.0.0.1:{port}" in caught.value.message
    assert "secret" not in caught.value.message


async def test_a_grandchild_that_holds_the_pipe_does_not_hold_the_caller(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    ssh = script(
        tmp_path / "ssh", f"setsid sleep 300 </dev/null >/dev/null & echo $! >> {pids}; echo no >&2; exit 255"
    )
    mirrors = make_mirrors(tmp_path, timeout=60, ssh_command=str(ssh))
    try:
        async with asyncio.timeout(20):
            with pytest.raises(Unavailable, match="no"):
                await mirrors.fetch("web", "git@example.com:web.git")
    finally:
        for pid in pids.read_text().split():
            os.kill(int(pid), 9)


async def test_a_remote_that_shouts_does_not_fill_the_memory(tmp_path: Path) -> None:
    ssh = script(tmp_path / "ssh", "yes 'remote noise' | head -c 20000000 >&2; exit 255")
    with pytest.raises(Unavailable, match="remote noise") as caught:
        await make_mirrors(tmp_path, ssh_command=str(ssh)).fetch("web", "git@example.com:web.git")
    assert len(caught.value.message) < 500


async def test_a_server_without_git_says_so(tmp_path: Path) -> None:
    mirrors = Mirrors(tmp_path / "mirrors", clock=SystemClock(), environ={"PATH": str(tmp_path)})
    with pytest.raises(Unavailable, match="git is not installed"):
        await mirrors.fetch("web", "/srv/web.git")


# Living beside others


async def test_waiting_fetches_share_one(tmp_path: Path, upstream: Upstream) -> None:
    commit = upstream.commit("first")
    log = tmp_path / "log"
    ssh = script(tmp_path / "ssh", f'for last; do :; done; echo fetch >> {log}; sleep 0.2; eval "exec $last"')
    mirrors = make_mirrors(tmp_path, ssh_command=str(ssh))
    url = f"ssh://example.com{upstream.path}"
    resolved = await asyncio.gather(*(mirrors.resolve("web", url, "main") for _ in range(10)))
    assert {found.commit for found in resolved} == {commit}
    assert len(log.read_text().splitlines()) == 2


async def test_a_lock_left_by_a_power_cut_is_removed_and_a_fresh_one_respected(
    upstream: Upstream, mirrors: Mirrors
) -> None:
    upstream.commit("first")
    await mirrors.fetch("web", upstream.url)
    second = upstream.commit("second")
    lock = mirrors.path("web") / "refs/heads/main.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    with pytest.raises(Unavailable, match="lock"):
        await mirrors.fetch("web", upstream.url)
    os.utime(lock, (1_600_000_000, 1_600_000_000))
    assert (await mirrors.resolve("web", upstream.url, "main")).commit == second


async def test_a_mirror_whose_making_was_interrupted_is_made_again(
    upstream: Upstream, mirrors: Mirrors
) -> None:
    commit = upstream.commit("first")
    mirrors.path("web").mkdir(parents=True)
    assert (await mirrors.resolve("web", upstream.url, "main")).commit == commit


async def test_hooks_and_settings_of_others_do_not_run(
    tmp_path: Path, upstream: Upstream, mirrors: Mirrors
) -> None:
    upstream.commit("first")
    await mirrors.fetch("web", upstream.url)
    hooks = mirrors.path("web") / "hooks"
    hooks.mkdir(exist_ok=True)
    marker = tmp_path / "ran"
    script(hooks / "reference-transaction", f"touch {marker}")
    (tmp_path / ".gitconfig").write_text(f"[core]\n\thooksPath = {hooks}\n\tfsmonitor = touch {marker}\n")
    upstream.commit("second")
    await mirrors.fetch("web", upstream.url)
    assert not marker.exists()


async def test_mirrors_are_for_the_server_only(upstream: Upstream, mirrors: Mirrors) -> None:
    upstream.commit("first")
    await mirrors.fetch("web", upstream.url)
    assert stat.S_IMODE(mirrors.path("web").parent.stat().st_mode) == 0o700


async def test_compacting_keeps_every_commit(upstream: Upstream, mirrors: Mirrors) -> None:
    commit = upstream.commit("first", file="x")
    await mirrors.fetch("web", upstream.url)
    await mirrors.compact("web")
    assert await mirrors.read_file("web", commit, "file", 10) == b"x"


async def test_a_branch_may_look_like_upper_case_digits(upstream: Upstream, mirrors: Mirrors) -> None:
    commit = upstream.commit("first")
    upstream.git("branch", "DEADBEEF")
    assert (await mirrors.resolve("web", upstream.url, "DEADBEEF")).commit == commit
