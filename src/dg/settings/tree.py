"""The settings themselves: one frozen tree, each field explained where it stands."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, cast, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, Field, SecretStr, model_validator
from pydantic.fields import FieldInfo

from dg.settings.clerk import Clerk
from dg.settings.section import Section
from dg.settings.units import (
    Duration,
    FilePath,
    ListOf,
    MaybeRate,
    Networks,
    Origins,
    Ports,
    Rate,
    Size,
    TableOf,
    Tables,
    Unit,
    Words,
    format_duration,
    format_rate,
    format_size,
    inline,
)

PREFIX = "DG_"
_TIME_OF_DAY = r"^(?:[01][0-9]|2[0-3]):[0-5][0-9]$"


class Server(Section):
    """The HTTP server."""

    host: str = Field("127.0.0.1", min_length=1)
    """Address to listen on. Anything but loopback is reachable by others and needs TLS."""
    port: int = Field(8470, ge=0, le=65535)
    """Port to listen on; 0 takes any free one."""
    public_url: str | None = Field(None, pattern=r"^https?://[^\s/?#@]+[^\s?#]*$")
    """Address under which people and pipelines reach the server; it starts the links that dg prints."""
    tls_certificate: FilePath | None = None
    """A PEM file with the server's certificate and its chain; the server then speaks TLS alone, 1.2 on."""
    tls_key: FilePath | None = None
    """A PEM file with the certificate's key, without a passphrase and readable by its owner alone."""
    allow_plain: bool = False
    """Listens without TLS on an address that others reach: for a proxy in front that speaks TLS."""
    production: bool = False
    """Refuses to start with what only suits a trial: a key that seals secrets must have been made before
    (`dg keys init`), must open what is sealed, and this process's memory must be closed to its steps."""
    graceful_stop: Duration = 5.0
    """How long a stopping server waits for open requests. Running deployments go on without it."""
    drain: Duration | None = None
    """How long a server that is told to stop first waits for running deployments, and starts only rollbacks.
    Without it they go on alone, except in a container: there, nothing outlives the server."""
    trusted_proxies: Networks = ()
    """Addresses or networks of proxies in front. In their X-Forwarded-For, the right-most address that is no
    such proxy is the client's. Nobody who comes from them passes for this machine itself."""
    origins: Origins = ()
    """Web pages that may call from a browser, such as `https://board.example.org`. Pages of `public_url` and
    the server's own `/docs` may always, all others are refused."""
    max_connections: int = Field(2000, ge=1)
    """Connections open at a time; more are answered with 503. Fewer where the limit of open files says so."""
    max_connections_per_address: int = Field(200, ge=1)
    """Connections, or requests through a trusted proxy, that one client address may have open at a time; more
    are answered with 429. Of IPv6 a /64 counts as one. This machine and trusted proxies are not counted."""
    max_websockets_per_address: int = Field(100, ge=1)
    """WebSockets that one client address may have open at a time, counted in the same way."""
    max_body_bytes: Size = 1 << 20
    """Largest request body; a larger one is refused with 413 before it is parsed."""
    header_timeout: Duration = 10.0
    """How long a client may take to send a request's headers."""
    body_timeout: Duration = 30.0
    """How long a client may take to send a request's body."""
    idle_timeout: Duration = 75.0
    """How long a connection is kept open between two requests."""


class Database(Section):
    """Where the state is kept."""

    url: SecretStr | None = None
    """A PostgreSQL database as `postgresql://USER@HOST/NAME`; without one, SQLite files in the home."""
    url_file: FilePath | None = None
    """A file, mode 0600, whose only line is that URL: for one with a password in it."""
    busy_timeout: Duration = 5.0
    """How long a statement waits for another process's lock on the SQLite file."""
    timeout: Duration = 5.0
    """How long PostgreSQL may take for one statement, and a request waits for it."""
    readers: int = Field(2, ge=1, le=16)
    """Reading connections beside the one that writes."""

    @property
    def in_home(self) -> bool:
        """Whether the state is kept in SQLite files in the home."""
        return self.url is None and self.url_file is None


