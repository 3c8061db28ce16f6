"""What differs between two commits, in the files: `git`'s part for previews and `dg diff`."""

from __future__ import annotations

from dg.core.deployments.models import Diff, FileChange, FileChanges
from dg.core.deployments.plumbing import Plumbing, inside
from dg.core.errors import NotFound
from dg.core.text import plain

_EMPTY = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
"""The tree without a file, which every repository of git knows."""
_BOUNDED = ("-c", "core.bigFileThreshold=16m", "--literal-pathspecs")
"""Git holds twelve times the size of a text in memory to compare it: what is larger is told as binary."""
_DIFF = (*_BOUNDED, "diff", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color")


async def patched(
    git: Plumbing, service: str, base: str | None, head: str, *, file: str | None, limit: int, cap: int
) -> Diff:
    """See `Mirrors.diff`; both commits are known to the mirror."""
    only = ("--", inside(file)) if file is not None else ()
    files = await counted(git, service, base or _EMPTY, head, limit, only)
    if file is not None and not files.total:
        raise NotFound(f"`{plain(file, limit=200)}` does not differ between the two commits")
    found = await git.ask(
        service,
        *(*_DIFF, "--patch", "--submodule=short", "--end-of-options"),
        *(base or _EMPTY, head, *only),
        cap=cap,
    )
    text = found.stdout[: found.stdout.rfind(b"\n") + 1] if found.truncated else found.stdout
    return Diff(base=base, head=head, files=files, patch=plain(text, multiline=True), cut=found.truncated)


async def counted(
    git: Plumbing, service: str, base: str, head: str, limit: int, only: tuple[str, ...] = ()
) -> FileChanges:
    """The files that differ and their lines, those that `only` leaves; the first `limit` are named."""
    finished = await git.ask(
        service,
        *(*_DIFF, "--numstat", "-z", "--end-of-options", base, head, *only),
    )
    files = [_file_change(*line.split(b"\t", 2)) for line in finished.stdout.split(b"\0")[:-1]]
    return FileChanges(
        total=len(files),
        added=sum(file.added or 0 for file in files),
        removed=sum(file.removed or 0 for file in files),
        files=tuple(files[:limit]),
    )


def _file_change(added: bytes, removed: bytes, path: bytes) -> FileChange:
    """One line of `git diff --numstat`, which writes dashes for a file that is not text."""
    return FileChange(
        path=plain(path),
        added=None if added == b"-" else int(added),
        removed=None if removed == b"-" else int(removed),
    )
