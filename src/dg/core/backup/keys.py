"""The keys of backups: whom a home's are encrypted for, and what opens them."""

from __future__ import annotations

from pathlib import Path

from dg.core.backup.encryption import Identity, Recipient
from dg.core.errors import Invalid, Refused
from dg.core.home import Home, write_private
from dg.core.keys import kept
from dg.settings import Settings

FILE = "backup.key"
"""The home's own key, in its folder of keys."""
FOLDER = "backups"
"""The folder of a home in which backups of environments are kept, where the settings name no other one."""


def recipients(settings: Settings) -> tuple[Recipient, ...]:
    """Whom backups are encrypted for: the settings', else the home's own key, made when it is missing.

    Raises Invalid for what is no key, Refused for a file that others may read.
    """
    if settings.backup.recipients:
        return tuple(_recipient(word) for word in settings.backup.recipients)
    return tuple(identity.recipient for identity in _read(_own(settings), make=True)[:1])


def check(settings: Settings) -> None:
    """Raise Invalid where the settings name whom nothing can be encrypted for, or a folder inside the home
    for backups of the home; no key is made."""
    if settings.backup.recipients:
        recipients(settings)
    by_themselves = settings.backup.at is not None or settings.backup.every is not None
    if by_themselves and "home" in settings.backup.what and _is_inside(folder(settings), settings.home):
        raise Invalid(
            f"backups of the home in {folder(settings)} would be lost with it: set backup.folder to a place"
            " outside, or leave home out of backup.what",
            reason="settings",
        )


def _is_inside(path: Path, home: Path) -> bool:
    return path.resolve().is_relative_to(home.resolve())


def folder(settings: Settings) -> Path:
    """Where the server keeps the backups that it makes."""
    return settings.home / (settings.backup.folder or FOLDER)


def identities(settings: Settings, file: Path | None = None) -> tuple[Identity, ...]:
    """What opens backups: the keys of `file`, else of the settings' file, else of the home; none without any.

    Raises Invalid, Refused as `recipients` does.
    """
    path = file or settings.backup.key_file
    if path is not None:
        return _read(path)
    return _read(_own(settings)) if _own(settings).exists() else ()


def own(settings: Settings) -> tuple[Path | None, list[str]]:
    """The file of the home's own key, made when it is missing, and its public key; or the settings' keys."""
    file = None if settings.backup.recipients else _own(settings)
    return file, [str(each) for each in recipients(settings)]


def make_file(path: Path) -> tuple[Path, list[str]]:
    """Write a new private key to `path`; its public key. Raises Refused where there is something already."""
    if path.exists() or path.is_symlink():
        raise Refused(f"{path} exists already; choose another name", reason="exists")
    identity = Identity.make()
    try:
        write_private(path, f"{identity.written}\n")
    except OSError as error:
        raise Refused(f"{path} cannot be written: {error.strerror}", reason="key_file") from None
    return path, [str(identity.recipient)]


def _own(settings: Settings) -> Path:
    return Home(settings.home).keys / FILE


def _recipient(word: str) -> Recipient:
    try:
        return Recipient.parse(word)
    except Invalid as problem:
        raise Invalid(f"backup.recipients: {problem.message}", field="backup.recipients") from None


def _read(path: Path, *, make: bool = False) -> tuple[Identity, ...]:
    """A key on each line: the first is the newest, and all of them open."""
    if not make and not path.exists():
        raise Invalid(
            f"there is no file {path}: name the one that holds the key of backups", field="key_file"
        )
    try:
        found = tuple(map(Identity.parse, kept(path, _fresh).decode("ascii").split()))
    except UnicodeDecodeError:
        found = ()
    except Invalid as problem:
        raise Invalid(f"{path}: {problem.message}", field="key_file") from None
    if not found:
        raise Refused(f"{path} holds no key of backups; one begins with dgbs_", reason="key_unreadable")
    return found


def _fresh() -> str:
    return f"{Identity.make().written}\n"
