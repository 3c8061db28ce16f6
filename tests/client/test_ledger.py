"""A client as a witness: what it saw of a ledger it finds again, or says that it does not."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import httpx
import pytest
from tests.client.conftest import InstantClock

from dg.client.app import Client
from dg.client.ledger import MOST, Memory, Seen, read_memory, state_file
from dg.core.errors import Refused
from dg.core.sighting import Sighting

HERE = "http://127.0.0.1:8470"
THERE = "https://dg.example.org"
OWNER = {"id": "u1", "name": "ana", "kind": "person", "grants": []}


def modes(path: Path) -> int:
    return path.stat().st_mode & 0o777


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(text)


def read(path: Path) -> str:
    return path.read_text()


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Server:
    """Says what a server says of its ledger, and keeps what it was asked."""

    def __init__(self, home: str = "home-1", version: str = "v1", length: int = 10) -> None:
        self.home = home
        self.length = length
        self.asked: list[str | None] = []
        self._version = version
        self._anew_from = 0

    def write_anew(self, first: int) -> None:
        """From entry `first` on every hash is another."""
        self._anew_from = first

    def entry(self, seq: int) -> str:
        anew = self._anew_from and seq >= self._anew_from
        return digest(f"{self.home} {'anew' if anew else self._version} {seq}")

    def __call__(self, request: httpx.Request) -> httpx.Response:
        asked = request.headers.get("DG-Ledger-Seen")
        self.asked.append(asked)
        headers = {"DG-Ledger": f"{self.home}:{self.length}:{self.entry(self.length)}"}
        if asked and int(asked) <= self.length:
            headers["DG-Ledger-Seen"] = f"{asked}:{self.entry(int(asked))}"
        return httpx.Response(200, json=OWNER, headers=headers)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "dg" / "ledgers.json"


class Desk:
    """One machine from which people look at servers."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.said: list[str] = []

    def client(self, server: Server, url: str) -> Client:
        """A program that speaks to `server`, and remembers and complains here."""
        return Client(
            url,
            "tok.en",
            transport=httpx.MockTransport(server),
            clock=InstantClock(),
            memory=self.file,
            complain=self.said.append,
        )

    async def look(self, server: Server, url: str = THERE, times: int = 1) -> list[str]:
        """One run of a program that asks `times`; what it complained of."""
        self.said = []
        async with self.client(server, url) as client:
            for _ in range(times):
                await client.whoami()
        return self.said

    async def accept(self, server: Server, url: str = THERE) -> None:
        async with self.client(server, url) as client:
            await client.whoami()
            assert client.ledger.accept() is not None

    def remembers(self, home: str = "home-1") -> int | None:
        seen = read_memory(self.file).ledgers.get(home)
        return seen.seq if seen else None


@pytest.fixture
def desk(file: Path) -> Desk:
    return Desk(file)


async def test_a_ledger_that_grows_is_well(desk: Desk) -> None:
    server = Server()
    for length in (10, 10, 11, 500):
        server.length = length
        assert await desk.look(server, times=2) == []
        assert desk.remembers() == length
    assert server.asked == [None, None, "10", None, "10", None, "11", None]


async def test_it_is_remembered_for_oneself_alone(desk: Desk, file: Path) -> None:
    await desk.look(Server())
    assert [modes(path) for path in (file, file.parent)] == [0o600, 0o700]


@pytest.mark.parametrize("length", [0, 1, 5, 9])
async def test_a_ledger_that_was_cut_is_said(desk: Desk, length: int) -> None:
    server = Server()
    await desk.look(server)
    server.length = length
    for _ in range(2):
        (sentence,) = await desk.look(server, times=3)
        assert (
            f"ends at entry {length}, but on 1970-01-01 00:16 UTC it reached entry 10: it was cut" in sentence
        )
        assert "dg audit accept" in sentence
        assert desk.remembers() == 10


@pytest.mark.parametrize("first", [1, 5, 10])
@pytest.mark.parametrize("length", [10, 11, 30])
async def test_a_ledger_that_was_written_anew_is_said(desk: Desk, first: int, length: int) -> None:
    server = Server()
    await desk.look(server)
    server.write_anew(first)
    server.length = length
    for _ in range(2):
        (sentence,) = await desk.look(server, times=2)
        assert "has another entry 10 than on 1970-01-01 00:16 UTC: it was written anew" in sentence
        assert desk.remembers() == 10


async def test_what_nobody_had_seen_may_be_anything(desk: Desk) -> None:
    server = Server()
    await desk.look(server)
    server.write_anew(11)
    server.length = 20
    assert await desk.look(server) == []


async def test_a_ledger_is_known_again_under_another_address(desk: Desk) -> None:
    server = Server()
    await desk.look(server, HERE)
    server.length = 20
    assert await desk.look(server, "http://127.0.0.1:9000", times=1) == []
    assert desk.remembers() == 10, "nobody has said yet what became of entry 10"
    server.write_anew(3)
    (sentence,) = await desk.look(server, "http://127.0.0.1:9001", times=2)
    assert "another entry 10" in sentence


