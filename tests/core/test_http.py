"""The guarded way out, against real sockets: what it reaches, what it refuses, and how long it waits."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.core import receivers
from tests.core.receivers import Receiver, answering, receiving
from tests.tls import make_certificate

from dg.core.errors import Invalid, Problem, Refused, Unavailable
from dg.core.http import Answer, Outbound, Request
from dg.settings.tree import Outbound as OutboundSettings

SHORT = 0.3
LOOPBACK = ("127.0.0.1",)


class Names:
    """A resolver that answers by the book, each time with the next of what it has for a name."""

    def __init__(self, **addresses: Sequence[Sequence[str]]) -> None:
        self._addresses = {name.replace("_", "."): list(turns) for name, turns in addresses.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        turns = self._addresses.get(host, [[host]])
        return turns.pop(0) if len(turns) > 1 else turns[0]


def outbound(names: Names | None = None, **settings: Any) -> Outbound:
    return Outbound(OutboundSettings.model_validate(settings), resolve=names)


async def get(guard: Outbound, url: str, **more: Any) -> Answer:
    return await guard.send(Request("GET", url, **{"timeout": 5.0, **more}))


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving(answering(200, b"hello")) as found:
        yield found


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "127.0.1", "0x7f.1", "0x7f.0.0.1", "2130706433", "0", "0.0.0.0", "localhost"),
        *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]"),
        *("127.0.0.1.", "localhost."),
    ],
)
async def test_no_spelling_of_this_machine_is_reached(host: str, receiver: Receiver) -> None:
    with pytest.raises(Problem) as caught:
        await get(outbound(), f"http://{host}:{receiver.port}/")
    assert isinstance(caught.value, Refused | Unavailable)
    assert receiver.connections == 0


@pytest.mark.parametrize("address", ["10.0.0.1", "100.64.1.1", "224.0.0.1", "fd00::1", "fe80::1"])
async def test_what_a_name_means_inside_is_told_to_the_log_alone(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    guard = outbound(Names(evil_example=[[address]]))
    with pytest.raises(Refused, match="an address inside") as caught:
        await get(guard, "http://evil.example/latest/meta-data")
    assert address not in caught.value.message
    assert f'allow = ["{address}/' in caplog.text
    assert "meta-data" not in caught.value.message + caplog.text


@pytest.mark.parametrize("address", ["10.0.0.1", "fd00::1"])
def test_an_address_inside_that_is_spelled_out_is_refused_and_the_setting_named(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(Refused, match="a private address") as caught:
        outbound().check(f"http://{host}/hook")
    assert f'allow = ["{address}/' in caught.value.message


@pytest.mark.parametrize("address", ["169.254.169.254", "168.63.129.16", "100.100.100.200", "fd00:ec2::254"])
async def test_no_way_to_a_cloud_s_metadata_is_offered(address: str) -> None:
    guard = outbound(Names(evil_example=[[address]]))
    with pytest.raises(Refused, match="metadata") as caught:
        await get(guard, "http://evil.example/latest")
    assert "allow" not in caught.value.message


async def test_one_bad_address_of_a_name_is_enough_to_refuse_it(receiver: Receiver) -> None:
    guard = outbound(Names(two_example=[["127.0.0.1", "10.0.0.1"]]), allow=LOOPBACK)
    with pytest.raises(Refused):
        await get(guard, f"http://two.example:{receiver.port}/")
    assert receiver.connections == 0


async def test_what_is_allowed_is_reached_under_its_name(receiver: Receiver) -> None:
    guard = outbound(Names(hooks_example=[["127.0.0.1"]]), allow=LOOPBACK)
    answer = await guard.send(
        Request("POST", f"http://hooks.example:{receiver.port}/a?b=c", {"X-One": "1"}, b'{"a":1}')
    )
    assert (answer.status, answer.content, answer.truncated) == (200, b"hello", False)
    (received,) = receiver.received
    assert (received.method, received.path, received.body) == ("POST", "/a?b=c", b'{"a":1}')
    assert received.headers["host"] == f"hooks.example:{receiver.port}"
    assert received.headers["x-one"] == "1"
    assert received.headers["user-agent"].startswith("dg/")


async def test_an_ipv4_address_written_as_ipv6_is_the_one_that_is_allowed(receiver: Receiver) -> None:
    answer = await get(outbound(allow=LOOPBACK), f"http://[::ffff:127.0.0.1]:{receiver.port}/")
    assert answer.status == 200


async def test_a_name_that_changes_is_asked_for_once_and_reached_where_it_was_vetted(
    receiver: Receiver,
) -> None:
    names = Names(rebind_example=[["127.0.0.1"], ["127.0.0.2"]])
    async with receiving(host="127.0.0.2") as inside:
        url = f"http://rebind.example:{receiver.port}/"
        assert (await get(outbound(names, allow=LOOPBACK), url)).content == b"hello"
        assert names.asked == ["rebind.example"]
        assert inside.connections == 0
        with pytest.raises(Refused):
            await get(outbound(names, allow=LOOPBACK), url)


async def test_the_next_address_is_tried_when_one_refuses_the_connection(receiver: Receiver) -> None:
    names = Names(two_example=[["127.0.0.3", "127.0.0.1"]])
    guard = outbound(names, allow=("127.0.0.0/8",))
    assert (await get(guard, f"http://two.example:{receiver.port}/")).status == 200


async def test_a_name_without_an_address_says_so() -> None:
    with pytest.raises(Unavailable, match=r"nowhere\.invalid has no address"):
        await get(outbound(), "http://nowhere.invalid/")


async def test_a_closed_port_says_so(receiver: Receiver) -> None:
    async with receiving() as gone:
        url = gone.url
    with pytest.raises(Unavailable, match="cannot be reached"):
        await get(outbound(allow=LOOPBACK), f"{url}/")


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://a.example/", "file:///etc/passwd", "gopher://a.example/", "//a.example/", "a.example", ""),
        *("http:///path", "http://user@a.example/", "http://user:word@a.example/", "http://a b/"),
        *("http://a.example:99999/", "http://[fe80::1%25eth0]/", "http://a.example/\n", "http://ä.example/"),
        *("http://[::1/", "http://" + "a" * 3000),
    ],
)
async def test_what_is_no_web_address_is_invalid(url: str) -> None:
    with pytest.raises(Invalid):
        outbound().check(url)
    with pytest.raises(Invalid):
        await get(outbound(), url)


@pytest.mark.parametrize("port", [0, 22, 25, 53, 445])
def test_ports_of_other_protocols_are_refused(port: int) -> None:
    with pytest.raises(Refused, match="outbound"):
        outbound().check(f"http://a.example:{port}/")


def test_ports_are_a_setting() -> None:
    guard = outbound(ports=("443", "9000-9010"))
    guard.check("https://a.example/")
    guard.check("https://a.example:9010/")
    with pytest.raises(Refused):
        guard.check("http://a.example/")


def test_an_address_inside_is_refused_before_it_is_used() -> None:
    with pytest.raises(Refused, match="a private address"):
        outbound().check("https://10.0.0.1/hook")
    outbound(allow=("10.0.0.0/24",)).check("https://10.0.0.1/hook")
    outbound().check("https://hooks.example/hook")


async def test_a_redirect_is_an_answer_unless_it_is_wanted(receiver: Receiver) -> None:
    receiver.behaviour = answering(302, location=f"{receiver.url}/there")
    answer = await get(outbound(allow=LOOPBACK), receiver.url)
    assert (answer.status, answer.headers["location"]) == (302, f"{receiver.url}/there")
    assert receiver.connections == 1


@pytest.mark.parametrize("inside", ["http://127.0.0.2:{port}/", "//127.0.0.2:{port}/", "http://0:{port}/"])
async def test_a_redirect_is_vetted_again(inside: str, receiver: Receiver) -> None:
    async with receiving(host="127.0.0.2") as secret:
        receiver.behaviour = answering(307, location=inside.format(port=secret.port))
        with pytest.raises(Refused):
            await get(outbound(allow=LOOPBACK), receiver.url, redirects=3)
        assert secret.connections == 0


async def test_a_redirect_to_another_host_carries_no_proof_of_who_asks(receiver: Receiver) -> None:
    guard = outbound(allow=("127.0.0.0/8",))
    async with receiving(host="127.0.0.2") as other:
        receiver.behaviour = answering(302, location=f"{other.url}/there")
        headers = {"Authorization": "Bearer secret", "Accept": "text/plain"}
        answer = await guard.send(Request("POST", receiver.url, headers, b"body", redirects=1))
        assert answer.status == 200
        (request,) = other.received
        assert (request.method, request.path, request.body) == ("GET", "/there", b"")
        assert "authorization" not in request.headers
        assert request.headers["accept"] == "text/plain"


async def test_redirects_end(receiver: Receiver) -> None:
    receiver.behaviour = answering(302, location="/again")
    answer = await get(outbound(allow=LOOPBACK), receiver.url, redirects=3)
    assert answer.status == 302
    assert receiver.connections == 4


async def test_an_endless_body_is_cut(receiver: Receiver) -> None:
    receiver.behaviour = receivers.endless
    answer = await get(outbound(allow=LOOPBACK), receiver.url, cap=100_000)
    assert (len(answer.content), answer.truncated) == (100_000, True)


async def test_a_compressed_body_is_not_blown_up(receiver: Receiver) -> None:
    receiver.behaviour = answering(200, b"\x1f\x8b packed", content_encoding="gzip")
    answer = await get(outbound(allow=LOOPBACK), receiver.url)
    assert answer.content == b"\x1f\x8b packed"
    assert receiver.received[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("behaviour", [receivers.endless_head, receivers.garbage])
async def test_what_is_not_http_says_so(behaviour: receivers.Behaviour, receiver: Receiver) -> None:
    receiver.behaviour = behaviour
    with pytest.raises(Unavailable, match="HTTP"):
        await get(outbound(allow=LOOPBACK), receiver.url)


@pytest.mark.parametrize("behaviour", [receivers.hanging, receivers.dripping])
async def test_the_whole_exchange_has_one_time_limit(
    behaviour: receivers.Behaviour, receiver: Receiver
) -> None:
    receiver.behaviour = behaviour
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"did not answer within 0\.3 s"):
        await get(outbound(allow=LOOPBACK), receiver.url, timeout=SHORT)
    assert time.monotonic() - began < 100 * SHORT


async def test_a_resolver_that_hangs_is_in_the_limit_too() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    guard = Outbound(OutboundSettings(), resolve=resolve)
    with pytest.raises(Unavailable, match="did not answer"):
        await get(guard, "http://a.example/", timeout=SHORT)


async def test_a_tls_handshake_that_hangs_is_in_the_limit_too(receiver: Receiver) -> None:
    with pytest.raises(Unavailable, match="answer"):
        await get(outbound(allow=LOOPBACK), f"https://127.0.0.1:{receiver.port}/", timeout=SHORT)
    assert (receiver.connections, receiver.received) == (1, [])


async def test_proxies_of_the_environment_are_not_used(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert (await get(outbound(allow=LOOPBACK), receiver.url)).content == b"hello"
        assert proxy.connections == 0


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """A file to believe, and what a server at `localhost` shows."""
    public, key = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, key)
    return public, context


async def test_a_certificate_is_checked_against_the_name(certificate: tuple[Path, ssl.SSLContext]) -> None:
    believed, shown = certificate
    names = Names(localhost=[["127.0.0.1"]], other_example=[["127.0.0.1"]])
    guard = outbound(names, allow=LOOPBACK, ca_file=believed)
    async with receiving(tls=shown) as server:
        assert (await get(guard, f"https://localhost:{server.port}/")).status == 200
        assert (await get(guard, f"https://127.0.0.1:{server.port}/")).status == 200
        with pytest.raises(Unavailable, match=r"other\.example.*certificate"):
            await get(guard, f"https://other.example:{server.port}/")
        assert len(server.received) == 2


async def test_a_certificate_of_nobody_is_not_believed(certificate: tuple[Path, ssl.SSLContext]) -> None:
    async with receiving(tls=certificate[1]) as server:
        with pytest.raises(Unavailable, match="certificate"):
            await get(outbound(allow=LOOPBACK), f"https://127.0.0.1:{server.port}/")
        assert server.received == []


async def test_a_redirect_does_not_lead_out_of_tls(
    certificate: tuple[Path, ssl.SSLContext], receiver: Receiver
) -> None:
    guard = outbound(allow=LOOPBACK, ca_file=certificate[0])
    async with receiving(answering(302, location=receiver.url), tls=certificate[1]) as server:
        with pytest.raises(Refused, match="from https to http"):
            await get(guard, f"https://127.0.0.1:{server.port}/", redirects=1)
    assert receiver.connections == 0


def test_authorities_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"outbound\.ca_file"):
        outbound(ca_file=tmp_path / "missing.pem")
