"""What a probe is: what it asks, how often, and from when on its answers count. An environment's document has
them by name; `read` and `mistakes` are for whoever keeps that document.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, ValidationError

from dg.core.clock import SECOND
from dg.core.deployments.durations import Duration, Wait
from dg.core.deployments.gates.windows import Because, Schedule, Window, Zone
from dg.core.deployments.tables import Table, at_most, mistakes
from dg.core.environments.running import ADDRESS_HINT, is_address
from dg.core.errors import Invalid
from dg.core.text import plain
from dg.core.types import NAME_PATTERN, ServiceName

MOST = 500
"""Probes that one environment may have."""
SHORTEST_INTERVAL = 1.0
LONGEST_TIMEOUT = 60.0
_USUAL_TIMEOUT = 5.0

_ADDRESS = frozenset({"kind", "url", "host", "port", "run", "secret"})

_NAME = re.compile(NAME_PATTERN)
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_FRAMING = frozenset({"host", "connection", "content-length", "transfer-encoding", "expect", "upgrade", "te"})
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}")
_STATUS = re.compile(r"[1-5]([0-9]{2}|xx)")


def _visible(text: str) -> str:
    if plain(text) != text:
        raise ValueError("holds line breaks or characters that cannot be shown")
    return text


def _host(text: str) -> str:
    if not _HOST.fullmatch(text) or "%" in text:
        raise ValueError("must be the name or address of a host")
    return text


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError("must be an IPv4 or IPv6 address") from None


def _header_name(name: str) -> str:
    if not _HEADER.fullmatch(name):
        raise ValueError("is no name of a header")
    if name.lower() in _FRAMING:
        raise ValueError("belongs to the connection, and is not for a probe to say")
    return name


def is_header_value(value: str) -> bool:
    """Whether it can stand behind the name of a header: nothing in it ends the line or needs an encoding."""
    return value.isascii() and value.isprintable()


def _header_value(value: str) -> str:
    if not is_header_value(value):
        raise ValueError("must be printable ASCII")
    return value


def _url(text: str) -> str:
    if not is_address(text):
        raise ValueError(ADDRESS_HINT)
    return text


def _status(value: object) -> object:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _STATUS.fullmatch(text):
        raise ValueError('must be a status such as 204, or a class of them such as "2xx"')
    return text


Text = Annotated[str, StringConstraints(min_length=1, max_length=1000), AfterValidator(_visible)]
Host = Annotated[str, AfterValidator(_host)]
Port = Annotated[int, Field(ge=1, le=65535)]
Address = Annotated[str, AfterValidator(_address)]
SecretName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderValue = Annotated[str, StringConstraints(max_length=1000), AfterValidator(_header_value)]
StatusPattern = Annotated[str, BeforeValidator(_status)]
Argument = Annotated[str, StringConstraints(max_length=4000, pattern=r"^[^\x00]*$")]
ProbeName = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]


class Maintenance(Table):
    """A time that recurs in which a probe rests: it asks nothing, and stays what it was.

    `at` is a cron schedule and `lasts` a length, both by the wall clock of `tz`, as in an environment's
    windows.
    """

    at: Schedule
    lasts: Wait = Field(alias="for")
    tz: Zone
    reason: Because | None = None

    def covers(self, moment: int) -> bool:
        """Whether `moment` (microseconds) lies within it."""
        window = Window.model_validate({"deny": self.at, "for": self.lasts, "tz": self.tz})
        return window.covers(moment)


class _Probe(Table):
    """What every kind has. Durations are seconds; `slow` is the time from which an answer counts as slow."""

    service: ServiceName
    interval: Duration = 30.0
    timeout: Duration | None = None
    slow: Duration | None = None
    fail_after: int = Field(3, ge=1, le=100)
    recover_after: int = Field(2, ge=1, le=100)
    severity: Literal["critical", "warning"] = "critical"
    depends_on: Annotated[tuple[ProbeName, ...], at_most(20)] = ()
    maintenance: Annotated[tuple[Maintenance, ...], at_most(20)] = ()

    def problems(self) -> Iterator[tuple[str, str]]:
        if self.interval < SHORTEST_INTERVAL:
            yield "interval", f"must be at least {SHORTEST_INTERVAL:g} s"
        if self.limit > min(self.interval, LONGEST_TIMEOUT):
            yield "timeout", f"must not be longer than the interval, and at most {LONGEST_TIMEOUT:g} s"
        if self.slow is not None and self.slow >= self.limit:
            yield "slow", "must be shorter than the timeout"

    @property
    def limit(self) -> float:
        """Seconds that one try may take."""
        return self.timeout or min(self.interval, _USUAL_TIMEOUT)

    @property
    def address(self) -> tuple[object, ...]:
        """What it asks: with another, what was known of it counts no more."""
        own = type(self).model_fields.keys() - _Probe.model_fields.keys()
        return tuple(getattr(self, name) for name in sorted(own & _ADDRESS))

    @property
    def secret_names(self) -> frozenset[str]:
        """The environment's secrets that it is given."""
        return frozenset()

    def rests(self, moment: int) -> bool:
        """Whether it is in maintenance at `moment` (microseconds)."""
        return any(window.covers(moment) for window in self.maintenance)