async def test_another_ledger_at_the_same_address_is_said(desk: Desk) -> None:
    await desk.look(Server("home-1"))
    other = Server("home-2", length=3)
    for _ in range(2):
        (sentence,) = await desk.look(other, times=2)
        assert sentence.startswith(f"{THERE} has another ledger than on 1970-01-01 00:16 UTC")
    assert desk.remembers("home-2") is None


async def test_on_this_machine_homes_come_and_go(desk: Desk) -> None:
    await desk.look(Server("home-1"), HERE)
    assert await desk.look(Server("home-2", length=3), HERE, times=2) == []
    assert (desk.remembers("home-1"), desk.remembers("home-2")) == (10, 3)


async def test_after_a_restore_the_ledger_can_be_accepted(desk: Desk) -> None:
    server = Server()
    await desk.look(server)
    server.length = 4
    assert len(await desk.look(server)) == 1
    await desk.accept(server)
    assert desk.remembers() == 4
    assert await desk.look(server, times=2) == []


async def test_a_server_that_says_nothing_is_not_judged(desk: Desk) -> None:
    await desk.look(Server())
    for headers in ({}, {"DG-Ledger": "home-1:nine:xyz"}, {"DG-Ledger": "home-1:-1:" + "0" * 64}):
        silent = httpx.Response(200, json=OWNER, headers=headers)
        transport = httpx.MockTransport(lambda _, answer=silent: answer)
        async with Client(THERE, "tok.en", transport=transport, memory=desk.file) as client:
            await client.whoami()
            assert client.ledger.doubt is None
    assert desk.remembers() == 10


async def test_answers_that_overtake_one_another_are_no_cut(desk: Desk) -> None:
    async with Client(THERE, "tok.en", transport=httpx.MockTransport(Server()), memory=desk.file) as client:
        ledger = client.ledger
        (_, first), (_, second) = ledger.ask(), ledger.ask()
        for length, known in ((12, second), (11, first)):
            sighting = Sighting("home-1", length, digest(str(length)))
            ledger.observe({"DG-Ledger": str(sighting)}, known)
        assert ledger.doubt is None
        _, third = ledger.ask()
        ledger.observe({"DG-Ledger": str(Sighting("home-1", 11, digest("11")))}, third)
        assert "it was cut" in str(ledger.doubt)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"ledgers": {"a": {"seq": -1}}}'])
async def test_a_memory_that_cannot_be_read_is_said_and_left_alone(
    desk: Desk, file: Path, content: str
) -> None:
    write(file, content)
    (sentence,) = await desk.look(Server())
    assert sentence.startswith(f"{file}, which remembers")
    assert read(file) == content
    await desk.accept(Server())
    assert desk.remembers() == 10
    with pytest.raises(Refused):
        read_memory(file.parent)


async def test_where_nothing_can_be_written_nothing_is_remembered() -> None:
    desk = Desk(Path("/proc/dg/ledgers.json"))
    assert await desk.look(Server()) == []
    assert desk.remembers() is None


async def test_without_a_file_a_client_remembers_as_long_as_it_lives(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = Server()
    async with Client(THERE, "tok.en", transport=httpx.MockTransport(server)) as client:
        await client.whoami()
        server.length = 7
        await client.whoami()
        assert "it was cut" in str(client.ledger.doubt)
    assert "it was cut" in caplog.text


def test_only_so_many_ledgers_are_remembered() -> None:
    memory = Memory()
    for number in range(MOST + 5):
        memory.keep(f"http://127.0.0.1:{number}", Sighting(f"home-{number}", 1, "0" * 64), number)
    assert len(memory.ledgers) == MOST
    assert "home-4" not in memory.ledgers
    assert set(memory.servers.values()) == set(memory.ledgers)
    assert memory.ledgers["home-5"] == Seen(seq=1, hash="0" * 64, at=5)


def test_the_file_stands_where_state_belongs() -> None:
    assert state_file({"XDG_STATE_HOME": "/var/state", "HOME": "/home/ana"}) == Path(
        "/var/state/dg/ledgers.json"
    )
    assert state_file({"HOME": "/home/ana"}) == Path("/home/ana/.local/state/dg/ledgers.json")
    assert state_file({"XDG_STATE_HOME": "relative"}) is None


def test_what_is_kept_is_json_that_a_person_can_read(file: Path) -> None:
    memory = Memory()
    memory.keep(THERE, Sighting("home-1", 3, "0" * 64), 7)
    assert json.loads(memory.model_dump_json()) == {
        "ledgers": {"home-1": {"seq": 3, "hash": "0" * 64, "at": 7}},
        "servers": {THERE: "home-1"},
    }