class Runner(Section):
    """The detached process that runs one deployment's steps."""

    python: FilePath | None = None
    """Python that runs the steps' process; without one, the server's own."""
    poll: Duration = 0.03
    """How often the server looks for news from a running deployment."""
    start_timeout: Duration = 10.0
    """How long a new runner may take until its first sign of life."""
    starts: int = Field(3, ge=1, le=100)
    """A start that dies before its first step is tried so often before it counts as interrupted."""
    kill_grace: Duration = 10.0
    """Time between TERM and KILL for a step that states no `grace`."""
    cgroup: FilePath | None = None
    """A writable cgroup v2 directory for groups of the steps; without one, what systemd delegates."""
    limits: Literal["required", "best_effort"] = "required"
    """A step whose limit this machine cannot keep is refused, or runs and its log says so."""
    users: Words = ()
    """Users that a step may run as (`user = "…"`), which takes a server that runs as root."""
    area: FilePath | None = None
    """A folder outside the home in which steps of other users work; without one, `/var/tmp/dg-UID`."""
    decrypt: Words = ()
    """A command that opens secrets of the grade `runner_only`, such as age or sops: it gets a ciphertext on
    standard input and prints the secret. Only the runner calls it, never the server."""
    decrypt_env: Words = ()
    """Variables of the server's environment that it sees besides those of `env_pass`, and steps do not."""
    decrypt_timeout: Duration = 30.0
    """How long it may take for one secret."""
    env_pass: Words = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "SHELL")
    """Variables of the server's environment that steps see; everything else is kept from them."""


class Logs(Section):
    """What is kept of a deployment's output."""

    line_bytes: Size = 16 << 10
    """A longer line is cut, with a mark that says how long it was."""
    head_bytes: Size = 2 << 20
    """The first part of a log that is always kept."""
    tail_bytes: Size = 14 << 20
    """The last part of a log that is kept; what lies between the two is counted and left out."""
    file_bytes: Size = Field(1 << 20, le=32 << 20)
    """Size of one log file, at most 32 MiB; the tail is shortened by whole files."""


class GitSource(Section):
    """How the server proves itself to the repositories of one source. Relative paths are below the home."""

    ssh_key: FilePath | None = None
    """Private key, mode 0600 and without a passphrase."""
    agent: bool = False
    """Asks the ssh agent of the server's environment instead of reading a key."""
    known_hosts: FilePath | None = None
    """Host keys that are accepted; no other is."""
    username: str = Field("x-access-token", pattern=r"^[!-9;-~]{1,255}$")
    """User name that goes with a token."""
    token_file: FilePath | None = None
    """A file of mode 0600 that holds the token."""
    token_env: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """A variable of the server's environment that holds the token; steps never see it."""
    token_command: tuple[str, ...] | None = Field(None, min_length=1)
    """A command, as a list of arguments, that prints the token."""
    services: tuple[str, ...] = ()
    """The only services that may use it; all of them when left out."""
    report: Literal["github", "gitlab"] | None = None
    """Tells the host about deployments of these repositories, in this API: statuses of commits and
    deployments. The token must be allowed to write them."""
    report_api: str | None = Field(
        None, pattern=r"^(https://|http://(127\.0\.0\.1|localhost)[:/])[^\s?#@]+$", max_length=500
    )
    """Address of that API, where it is not the usual one of the host."""

    def problem(self, name: str) -> str | None:
        """What is wrong between its fields, for the source called `name`."""
        tokens = [key for key in _TOKEN_KEYS if getattr(self, key) is not None]
        if self.report and not name.startswith("https://"):
            return "report belongs to an https address, which has a token"
        if self.report_api and not self.report:
            return "report_api belongs to report: name the kind of the API there"
        if name.startswith("https://"):
            if self.ssh_key or self.agent or self.known_hosts:
                return "ssh_key, agent and known_hosts belong to an ssh address; an https address has a token"
            return None if len(tokens) == 1 else f"needs exactly one of {', '.join(_TOKEN_KEYS)}"
        if tokens:
            return f"{tokens[0]} belongs to an https address; an ssh address has ssh_key or agent"
        if (self.ssh_key is not None) == self.agent:
            return "needs exactly one of ssh_key and agent = true"
        return None if self.known_hosts else "needs known_hosts: the server accepts no host key unseen"


