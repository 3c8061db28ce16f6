"""Asks a Redis server with PING, over its own protocol (RESP)."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from dg.core.health.drivers.attempts import Attempt, Failed, Unable
from dg.core.health.drivers.dial import Stream, dialled
from dg.core.health.probes import RedisProbe
from dg.core.http import Outbound
from dg.core.text import plain

_PORT = 6379
_TLS = {"redis": False, "rediss": True}


class _Address(NamedTuple):
    host: str
    port: int
    tls: bool
    login: tuple[str, ...]


async def ask(outbound: Outbound, attempt: Attempt[RedisProbe]) -> None:
    """Say who asks where the address tells, then PING. Raises Failed, Unable, Problem, OSError."""
    at = _address(attempt)
    async with dialled(outbound, attempt, at.host, at.port, tls=at.tls) as stream:
        if at.login:
            await _say(stream, "AUTH", *at.login)
        said = await _say(stream, "PING")
    if said != "PONG":
        raise Failed("does not answer PING as Redis does")


def _address(attempt: Attempt[RedisProbe]) -> _Address:
    name = attempt.probe.secret
    try:
        parts = urlsplit(attempt.secrets[name])
        if parts.hostname:
            login = [unquote(word) for word in (parts.username, parts.password) if word]
            return _Address(parts.hostname, parts.port or _PORT, _TLS[parts.scheme], tuple(login))
    except (ValueError, KeyError):
        pass
    raise Unable(f"the secret {name} is no address such as redis://host:6379")


async def _say(stream: Stream, *words: str) -> str:
    """One command and its answer in a line. Raises Failed for an error."""
    told = [word.encode() for word in words]
    stream.writer.write(
        b"*%d\r\n" % len(told) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in told)
    )
    try:
        line = await stream.reader.readline()
    except ValueError:
        raise Failed("does not speak as Redis does") from None
    kind, text = line[:1], plain(line[1:].strip(), limit=100)
    if kind == b"-":
        raise Failed(f"answers {text}")
    if kind != b"+":
        raise Failed("does not speak as Redis does" if line else "ended the connection")
    return text
