"""The git driver: one bare mirror per service, driven through the git command line; the service's `Git`.

Everything that comes back (subjects, authors, file names, git's own complaints) is sanitised here once.
"""

from __future__ import annotations

import asyncio
import difflib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dg.core.clock import SECOND, Clock
from dg.core.command import Finished
from dg.core.deployments.complaints import failure
from dg.core.deployments.figures import Commit
from dg.core.deployments.models import Changes, CommitLine, Diff, FileChanges
from dg.core.deployments.patches import counted, patched
from dg.core.deployments.plumbing import FULL_ID, Plumbing, checked, inside, require
from dg.core.deployments.remotes import check_ref, check_url, without_userinfo
from dg.core.deployments.sources import Credential, Sources, Use, handed
from dg.core.errors import Invalid, NotFound
from dg.core.text import plain

_ABBREVIATED = re.compile(r"^[0-9a-f]{7,39}$")

_GRAPH_CAP = 64 * 1024 * 1024
_BUNDLE_TIMEOUT = 3600.0
_STALE_LOCK_MARGIN = 60.0
"""Seconds beyond the longest command after which a lock file is nobody's any more."""
_NAMES_COMPARED = 5000
_COMMITS_REMEMBERED = 1000


@dataclass(frozen=True)
class Resolved:
    """What a ref means now: 40 hex digits, the full ref name (None for a bare commit id), its subject and the
    author's time in microseconds."""

    commit: str
    ref: str | None
    subject: str
    author_time: int