_TOKEN_KEYS = ("token_file", "token_env", "token_command")
_SOURCE_NAME = re.compile(r"(https://|ssh://)[^\s/]+(/\S*)?|[\w.-]+@[\w.-]+:[^/\s]?\S*", re.ASCII)


def _check_sources(sources: Mapping[str, GitSource]) -> Mapping[str, GitSource]:
    for name, source in sources.items():
        if not _SOURCE_NAME.fullmatch(name):
            raise ValueError(f'"{name}" is no beginning of an https://, ssh:// or user@host: address')
        if problem := source.problem(name):
            raise ValueError(f'"{name}" {problem}')
    return sources


class Git(Section):
    """How repositories are read."""

    timeout: Duration = 120.0
    """Longest time for one git command, a first clone included."""
    ssh_command: str | None = Field(None, min_length=1)
    """Command for git over SSH to addresses of no source; without one, `ssh` that never asks."""
    sources: Annotated[Tables[GitSource], AfterValidator(_check_sources)] = Field({})
    """Keys and tokens for private repositories, a table for each source: see `docs/private-git.md`."""


class Lanes(Section):
    """Bounds for closing a lane by hand."""

    lock_max: Duration = 30 * 86400.0
    """Longest time that one lock may last."""
    freeze_max: Duration = 30 * 86400.0
    """Longest time that one freeze may last."""


class Drift(Section):
    """Looking at what really runs."""

    accept_max: Duration = 90 * 86400.0
    """Longest time that a known difference may be let be."""
    concurrency: int = Field(8, ge=1, le=64)
    """How many checks are made at the same time."""
    commands: bool = False
    """Whether a check may be a command. It runs as the server's user, whoever may configure an
    environment."""


class Deployments(Section):
    """How deployments are handled."""

    default_service: str | None = Field(None, pattern=r"^[a-z][a-z0-9-]{0,62}$")
    """Service that a request means when it names none and several are registered."""
    expire_pending: Duration = 7 * 86400.0
    """A deployment that waited this long is ended as expired."""
    eta_samples: int = Field(20, ge=1, le=1000)
    """How many earlier deployments of a lane the time left is estimated from."""
    status_log_lines: int = Field(50, ge=0, le=1000)
    """Last log lines that a status carries."""
    abandon_after: Duration = 600.0
    """A deployment that was asked to stop this long ago and still has not may be abandoned."""


class EnvironmentSettings(Section):
    """One environment."""

    protected: bool = False
    """Takes only commits that the pipeline's protected branch contains."""
    approvals: TableOf | None = None
    """Who must agree to a deployment before it starts: `{ count = 1, from = ["role:approver"] }`."""
    requires: Words = ()
    """Environments in which the same commit must have gone well before."""
    soak: Duration | None = None
    """How long it must have been well there."""
    keys_of: Words = ()
    """Environments of which every key, settings and secrets alike, must be set here too."""
    windows: ListOf = ()
    """When deployments may start: `[{ deny = "0 17 * * FRI", for = "63h", tz = "Europe/Berlin" }]`."""
    queue: Literal["all", "latest", "reject"] = "all"
    """What becomes of those who wait: each has its turn, only the newest has one, or nobody may wait."""
    gates: ListOf = ()
    """Expressions over what is known of a deployment, all of which must be true."""

    def demands(self) -> dict[str, Any]:
        """What is demanded of every deployment there, as a pipeline's `[env.NAME]` writes it."""
        return self.model_dump(exclude={"protected"}, exclude_defaults=True)


