"""The settings themselves: one frozen tree, each field explained where it stands."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from dg.settings.access import Access
from dg.settings.backup import Backup
from dg.settings.environments import Environments
from dg.settings.git import Git
from dg.settings.probes import Probes, StatusPage
from dg.settings.section import Section
from dg.settings.server import Api, Health, Limits, Server
from dg.settings.slack import Slack
from dg.settings.units import Duration, FilePath, Networks, Ports, Size, Words
from dg.settings.webhooks import Incoming, Webhooks


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


class Outbound(Section):
    """Requests that the server sends by itself, to addresses that people and pipelines name."""

    allow: Networks = ()
    """Addresses or networks inside that it may send to: `["10.0.7.0/24", "127.0.0.1"]`. All others that are
    not public are refused, whatever name leads there: loopback, private, link-local and cloud metadata."""
    ports: Ports = ("80", "443", "1024-65535")
    """Ports or spans of ports that it may send to."""
    ca_file: FilePath | None = None
    """A PEM file of authorities that it believes besides the public ones."""


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