class Mirrors:
    """Bare mirrors below `root`, one per service.

    `timeout` (seconds) bounds whatever talks to a remote, `local_timeout` the rest. `environ` is the server's
    environment, of which git gets what reaching a remote needs (`HOME` for ssh keys and .netrc, proxies).
    `sources` are the keys and tokens of private repositories; `ssh_command` is for addresses of none of them.
    """

    def __init__(
        self,
        root: Path,
        *,
        clock: Clock,
        environ: Mapping[str, str],
        timeout: float = 120.0,
        local_timeout: float = 30.0,
        ssh_command: str = "ssh",
        sources: Sources | None = None,
    ) -> None:
        self._git = Plumbing(root, environ, ssh_command=ssh_command, timeout=local_timeout)
        self._clock = clock
        self._timeout = timeout
        self._sources = sources or Sources({}, root, {})
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._fetched: dict[tuple[str, str], float] = {}
        self._known: dict[tuple[str, str], Resolved] = {}
        self._kept: set[tuple[str, str]] = set()

    def path(self, service: str) -> Path:
        """Where the mirror of `service` stands; the runner checks out from it."""
        return self._git.path(service)

    def use(self, url: str) -> Use | None:
        """With what the server proves itself to `url`; None when nothing is set for it."""
        return self._sources.use(url)

    async def fetch(self, service: str, url: str) -> None:
        """Bring branches and tags up to date, making the mirror if there is none.

        Callers that wait while another fetch of the same address begins share that one.

        Raises:
            Invalid: `url` is not an address dg takes.
            Refused: the remote does not let the server in, or the source's key or token cannot be used.
            Unavailable: the remote does not answer, or took longer than the timeout.
        """
        mirror = self.path(service)
        check_url(url)
        asked = self._clock.monotonic()
        async with self._locks[service]:
            if self._fetched.get((service, url), -1.0) > asked:
                return
            began = self._clock.monotonic()
            await self._update(service, mirror, url)
            self._fetched[service, url] = began

    async def resolve(self, service: str, url: str, ref: str) -> Resolved:
        """Say which commit `ref` is: a branch, a tag, or 7 to 40 hex digits of a commit.

        Fetches first, except for a full commit id that the mirror already has.

        Raises:
            Invalid: the name is hostile, unknown (near misses are named) or means several commits.
            Refused, Unavailable: as in `fetch`.
        """
        check_ref(ref)
        if FULL_ID.fullmatch(ref.lower()):
            return await self._resolve_id(service, url, ref.lower())
        await self.fetch(service, url)
        name, commit = await self._only(service, ref, await self._meanings(service, ref))
        return await self._resolved(service, commit, name)

    async def _resolve_id(self, service: str, url: str, digits: str) -> Resolved:
        """A full id means the same for ever, so git is asked once for each."""
        known = self._known.get((service, digits))
        if known is not None and self.path(service).exists():
            return known
        found = await self._git.commit(service, digits)
        if found is None:
            await self.fetch(service, url)
            found = await self._git.commit(service, digits)
        if found is None:
            raise await self._unknown(service, digits)
        if len(self._known) >= _COMMITS_REMEMBERED:
            self._forget()
        known = self._known[service, digits] = await self._resolved(service, found, None)
        return known

    async def _resolved(self, service: str, commit: str, name: str | None) -> Resolved:
        line = (await self._log(service, commit, limit=1))[0]
        return Resolved(commit, name, line.subject, line.at)

    def _forget(self) -> None:
        self._known.clear()
        self._kept.clear()

    async def contains(self, service: str, branch_ref: str, commit: str) -> bool:
        """Whether `commit` is reachable from the branch as it was last fetched. Where trust hangs on that,
        fetch before.

        Raises:
            Invalid: there is no such branch.
        """
        full = branch_ref if branch_ref.startswith("refs/heads/") else f"refs/heads/{branch_ref}"
        if await self._git.commit(service, check_ref(full)) is None:
            raise Invalid(f"the repository of `{service}` has no branch `{branch_ref}`")
        return await self._is_ancestor(service, checked(commit), full)

    async def keep(self, service: str, commit: str) -> None:
        """Hold on to `commit` whatever happens upstream: a rollback may need it after a force-push."""
        if (service, commit) in self._kept and self.path(service).exists():
            return
        await self._git.ask(service, "update-ref", "--end-of-options", f"refs/dg/{checked(commit)}", commit)
        self._kept.add((service, commit))

    async def has(self, service: str, commit: str) -> bool:
        """Whether the mirror knows `commit`, without asking the remote."""
        return await self._git.commit(service, checked(commit)) is not None

    async def commits(self, service: str, base: str | None, head: str, limit: int) -> Changes:
        """What comes with `head` and what goes away with `base`, newest first, at most `limit` of each.

        A `base` that the mirror does not know (it was made anew) counts as none, and the answer says so.
        """
        checked(head)
        if base is not None and await self._git.commit(service, checked(base)) is None:
            base = None
        coming = head if base is None else f"{base}..{head}"
        commits = await self._log(service, coming, limit=limit)
        leaving: list[CommitLine] = []
        leaving_total = 0
        if base is not None and not await self._is_ancestor(service, base, head):
            leaving = await self._log(service, f"{head}..{base}", limit=limit)
            leaving_total = await self._count(service, f"{head}..{base}")
        return Changes(
            base=base,
            head=head,
            total=await self._count(service, coming),
            commits=tuple(commits),
            leaving_total=leaving_total,
            leaving=tuple(leaving),
        )

    async def changed_files(self, service: str, base: str, head: str, limit: int) -> FileChanges:
        """What differs between the two commits: all files counted, the first `limit` of them by name.

        Of more than 4 MiB of names the rest is left out.
        """
        return await counted(self._git, service, checked(base), checked(head), limit)

    async def diff(
        self, service: str, base: str | None, head: str, *, file: str | None, limit: int, cap: int
    ) -> Diff:
        """What differs between the two commits, of all files or of one: at most `limit` files by name and
        `cap` bytes of the patch, cut at the end of a line. Without a `base`, or with one that the mirror does
        not know (it was made anew), everything is new.

        Raises Invalid for a path that leaves the repository, NotFound for a file that does not differ.
        """
        if base is not None and not await self.has(service, base):
            base = None
        return await patched(self._git, service, base, checked(head), file=file, limit=limit, cap=cap)

    async def ancestry(self, service: str, heads: Sequence[str], known: Sequence[str]) -> list[Commit]:
        """The commits that `heads` lead to and `known` do not; what the mirror does not have is passed over.

        Raises Invalid when they are more than could be held.
        """
        wanted = (*map(checked, heads), *(f"^{checked(commit)}" for commit in known))
        listing = ("rev-list", "--ignore-missing", "--timestamp", "--parents", "--end-of-options", *wanted)
        finished = await self._git.ask(service, *listing, timeout=self._timeout, cap=_GRAPH_CAP)
        if finished.truncated:
            raise Invalid("these are more commits than dg counts at once; ask for fewer days", field="days")
        return [_commit(*line.decode("ascii").split()) for line in finished.stdout.splitlines()]

    async def read_file(self, service: str, commit: str, path: str, cap: int) -> bytes:
        """The content of the regular file `path` at `commit`, at most `cap` bytes.

        Raises:
            Invalid: `path` leaves the repository, is no regular file, or is larger than `cap`.
            NotFound: the commit has no such file.
        """
        shown = plain(path, limit=200)
        listing = await self._git.ask(
            service,
            "--literal-pathspecs",
            *(
                "ls-tree",
                "-z",
                "--long",
                "--full-tree",
                "--end-of-options",
                checked(commit),
                "--",
                inside(path),
            ),
        )
        if not listing.stdout:
            raise NotFound(f"commit {commit[:12]} of `{service}` has no file `{shown}`")
        mode, _, blob, size = listing.stdout.split(b"\t")[0].split()
        if mode not in {b"100644", b"100755"}:
            raise Invalid(f"`{shown}` at commit {commit[:12]} of `{service}` is not a regular file")
        if int(size) > cap:
            raise Invalid(f"`{shown}` at commit {commit[:12]} of `{service}` is larger than {cap} bytes")
        finished = await self._git.ask(service, "cat-file", "blob", blob.decode("ascii"), cap=cap)
        return finished.stdout

    async def compact(self, service: str) -> None:
        """Pack what many fetches left behind, when git finds it is time; slow on a large repository."""
        await self._git.ask(service, "-c", "gc.auto=6700", "gc", "--auto", "--quiet", timeout=self._timeout)

    async def bundle(self, service: str, target: Path) -> bool:
        """Write everything that the mirror has to one file; False when that is nothing yet."""
        if not (await self._git.ask(service, "for-each-ref", "--count=1")).stdout:
            return False
        command = ("bundle", "create", "--quiet", str(target), "--all")
        await self._git.ask(service, *command, timeout=_BUNDLE_TIMEOUT)
        return True

    async def unbundle(self, service: str, source: Path) -> None:
        """Make the mirror of `service` from such a file. Raises Unavailable when git cannot read it."""
        mirror = self.path(service)
        await self._init(service, mirror)
        command = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")
        await self._git.ask(
            service, *command, "--end-of-options", str(source), "+refs/*:refs/*", timeout=_BUNDLE_TIMEOUT
        )

    async def _init(self, service: str, mirror: Path) -> None:
        await asyncio.to_thread(self._git.root.mkdir, mode=0o700, parents=True, exist_ok=True)
        require(await self._git.run("init", "--bare", "--quiet", "--template=", "--", str(mirror)), service)

    async def _update(self, service: str, mirror: Path, url: str) -> None:
        if not (mirror / "HEAD").exists() or not (mirror / "config").exists():
            self._forget()
            await self._init(service, mirror)
        credential = await self._sources.credential(service, url)
        if credential and credential.token:
            # A user in the address would go before the source's.
            url = without_userinfo(url)
        finished = await self._fetch_once(mirror, url, credential)
        if finished.code and b".lock': File exists" in finished.stderr:
            before = self._clock.micros() / SECOND - self._timeout - _STALE_LOCK_MARGIN
            if await asyncio.to_thread(_remove_locks, mirror, before):
                finished = await self._fetch_once(mirror, url, credential)
        if finished.code:
            raise failure(finished, service, url, credential)

    async def _fetch_once(self, mirror: Path, url: str, credential: Credential | None) -> Finished:
        with handed(credential) as (variables, descriptors):
            return await self._git.run(
                f"--git-dir={mirror}",
                *("fetch", "--quiet", "--prune", "--force", "--no-tags", "--no-write-fetch-head"),
                *("--no-recurse-submodules", "--end-of-options", url),
                *("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"),
                timeout=self._timeout,
                variables=variables,
                descriptors=descriptors,
            )

    async def _meanings(self, service: str, ref: str) -> dict[str | None, str]:
        """Everything `ref`, which is no full commit id, could mean: full ref name, or None, to commit."""
        if ref.startswith(("refs/heads/", "refs/tags/")):
            found: dict[str | None, str | None] = {ref: await self._git.commit(service, ref)}
        else:
            found = {
                name: await self._git.commit(service, name)
                for name in (f"refs/heads/{ref}", f"refs/tags/{ref}")
            }
            if _ABBREVIATED.fullmatch(ref.lower()):
                found |= await self._abbreviated(service, ref.lower())
        return {name: commit for name, commit in found.items() if commit is not None}

    async def _abbreviated(self, service: str, digits: str) -> dict[str | None, str | None]:
        objects = (
            (await self._git.ask(service, "rev-parse", f"--disambiguate={digits}"))
            .stdout.decode("ascii")
            .split()
        )
        commits = [await self._git.commit(service, name) for name in objects[:16]]
        distinct = sorted({commit for commit in commits if commit is not None})
        return {None: distinct[0]} if len(distinct) == 1 else {commit: commit for commit in distinct}

    async def _only(self, service: str, ref: str, found: Mapping[str | None, str]) -> tuple[str | None, str]:
        if not found:
            raise await self._unknown(service, ref)
        if len(set(found.values())) > 1:
            meanings = ", ".join(f"`{name or commit}`" for name, commit in found.items())
            raise Invalid(
                f"`{ref}` means several commits of `{service}`; say which: {meanings}", reason="ambiguous_ref"
            )
        return next(iter(found.items()))

    async def _unknown(self, service: str, ref: str) -> Invalid:
        listing = await self._git.ask(
            service,
            "for-each-ref",
            f"--count={_NAMES_COMPARED}",
            "--format=%(refname:lstrip=2)",
            "refs/heads",
            "refs/tags",
        )
        names = dict.fromkeys(plain(name) for name in listing.stdout.splitlines())
        near = difflib.get_close_matches(ref, names, n=3)
        hint = f"; did you mean {' or '.join(f'`{name}`' for name in near)}?" if near else ""
        return Invalid(
            f"the repository of `{service}` has no branch, tag or commit `{ref}`{hint}",
            reason="unknown_ref",
            near=near,
        )

    async def _count(self, service: str, commits: str) -> int:
        return int((await self._git.ask(service, "rev-list", "--count", "--end-of-options", commits)).stdout)

    async def _is_ancestor(self, service: str, older: str, newer: str) -> bool:
        finished = await self._git.ask(
            service, "merge-base", "--is-ancestor", "--end-of-options", older, newer, allowed=(0, 1)
        )
        return finished.code == 0

    async def _log(self, service: str, commits: str, *, limit: int) -> list[CommitLine]:
        finished = await self._git.ask(
            service,
            *("log", f"--max-count={limit}", "-z", "--format=%H%x00%an%x00%at%x00%s"),
            *("--end-of-options", commits),
        )
        fields = finished.stdout.split(b"\0")
        return [_commit_line(*fields[at : at + 4]) for at in range(0, len(fields) - 4, 4)]


def _remove_locks(mirror: Path, before: float) -> bool:
    """Remove lock files last written before `before` (seconds since the epoch): every git that dg starts is
    stopped before its lock is that old, so only a kill -9 or a power cut leaves one."""
    candidates = [*mirror.glob("*.lock"), *(mirror / "refs").rglob("*.lock")]
    stale = [path for path in candidates if path.stat().st_mtime < before]
    for path in stale:
        path.unlink(missing_ok=True)
    return bool(stale)


def _commit(seconds: str, sha: str, *parents: str) -> Commit:
    return Commit(sha=sha, at=_moment(seconds), parents=parents)


def _moment(seconds: str) -> int:
    # A commit may claim any time; one of more than 11 digits would not fit a table in microseconds.
    return int(seconds) * SECOND if re.fullmatch(r"-?[0-9]{1,11}", seconds, re.ASCII) else 0


def _commit_line(sha: bytes, author: bytes, seconds: bytes, subject: bytes) -> CommitLine:
    return CommitLine(
        sha=sha.strip().decode("ascii"),
        author=plain(author, limit=200),
        subject=plain(subject, limit=500),
        at=_moment(seconds.decode("ascii", "replace")),
    )
