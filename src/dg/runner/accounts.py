"""Another user for a step: who that is, how a process becomes it, and how it gets the step's folders.

The server runs as root then. Steps of another user reach nothing of its home, so they work in an area
outside of it, and nothing of what the runner records can be forged by them.
"""

from __future__ import annotations

import os
import pwd
import stat
from typing import NamedTuple

_CHOWN, _DAC_OVERRIDE, _KILL, _SETGID, _SETUID = 0, 1, 5, 6, 7
_NEEDED = sum(1 << bit for bit in (_CHOWN, _DAC_OVERRIDE, _KILL, _SETGID, _SETUID))
_SEARCH_ONLY = 0o711


class Account(NamedTuple):
    """A user of this machine."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    shell: str

    @classmethod
    def named(cls, name: str) -> Account:
        """Raises ValueError for one that does not exist, or is root under whatever name."""
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            raise ValueError(f"this machine has no user `{name}`") from None
        groups = os.getgrouplist(name, entry.pw_gid)
        if entry.pw_uid == 0 or 0 in groups:
            raise ValueError(f"the user `{name}` is root or in root's group, which no step may name")
        return cls(name, entry.pw_uid, entry.pw_gid, tuple(groups), entry.pw_dir, entry.pw_shell)

    def become(self, output: int) -> None:
        """For good, with all that the calling process will begin. Raises OSError.

        The pipe `output` becomes the user's too, so that a program can open /dev/stdout.
        """
        os.fchown(output, self.uid, self.gid)
        os.setgroups(self.groups)
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)

    def variables(self) -> dict[str, str]:
        return {"HOME": self.home, "USER": self.name, "LOGNAME": self.name, "SHELL": self.shell}


def possible() -> bool:
    """Whether this process can begin others as any user: root, with the rights that root usually has."""
    return os.geteuid() == 0 and _capabilities() & _NEEDED == _NEEDED


class Area:
    """The folder of one run outside the home with `work`, `tmp` and `outputs`, and who has the first two."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._owner = os.geteuid()
        self.work = os.path.join(path, "work")
        self.temporary = os.path.join(path, "tmp")
        self.outputs = os.path.join(path, "outputs")

    def make(self) -> None:
        """Raises OSError; a folder above it that is not ours alone is one."""
        parent = os.path.dirname(self._path)
        _make(parent)
        facts = os.lstat(parent)
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o022:
            raise OSError(f"{parent} is not a folder that only the server's user can write to")
        _make(self._path)
        _make(self.outputs)
        os.makedirs(self.temporary, mode=0o700, exist_ok=True)

    def give(self, account: Account | None) -> None:
        """Let `account`, or with None the server's user, have what is in `work` and `tmp`. Raises OSError."""
        uid, gid = (account.uid, account.gid) if account else (os.geteuid(), os.getegid())
        if uid == self._owner:
            return
        try:
            for folder in (self.work, self.temporary):
                _give(folder, self._owner, uid, gid)
        except RecursionError:
            raise OSError(f"the folders in {self._path} are nested too deeply") from None
        self._owner = uid


def _make(path: str) -> None:
    """A folder that others may pass through and not list, whatever the umask; one that is there stays."""
    try:
        os.mkdir(path, _SEARCH_ONLY)
    except FileExistsError:
        return
    os.chmod(path, _SEARCH_ONLY)


def _give(folder: str, owner: int, uid: int, gid: int) -> None:
    """Give what `owner` has in `folder`; links stay, and so do hard links to what is ours.

    The user before may have made one to a file of ours outside, and may still have a process that swaps
    names while this looks at them: what was looked at is what is given.
    """
    for _, _, files, at in os.fwalk(folder):
        _give_open(at, owner, uid, gid)
        for name in files:
            try:
                fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            except FileNotFoundError:
                continue
            try:
                _give_open(fd, owner, uid, gid)
            finally:
                os.close(fd)


def _give_open(fd: int, owner: int, uid: int, gid: int) -> None:
    facts = os.fstat(fd)
    linked = not stat.S_ISDIR(facts.st_mode) and facts.st_nlink > 1
    if facts.st_uid != owner or stat.S_ISLNK(facts.st_mode) or (linked and owner == os.geteuid()):
        return
    os.chown(f"/proc/self/fd/{fd}", uid, gid)


def _capabilities() -> int:
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        return next((int(line.split()[1], 16) for line in file if line.startswith("CapEff:")), 0)