class HttpProbe(_Probe):
    """A request to `url`, whose answer must have one of the states in `status`, the headers of
    `expect_headers` (each holding the text), `contains` in its body and `absent` not.

    `secret_headers` are sent with the value of the environment's secret of that name. With TLS, a certificate
    that ends within `certificate_days` makes it slow.
    """

    kind: Literal["http"]
    url: Annotated[str, AfterValidator(_url)]
    method: Literal["GET", "HEAD"] = "GET"
    status: Annotated[tuple[StatusPattern, ...], at_most(20), Field(min_length=1)] = ("2xx",)
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict, max_length=20)
    secret_headers: dict[HeaderName, SecretName] = Field(default_factory=dict, max_length=20)
    expect_headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict, max_length=20)
    contains: Text | None = None
    absent: Text | None = None
    redirects: int = Field(0, ge=0, le=5)
    certificate_days: int = Field(7, ge=0, le=365)

    @property
    def secret_names(self) -> frozenset[str]:
        return frozenset(self.secret_headers.values())


class TcpProbe(_Probe):
    """A connection to `host` and `port`, with TLS on demand; `expect` is what the other side says first."""

    kind: Literal["tcp"]
    host: Host
    port: Port
    tls: bool = False
    expect: Text | None = None
    certificate_days: int = Field(7, ge=0, le=365)


class DnsProbe(_Probe):
    """A look at the name `host` by the machine's own resolver: it has an address, and all of `expect`."""

    kind: Literal["dns"]
    host: Host
    expect: Annotated[tuple[Address, ...], at_most(20)] = ()


class CommandProbe(_Probe):
    """A command on the server's machine, which ends with 0 when all is well; the last line that it prints is
    the reason. It sees the variables that steps see, and `secrets` by their names in capitals.
    """

    kind: Literal["command"]
    run: Annotated[tuple[Argument, ...], at_most(100), Field(min_length=1)]
    secrets: Annotated[tuple[SecretName, ...], at_most(20)] = ()

    @property
    def secret_names(self) -> frozenset[str]:
        return frozenset(self.secrets)


class PostgresqlProbe(_Probe):
    """A session on the PostgreSQL server whose address is in the environment's secret `secret`, and a query
    that reads nothing.
    """

    kind: Literal["postgresql"]
    secret: SecretName = "database_url"  # noqa: S105 - the name of one

    @property
    def secret_names(self) -> frozenset[str]:
        return frozenset({self.secret})


class RedisProbe(_Probe):
    """A PING to the Redis server whose address is in the environment's secret `secret`."""

    kind: Literal["redis"]
    secret: SecretName = "redis_url"  # noqa: S105 - the name of one

    @property
    def secret_names(self) -> frozenset[str]:
        return frozenset({self.secret})