class Environments(Section):
    """The three environments; they always exist."""

    development: EnvironmentSettings = EnvironmentSettings()
    """Where a change is tried first."""
    staging: EnvironmentSettings = EnvironmentSettings()
    """Where a release is checked."""
    production: EnvironmentSettings = EnvironmentSettings(protected=True)
    """Where the users are."""

    def named(self, name: str) -> EnvironmentSettings:
        """The settings of one environment. Raises KeyError."""
        if name not in type(self).model_fields:
            raise KeyError(name)
        section: EnvironmentSettings = getattr(self, name)
        return section


class Sessions(Section):
    """Sessions of people who signed in with `dg login`: see `docs/sessions.md`."""

    access_ttl: Duration = 600.0
    """How long one access token lasts; then the client refreshes it by itself."""
    idle: Duration = 3 * 86400.0
    """A session that is not used for so long ends."""
    longest: Duration = 30 * 86400.0
    """How long a session lasts at most, however much it is used."""
    grace: Duration = 30.0
    """How long a refresh whose answer was lost may be repeated; after that the repetition counts as theft."""
    login_ttl: Duration = 600.0
    """How long somebody has to approve a login."""
    poll: Duration = 5.0
    """How often a program that waits for that may ask."""


class Access(Section):
    """Tokens."""

    issuer: str | None = Field(None, min_length=1)
    """The `iss` of the tokens that this server issues; without one, a name that is made with the home."""
    token_ttl: Duration = 90 * 86400.0
    """How long a token lasts when its maker does not say."""
    token_ttl_max: Duration = 365 * 86400.0
    """Longest time that a token may last."""
    key_ttl: Duration = 90 * 86400.0
    """How long an API key lasts when its maker does not say."""
    key_ttl_max: Annotated[Duration, Field(le=365 * 86400)] = 365 * 86400.0
    """Longest time that an API key may last, at most 365 days."""
    key_overlap: Annotated[Duration, Field(le=7 * 86400)] = 86400.0
    """How long the old secret of a rotated API key goes on when nobody says, at most 7 days."""
    verify_cache: Duration = 60.0
    """How long a verified token is not verified again; a withdrawn key counts at once all the same."""
    leeway: Duration = 5.0
    """How far the clocks of issuer and server may differ."""
    owner_ttl: Duration = 30 * 86400.0
    """How long the token of the machine's owner lasts; a new one is made at each start and halfway."""
    owner_overlap: Duration = 3600.0
    """How long the owner's token before it is good after a restart, for commands that wait."""
    clerk: Clerk = Clerk()
    sessions: Sessions = Sessions()


class Health(Section):
    """When the server calls itself degraded."""

    disk_low: Size = 100 << 20
    """Space left on the home's disk below which it does."""
    writes_stalled: Duration = 5.0
    """Time for one commit from which the database counts as stuck."""
    reads_stalled: Duration = 2.0
    """Time within which the database must answer a question."""


class Api(Section):
    """Limits of the HTTP API."""

    idempotency_ttl: Duration = 86400.0
    """How long the answer to an Idempotency-Key is kept for a repeated request."""
    ws_auth_timeout: Duration = 5.0
    """How long a WebSocket client may take to send its token."""
    ws_queue: int = Field(256, ge=1)
    """Messages that wait for one slow WebSocket client; then it is disconnected and may resume."""
    stream_heartbeat: Duration = 15.0
    """How often an idle event stream sends a sign of life."""


class Outbound(Section):
    """Requests that the server sends by itself, to addresses that people and pipelines name."""

    allow: Networks = ()
    """Addresses or networks inside that it may send to: `["10.0.7.0/24", "127.0.0.1"]`. All others that are
    not public are refused, whatever name leads there: loopback, private, link-local and cloud metadata."""
    ports: Ports = ("80", "443", "1024-65535")
    """Ports or spans of ports that it may send to."""
    ca_file: FilePath | None = None
    """A PEM file of authorities that it believes besides the public ones."""


