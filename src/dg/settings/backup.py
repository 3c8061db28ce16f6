"""The table `[backup]`: when backups are made, for whom, and which stay."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from dg.settings.section import Section
from dg.settings.units import Duration, FilePath, Words

_WHAT = ("home", "development", "staging", "production")


def _check_what(words: tuple[str, ...]) -> tuple[str, ...]:
    if unknown := [word for word in words if word not in _WHAT]:
        raise ValueError(f"{unknown[0]} is none of {', '.join(_WHAT)}")
    return tuple(dict.fromkeys(words))


class Backup(Section):
    """Backups: see `docs/backup.md`."""

    recipients: Words = ()
    """Public keys that backups are encrypted for, as `dg backup key` prints them; without any, the home's own
    key `keys/backup.key`, which opens them too."""
    key_file: FilePath | None = None
    """A file of mode 0600 with the private keys that open backups; without one, the home's own."""
    folder: FilePath | None = None
    """Where the server keeps the backups that it makes; without one, `backups` in the home, which is no place
    for backups of the home itself."""
    at: str | None = Field(None, min_length=9, max_length=200)
    """When it makes some by itself, as in crontab: `"30 2 * * *"`. Without it and `every`, never."""
    every: Duration | None = None
    """Or how much time there is between two."""
    tz: str = Field("UTC", min_length=1, max_length=60)
    """Time zone of `at` and `test_at`, and of the days, weeks and months of which backups are kept."""
    what: Annotated[Words, AfterValidator(_check_what)] = ("home",)
    """Of what: `home`, which is everything, and single environments."""
    with_secrets: bool = False
    """Puts the home's keys and secrets file into the backups of the home that it makes by itself."""
    keep_last: int = Field(3, ge=1, le=10_000)
    """How many of the newest that it made by itself stay."""
    keep_daily: int = Field(7, ge=0, le=10_000)
    """Of how many days, beside those, the newest stays."""
    keep_weekly: int = Field(5, ge=0, le=10_000)
    """Of how many weeks the newest stays."""
    keep_monthly: int = Field(12, ge=0, le=10_000)
    """Of how many months the newest stays."""
    command: Words = ()
    """A command that takes each new backup elsewhere: it gets the file on standard input, its path in
    DG_BACKUP_FILE and its name in DG_BACKUP_NAME, and ends with code 0."""
    command_timeout: Duration = 3600.0
    """How long that command may take."""
    test_at: str | None = Field(None, min_length=9, max_length=200)
    """When the newest backups are restored into a scratch home to prove them, as in crontab."""
    test_every: Duration | None = None
    """Or how much time there is between two such tests."""

    @model_validator(mode="after")
    def _one_schedule(self) -> Self:
        for calendar, interval in (("at", "every"), ("test_at", "test_every")):
            if getattr(self, calendar) is not None and getattr(self, interval) is not None:
                raise ValueError(f"{calendar} and {interval}: set one of them, not both")
        return self
