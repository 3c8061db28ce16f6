"""The tables `[server]`, `[api]`, `[limits]` and `[health]`: how one reaches the server, and how much."""

from __future__ import annotations

from pydantic import Field

from dg.settings.section import Section
from dg.settings.units import Duration, FilePath, MaybeRate, Networks, Origins, Rate, Size


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


class Health(Section):
    """When the server calls itself degraded."""

    disk_low: Size = 100 << 20
    """Space left on the home's disk below which it does."""
    writes_stalled: Duration = 5.0
    """Time for one commit from which the database counts as stuck."""
    reads_stalled: Duration = 2.0
    """Time within which the database must answer a question."""