class Probes(Section):
    """Probes of the environments' health. See `docs/health.md`."""

    concurrency: int = Field(256, ge=1, le=10_000)
    """Probes of one environment that are asked at the same time; the others wait."""
    commands: int = Field(0, ge=0, le=1000)
    """Commands among them that run at the same time. They run as the server's user, whoever may configure an
    environment: 0 refuses them."""
    suspect_within: Duration = 900.0
    """How long after its start a deployment is suspected when its service becomes worse."""
    keep_results: Duration = 2 * 3600.0
    """How long the result of each single try is kept."""
    keep_minutes: Duration = 3 * 86400.0
    """How long the results of each minute are kept together."""
    keep_hours: Duration = 90 * 86400.0
    """How long those of each hour are."""
    keep_days: Duration = 3 * 365 * 86400.0
    """How long those of each day are."""


class PublicService(Section):
    """A service that the public may see."""

    service: str = Field(min_length=1, max_length=63)
    """Which one, as probes name it."""
    environment: Literal["development", "staging", "production"] = "production"
    """Where."""
    name: str | None = Field(None, min_length=1, max_length=100)
    """What the public calls it; the table's own name when left out."""


class StatusPage(Section):
    """What `dg status-page` shows to the public. See `docs/health.md`."""

    title: str = Field("Status", min_length=1, max_length=100)
    """What stands above it."""
    services: Tables[PublicService] = Field({})
    """The services on it, in this order, a table for each: `[status_page.services.shop]`. Nothing else is
    shown, and without any there is no page."""


class Limits(Section):
    """How much one caller may ask for: so many requests at once, and so many again in each window. See
    `docs/limits.md`."""

    read: MaybeRate = Rate(30_000, 60)
    """Reading, for each principal."""
    write: MaybeRate = Rate(6_000, 60)
    """Changing something, for each principal."""
    deploy: MaybeRate = Rate(2_000, 60)
    """Starting, retrying, rolling back and previewing deployments, for each principal."""
    stream: MaybeRate = Rate(6_000, 60)
    """Opening event streams and WebSockets, for each principal."""
    open: MaybeRate = Rate(1_200, 60)
    """What needs no token, for each client address. Of IPv6 a /64 counts as one; this machine and trusted
    proxies are not counted."""
    login: MaybeRate = Rate(300, 60)
    """Logging in and renewing a session, for each client address."""
    failed: MaybeRate = Rate(120, 60)
    """Tokens that prove nothing, for each client address. Good ones are never refused for them."""


class IncomingSource(Section):
    """One host of repositories that reports pushes and releases. Relative paths are below the home."""

    kind: Literal["github", "gitlab", "generic"]
    """How it signs, and in whose words it reports."""
    secret_file: FilePath | None = None
    """A file of mode 0600 that holds the secret; a second line is accepted too, while it is exchanged."""
    secret_env: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """A variable of the server's environment that holds the secret; steps never see it."""
    services: tuple[str, ...] = ()
    """The only services that it may ask deployments for; all of them when left out."""
    environments: tuple[Literal["development", "staging", "production"], ...] = ()
    """The only environments that it may ask deployments to; all of them when left out."""


def _check_incoming(sources: Mapping[str, IncomingSource]) -> Mapping[str, IncomingSource]:
    for name, source in sources.items():
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,62}", name):
            raise ValueError(f'"{name}" is no name of a source: lower case letters, digits and dashes')
        if (source.secret_file is None) == (source.secret_env is None):
            raise ValueError(f'"{name}" needs exactly one of secret_file and secret_env')
    return sources


class Incoming(Section):
    """Webhooks that come in."""

    sources: Annotated[Tables[IncomingSource], AfterValidator(_check_incoming)] = Field({})
    """Who may report pushes and releases, a table for each: see `docs/incoming-webhooks.md`."""
    tolerance: Duration = 300.0
    """How far the time that a sender signs may be from the server's."""


