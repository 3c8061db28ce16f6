"""Each kind of probe against real servers on loopback: well, broken, hanging, lying, in the wrong place."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.core.health.targets import OK, answering, drip, hang, slam, talking
from tests.tls import make_certificate

from dg.core.clock import SystemClock
from dg.core.errors import Invalid, Refused
from dg.core.health.drivers.asking import Asker
from dg.core.health.drivers.lookups import Lookups
from dg.core.health.models import Outcome, Sample
from dg.core.health.probes import read_one
from dg.core.http import Outbound, Resolve
from dg.core.types import Environment
from dg.runner.handover import Sealed
from dg.settings.tree import Outbound as OutboundSettings

PASSED, SLOW, FAILED, UNKNOWN = Outcome
CANARY = "canary-7f3e91-do-not-show"


class Held:
    """Secrets by name."""

    def __init__(self, **values: str) -> None:
        self._values = values

    async def get(self, service: str, environment: Environment, names: Iterable[str]) -> dict[str, str]:
        for name in names:
            if name not in self._values:
                raise Refused(f"`{service}` has no secret `{name}` in {environment}")
        return {name: self._values[name] for name in names}


async def ask(
    definition: dict[str, Any],
    *,
    allow: Sequence[str] = ("127.0.0.0/8",),
    resolve: Resolve | None = None,
    secrets: Held | None = None,
    ca_file: Path | None = None,
    commands: int = 4,
    environ: dict[str, str] | None = None,
) -> Sample:
    lookups = Lookups()
    asker = Asker(
        Outbound(OutboundSettings(allow=tuple(allow), ca_file=ca_file), resolve=resolve or lookups),
        resolve or lookups,
        secrets or Held(),
        clock=SystemClock(),
        environ={"PATH": os.environ["PATH"]} if environ is None else environ,
        commands=commands,
    )
    try:
        probe = read_one("web", {"service": "shop", "timeout": "10s", **definition})
        return await asker(Environment.STAGING, probe)
    finally:
        lookups.close()


def http(port: int, **more: Any) -> dict[str, Any]:
    return {"kind": "http", "url": f"http://127.0.0.1:{port}/health?deep=1", **more}


def answer(head: str, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {head}", f"Content-Length: {len(body)}", *(f"{k}: {v}" for k, v in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


# --- http ------------------------------------------------------------------------------------------


async def test_an_http_target_that_is_well_passes() -> None:
    seen: list[bytes] = []
    async with talking(answering(OK, seen=seen)) as port:
        wanted = {"contains": "well", "absent": "error", "expect_headers": {"X-Build": "4"}}
        found = await ask(
            http(port, **wanted, headers={"X-Who": "dg"}, secret_headers={"Authorization": "token"}),
            secrets=Held(token=f"Bearer {CANARY}"),
        )
    assert (found.outcome, found.message, found.host) == (PASSED, "", None)
    assert found.facts == {"address": "127.0.0.1", "status": 200, "bytes": 8}
    assert seen[0].startswith(b"GET /health?deep=1 HTTP/1.1\r\nHost: 127.0.0.1:")
    assert f"Authorization: Bearer {CANARY}".encode() in seen[0]
    assert b"X-Who: dg" in seen[0]


@pytest.mark.parametrize(
    ("said", "more", "message"),
    [
        (answer("500 Oops"), {}, "answers 500, not 2xx"),
        (answer("204 None"), {"status": [200, "3xx"]}, "answers 204, not 200 or 3xx"),
        (answer("200 OK", b"error: db"), {"absent": "error"}, "has in its body what it should not"),
        (answer("200 OK", b"fine"), {"contains": "well"}, "has not in its body what it should"),
        (OK, {"expect_headers": {"X-Build": "43"}}, "has another header X-Build than it should"),
        (b"SSH-2.0-x\r\n\r\n", {}, "does not speak HTTP as it should"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", {}, "does not speak HTTP as it should"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000, {}, "does not speak HTTP as it should"),
    ],
)
async def test_an_http_target_that_lies_fails(said: bytes, more: dict[str, Any], message: str) -> None:
    async with talking(answering(said)) as port:
        found = await ask(http(port, **more))
    assert (found.outcome, found.message) == (FAILED, message)
    assert not found.silent


async def test_an_http_target_that_hangs_or_drips_fails_in_time() -> None:
    for talk in (hang, drip(OK)):
        async with talking(talk) as port:
            begun = time.monotonic()
            found = await ask(http(port, timeout="500ms"))
            assert time.monotonic() - begun < 4
        assert (found.outcome, found.message) == (FAILED, "did not answer within 0.5 s")
        assert not found.silent


async def test_an_endless_body_is_read_no_further_than_it_is_looked_at() -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            await writer.drain()

    async with talking(flood) as port:
        found = await ask(http(port))
    assert found.outcome is PASSED
    assert found.facts is not None
    assert found.facts["bytes"] == 256 << 10


@pytest.mark.parametrize(
    ("head", "crumb", "found_so"),
    [
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"1\r\nx\r\n",
            (PASSED, ""),
        ),
        (
            b"",
            b"HTTP/1.1 103 Early Hints\r\n\r\n",
            (FAILED, "announces its answer again and again, and gives none"),
        ),
    ],
    ids=["chunks", "announcements"],
)
async def test_an_answer_in_endless_crumbs_keeps_nobody_busy(
    head: bytes, crumb: bytes, found_so: tuple[Outcome, str]
) -> None:
    async def crumble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        while True:
            writer.write(crumb * 5000)
            await writer.drain()

    async with talking(crumble) as port:
        begun = time.thread_time()
        found = await ask(http(port, timeout="10s"))
        busy = time.thread_time() - begun
    assert (found.outcome, found.message) == found_so
    assert busy < 0.5


async def test_a_header_that_cannot_be_sent_is_no_fault_of_the_target() -> None:
    async with talking(answering(OK)) as port:
        named = await ask(http(port, headers={"X-Who": "dg "}))
        secret = await ask(http(port, secret_headers={"X-Who": "token"}), secrets=Held(token=f" {CANARY}"))
    for found in (named, secret):
        assert found.outcome is UNKNOWN
        assert "begins or ends with a space" in found.message
        assert CANARY not in found.message


async def test_a_port_that_nobody_listens_on_is_refused_which_is_no_silence() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        found = await ask(http(held.getsockname()[1]))
    assert (found.outcome, found.message) == (FAILED, "cannot be reached: Connection refused")
    assert not found.silent


async def test_a_database_that_is_down_is_told_by_its_cause_not_by_a_guess() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held_by = f"postgresql://dg:secret99@127.0.0.1:{held.getsockname()[1]}/x"
        found = await ask({"kind": "postgresql"}, secrets=Held(database_url=held_by))
    assert (found.outcome, found.message) == (FAILED, "cannot be reached: Connection refused")


@pytest.mark.parametrize("url", ["ftp://a.example/", "a.example", "http://ana:secret@a.example/", "https://"])
def test_an_http_probe_takes_no_address_that_it_could_not_ask(url: str) -> None:
    with pytest.raises(Invalid, match=r"url.*must be an http or https address"):
        read_one("web", {"kind": "http", "service": "shop", "url": url})


async def test_a_target_that_closes_at_once_fails() -> None:
    async with talking(slam) as port:
        found = await ask(http(port))
    assert found.outcome is FAILED
    assert not found.silent


async def test_slow_is_said_of_an_answer_that_took_long() -> None:
    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.05)
        writer.write(OK)

    async with talking(late) as port:
        found = await ask(http(port, slow="10ms"))
    assert found.outcome is SLOW
    assert "longer than 0.01 s" in found.message


async def test_redirects_are_followed_as_far_as_is_said_and_every_step_is_vetted() -> None:
    seen: list[bytes] = []
    async with talking(answering(OK, seen=seen)) as there:
        led = answer("302 Found", Location=f"http://127.0.0.1:{there}/")
        async with talking(answering(led)) as port:
            secret = {"secret_headers": {"Authorization": "token"}, "redirects": 1}
            assert (await ask(http(port))).message == "answers 302, not 2xx"
            found = await ask(http(port, **secret), secrets=Held(token=CANARY))
    assert found.outcome is PASSED
    assert CANARY.encode() not in b"".join(seen)
    async with talking(answering(answer("302 Found", Location="http://169.254.169.254/"))) as port:
        found = await ask(http(port, redirects=3))
    assert found.outcome is UNKNOWN
    assert "metadata" in found.message
    async with talking(answering(answer("302 Found", Location="/again"))) as port:
        found = await ask(http(port, redirects=3))
    assert found.message == "answers 302, not 2xx"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "169.254.169.254", "10.0.0.1", "[::1]", "[::ffff:127.0.0.1]"]
)
async def test_what_lies_inside_is_not_asked_unless_it_is_allowed(host: str) -> None:
    async with talking(answering(OK)) as port:
        found = await ask({"kind": "http", "url": f"http://{host}:{port}/"}, allow=())
    assert found.outcome is UNKNOWN
    assert "dg sends nothing" in found.message
    assert found.took is None


async def test_a_name_is_looked_up_once_and_only_what_was_vetted_is_dialled() -> None:
    asked: list[str] = []

    async def rebinding(host: str, _: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    async with talking(answering(OK)) as port:
        definition = {"kind": "http", "url": f"http://rebind.example:{port}/"}
        found = await ask(definition, allow=("127.0.0.1",), resolve=rebinding)
        assert (found.outcome, asked) == (PASSED, ["rebind.example"])
        found = await ask(definition, allow=("127.0.0.1",), resolve=rebinding)
    assert found.outcome is UNKNOWN
    assert "an address inside" in found.message
    assert "127.0.0.2" not in found.message


async def test_the_next_address_of_a_name_is_tried() -> None:
    async def two(_: str, __: int) -> Sequence[str]:
        return ["127.0.0.9", "127.0.0.1"]

    async with talking(answering(OK)) as port:
        found = await ask({"kind": "http", "url": f"http://two.example:{port}/"}, resolve=two)
    assert found.outcome is PASSED


async def test_a_name_without_an_address_fails_and_a_mute_resolver_is_silence() -> None:
    def raising(number: int) -> Resolve:
        async def resolve(_: str, __: int) -> Sequence[str]:
            raise socket.gaierror(number, "no luck")

        return resolve

    definition = {"kind": "http", "url": "http://gone.example/"}
    found = await ask(definition, resolve=raising(socket.EAI_NONAME))
    assert (found.outcome, found.silent) == (FAILED, False)
    found = await ask(definition, resolve=raising(socket.EAI_AGAIN))
    assert (found.outcome, found.silent, found.host) == (FAILED, True, "gone.example")


async def test_a_resolver_that_hangs_holds_up_its_probe_alone() -> None:
    async def hangs(_: str, __: int) -> Sequence[str]:
        await asyncio.sleep(60)
        return []

    definition = {"kind": "http", "url": "http://slow.example/", "timeout": "500ms"}
    found = await ask(definition, resolve=hangs)
    assert (found.outcome, found.silent) == (FAILED, True)


async def test_being_out_of_descriptors_is_not_the_target_s_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    async with talking(answering(OK)) as port:
        monkeypatch.setattr(asyncio, "open_connection", refuse)
        found = await ask(http(port))
    assert found.outcome is UNKNOWN
    assert "Too many open files" in found.message


async def test_tls_is_verified_and_its_end_is_told_in_time(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    async with talking(answering(OK), tls) as port:
        definition = {"kind": "http", "url": f"https://localhost:{port}/"}
        found = await ask(definition)
        assert found.outcome is FAILED
        assert found.message.startswith("has a certificate that does not hold: self")
        found = await ask(definition, ca_file=certificate)
        assert (found.outcome, found.message) == (SLOW, "its certificate ends in 0 days")
        found = await ask({**definition, "certificate_days": 0}, ca_file=certificate)
        assert found.outcome is PASSED
        tcp = {"kind": "tcp", "host": "localhost", "port": port, "tls": True}
        assert (await ask(tcp, ca_file=certificate)).outcome is SLOW
    async with talking(answering(OK)) as port:
        found = await ask({"kind": "http", "url": f"https://localhost:{port}/", "timeout": "500ms"})
    assert found.outcome is FAILED


# --- tcp, dns --------------------------------------------------------------------------------------


async def test_a_tcp_target_is_known_by_what_it_says_first() -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9\r\n")
        await writer.drain()

    definition = {"kind": "tcp", "host": "127.0.0.1"}
    async with talking(greet) as port:
        assert (await ask({**definition, "port": port})).outcome is PASSED
        assert (await ask({**definition, "port": port, "expect": "SSH-2.0"})).outcome is PASSED
        found = await ask({**definition, "port": port, "expect": "220 smtp"})
    assert (found.outcome, found.message) == (FAILED, "says something else than it should")
    async with talking(hang) as port:
        found = await ask({**definition, "port": port, "expect": "SSH-2.0", "timeout": "500ms"})
    assert found.message == "did not answer within 0.5 s"


async def test_a_name_leads_where_it_should() -> None:
    async def resolve(host: str, _: int) -> Sequence[str]:
        if host == "gone.example":
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        if host == "mute.example":
            raise socket.gaierror(socket.EAI_AGAIN, "mute")
        return ["203.0.113.7", "2001:db8::1"]

    async def found(host: str, **more: Any) -> Sample:
        return await ask({"kind": "dns", "host": host, **more}, resolve=resolve)

    assert (await found("web.example", expect=["203.0.113.7"])).outcome is PASSED
    wrong = await found("web.example", expect=["203.0.113.9"])
    assert (wrong.outcome, wrong.message) == (FAILED, "does not lead to 203.0.113.9")
    assert (await found("gone.example")).outcome is FAILED
    assert (await found("mute.example")).outcome is UNKNOWN


async def test_the_machine_s_own_resolver_is_asked() -> None:
    found = await ask({"kind": "dns", "host": "localhost"})
    assert found.outcome is PASSED
    assert found.facts is not None
    assert set(found.facts["addresses"]) & {"127.0.0.1", "::1"}


# --- command ---------------------------------------------------------------------------------------


async def test_a_command_says_by_its_end_whether_all_is_well() -> None:
    assert (await ask({"kind": "command", "run": ["true"]})).outcome is PASSED
    found = await ask({"kind": "command", "run": ["sh", "-c", "echo first; echo queue is full; exit 3"]})
    assert (found.outcome, found.message, found.facts) == (FAILED, "queue is full", {"code": 3})
    assert (await ask({"kind": "command", "run": ["false"]})).message == "ended with 1"
    assert (await ask({"kind": "command", "run": ["/nonexistent/x"]})).outcome is UNKNOWN


async def test_a_command_sees_what_it_is_given_and_its_secrets_are_not_repeated() -> None:
    script = 'echo "$DG_ENVIRONMENT $DG_SERVICE $TOKEN $(env | grep -c SECRET_OF_THE_SERVER)"; exit 1'
    found = await ask(
        {"kind": "command", "run": ["sh", "-c", script], "secrets": ["token"]}, secrets=Held(token=CANARY)
    )
    assert found.message == "staging shop ******** 0"


def is_alive(pid: str) -> bool:
    stat = Path("/proc", pid, "stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


async def test_a_command_that_hangs_is_ended_with_all_its_children(tmp_path: Path) -> None:
    mark = tmp_path / "pids"
    script = f"sleep 600 & echo $! > {mark}; echo $$ >> {mark}; wait"
    found = await ask({"kind": "command", "run": ["sh", "-c", script], "timeout": "2s"})
    assert (found.outcome, found.silent) == (FAILED, False)
    assert [pid for pid in mark.read_text().split() if is_alive(pid)] == []


async def test_commands_are_off_unless_they_are_allowed() -> None:
    found = await ask({"kind": "command", "run": [sys.executable, "-c", ""]}, commands=0)
    assert found.outcome is UNKNOWN
    assert "[probes] commands" in found.message


# --- secrets ---------------------------------------------------------------------------------------


async def test_a_secret_that_is_not_set_leaves_it_unknown() -> None:
    found = await ask({"kind": "redis"})
    assert found.outcome is UNKNOWN
    assert "redis_url" in found.message


WELCOME = b"R\0\0\0\x08\0\0\0\0" + b"Z\0\0\0\x05I"
"""What a PostgreSQL server says that asks for no password: you are in, and I am ready."""


@pytest.mark.long
@pytest.mark.parametrize("heard", ["login", "query"])
async def test_a_database_that_never_answers_is_left_alone_when_the_time_is_over(heard: str) -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"N")
        wish = await reader.readexactly(8)
        while wish[4:] != b"\0\x03\0\0":
            wish = await reader.readexactly(8)
        await reader.readexactly(int.from_bytes(wish[:4], "big") - 8)
        if heard == "query":
            writer.write(WELCOME)
        await reader.read()

    begun = time.monotonic()
    async with talking(mute) as port:
        held = Held(database_url=f"postgresql://dg:{CANARY}@127.0.0.1:{port}/x?sslmode=prefer")
        found = await ask({"kind": "postgresql", "timeout": "4s"}, secrets=held)
    assert (found.outcome, found.message) == (FAILED, "did not answer within 4 s")
    # Whoever gives a query up by the book asks a server for five seconds to end it, and waits as long again.
    assert time.monotonic() - begun < 9


@pytest.mark.parametrize(
    ("welcome", "said"),
    [
        (b"R\0\0\0\x08\0\0\0\0", b"N\x3f\xff\xff\xff"),
        (WELCOME, b"T\x3f\xff\xff\xff"),
        (WELCOME, b"T\0\0\0\x1a\0\x01a\0" + b"\0" * 18 + b"D\x3f\xff\xff\xff"),
    ],
    ids=["notice", "columns", "row"],
)
async def test_a_database_that_announces_a_gigabyte_is_not_listened_to(welcome: bytes, said: bytes) -> None:
    taken = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        wish = await reader.readexactly(8)
        # Without TLS, and without what PostgreSQL calls GSSENC.
        while wish[4:] != b"\0\x03\0\0":
            writer.write(b"N")
            wish = await reader.readexactly(8)
        await reader.readexactly(int.from_bytes(wish[:4], "big") - 8)
        writer.write(welcome)
        if welcome is WELCOME:
            await reader.readexactly(5)
        writer.write(said)
        while True:
            await writer.drain()
            writer.write(bytes(65536))
            taken += 65536

    async with talking(flood) as port:
        held = Held(database_url=f"postgresql://dg:{CANARY}@127.0.0.1:{port}/x")
        found = await ask({"kind": "postgresql", "timeout": "10s"}, secrets=held)
    assert (found.outcome, found.message) == (FAILED, "says more than anybody asked for")
    assert 1 << 20 < taken < 32 << 20


@pytest.mark.parametrize("value", ["Bearer abcdef\n", "Bearer abc\r\nX-Other: 1", "Bearer äbcdef"])
async def test_a_secret_that_no_header_can_hold_is_no_fault_of_the_target(value: str) -> None:
    async with talking(answering(OK)) as port:
        found = await ask(http(port, secret_headers={"Authorization": "token"}), secrets=Held(token=value))
    assert found.outcome is UNKNOWN
    assert "the secret token" in found.message
    assert "bc" not in found.message


async def test_a_secret_that_only_the_runner_opens_is_not_sent() -> None:
    found = await ask({"kind": "redis"}, secrets=Held(redis_url=Sealed("age1…")))
    assert (found.outcome, found.took) == (UNKNOWN, None)
    assert "only the runner" in found.message


@pytest.mark.parametrize("kind", ["redis", "postgresql"])
@pytest.mark.parametrize(
    "address",
    ["nonsense", f"http://u:{CANARY}@h/", f"host=a,b password={CANARY}", f"host=/tmp password={CANARY}"],
)
async def test_an_address_that_is_none_is_not_repeated(kind: str, address: str) -> None:
    found = await ask({"kind": kind, "secret": "where"}, secrets=Held(where=address))
    assert found.outcome is UNKNOWN
    assert CANARY not in found.message


@pytest.mark.parametrize("word", ["passfile=/etc/passwd", "sslkey=/root/x", "service=x", "options=-c"])
async def test_an_address_may_not_name_files_of_this_machine(word: str) -> None:
    found = await ask({"kind": "postgresql", "secret": "where"}, secrets=Held(where=f"host=127.0.0.1 {word}"))
    assert found.outcome is UNKNOWN
    assert word.partition("=")[0] in found.message


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (b"+PONG\r\n", ""),
        (b"-NOAUTH Authentication required.\r\n", "answers NOAUTH Authentication required."),
        (b"-LOADING Redis is loading\r\n", "answers LOADING Redis is loading"),
        (b"+GNIP\r\n", "does not answer PING as Redis does"),
        (b"HTTP/1.1 400 Bad\r\n", "does not speak as Redis does"),
        (b"x" * 600_000, "does not speak as Redis does"),
        (b"", "ended the connection"),
    ],
)
async def test_redis_is_asked_over_its_own_protocol(said: bytes, message: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(b"*1\r\n$4\r\nPING\r\n"))
        writer.write(said)
        await writer.drain()

    async with talking(serve) as port:
        found = await ask({"kind": "redis"}, secrets=Held(redis_url=f"redis://127.0.0.1:{port}"))
    assert found.message == message
    assert found.outcome is (FAILED if message else PASSED)


async def test_a_server_that_repeats_the_password_is_not_repeated() -> None:
    seen: list[bytes] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(CANARY.encode() + b"\r\n"))
        writer.write(b"-ERR invalid password " + CANARY.encode() + b"\r\n")
        await writer.drain()

    async with talking(echo) as port:
        address = f"redis://ana:{CANARY}@127.0.0.1:{port}/0"
        found = await ask({"kind": "redis"}, secrets=Held(redis_url=address))
    assert found.message == "answers ERR invalid password ********"
    assert seen == [b"*3\r\n$4\r\nAUTH\r\n$3\r\nana\r\n$25\r\n" + CANARY.encode() + b"\r\n"]
