"""Where the keys of a home's envelope are kept: a file, a variable of the environment, or a command's output.

`core/app.py` reads them at each start, `dg keys` makes and adds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dg.core.command import run
from dg.core.errors import Refused, Unavailable
from dg.core.home import write_private
from dg.core.keys import Envelope, fresh, kept, parse
from dg.core.text import plain
from dg.settings.tree import Keys

_LONGEST = 64 * 1024
"""Bytes of keys that are read: some hundred of them."""


class Custody:
    """The place that `settings` name, for the home `home`. Errors name it, and nothing of what it holds.

    `required` says that a key must be there already; else the first use makes one, where that is a file.
    """

    def __init__(
        self, settings: Keys, home: Path, environ: Mapping[str, str], *, required: bool = False
    ) -> None:
        self._settings = settings
        self._environ = environ
        self._required = required
        self.file = None if settings.elsewhere else home / (settings.file or "keys/envelope.key")
        """None where dg only reads the keys, and somebody else keeps them."""

    @property
    def name(self) -> str:
        """The place, for a sentence."""
        if self._settings.command:
            return f"the command `{plain(self._settings.command[0], limit=200)}`"
        return f"the variable {self._settings.env}" if self._settings.env else str(self.file)

    async def open(self) -> Envelope:
        """The envelope of the home.

        Raises Refused when there is no key, or none that is whole, random and closed to others; Unavailable
        when the command does not give one.
        """
        return Envelope(parse(await self._text(), self.name))

    def rest(self) -> dict[str, str]:
        """The server's environment for everybody else."""
        return {name: value for name, value in self._environ.items() if name != self._settings.env}

    def make(self) -> Path:
        """Make the first key; where it is. Raises Refused when there is one, or dg only reads the keys."""
        file = self._own()
        if file.exists():
            raise Refused(
                f"{file} holds a key already, and what it sealed opens with no other: "
                "`dg keys rotate` puts a new one before it",
                reason="exists",
            )
        _write(file, fresh())
        return file

    async def add(self) -> Envelope:
        """The envelope after it got a new key that seals; those before it open only.

        Raises Refused as `open` and `make` do.
        """
        file = self._own()
        old = await self._text()
        parse(old, self.name)
        _write(file, fresh() + old.decode("ascii"))
        return await self.open()

    def _own(self) -> Path:
        if self.file is None:
            raise Refused(
                f"the key comes from {self.name}, which dg only reads: pipe a new one there with "
                "`dg keys new`, as the first line before those that are there, then run `dg keys rewrap`",
                reason="kept_elsewhere",
            )
        return self.file

    async def _text(self) -> bytes:
        if self._settings.command:
            return await self._told()
        if self._settings.env:
            return self._environ.get(self._settings.env, "").encode()
        file = self._own()
        if self._required and not file.exists():
            raise Refused(
                f"{file} is not there, and in production (`server.production`) no key is made "
                "unasked: put back the one that belongs to this home, or make it with `dg keys init`",
                reason="key_missing",
            )
        try:
            return kept(file, fresh)
        except OSError as error:
            raise Refused(
                f"{file} cannot be read: {error.strerror}; `keys.file` says where the key is",
                reason="key_unreadable",
            ) from None

    async def _told(self) -> bytes:
        command, seconds = self._settings.command, self._settings.timeout
        try:
            ended = await run(command, env=self._environ, timeout=seconds, cap=_LONGEST)
        except TimeoutError:
            raise self._failed(f"did not end within {seconds:g} seconds (`keys.timeout`)") from None
        except OSError as error:
            raise self._failed(f"cannot be run: {error.strerror}") from None
        if ended.code:
            # What it printed may be a part of the key.
            raise self._failed(f"ended with code {ended.code}; run it by hand to see why")
        return b"" if ended.truncated else ended.stdout

    def _failed(self, why: str) -> Unavailable:
        return Unavailable(f"{self.name} gives no key: it {why}", reason="key_unavailable")


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(file, text)
    except OSError as error:
        raise Refused(
            f"{file} cannot be written: {error.strerror}; `keys.file` says where the key is",
            reason="key_unwritable",
        ) from None