class Webhooks(Section):
    """Events that are sent to receivers outside."""

    most: int = Field(100, ge=0, le=10_000)
    """Webhooks that there may be."""
    timeout: Duration = 10.0
    """How long one receiver may take for one delivery."""
    attempts: int = Field(12, ge=1, le=100)
    """How often one delivery is tried before it is given up. The pauses double from 5 s to 1 h."""
    disable_after: int = Field(20, ge=1, le=1000)
    """Failures in a row after which a webhook is disabled; with the pauses between them, after some 9 h."""
    backlog: int = Field(10_000, ge=1, le=1_000_000)
    """Deliveries that may wait for one receiver; when there are more, the webhook is disabled."""
    rotation: Duration = 86400.0
    """How long the secret before the newest one still signs."""


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
    post: Literal["always", "on_failure"] | None = None
    """When a deployment gets its message: when it is asked for, or only when it has failed. When left out, at
    once for production and on failure for the others."""
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
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"timezone: there is no time zone {self.timezone!r}") from None
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


class Retention(Section):
    """How long things are kept, and how often what is too old is removed."""

    logs: Duration = 90 * 86400.0
    """Logs of ended deployments."""
    log_quota: Size = 4 << 30
    """Most that the logs of all deployments may take together; of more, the oldest of ended ones go first."""
    runs: Duration = 7 * 86400.0
    """Working folders of ended deployments."""
    ticks: Duration = 86400.0
    """Records of which server did which scheduled work."""
    idempotency: Duration = 86400.0
    """Answers kept for repeated requests."""
    notices: Duration = 90 * 86400.0
    """What webhooks that came in are known by, when they are sent again."""
    sessions: Duration = 90 * 86400.0
    """Sessions that have ended."""
    deliveries: Duration = 7 * 86400.0
    """Messages to the outside that were delivered or given up."""
    origins: Duration = 365 * 86400.0
    """From which address, and with which request, entries of the record were made."""
    interval: Duration = 3600.0
    """Time between two clean-ups."""


class Ledger(Section):
    """The audit log."""

    anchor_file: FilePath | None = None
    """A file, best on another machine's disk, to which the head of the chain is appended now and then."""
    anchor_command: Words = ()
    """A command that gets each such line on standard input and keeps it elsewhere; it ends with code 0."""
    anchor_interval: Duration = 3600.0
    """Time between two such lines."""


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


class Secrets(Section):
    """Where steps' secrets come from."""

    file: FilePath | None = None
    """A TOML file of secrets, mode 0600; without one, `secrets.toml` in the home."""
    remind_after: Duration | None = 365 * 86400.0
    """A secret of an environment that was set longer ago is old: an event says so, once in each such time."""


class Keys(Section):
    """The key that seals secrets in the database, from one of three places: see `docs/keys.md`."""

    file: FilePath | None = None
    """A file, mode 0600, with a key on each line: the first seals, all open. Where nothing is set it is
    `keys/envelope.key` in the home."""
    env: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """A variable of the server's environment that holds those lines; steps never see it."""
    command: Words = ()
    """A command that prints those lines at each start, such as that of a vault; nothing of it is logged."""
    timeout: Duration = 10.0
    """How long that command may take."""

    @property
    def elsewhere(self) -> bool:
        """Whether somebody else keeps the key, and dg only reads it."""
        return bool(self.env or self.command)


class Logging(Section):
    """The server's own messages."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important messages that are written."""
    format: Literal["text", "json"] = "text"
    """Lines for people, or one JSON object a line."""
    requests: bool = False
    """Writes a line for each request too: its method, route, status, time, principal and client address."""


class Tracing(Section):
    """OpenTelemetry's traces of requests, writes and runs."""

    endpoint: str | None = Field(None, pattern=r"^https?://[^\s?#@]+[^\s/?#@]$")
    """Collector that takes them over OTLP/HTTP, such as `http://127.0.0.1:4318`; needs `dg[tracing]`."""
    sample: float = Field(1.0, ge=0, le=1)
    """Share of the traces that begin here which are kept; one that a caller began is kept as that says."""


