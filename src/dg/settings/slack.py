"""The table `[slack]`: how the bot reaches Slack, and which channel hears of what."""

from __future__ import annotations

from typing import Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, model_validator

from dg.settings.section import Section
from dg.settings.units import FilePath, Tables, Words

_TIME_OF_DAY = r"^(?:[01][0-9]|2[0-3]):[0-5][0-9]$"


def _require_zone(name: str) -> None:
    """Raises ValueError where there is no such zone."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"timezone: there is no time zone {name!r}") from None


class SlackRoute(Section):
    """What a channel hears of. The first table that fits counts alone."""

    channel: str = Field(pattern=r"^[CGD][A-Z0-9]{1,20}$")
    """The channel's id, from its details in Slack: names change."""
    environments: tuple[Literal["development", "staging", "production"], ...] = ()
    """The only environments; all of them when left out."""
    services: tuple[str, ...] = ()
    """The only services; all of them when left out."""
    tells: tuple[Literal["deployments", "health"], ...] = ()
    """Deployments with their locks and freezes, or services that are not well; both when left out."""
    severities: tuple[Literal["degraded", "unhealthy"], ...] = ()
    """How bad a service must be to be told of; degraded or unhealthy when left out."""
    post: Literal["always", "on_failure", "digest"] | None = None
    """When a deployment gets its message: when it is asked for, only when it has failed, or never, so that
    the digest alone tells of it. When left out, at once for production and on failure for the others."""
    digest: bool = False
    """Whether the channel is told once a day what happened in these lanes. With `post = "digest"` it is."""
    mention: str | None = Field(None, pattern=r"^S[A-Z0-9]{1,20}$")
    """The id of a user group that is mentioned when an approval is needed; without one, up to five people
    who may give it."""


class SlackQuiet(Section):
    """Hours in which only what cannot wait is posted: failures in production, and what waits for people."""

    begins: str | None = Field(None, pattern=_TIME_OF_DAY)
    """When they begin each day, such as `20:00`; without it there are none."""
    ends: str | None = Field(None, pattern=_TIME_OF_DAY)
    """When they end, the next day where that is earlier."""
    timezone: str = "UTC"
    """The zone of these times, such as `Europe/Berlin`."""
    weekends: bool = False
    """Makes Saturday and Sunday quiet as a whole."""

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        if (self.begins is None) != (self.ends is None):
            raise ValueError("takes begins and ends, or neither")
        if self.begins is not None and self.begins == self.ends:
            raise ValueError("ends: must be another time than begins")
        _require_zone(self.timezone)
        return self


class SlackDigest(Section):
    """When the daily digest is posted, for the routes that have one."""

    at: str = Field("09:00", pattern=_TIME_OF_DAY)
    """The time of day."""
    timezone: str = "UTC"
    """Its zone, such as `Europe/Berlin`."""

    @model_validator(mode="after")
    def _check_zone(self) -> Self:
        _require_zone(self.timezone)
        return self


class Slack(Section):
    """The Slack bot: see `docs/slack.md`."""

    mode: Literal["off", "socket", "http"] = "off"
    """How Slack reaches this server: over sockets that dg opens, for which nothing needs to be public, or by
    signed requests to `/slack/events`."""
    bot_token_file: FilePath | None = None
    """A file of mode 0600 with the bot token (`xoxb-...`). Relative paths are below the home."""
    bot_token_env: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """A variable of the server's environment with the bot token; steps never see it."""
    app_token_file: FilePath | None = None
    """A file of mode 0600 with the app-level token (`xapp-...`), for `mode = "socket"`."""
    app_token_env: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """A variable of the server's environment with the app-level token."""
    signing_secret_file: FilePath | None = None
    """A file of mode 0600 with the signing secret, for `mode = "http"`."""
    signing_secret_env: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """A variable of the server's environment with the signing secret."""
    api_url: str = Field("https://slack.com/api/", pattern=r"^https?://[^\s?#@]+/$")
    """Where Slack's methods are; another than Slack's own is for `dg slack-sim`."""
    sockets: int = Field(2, ge=1, le=4)
    """Sockets that are open at a time: while one is renewed the others carry on."""
    viewers: Words = ()
    """Domains of confirmed e-mail addresses whose owners may look without having linked their account."""
    user_groups: bool = False
    """Reads who is in which user group, for bindings to `slack-group:...`; takes a paid workspace."""
    quiet: SlackQuiet = SlackQuiet()
    most_a_minute: int = Field(12, ge=1, le=60)
    """New messages that one channel gets in a minute; what comes beyond is told together in one, but for what
    cannot wait."""
    digest: SlackDigest = SlackDigest()
    routes: Tables[SlackRoute] = Field({})
    """What is told where, a table for each: `[slack.routes.production]`."""

    @model_validator(mode="after")
    def _check_secrets(self) -> Self:
        for name in ("bot_token", "app_token", "signing_secret"):
            if getattr(self, f"{name}_file") and getattr(self, f"{name}_env"):
                raise ValueError(f"takes {name}_file or {name}_env, not both")
        needed = {"off": (), "socket": ("bot_token", "app_token"), "http": ("bot_token", "signing_secret")}
        for name in needed[self.mode]:
            if not (getattr(self, f"{name}_file") or getattr(self, f"{name}_env")):
                raise ValueError(f'mode = "{self.mode}" needs {name}_file or {name}_env')
        return self
