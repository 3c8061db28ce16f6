"""Asks over HTTP. The answer is hostile input: it is read up to a size, and never shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urljoin

import h11
import httpx

from dg.core.clock import Clock
from dg.core.health.drivers.attempts import Attempt, Failed, Unable
from dg.core.health.drivers.dial import Stream, dialled
from dg.core.health.probes import HttpProbe, is_header_value
from dg.core.http import USER_AGENT, Outbound

_LARGEST = 256 << 10
"""Bytes of an answer's body that are looked at."""
_HEADERS = 64 << 10
_MOST_PIECES = 4096
"""Pieces of a body that are looked at: crumbs of a byte each would keep the event loop for seconds."""
_MOST_PREVIEWS = 20
"""Answers such as 103 that may come before the real one."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PORTS = {"http": 80, "https": 443}


@dataclass
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    days_left: int | None


async def ask(outbound: Outbound, clock: Clock, attempt: Attempt[HttpProbe]) -> str | None:
    """Ask, and follow where it leads; what is not quite well. Raises Failed, Unable, Problem, OSError."""
    probe = attempt.probe
    url = outbound.read(probe.url)
    headers = {**probe.headers, **_secret_headers(attempt)}
    answer = await _exchange(outbound, clock, attempt, url, headers)
    for _ in range(probe.redirects):
        where = answer.headers.get("location")
        if answer.status not in _REDIRECTS or where is None:
            break
        url, headers = _led(outbound, url, where, headers)
        answer = await _exchange(outbound, clock, attempt, url, headers)
    attempt.facts |= {"status": answer.status, "bytes": len(answer.body)}
    _check(probe, answer)
    return _warning(attempt, answer)


def _secret_headers(attempt: Attempt[HttpProbe]) -> dict[str, str]:
    for name in attempt.probe.secret_headers.values():
        if not is_header_value(attempt.secrets[name]):
            raise Unable(f"the secret {name} holds a line break or more than ASCII, which no header can")
    return {header: attempt.secrets[name] for header, name in attempt.probe.secret_headers.items()}


def _led(
    outbound: Outbound, here: httpx.URL, where: str, headers: Mapping[str, str]
) -> tuple[httpx.URL, dict[str, str]]:
    try:
        there = outbound.read(urljoin(str(here), where))
    except ValueError:
        raise Failed("leads to something that is no address") from None
    if here.scheme == "https" and there.scheme == "http":
        raise Failed("leads from https to http")
    same = (here.scheme, here.host, here.port) == (there.scheme, there.host, there.port)
    # What proves who asks is for the host that it was given for.
    return there, dict(headers) if same else {}


async def _exchange(
    outbound: Outbound,
    clock: Clock,
    attempt: Attempt[HttpProbe],
    url: httpx.URL,
    headers: Mapping[str, str],
) -> _Answer:
    host = url.raw_host.decode("ascii").removeprefix("[").removesuffix("]")
    port, tls = _PORTS[url.scheme] if url.port is None else url.port, url.scheme == "https"
    async with dialled(outbound, attempt, host, port, tls=tls) as stream:
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEADERS)
        try:
            stream.writer.write(_request(connection, attempt.probe.method, url, headers))
            response = await _response(connection, stream)
            body = await _body(connection, stream)
        except h11.LocalProtocolError:
            raise Unable("a header cannot be sent as it is: its value begins or ends with a space") from None
        except h11.RemoteProtocolError:
            raise Failed("does not speak HTTP as it should") from None
        return _Answer(response.status_code, _names(response), body, stream.days_left(clock))


def _request(connection: h11.Connection, method: str, url: httpx.URL, headers: Mapping[str, str]) -> bytes:
    usual = {"User-Agent": USER_AGENT, "Accept": "*/*"}
    given = {name.lower() for name in headers}
    sent = [
        ("Host", url.netloc.decode("ascii")),
        *((name, value) for name, value in usual.items() if name.lower() not in given),
        ("Accept-Encoding", "identity"),
        ("Connection", "close"),
        *((name, value) for name, value in headers.items() if name.lower() != "accept-encoding"),
    ]
    begin = connection.send(h11.Request(method=method, target=url.raw_path, headers=sent)) or b""
    return begin + (connection.send(h11.EndOfMessage()) or b"")


async def _response(connection: h11.Connection, stream: Stream) -> h11.Response:
    for _ in range(_MOST_PREVIEWS + 1):
        event = await _next(connection, stream)
        if isinstance(event, h11.Response):
            return event
        if not isinstance(event, h11.InformationalResponse):
            raise Failed("ended the connection without an answer")
    raise Failed("announces its answer again and again, and gives none")


async def _body(connection: h11.Connection, stream: Stream) -> bytes:
    kept = bytearray()
    for _ in range(_MOST_PIECES):
        event = await _next(connection, stream)
        if not isinstance(event, h11.Data):
            break
        kept += event.data
        if len(kept) >= _LARGEST:
            break
    return bytes(kept[:_LARGEST])


async def _next(connection: h11.Connection, stream: Stream) -> object:
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(await stream.reader.read(1 << 16))
    return event


def _names(response: h11.Response) -> dict[str, str]:
    return {name.decode("ascii"): value.decode("latin-1") for name, value in response.headers}


def _check(probe: HttpProbe, answer: _Answer) -> None:
    status = str(answer.status)
    if not any(status == each or (each.endswith("xx") and each[0] == status[0]) for each in probe.status):
        raise Failed(f"answers {status}, not {' or '.join(probe.status)}")
    for name, text in probe.expect_headers.items():
        if text not in answer.headers.get(name.lower(), ""):
            raise Failed(f"has another header {name} than it should")
    if probe.contains is not None and probe.contains.encode() not in answer.body:
        raise Failed("has not in its body what it should")
    if probe.absent is not None and probe.absent.encode() in answer.body:
        raise Failed("has in its body what it should not")


def _warning(attempt: Attempt[HttpProbe], answer: _Answer) -> str | None:
    if answer.days_left is None:
        return None
    attempt.facts["certificate_days"] = answer.days_left
    return certificate_warning(answer.days_left, attempt.probe.certificate_days)


def certificate_warning(left: int, wanted: int) -> str | None:
    """What is said of a certificate with so many days left."""
    return f"its certificate ends in {left} days" if left < wanted else None