class Settings(Section):
    """Every setting of a server. `home` comes from `--home` or `DG_HOME`, everything else from the tables."""

    home: Path
    """The folder that holds everything this server keeps."""
    server: Server = Server()
    database: Database = Database()
    runner: Runner = Runner()
    logs: Logs = Logs()
    git: Git = Git()
    lanes: Lanes = Lanes()
    deployments: Deployments = Deployments()
    environments: Environments = Environments()
    drift: Drift = Drift()
    access: Access = Access()
    api: Api = Api()
    outbound: Outbound = Outbound()
    probes: Probes = Probes()
    status_page: StatusPage = StatusPage()
    webhooks: Webhooks = Webhooks()
    slack: Slack = Slack()
    limits: Limits = Limits()
    incoming: Incoming = Incoming()
    retention: Retention = Retention()
    ledger: Ledger = Ledger()
    backup: Backup = Backup()
    health: Health = Health()
    secrets: Secrets = Secrets()
    keys: Keys = Keys()
    logging: Logging = Logging()
    tracing: Tracing = Tracing()

    @property
    def secrets_file(self) -> Path:
        """Where the file provider reads secrets."""
        return self.home / (self.secrets.file or "secrets.toml")

    @model_validator(mode="after")
    def _bounds_agree(self) -> Self:
        """Two settings that contradict each other are refused by name."""
        for low, high in (
            ("access.token_ttl", "access.token_ttl_max"),
            ("access.key_ttl", "access.key_ttl_max"),
            ("access.sessions.grace", "access.sessions.access_ttl"),
            ("access.sessions.access_ttl", "access.sessions.idle"),
            ("access.sessions.idle", "access.sessions.longest"),
            ("api.idempotency_ttl", "retention.idempotency"),
            ("logs.line_bytes", "logs.file_bytes"),
        ):
            if operator.attrgetter(low)(self) > operator.attrgetter(high)(self):
                raise ValueError(f"{low} is more than {high}")
        if self.logs.head_bytes + self.logs.tail_bytes > self.retention.log_quota:
            raise ValueError("logs.head_bytes and logs.tail_bytes are together more than retention.log_quota")
        return self

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if sum(map(bool, (self.keys.file, self.keys.env, self.keys.command))) > 1:
            raise ValueError("keys.file, keys.env and keys.command are three places for one key: name one")
        return self

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        """A certificate needs its key, and a name under which it can be checked on this machine too."""
        server = self.server
        if (server.tls_certificate is None) != (server.tls_key is None):
            raise ValueError("server.tls_certificate and server.tls_key go together: set both or neither")
        if server.tls_certificate and not (server.public_url or "").startswith("https://"):
            raise ValueError("server.tls_certificate needs server.public_url, an https address")
        return self


class Leaf(NamedTuple):
    """One setting: its path such as `server.port`, and how it is declared."""

    path: str
    field: FieldInfo

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return PREFIX + self.path.replace(".", "__").upper()

    @property
    def unit(self) -> str | None:
        """How its values are written, where that is special: see `Unit`."""
        inside = (getattr(part, "__metadata__", ()) for part in get_args(self.field.annotation))
        return next(
            (item.name for item in chain(self.field.metadata, *inside) if isinstance(item, Unit)), None
        )

    @property
    def secret(self) -> bool:
        """Whether its value must never be shown."""
        return "SecretStr" in str(self.field.annotation)

    def value(self, settings: Settings) -> object:
        """What a tree holds for this setting."""
        return cast(object, operator.attrgetter(self.path)(settings))

    def written(self, value: object) -> str:
        """A value of this setting as a person writes it; a secret as `***`, an unset one as `-`."""
        match value:
            case None | Rate() if self.unit == "rate":
                return format_rate(value)
            case None | ():
                return "-"
            case SecretStr():
                return "***"
            case bool():
                return str(value).lower()
            case float() if self.unit == "duration":
                return format_duration(value)
            case int() if self.unit == "size":
                return format_size(value)
            case _ if self.unit == "toml":
                return inline(value)
            case tuple() | Mapping():
                return " ".join(map(str, value)) or "-"
            case _:
                return str(value)


def leaves(section: type[BaseModel] = Settings, prefix: str = "") -> Iterator[Leaf]:
    """Every setting but `home`, in the order of the tree."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from leaves(field.annotation, f"{prefix}{name}.")
        elif section is not Settings:
            yield Leaf(prefix + name, field)