class HeartbeatProbe(_Probe):
    """Whatever it is sends a beat at least every `interval`, and is late `grace` after that."""

    kind: Literal["heartbeat"]
    fail_after: int = Field(1, ge=1, le=100)
    recover_after: int = Field(1, ge=1, le=100)
    grace: Duration = 10.0


Probe = HttpProbe | TcpProbe | DnsProbe | CommandProbe | PostgresqlProbe | RedisProbe | HeartbeatProbe

KINDS: Mapping[str, type[Probe]] = {
    "http": HttpProbe,
    "tcp": TcpProbe,
    "dns": DnsProbe,
    "command": CommandProbe,
    "postgresql": PostgresqlProbe,
    "redis": RedisProbe,
    "heartbeat": HeartbeatProbe,
}


def read(definitions: Mapping[str, Any]) -> dict[str, Probe]:
    """The probes of an environment by name. Raises Invalid naming every field that is wrong."""
    found: dict[str, Probe] = {}
    wrong: list[tuple[str, str]] = []
    for name, definition in definitions.items():
        field = f"probes.{plain(name, limit=64)}"
        if not _NAME.fullmatch(name):
            wrong.append((field, "the name of a probe has lower case letters, digits and dashes"))
            continue
        probe, problems = _read_one(definition)
        wrong += [(".".join(filter(None, (field, below))), message) for below, message in problems]
        if probe is not None:
            found[name] = probe
    wrong += _wrong_together(found, definitions)
    if wrong:
        errors = [{"field": field, "message": message} for field, message in wrong]
        raise Invalid("; ".join(f"{field}: {message}" for field, message in wrong[:5]), errors=errors)
    return found


def read_one(name: str, definition: Any) -> Probe:
    """One probe alone, whatever it depends on. Raises Invalid."""
    alone = {**definition, "depends_on": []} if isinstance(definition, Mapping) else definition
    return read({name: alone})[name]


def _read_one(definition: Any) -> tuple[Probe | None, list[tuple[str, str]]]:
    if not isinstance(definition, Mapping):
        return None, [("", "must be a table")]
    given = definition.get("kind")
    kind = KINDS.get(given) if isinstance(given, str) else None
    if kind is None:
        return None, [("kind", f"must be one of {', '.join(KINDS)}")]
    try:
        return kind.model_validate(dict(definition)), []
    except ValidationError as error:
        return None, mistakes(error, kind)


def _wrong_together(probes: Mapping[str, Probe], named: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if len(named) > MOST:
        yield "probes", f"may have at most {MOST}"
    for name, probe in probes.items():
        for parent in probe.depends_on:
            if parent not in named:
                yield f"probes.{name}.depends_on", f"there is no probe {plain(parent, limit=64)}"
    for name in _cycle(probes):
        yield f"probes.{name}.depends_on", "leads back to itself"


def _cycle(probes: Mapping[str, Probe]) -> tuple[str, ...]:
    """Probes that depend on one another in a ring, where there are any."""
    try:
        TopologicalSorter({name: probe.depends_on for name, probe in probes.items()}).prepare()
    except CycleError as error:
        return tuple(sorted(set(error.args[1])))
    return ()


def ancestors(probes: Mapping[str, Probe], name: str) -> list[str]:
    """Everything that the probe `name` depends on, the nearest first."""
    found: dict[str, None] = {}
    nearest = [name]
    while nearest:
        parents = dict.fromkeys(p for each in nearest if each in probes for p in probes[each].depends_on)
        nearest = [parent for parent in parents if parent not in found]
        found.update(dict.fromkeys(nearest))
    return list(found)


def patience(probe: Probe) -> int:
    """Microseconds after which an answer is too old to say how it is now."""
    grace = probe.grace if isinstance(probe, HeartbeatProbe) else probe.limit
    return int((3 * probe.interval + grace) * SECOND)
